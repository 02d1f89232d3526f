import { existsSync, type Stats, statSync } from "node:fs";
import { basename, dirname, join, resolve as resolvePath } from "node:path";
import { matchesLayout } from "../archive/compare.ts";
import { type Delta, type Layout, layOut } from "../archive/layout.ts";
import { indexesOf, volumeName, volumesOf } from "../archive/volumes.ts";
import type { Workplace } from "../archive/workplace.ts";
import { Fault } from "../oci/fault.ts";
import type { Plan } from "../oci/plan.ts";
import type { Reference } from "../oci/reference.ts";
import { RegistrySource } from "../registry/source.ts";
import type { Progress } from "../terminal/progress.ts";
import { formatSummary } from "../terminal/progress-view.ts";
import { assertStdoutIsOpen } from "../terminal/stdout.ts";
import { formatBytes } from "../terminal/units.ts";
import type { Listener } from "../transfer/events.ts";
import type { WholeIndex } from "../transfer/prune.ts";
import { defineCommandLine } from "./arguments.ts";
import { defineCommand, type Run } from "./command.ts";
import { openWorkplace, plannedIn, writeArchive } from "./export-archive.ts";
import { assertCanPipe, writeToPipe } from "./export-pipe.ts";
import { collect, makePlan } from "./export-plan.ts";
import { namesFolder } from "./file-name.ts";
import { NETWORK_FLAGS, OUTPUT_FLAGS, SELECTION_FLAGS, SIGNATURE_FLAGS } from "./flags.ts";
import { type Network, openNetwork } from "./network.ts";
import { formatPlan } from "./plan-report.ts";
import { assertLaidOut, openPrepackaged, type Prepackaged, readyMade } from "./prepackaged.ts";
import { type Inputs, RunReport } from "./report.ts";
import { SignatureCheck } from "./signature.ts";
import { assertBases, assertFiles, deltaOf } from "./since.ts";

const LINE = defineCommandLine({
  name: "export artifacts",
  summary: "Download every image, chart and manifest that a release of EKS Anywhere needs into one tar.",
  example: "eksa-airgap export artifacts --output artifacts.tar",
  flags: {
    output: {
      type: "string",
      alias: "o",
      required: true,
      valueHint: "FILE",
      description: "the archive to write; `-` for stdout",
    },
    ...SELECTION_FLAGS,
    force: { type: "boolean", description: "replace an existing output" },
    report: {
      type: "string",
      valueHint: "FILE",
      description: "write what became of every artifact, as JSON",
    },
    dryRun: { type: "boolean", description: "print the plan and download nothing but manifests" },
    since: {
      type: "list",
      files: true,
      valueHint: "ARCHIVE",
      description: "leave out what these archives hold: a delta",
    },
    splitSize: {
      type: "size",
      description: "write volumes FILE.000, FILE.001, … of this size (4000MiB for FAT32)",
    },
    noPrepackaged: {
      type: "boolean",
      description: "build the archive even where the Release offers a ready-made one",
    },
    refresh: {
      type: "boolean",
      description: "resolve again instead of going on with an interrupted plan; what it fetched is used",
    },
    ...SIGNATURE_FLAGS,
    ...NETWORK_FLAGS,
    ...OUTPUT_FLAGS,
  },
});

export const EXPORT_FLAGS = LINE.flags;

export const exportArtifacts = defineCommand(LINE, runExport);

export interface ExportOptions {
  /** Writes the output from its start to its end. Default: a plain tar, each byte at its place. */
  write?: typeof writeToPipe;
  /** No registry's certificate is looked at. */
  insecure?: boolean;
}

export async function runExport(run: ExportRun, options: ExportOptions = {}): Promise<void> {
  const { values, log, directory } = run;
  assertCanBeOutput(run);
  assertFiles(run.values.since);
  if (values.output === "-" || values.dryRun) await assertStdoutIsOpen();
  const { output, bundlesOverride, releaseManifest, caFile, signatureKey, since } = values;
  const report = new RunReport({
    command: LINE.name,
    path: values.report,
    directory,
    others: [
      output,
      ...[".partial", ".lock", ".journal"].map((end) => output + end),
      bundlesOverride,
      releaseManifest,
      caFile,
      signatureKey,
      ...since,
    ],
    log,
  });
  const progress = run.progress("exporting");
  try {
    await report.around(() => exportTo(run, { ...options, progress, report }));
  } finally {
    progress.stop();
  }
}

interface Exporting extends ExportOptions {
  progress: Progress;
  report: RunReport;
}

async function exportTo(run: ExportRun, { progress, report, ...options }: Exporting): Promise<void> {
  const { values, log, environment, signal, directory } = run;
  const signatures = new SignatureCheck(run, report);
  const network = openNetwork({
    values: { ...values, insecureRegistries: options.insecure === true },
    environment,
    signal,
    log,
    onWait: progress.note,
  });
  const source = new RegistrySource(network.registries);
  const resolved = () => resolvePlan(run, { network, source, signatures, report });
  if (values.dryRun) {
    const { plan, notes, delta } = await resolved();
    const { output, splitSize } = values;
    await run.print(formatPlan(plan, { ...notes, output, splitSize, layout: layOut(plan, delta) }));
    return;
  }
  const write = values.output === "-" ? writeToPipe : options.write;
  if (write !== undefined) {
    const { plan, delta } = await resolved();
    await write(run, { plan, layout: layOut(plan, delta), source, listener: told(progress, report) });
    progress.stop();
    log.info(formatSummary("exported", progress.totals()));
    if (values.output !== "-") {
      const { size } = statSync(resolvePath(directory, values.output));
      log.info(`wrote ${values.output} (${formatBytes(size)})`);
    }
    return;
  }
  const workplace = openWorkplace(resolvePath(directory, values.output));
  try {
    const { plan, notes, delta, begun } = await plannedIn(workplace, run, { resolved, report });
    const layout = layOut(plan, delta);
    if (await isThereAlready(run, layout, workplace)) return report.complete(plan);
    const listener = told(progress, report);
    const ready = await readyMade(run, notes, { layout, network, report });
    const origin = { source, ...ready };
    const { note } = progress;
    await writeArchive(run, { workplace, begun, plan, notes, delta, layout, ...origin, listener, note });
    progress.stop();
    log.info(formatSummary("exported", progress.totals()));
    log.info(`wrote ${namesOf(values, layout)} (${formatBytes(layout.size)})`);
  } finally {
    workplace.release();
  }
}

