import { PipeSource } from "../archive/pipe-source.ts";
import { faultKind } from "../oci/fault.ts";
import type { Node, Plan } from "../oci/plan.ts";
import { formatReference } from "../oci/reference.ts";
import type { Progress } from "../terminal/progress.ts";
import { resolve } from "../transfer/resolve.ts";
import type { TransferResult } from "../transfer/transfer.ts";
import { defineCommandLine } from "./arguments.ts";
import { defineCommand, type Run } from "./command.ts";
import { deliver } from "./delivery.ts";
import { failWith } from "./failures.ts";
import { DELIVERY_FLAGS, OUTPUT_FLAGS, PART_FLAGS, TARGET_FLAGS } from "./flags.ts";
import { findFoundation } from "./import-delta.ts";
import { assertAgreed, type ImportSource, openInputs } from "./import-source.ts";
import { openNetwork } from "./network.ts";
import { partToSend } from "./part.ts";
import { RunReport } from "./report.ts";
import { type Destination, readTarget } from "./target.ts";

const LINE = defineCommandLine({
  name: "import artifacts",
  summary: "Send everything in an archive to a registry.",
  example: "eksa-airgap import artifacts --input artifacts.tar --registry registry.example.com/eksa",
  prints: true,
  flags: {
    input: {
      type: "list",
      alias: "i",
      required: true,
      files: true,
      valueHint: "FILE",
      description:
        "the archive to read, or its first volume; a base and its deltas together; `.tar.gz` and `.tar.zst` too; `-` for stdin",
    },
    ...DELIVERY_FLAGS,
    ...PART_FLAGS,
    ...TARGET_FLAGS,
    ...OUTPUT_FLAGS,
  },
  oneOf: ["registry", "filename"],
});

type ImportRun = Run<typeof LINE.flags>;

export const IMPORT_FLAGS = LINE.flags;

export const importArtifacts = defineCommand(LINE, (run) => runImport(run, partToSend));

/** `select`: what of the archive is sent. */
export async function runImport(run: ImportRun, select: typeof partToSend): Promise<void> {
  const { values, log, directory } = run;
  const destination = await readTarget(run);
  const { input, filename, caFile, clientCert, clientKey } = values;
  const others = [...input, filename, caFile, clientCert, clientKey];
  const report = new RunReport({ command: LINE.name, path: values.report, directory, others, log });
  await report.around(async () => {
    const source = await openInputs(input, run.signal);
    const progress = run.progress("importing");
    try {
      await importFrom(run, { source, destination, progress, report, select });
    } finally {
      progress.stop();
      source.close();
    }
  });
}

interface Job {
  source: ImportSource;
  destination: Destination;
  progress: Progress;
  report: RunReport;
  select: typeof partToSend;
}

async function importFrom(run: ImportRun, job: Job): Promise<void> {
  const { source, destination, progress, report } = job;
  const { values, log, environment, signal } = run;
  const { held, lacking } = await readPlan(run, job);
  const options = { environment, signal, log, onWait: progress.note, destination };
  const { registries } = openNetwork({ values: { ...values, mirror: [] }, ...options });
  await deliver(run, {
    verb: "import",
    plan: held,
    source,
    destination,
    registries,
    progress,
    report,
    known: (plan) => findFoundation(lacking, { source, plan, registries, log, report: values.report }),
    settle: async (lost) => {
      if (!(source instanceof PipeSource)) return;
      if (lost.length === 0) await source.finish();
      // Whoever writes the pipe is not to blame for what the registry refused; what else is wrong is told below.
      else if (values.keepGoing) await source.finish().catch(() => {});
    },
    hintAfter: (lost) => hintAfter(lost, source instanceof PipeSource ? [] : values.input),
  });
}

/** Where bytes are wrong another run comes to the same end. `files`: none for what cannot be read twice. */
function hintAfter(lost: TransferResult["lost"], files: readonly string[]): string | undefined {
  const isMismatch = lost.some(({ error }) => faultKind(error) === "mismatch");
  if (!isMismatch || files.length === 0) return;
  const inputs = files.map((file) => `--input ${file}`).join(" ");
  return `what arrived stays; \`eksa-airgap verify artifacts ${inputs}\` says whether the archive is what is wrong, and where`;
}

/** The part of the archive's graph that is to be sent. Fails naming what is damaged, before anything is. */
async function readPlan(
  { values, log }: ImportRun,
  { source, report, select }: Job,
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
  if (source instanceof PipeSource) source.follow(plan);
  const lacking = source instanceof PipeSource ? [] : source.lacking(plan);
  const { plan: held, left } = await select(plan, source, { values, log });
  if (source instanceof PipeSource) letBy(source, plan, held);
  assertAgreed(source, held);
  report.inputs({ skipped: left, unpinned: [], unknown: [] });
  return { held, lacking: lacking.filter(({ descriptor }) => held.nodes.has(descriptor.digest)) };
}

/** What comes by and is not sent. */
function letBy(source: PipeSource, whole: Plan, part: Plan): void {
  for (const node of whole.nodes.values()) {
    if (!part.nodes.has(node.descriptor.digest)) source.settle(node);
  }
}
