import { existsSync, statSync } from "node:fs";
import { dirname, join, resolve as resolvePath } from "node:path";
import { matchesLayout } from "../archive/compare.ts";
import { type Layout, layOut } from "../archive/layout.ts";
import { ArchiveSink } from "../archive/sink.ts";
import { Fault } from "../oci/fault.ts";
import type { Plan } from "../oci/plan.ts";
import { RegistrySource } from "../registry/source.ts";
import type { Progress } from "../terminal/progress.ts";
import { formatSummary } from "../terminal/progress-view.ts";
import { formatBytes } from "../terminal/units.ts";
import type { Listener } from "../transfer/events.ts";
import { type TransferResult, transfer } from "../transfer/transfer.ts";
import { defineCommandLine } from "./arguments.ts";
import { defineCommand, type Run } from "./command.ts";
import { collect, makePlan } from "./export-plan.ts";
import { failWith, lostArtifacts } from "./failures.ts";
import { NETWORK_FLAGS, OUTPUT_FLAGS } from "./flags.ts";
import { openNetwork } from "./network.ts";
import { formatPlan } from "./plan-report.ts";
import { RunReport } from "./report.ts";

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
    exclude: { type: "list", valueHint: "REF", description: "leave an artifact out knowingly" },
    report: {
      type: "string",
      valueHint: "FILE",
      description: "write what became of every artifact, as JSON",
    },
    includeSignatures: {
      type: "boolean",
      description: "take the signatures and other referrers of every manifest along",
    },
    dryRun: { type: "boolean", description: "print the plan and download nothing but manifests" },
    ...NETWORK_FLAGS,
    ...OUTPUT_FLAGS,
  },
});

export const exportArtifacts = defineCommand(LINE, async (run) => {
  const { values, log, directory } = run;
  assertCanBeOutput(run);
  const { output, bundlesOverride, caFile } = values;
  const report = new RunReport({
    command: LINE.name,
    path: values.report,
    directory,
    others: [output, `${output}.partial`, `${output}.lock`, bundlesOverride, caFile],
    log,
  });
  const progress = run.progress("exporting");
  try {
    await report.around(() => exportTo(run, progress, report));
  } finally {
    progress.stop();
  }
});

async function exportTo(run: ExportRun, progress: Progress, report: RunReport): Promise<void> {
  const { values, log, environment, signal } = run;
  const network = openNetwork({ values, environment, signal, log, onWait: progress.note });
  const collection = await collect(run, network);
  report.inputs(collection);
  const source = new RegistrySource(network.registries);
  const plan = await makePlan(run, { collection, source, report });
  const layout = layOut(plan);
  if (values.dryRun) {
    await run.print(formatPlan(plan, { ...collection, output: values.output, layout }));
    return;
  }
  if (await isThereAlready(run, layout)) return report.complete(plan);
  const listener: Listener = (event) => {
    report.listener(event);
    progress.listener(event);
  };
  await write(run, { plan, layout, source, listener });
  progress.stop();
  log.info(formatSummary("exported", progress.totals()));
  log.info(`wrote ${values.output} (${formatBytes(layout.size)})`);
}

export type ExportRun = Run<typeof LINE.flags>;

/** What can be known to go wrong with the output before anything is read. */
function assertCanBeOutput({ values, directory }: ExportRun): void {
  const { output, bundlesOverride } = values;
  const path = resolvePath(directory, output);
  if (output === "-") throw usage("cannot write the archive to stdout", "name a file with `--output FILE`");
  if (path === resolvePath(directory, bundlesOverride)) {
    throw usage(`cannot write ${output}: it is the Bundles that is to be exported`, "choose another name");
  }
  const found = statSync(path, { throwIfNoEntry: false });
  if (found?.isDirectory()) {
    throw usage(
      `cannot write ${output}: it is a folder`,
      `name a file in it, e.g. ${join(output, "artifacts.tar")}`,
    );
  }
  if (!existsSync(dirname(path))) {
    throw new Fault(`cannot write ${output}: there is no folder ${dirname(path)}`, {
      hint: `create the folder ${dirname(path)} first`,
    });
  }
}

function usage(message: string, hint: string): Fault {
  return new Fault(message, { hint, kind: "usage" });
}

/** A finished output is kept when it is already right; another is never written over unasked. */
async function isThereAlready({ values, log, signal }: ExportRun, layout: Layout): Promise<boolean> {
  const { output, force } = values;
  if (force || !existsSync(output)) return false;
  log.info(`checking the existing ${output}`);
  if (await matchesLayout(output, layout, signal)) {
    log.info(`${output} is already what this export would write`);
    return true;
  }
  throw new Fault(`cannot write ${output}: there is another file of that name`, {
    hint: "choose another name, or replace it with `--force`",
  });
}

interface Job {
  plan: Plan;
  layout: Layout;
  source: RegistrySource;
  listener: Listener;
}

/** Fetches everything that can be had; the output appears only if that is all. */
async function write({ values, signal, log }: ExportRun, job: Job): Promise<void> {
  const { plan, layout, source, listener } = job;
  const sink = new ArchiveSink(values.output, layout);
  let lost: TransferResult["lost"];
  try {
    const options = { jobs: values.jobs, onFailure: "continue", listener, signal } as const;
    lost = (await transfer(plan, source, sink, options)).lost;
    if (lost.length === 0) sink.commit();
  } catch (error) {
    sink.abort();
    throw error;
  }
  if (lost.length === 0) return;
  const partial = sink.keep();
  failWith(log, lostArtifacts("export", lost), {
    message: `cannot export: ${lost.length} of ${plan.roots.length} artifacts are missing`,
    hint: `what could be fetched is in ${partial}; to go without an artifact, leave it out with \`--exclude REFERENCE\``,
  });
}