/** What is there in the end: one file, or volumes. */
function namesOf({ output, splitSize }: ExportRun["values"], { size }: Layout): string {
  const [first, ...others] = volumesOf(output, size, splitSize).map(({ path }) => path);
  const last = others.at(-1);
  return last === undefined ? `${first}` : `${first} to ${basename(last)}`;
}

interface Resolving {
  network: Network;
  source: RegistrySource;
  signatures: SignatureCheck;
  report: RunReport;
}

async function resolvePlan(
  run: ExportRun,
  { network, source, signatures, report }: Resolving,
): Promise<Planned> {
  assertBases(run.values.since);
  const collection = await collect(run, network, signatures.bundles);
  report.inputs(collection);
  signatures.releases(collection.files);
  const ready = await openPrepackaged(run, { collection, network });
  const planning = { collection, source, found: ready?.found, report };
  const { plan, excluded, documents, whole } = await makePlan(run, planning);
  const { skipped, unpinned, unknown } = collection;
  const delta = await deltaOf(run, plan, documents);
  const notes = { skipped, unpinned, unknown, whole, excluded };
  if (ready === undefined) return { plan, notes, delta };
  assertLaidOut(ready, layOut(plan, delta));
  return { plan, notes: { ...notes, prepackaged: ready.prepackaged }, delta };
}

function told(progress: Progress, report: RunReport): Listener {
  return (event) => {
    report.listener(event);
    progress.listener(event);
  };
}

/** A plan, and what a report says of how it came about. */
export interface Planned {
  plan: Plan;
  delta: Delta | undefined;
  notes: Inputs & {
    excluded: readonly Reference[];
    whole: readonly WholeIndex[];
    /** The ready-made archive that the plan was read from. */
    prepackaged?: Prepackaged;
  };
}

export type ExportRun = Run<typeof LINE.flags>;

/** What can be known to go wrong with the output before anything is read. */
function assertCanBeOutput({ values, directory }: ExportRun): void {
  const { output, bundlesOverride, releaseManifest } = values;
  if (output === "-") {
    assertCanPipe(values);
    return;
  }
  const path = resolvePath(directory, output);
  const isSame = (other: string | undefined) => other !== undefined && resolvePath(directory, other) === path;
  if (isSame(bundlesOverride)) {
    throw usage(`cannot write ${output}: it is the Bundles that is to be exported`, "choose another name");
  }
  if (isSame(releaseManifest)) {
    throw usage(`cannot write ${output}: it is the Release that says what to export`, "choose another name");
  }
  if (values.since.some(isSame)) {
    throw usage(`cannot write ${output}: it is what the delta builds on`, "choose another name");
  }
  const found = lookAt(path, output);
  if (found?.isDirectory() || namesFolder(output)) {
    throw usage(
      `cannot write ${output}: ${found?.isDirectory() ? "it is" : "that names"} a folder`,
      `name a file in it, e.g. ${join(output, "artifacts.tar")}`,
    );
  }
  if (found !== undefined && !found.isFile()) {
    throw usage(
      `cannot write ${output}: it is a device or a pipe`,
      "name a file; or write to stdout with `--output -`",
    );
  }
  if (!existsSync(dirname(path))) {
    throw new Fault(`cannot write ${output}: there is no folder ${dirname(path)}`, {
      hint: `create the folder ${dirname(path)} first`,
    });
  }
}

function lookAt(path: string, output: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch (cause) {
    throw new Fault(`cannot write ${output}`, { cause, hint: "choose another name" });
  }
}

function usage(message: string, hint: string): Fault {
  return new Fault(message, { hint, kind: "usage" });
}

/** A finished output is kept when it is already right; another is never written over unasked. */
async function isThereAlready(
  { values, log, signal }: ExportRun,
  layout: Layout,
  { unfinished }: Workplace,
): Promise<boolean> {
  const { output, force, splitSize } = values;
  const first = splitSize === undefined ? output : volumeName(output, 0);
  if (force) return false;
  if (!existsSync(first)) {
    // Those of a commit that was broken off are ours.
    const [stray] = splitSize === undefined || unfinished?.isCommitting ? [] : indexesOf(output);
    if (stray === undefined) return false;
    throw new Fault(`cannot write ${output}: there is ${volumeName(output, stray)}, of another archive`, {
      hint: "choose another name, or replace it with `--force`",
    });
  }
  log.info(`checking the existing ${first}`);
  const isCutAlike = volumesOf(output, layout.size, splitSize).every(
    ({ path, size }) => statSync(path, { throwIfNoEntry: false })?.size === size,
  );
  if (isCutAlike && (await matchesLayout(first, layout, signal))) {
    log.info(`${first} is already what this export would write`);
    return true;
  }
  throw new Fault(`cannot write ${first}: there is another file of that name`, {
    hint: "choose another name, or replace it with `--force`",
  });
}
