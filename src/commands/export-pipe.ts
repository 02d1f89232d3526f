import { isatty } from "node:tty";
import type { Layout } from "../archive/layout.ts";
import { writePipe } from "../archive/pipe-file.ts";
import { PipeSink, type WriteNext } from "../archive/pipe-sink.ts";
import { Fault } from "../oci/fault.ts";
import type { Plan, Source } from "../oci/plan.ts";
import type { Log } from "../terminal/log.ts";
import type { Listener } from "../transfer/events.ts";
import { transfer } from "../transfer/transfer.ts";
import { failWith, lostArtifacts } from "./failures.ts";

const STDOUT = 1;

interface PipeFlags {
  dryRun: boolean;
  force: boolean;
  splitSize: number | undefined;
}

/** What can be known to be wrong with `--output -` before anything is read. */
export function assertCanPipe({ dryRun, force, splitSize }: PipeFlags): void {
  if (dryRun) return;
  if (splitSize !== undefined) {
    throw new Fault("cannot use `--split-size` with `--output -`: a pipe has no volumes", {
      hint: "leave out `--split-size`, or name a file with `--output FILE`",
      kind: "usage",
    });
  }
  if (force) {
    throw new Fault("cannot use `--force` with `--output -`: a pipe holds nothing to replace", {
      hint: "leave out `--force`",
      kind: "usage",
    });
  }
  if (!isatty(STDOUT)) return;
  throw new Fault("cannot write the archive to a terminal", {
    hint: "pipe it into another program, or name a file with `--output FILE`",
    kind: "usage",
  });
}

export interface PipeRun {
  values: { jobs: number; report: string | undefined };
  log: Log;
  signal: AbortSignal;
}

export interface PipeJob {
  plan: Plan;
  layout: Layout;
  source: Source;
  listener: Listener;
}

/** Writes the archive to stdout as it comes. A failure ends it before its end marker: a reader sees it cut short. */
export async function writeToPipe(run: PipeRun, job: PipeJob): Promise<void> {
  await writeInOrder(run, job, {
    writeNext: (bytes) => writePipe(STDOUT, bytes),
    loss: "what went into the pipe is of no use",
    hint: "run the same command again; into a file, what could be fetched would be kept",
  });
}

interface Outlet {
  writeNext: WriteNext;
  /** What a failure means for what is written by then. */
  loss: string;
  hint: string;
}

/** Writes the archive from its start to its end, or up to the first failure. */
export async function writeInOrder(
  { values, log, signal }: PipeRun,
  { plan, layout, source, listener }: PipeJob,
  { writeNext, loss, hint }: Outlet,
): Promise<void> {
  const sink = new PipeSink(writeNext, layout);
  const { lost } = await transfer(plan, source, sink, {
    jobs: values.jobs,
    onFailure: "stop",
    listener,
    signal,
  });
  failWith(log, lostArtifacts("export", lost), {
    message: `cannot export: ${lost.length} of ${plan.roots.length} artifacts are missing, and ${loss}`,
    hint,
    report: values.report,
  });
  await sink.finish();
}
