import { existsSync } from "node:fs";
import { stat } from "node:fs/promises";
import { resolve as resolvePath } from "node:path";
import { matchesLayout } from "../archive/compare.ts";
import { type Layout, layOut } from "../archive/layout.ts";
import { ArchiveSink } from "../archive/sink.ts";
import type { Skipped } from "../eksa/artifacts.ts";
import { type Collection, collectArtifacts, type UnpinnedInput } from "../eksa/collect.ts";
import { createReader, MAX_FILE_BYTES } from "../eksa/reader.ts";
import { displayUri, isHttp, schemeOf } from "../eksa/uri.ts";
import { wrapBundles } from "../eksa/wrap.ts";
import { Fault } from "../oci/fault.ts";
import type { Plan } from "../oci/plan.ts";
import { compareBytewise, formatReference } from "../oci/reference.ts";
import { RegistrySource } from "../registry/source.ts";
import type { Log } from "../terminal/log.ts";
import { formatSummary } from "../terminal/progress-view.ts";
import { formatBytes } from "../terminal/units.ts";
import { assertOneDigestAName, joinPlans } from "../transfer/plan.ts";
import { resolve } from "../transfer/resolve.ts";
import { transfer } from "../transfer/transfer.ts";
import { defineCommandLine } from "./arguments.ts";
import { defineCommand, type Run } from "./command.ts";
import { failWith, lostArtifacts } from "./failures.ts";
import { NETWORK_FLAGS, OUTPUT_FLAGS } from "./flags.ts";
import { type Network, openNetwork } from "./network.ts";
import { formatPlan } from "./plan-report.ts";

const LINE = defineCommandLine({
  name: "export artifacts",
  summary: "Download every image, chart and manifest that a Bundles names into one tar.",
  example: "eksa-airgap export artifacts --output artifacts.tar --bundles-override bundle-release.yaml",
  flags: {
    output: {
      type: "string",
      alias: "o",
      required: true,
      valueHint: "FILE",
      description: "the archive to write",
    },
    bundlesOverride: {
      type: "string",
      required: true,
      valueHint: "SRC",
      description: "the Bundles manifest: a file, or an https:// URL",
    },
    eksaVersion: {
      type: "string",
      valueHint: "V",
      description: "the EKS Anywhere version that the Bundles belongs to: it gets this as a tag",
    },
    force: { type: "boolean", description: "replace an existing output" },
    dryRun: { type: "boolean", description: "print the plan and download nothing but manifests" },
    ...NETWORK_FLAGS,
    ...OUTPUT_FLAGS,
  },
});

export const exportArtifacts = defineCommand(LINE, async (run) => {
  const { values, log, environment, signal } = run;
  const progress = run.progress("exporting");
  try {
    const network = openNetwork({ values, environment, signal, log, onWait: progress.note });
    const collection = await collect(run, network);
    const source = new RegistrySource(network.registries);
    const plan = await makePlan(run, collection, source);
    const layout = layOut(plan);
    if (values.dryRun) {
      await run.print(formatPlan(plan, { ...collection, output: values.output, layout }));
      return;
    }
    if (await isThereAlready(run, layout)) return;
    await write(run, { plan, layout, source, listener: progress.listener });
    progress.stop();
    log.info(formatSummary("exported", progress.totals()));
    log.info(`wrote ${values.output} (${formatBytes(layout.size)})`);
  } finally {
    progress.stop();
  }
});

type ExportRun = Run<typeof LINE.flags>;

/** Reads the Bundles and every document it points to. */
async function collect({ values, directory, log }: ExportRun, { fetchFile }: Network): Promise<Collection> {
  const source = values.bundlesOverride;
  const fetched = (url: string) => fetchFile(url, MAX_FILE_BYTES);
  const local = schemeOf(source) === undefined;
  if (!local && !isHttp(source)) {
    throw new Fault(`cannot read a Bundles from \`${schemeOf(source)}://\``, {
      hint: "give a file or an `https://` URL",
      kind: "usage",
    });
  }
  const bytes = local ? await readLocal(resolvePath(directory, source)) : await fetched(source);
  const read = createReader({ http: fetched, paths: local ? "read" : "unresolved", directory });
  const collection = await collectArtifacts({ source: displayUri(source), bytes }, read);
  reportSkipped(log, collection.skipped);
  reportUnpinned(log, collection.unpinned);
  return collection;
}

