import { ArchiveInspection } from "../archive/inspection.ts";
import { VolumeFault } from "../archive/volumes.ts";
import { Fault } from "../oci/fault.ts";
import type { Root } from "../oci/plan.ts";
import { formatReference } from "../oci/reference.ts";
import type { Registries } from "../registry/client.ts";
import { type Progress, progressMode } from "../terminal/progress.ts";
import { count } from "../terminal/progress-view.ts";
import { formatBytes, formatDuration, formatRate } from "../terminal/units.ts";
import { joinPlans } from "../transfer/plan.ts";
import { defineCommandLine } from "./arguments.ts";
import { defineCommand, type Run } from "./command.ts";
import { assertNotWith, assertOnlyWith, CLUSTER_FLAGS, OUTPUT_FLAGS, TARGET_FLAGS } from "./flags.ts";
import { readArchives, refuseStdin } from "./held.ts";
import { openNetwork } from "./network.ts";
import { withoutUnused } from "./part.ts";
import { type Destination, readTarget } from "./target.ts";
import { type ArchiveVerdict, verifyArchive } from "./verify-archive.ts";
import { verifyCluster } from "./verify-cluster.ts";
import { verifyRegistry } from "./verify-registry.ts";
import { formatJson, formatText, type Problem, type VerifyReport } from "./verify-report.ts";

const LINE = defineCommandLine({
  name: "verify artifacts",
  summary:
    "Check every byte of an archive, a registry against it, a cluster's mirror. With --input alone: offline. With --registry or --filename: check that the registry holds what the archive does, under its names there; of the archive, its structure and manifests are then read and not its blobs. With --filename alone: check that the mirror holds what the cluster needs, by the manifests in the mirror.",
  example: "eksa-airgap verify artifacts --input artifacts.tar",
  flags: {
    input: {
      type: "list",
      alias: "i",
      files: true,
      valueHint: "FILE",
      description:
        "the archive, or its first volume; several are one together, as a base and its delta are; to be left out with `--filename` only",
    },
    registry: {
      type: "string",
      alias: "r",
      valueHint: "HOST[:PORT][/NAMESPACE]",
      description:
        "look into this registry, where the archive was imported; credentials: REGISTRY_USERNAME and REGISTRY_PASSWORD, or a saved login",
    },
    ...CLUSTER_FLAGS,
    eksaVersion: {
      type: "string",
      valueHint: "V",
      description:
        "without an archive: which release's manifests; else the cluster's `eksaVersion`, else the only one there is",
    },
    output: {
      type: "string",
      alias: "o",
      choices: ["text", "json"],
      default: "text",
      description: "the form of the report on stdout; `json` names everything, however much it is",
    },
    ...TARGET_FLAGS,
    ...OUTPUT_FLAGS,
  },
});

type VerifyRun = Run<typeof LINE.flags>;

export const verifyArtifacts = defineCommand(LINE, async (run) => {
  const { values } = run;
  if (values.input.length === 0) return verifyMirror(run);
  assertNotWith("input", values, ["eksaVersion"]);
  refuseStdin(values.input, "verify");
  const isAsked = values.registry !== undefined || values.filename !== undefined;
  const destination = isAsked ? await readTarget(run) : undefined;
  if (destination === undefined) {
    assertOnlyWith("registry", values, ["caFile", "clientCert", "clientKey", "insecure"]);
  }
  const archives: ArchiveInspection[] = [];
  const progress = progressOf(run);
  try {
    const problems = openArchives(new Set(values.input), archives);
    const verdicts = await verifyArchives(run, { archives, destination, progress });
    problems.push(...verdicts.flatMap((verdict) => verdict.problems));
    if (destination !== undefined && problems.length === 0) {
      problems.push(...(await compareWith(run, { destination, archives, progress })));
    }
    progress.stop();
    await conclude(run, reportOn(run, { destination, archives, verdicts, problems }));
  } finally {
    progress.stop();
    for (const archive of archives) archive.close();
  }
});

/** Without lines for artifacts that fail: one blob may be in all of them, and the verdict names what it befalls. */
function progressOf({ progress, screen, log, values }: VerifyRun): Progress {
  const shown = progress("verifying");
  if (progressMode(screen, log, values) !== "plain") return shown;
  return {
    ...shown,
    listener: (event) => {
      if (event.type !== "lost") shown.listener(event);
    },
  };
}

/** What a cluster needs, told by the mirror that it names. */
async function verifyMirror(run: VerifyRun): Promise<void> {
  const { values, log, directory, signal } = run;
  const { filename, eksaVersion, jobs } = values;
  if (filename === undefined) {
    throw new Fault(`cannot run \`${LINE.name}\` without either \`--input FILE\` or \`--filename FILE\``, {
      hint: "name an archive, or a cluster whose mirror is to be checked",
      kind: "usage",
    });
  }
  const destination = await readTarget(run);
  const progress = progressOf(run);
  try {
    const registries = registriesOf(run, destination, progress);
    const { listener } = progress;
    const job = { filename, eksaVersion, destination, registries, jobs, listener, log, directory, signal };
    const verdict = await verifyCluster(job);
    progress.stop();
    await conclude(run, { ...verdict, registry: destination.name });
  } finally {
    progress.stop();
  }
}

