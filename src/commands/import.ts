import { PipeSource } from "../archive/pipe-source.ts";
import { assertPlaces, mapRoot, mirrorConfiguration } from "../eksa/mirror.ts";
import type { Target } from "../eksa/target.ts";
import { withTypedConfigs } from "../eksa/wrap.ts";
import { faultKind } from "../oci/fault.ts";
import type { Node, Plan } from "../oci/plan.ts";
import { formatReference } from "../oci/reference.ts";
import { preflight } from "../registry/preflight.ts";
import { RegistrySink } from "../registry/sink.ts";
import type { Progress } from "../terminal/progress.ts";
import { formatSummary } from "../terminal/progress-view.ts";
import { renamePlan } from "../transfer/plan.ts";
import { resolve } from "../transfer/resolve.ts";
import { type TransferResult, transfer } from "../transfer/transfer.ts";
import { defineCommandLine } from "./arguments.ts";
import { defineCommand, type Run } from "./command.ts";
import { failWith, lostArtifacts } from "./failures.ts";
import { CLUSTER_FLAGS, OUTPUT_FLAGS, TARGET_FLAGS } from "./flags.ts";
import { findFoundation } from "./import-delta.ts";
import { type ImportSource, openInputs } from "./import-source.ts";
import { latestRelease } from "./latest-release.ts";
import { openNetwork } from "./network.ts";
import { RunReport } from "./report.ts";
import { type Destination, greet, readTarget } from "./target.ts";

const LINE = defineCommandLine({
  name: "import artifacts",
  summary: "Send everything in an archive to a registry.",
  example: "eksa-airgap import artifacts --input artifacts.tar --registry registry.example.com/eksa",
  flags: {
    input: {
      type: "list",
      alias: "i",
      required: true,
      valueHint: "FILE",
      description:
        "the archive to read, or its first volume; a base and its deltas together; `.tar.gz` and `.tar.zst` too; `-` for stdin",
    },
    registry: {
      type: "string",
      alias: "r",
      valueHint: "HOST[:PORT][/NAMESPACE]",
      description:
        "the registry to fill; credentials: REGISTRY_USERNAME and REGISTRY_PASSWORD, or a saved login",
    },
    ...CLUSTER_FLAGS,
    keepGoing: { type: "boolean", description: "go on after an artifact that failed" },
    report: {
      type: "string",
      valueHint: "FILE",
      description: "write what became of every artifact, as JSON",
    },
    ...TARGET_FLAGS,
    ...OUTPUT_FLAGS,
  },
  oneOf: ["registry", "filename"],
});

type ImportRun = Run<typeof LINE.flags>;

export const importArtifacts = defineCommand(LINE, async (run) => {
  const { values, log, directory } = run;
  const destination = await readTarget(run);
  const { input, filename, caFile, clientCert, clientKey } = values;
  const others = [...input, filename, caFile, clientCert, clientKey];
  const report = new RunReport({ command: LINE.name, path: values.report, directory, others, log });
  await report.around(async () => {
    const source = await openInputs(input, run.signal);
    const progress = run.progress("importing");
    try {
      await importFrom(run, { source, destination, progress, report });
    } finally {
      progress.stop();
      source.close();
    }
  });
});

interface Job {
  source: ImportSource;
  destination: Destination;
  progress: Progress;
  report: RunReport;
}

async function importFrom(run: ImportRun, { source, destination, progress, report }: Job): Promise<void> {
  const { values, log, environment, signal } = run;
  const { target, name } = destination;
  const { held, lacking } = await readPlan(run, source, report);
  const plan = placed(held, target);
  report.planned(plan);
  const options = { environment, signal, log, onWait: progress.note, destination };
  const { registries } = openNetwork({ values: { ...values, mirror: [] }, ...options });
  await greet(registries, destination);
  const obstacles = await preflight(registries, plan.roots);
  report.obstacles(obstacles);
  failWith(log, obstacles, {
    message: `cannot import into ${name}: nothing has been sent`,
    report: values.report,
  });
  const known = await findFoundation(lacking, { source, plan, registries, log, report: values.report });
  const latest = await latestRelease(held, { target, registries, log, signal });
  const named = latest === undefined ? plan : { ...plan, roots: [...plan.roots, latest.root] };
  report.planned(named);
  const movable = new Set(latest === undefined ? [] : [formatReference(latest.root.reference)]);
  const sink = new RegistrySink(registries, named.roots, {
    warn: (text) => log.warn(text),
    known,
    movable,
    variants: withTypedConfigs(plan),
  });
  const { lost } = await transfer(named, source, sink, {
    jobs: values.jobs,
    onFailure: values.keepGoing ? "continue" : "stop",
    listener: (event) => {
      report.listener(event);
      progress.listener(event);
    },
    signal,
  });
  if (lost.length === 0) await finish(source);
  // Whoever writes the pipe is not to blame for what the registry refused; what else is wrong is told below.
  else if (values.keepGoing) await finish(source).catch(() => {});
  progress.stop();
  failWith(log, lostArtifacts("import", lost), {
    message: `cannot import: ${lost.length} of ${named.roots.length} artifacts are missing in ${name}`,
    hint: hintAfter(lost, source instanceof PipeSource ? [] : values.input),
    kind: values.keepGoing ? "partial" : "failed",
    report: values.report,
  });
  log.info(formatSummary("imported", progress.totals()));
  if (latest !== undefined) log.info(latest.text);
  log.info(
    values.filename === undefined ? "for the cluster's spec:" : `where ${values.filename} lets nodes look:`,
  );
  const registriesOfOrigin = held.roots.map(({ reference }) => reference.registry);
  await run.print(mirrorConfiguration(target, registriesOfOrigin).trimEnd());
}

/** Where bytes are wrong another run comes to the same end. `files`: none for what cannot be read twice. */
function hintAfter(lost: TransferResult["lost"], files: readonly string[]): string {
  const isMismatch = lost.some(({ error }) => faultKind(error) === "mismatch");
  if (!isMismatch || files.length === 0) {
    return "what arrived stays; run the same command again to send the rest";
  }
  const inputs = files.map((file) => `--input ${file}`).join(" ");
  return `what arrived stays; \`eksa-airgap verify artifacts ${inputs}\` says whether the archive is what is wrong, and where`;
}

/** The archive's whole graph. Fails naming what is damaged, before anything is sent. */
async function readPlan(
  { values, log }: ImportRun,
  source: ImportSource,
  report: RunReport,
): Promise<{ held: Plan; lacking: Node[] }> {
  const { references, nameless } = source;
  const { plan, failures } = await resolve(source, references, { jobs: values.jobs, nameless });
  report.unresolved(failures);
  failWith(
    log,
    failures.map(({ reference, error }) => ({ what: formatReference(reference), error })),
    {
      message: `cannot import: ${failures.length} of ${references.length + nameless.length} artifacts in the archive are damaged`,
      hint: "copy the archive again, or export it anew",
      report: values.report,
    },
  );
  if (source instanceof PipeSource) {
    source.follow(plan);
    return { held: plan, lacking: [] };
  }
  return { held: plan, lacking: source.lacking(plan) };
}

/** The same plan under the target's names. Fails where something has no place there, or that of another. */
function placed(plan: Plan, target: Target): Plan {
  assertPlaces(plan.roots, target);
  return renamePlan(plan, (root) => mapRoot(root, target));
}

async function finish(source: ImportSource): Promise<void> {
  if (source instanceof PipeSource) await source.finish();
}