async function readLocal(path: string): Promise<Uint8Array> {
  try {
    const { size } = await stat(path);
    if (size > MAX_FILE_BYTES) throw new Fault(`it has ${size} bytes, over ${MAX_FILE_BYTES}`);
    return await Bun.file(path).bytes();
  } catch (cause) {
    throw new Fault(`cannot read the Bundles ${path}`, {
      cause,
      hint: "name the manifest with `--bundles-override FILE`",
    });
  }
}

/** Everything that goes into the archive. Fails naming all that cannot be found, before the first blob. */
async function makePlan(
  { values, log, signal }: ExportRun,
  { number, files, images }: Collection,
  source: RegistrySource,
): Promise<Plan> {
  const version = values.eksaVersion;
  const wrapped = wrapBundles({ number, files, ...(version === undefined ? {} : { version }) });
  const references = images
    .map(({ reference }) => reference)
    .sort((a, b) => compareBytewise(formatReference(a), formatReference(b)));
  log.info(`reading the manifests of ${references.length} images and charts`);
  const { plan, failures } = await resolve(source, references, { jobs: values.jobs });
  // What was not waited for is not missing.
  signal.throwIfAborted();
  failWith(
    log,
    `cannot export: ${failures.length} of ${references.length} images and charts cannot be found`,
    failures.map(({ reference, error }) => ({ what: formatReference(reference), error })),
  );
  const whole = joinPlans([wrapped, plan]);
  assertOneDigestAName(whole.roots);
  return whole;
}

/** A finished output is kept when it is already right; another is never written over unasked. */
async function isThereAlready({ values, log }: ExportRun, layout: Layout): Promise<boolean> {
  const { output, force } = values;
  if (force || !existsSync(output)) return false;
  log.info(`checking the existing ${output}`);
  if (await matchesLayout(output, layout)) {
    log.info(`${output} is already what this export would write`);
    return true;
  }
  throw new Fault(`cannot write ${output}: there is another file of that name`, {
    hint: "choose another name, or replace it with `--force`",
  });
}

async function write(
  { values, signal, log }: ExportRun,
  {
    plan,
    layout,
    source,
    listener,
  }: {
    plan: Plan;
    layout: Layout;
    source: RegistrySource;
    listener: Parameters<typeof transfer>[3]["listener"];
  },
): Promise<void> {
  const sink = new ArchiveSink(values.output, layout);
  try {
    const { lost } = await transfer(plan, source, sink, {
      jobs: values.jobs,
      onFailure: "continue",
      listener,
      signal,
    });
    const failures = lostArtifacts("export", lost);
    failWith(log, `cannot export: ${lost.length} of ${plan.roots.length} artifacts are missing`, failures);
    sink.commit();
  } catch (error) {
    sink.abort();
    throw error;
  }
}

function reportSkipped(log: Log, skipped: readonly Skipped[]): void {
  for (const [reason, entries] of Map.groupBy(skipped, (entry) => entry.reason)) {
    log.info(`left out ${entries.length}: ${reason}`);
  }
  for (const { uri, reason, where } of skipped) log.debug(1, `left out ${uri || where[0]}: ${reason}`);
}

function reportUnpinned(log: Log, unpinned: readonly UnpinnedInput[]): void {
  if (unpinned.length > 0)
    log.info(`${unpinned.length} inputs are not pinned by a digest (\`-v 1\` names them)`);
  for (const { kind, name } of unpinned) log.debug(1, `not pinned by a digest: ${kind} ${name}`);
}