function registriesOf(
  { values, environment, signal, log }: VerifyRun,
  destination: Destination,
  { note }: Progress,
): Registries {
  const options = { environment, signal, log, onWait: note, destination };
  return openNetwork({ values: { ...values, mirror: [] }, ...options }).registries;
}

/** Opens what can be read; a volume without which that cannot be is a problem. */
function openArchives(paths: Iterable<string>, archives: ArchiveInspection[]): Problem[] {
  const problems: Problem[] = [];
  for (const file of paths) {
    try {
      archives.push(new ArchiveInspection(file));
    } catch (error) {
      if (!(error instanceof VolumeFault)) throw error;
      const { harm: kind, volume, detail, hint } = error;
      problems.push({ kind, file, volumes: [volume], artifacts: [], detail, hint });
    }
  }
  return problems;
}

interface Job {
  archives: readonly ArchiveInspection[];
  /** The registry to look into, if any. */
  destination: Destination | undefined;
  progress: Progress;
}

async function verifyArchives(
  { log, signal }: VerifyRun,
  { archives, destination, progress }: Job,
): Promise<ArchiveVerdict[]> {
  const verdicts: ArchiveVerdict[] = [];
  for (const archive of archives) {
    const others = archives.filter((other) => other !== archive);
    // With a registry the bytes in question are those that it holds.
    const listener = destination === undefined ? { listener: progress.listener } : {};
    verdicts.push(await verifyArchive(archive, { others, signal, ...listener }));
    if (destination === undefined) log.info(formatReading(progress.totals()));
  }
  return verdicts;
}

function nameOf({ reference, nameless }: Root): string {
  return `${nameless ?? false} ${formatReference(reference)}`;
}

function formatReading({ moved, milliseconds }: ReturnType<Progress["totals"]>): string {
  const rate = milliseconds > 0 ? ` (${formatRate((moved / milliseconds) * 1000)})` : "";
  return `read ${formatBytes(moved)} in ${formatDuration(milliseconds)}${rate}`;
}

/** Looks for what an import of the archives would have sent, and what their bases should have. */
async function compareWith(run: VerifyRun, job: Job & { destination: Destination }): Promise<Problem[]> {
  const { values, log, signal } = run;
  const { destination, archives, progress } = job;
  const { input, jobs } = values;
  const { plan } = await readArchives(input, { jobs, log, verb: "verify" });
  const registries = registriesOf(run, destination, progress);
  const [source] = archives;
  if (source === undefined) return [];
  const { listener } = progress;
  return verifyRegistry(withoutUnused(plan).plan, {
    registries,
    destination,
    source,
    jobs,
    listener,
    signal,
  });
}

interface Findings {
  destination: Destination | undefined;
  archives: readonly ArchiveInspection[];
  verdicts: readonly ArchiveVerdict[];
  problems: readonly Problem[];
}

function reportOn(
  { values }: VerifyRun,
  { destination, archives, verdicts, problems }: Findings,
): VerifyReport {
  const { nodes } = joinPlans(verdicts.map(({ plan }) => plan));
  const manifests = [...nodes.values()].filter(({ kind }) => kind === "manifest").length;
  return {
    archive: {
      files: [...new Set(values.input)],
      bytes: archives.reduce((sum, { size }) => sum + size, 0),
      artifacts: new Set(archives.flatMap(({ named }) => named.map(nameOf))).size,
      manifests,
      blobs: nodes.size - manifests,
    },
    ...(destination === undefined ? {} : { registry: destination.name }),
    problems,
    notes: verdicts.flatMap(({ notes }) => notes),
  };
}

/** A verdict that cannot be printed is still one: of both failures, the graver one decides. */
async function conclude({ values, print }: VerifyRun, report: VerifyReport): Promise<void> {
  const text = values.output === "json" ? formatJson(report) : formatText(report);
  if (report.problems.length === 0) return print(text);
  const cause: unknown = await print(text).catch((error: unknown) => error);
  throw judge(values.input, report, cause);
}

function judge(
  input: readonly string[],
  { problems, registry, cluster }: VerifyReport,
  cause: unknown,
): Fault {
  const isKnown = problems.some(({ kind }) => kind !== "unchecked");
  const isArchive = problems.some(({ file }) => file !== undefined);
  const what =
    cluster === undefined ? "the archive again" : `an archive of ${cluster.release} that has it all`;
  const name = isArchive ? input.join(", ") : registry;
  return new Fault(`cannot verify ${name}: ${count(problems.length, "problem")}`, {
    cause,
    kind: isKnown ? "mismatch" : "failed",
    hint: isArchive
      ? hintsOf(problems) || "copy the archive again, or export it anew"
      : `import ${what}: what is there already is not sent${problems.some(isMovedTag) ? SEPARATE : ""}`,
  });
}

/** To import one release again would take the tag from the other. */
const SEPARATE = "; where another release has moved a tag, give each a namespace of its own";

function isMovedTag({ kind, place }: Problem): boolean {
  return kind === "different" && /:[^/]+$/.test(place ?? "");
}

/** What else is wrong may come of what these are about, such as a volume that is missing. */
function hintsOf(problems: readonly Problem[]): string {
  return [...new Set(problems.flatMap(({ hint }) => hint ?? []))].join("; ");
}
