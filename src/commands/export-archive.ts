import { resolve as resolvePath } from "node:path";
import { reusing } from "../archive/earlier.ts";
import type { FileSet } from "../archive/files.ts";
import type { Cut, Kept, Unfinished } from "../archive/journal.ts";
import { type Layout, layOut, sameLayout } from "../archive/layout.ts";
import { assertSizes, hasRoom, type Room, roomFor } from "../archive/room.ts";
import { ArchiveSink, hintFor } from "../archive/sink.ts";
import { partials, type Work, Workplace } from "../archive/workplace.ts";
import { displayUri, schemeOf } from "../eksa/uri.ts";
import { Fault } from "../oci/fault.ts";
import type { Source } from "../oci/plan.ts";
import { formatBytes } from "../terminal/units.ts";
import type { Listener } from "../transfer/events.ts";
import { planBytes } from "../transfer/plan.ts";
import { type TransferResult, transfer } from "../transfer/transfer.ts";
import { flagName } from "./arguments.ts";
import type { ExportRun, Planned } from "./export.ts";
import { failWith, lostArtifacts } from "./failures.ts";
import type { RunReport } from "./report.ts";
import { assertSameBases } from "./since.ts";

/** The flags that decide what is written. Where it comes from, how fast and how loudly may change in between. */
const DECISIVE = [
  "bundlesOverride",
  "releaseManifest",
  "eksaVersion",
  "exclude",
  "includePackages",
  "includeSignatures",
  "kubernetesVersion",
  "only",
  "platform",
  "provider",
  "since",
  "splitSize",
] as const;

const WITHOUT = "to go without an artifact, add `--exclude REFERENCE --refresh`";
const FROM_REGISTRIES = "with `--no-prepackaged` it comes from the registries";
/** milliseconds */
const FLUSH_PATIENCE = 1000;

interface Planning {
  resolved: () => Promise<Planned>;
  report: RunReport;
}

/** Takes the place beside an output. */
export function openWorkplace(output: string): Workplace {
  try {
    return new Workplace(output);
  } catch (cause) {
    if (cause instanceof Fault) throw cause;
    throw new Fault(`cannot write ${output}`, { cause, hint: hintFor(cause, output) });
  }
}

/** The plan that an interrupted run of the same command left; else a new one. */
export async function plannedIn(
  workplace: Workplace,
  run: ExportRun,
  { resolved, report }: Planning,
): Promise<Planned & { begun?: Unfinished }> {
  const { values, log } = run;
  const { unfinished } = workplace;
  if (unfinished === undefined || values.refresh) return resolved();
  const { command, plan, notes, cut } = unfinished.beginning;
  if (!Bun.deepEquals(command, decisiveOf(run))) throw ofAnother(workplace.output, command);
  if (cut.delta !== undefined) assertSameBases(values.since, cut.delta);
  // Written by this very function's other half, and checked by its digest.
  const kept = notes as Planned["notes"];
  report.inputs(kept);
  report.excluded(kept.excluded);
  report.whole(kept.whole);
  report.planned(plan);
  const bytes = [...unfinished.kept.values()].reduce((sum, each) => sum + each, 0);
  log.info(
    `going on with ${workplace.output}.partial: ${formatBytes(bytes)} of ${formatBytes(planBytes(plan))} are there (its plan stays as it was; \`--refresh\` resolves it again)`,
  );
  return { plan, notes: kept, delta: cut.delta, begun: unfinished };
}

interface Job extends Planned {
  workplace: Workplace;
  /** What is gone on with. */
  begun?: Unfinished | undefined;
  layout: Layout;
  source: Source;
  /** Fails on a finished file that must not get its final name. Default: any may. */
  accept?: (files: FileSet) => Promise<void>;
  listener: Listener;
  /** Says what holds things up. */
  note: (text: string) => void;
}

/** Fetches everything that can be had; the output appears only if that is all. Else it can be gone on with. */
export async function writeArchive(run: ExportRun, job: Job): Promise<void> {
  const { values, log } = run;
  const { plan, layout, workplace } = job;
  const cut: Cut = { splitSize: values.splitSize, delta: job.delta };
  const { work, kept } = openWork(run, cut, job);
  let lost: TransferResult["lost"];
  try {
    lost = await fill(run, job, new ArchiveSink({ output: workplace.output, layout, work, kept }));
    if (lost.length === 0) {
      if (job.accept !== undefined) job.note("checking the checksums of the whole");
      await job.accept?.(work.files);
      await workplace.commit(work, layout, cut);
    }
  } catch (cause) {
    if (cause instanceof Fault || run.signal.aborted) throw cause;
    throw cannotWrite(workplace, cause);
  } finally {
    work.close();
  }
  failWith(log, lostArtifacts("export", lost), {
    message: `cannot export: ${lost.length} of ${plan.roots.length} artifacts are missing`,
    hint: `what could be fetched is in ${workplace.output}.partial: run the same command again for the rest; ${job.accept === undefined ? WITHOUT : FROM_REGISTRIES}`,
    report: values.report,
  });
}

async function fill(
  { values, signal }: ExportRun,
  { plan, listener, workplace, note, ...job }: Job,
  sink: ArchiveSink,
): Promise<TransferResult["lost"]> {
  const earlier = workplace.previous();
  try {
    await sink.begin();
    const source = reusing(job.source, earlier);
    const options = { jobs: values.jobs, onFailure: "continue", listener, signal } as const;
    const { lost } = await transfer(plan, source, sink, options);
    if (lost.length === 0) await sink.finish();
    return lost;
  } finally {
    for (const { files } of earlier) files.close();
    // Also what a stopped run has fetched is put on record. A disk that failed is the reason for all the rest.
    await flush(sink, note);
  }
}

/** A slow disk may be far behind: who waits is told what for. */
async function flush(sink: ArchiveSink, note: Job["note"]): Promise<void> {
  const telling = setTimeout(() => note("writing the rest to the disk"), FLUSH_PATIENCE);
  try {
    await sink.flush();
  } finally {
    clearTimeout(telling);
  }
}

function openWork(run: ExportRun, cut: Cut, { workplace, layout, plan, notes, begun }: Job): Opened {
  const { unfinished } = workplace;
  try {
    const members = partials(workplace.output, layout, cut);
    // The same plan once more, though it was resolved again.
    if (unfinished !== undefined && (begun !== undefined || isSame(unfinished, run, layout))) {
      assertRoom(workplace, roomFor(members));
      return { work: workplace.resume(unfinished, layout), kept: unfinished.kept };
    }
    if (unfinished !== undefined) {
      // Where there is no room for both, its own command must still find it.
      assertRoom(
        workplace,
        roomFor(members, () => 0),
      );
      workplace.setAside(unfinished);
    }
    assertSizes(members);
    assertRoom(workplace, roomFor(members));
    const command = decisiveOf(run);
    return { work: workplace.begin({ command, notes, plan, cut }, layout) };
  } catch (cause) {
    if (cause instanceof Fault) throw cause;
    throw cannotWrite(workplace, cause);
  }
}

interface Opened {
  work: Work;
  /** Of what is gone on with. */
  kept?: Kept;
}

function isSame({ beginning }: Unfinished, { values }: ExportRun, layout: Layout): boolean {
  return (
    beginning.cut.splitSize === values.splitSize &&
    sameLayout(layOut(beginning.plan, beginning.cut.delta), layout)
  );
}

function assertRoom({ output }: Workplace, room: Room | undefined): void {
  if (room === undefined || hasRoom(room)) return;
  const { needed, free, folder } = room;
  throw new Fault(
    `cannot write ${output}: ${formatBytes(needed)} are needed in ${folder}, and ${formatBytes(free)} are free`,
    {
      hint: `free ${formatBytes(needed - free)} there, or name another disk with \`--output\`; an export that was begun goes on where it was`,
    },
  );
}

function cannotWrite({ output }: Workplace, cause: unknown): Fault {
  return new Fault(`cannot write ${output}.partial`, { cause, hint: hintFor(cause, output) });
}

function decisiveOf({ values, directory }: ExportRun): Record<string, unknown> {
  const given = DECISIVE.map((key) => [key, values[key]] as const);
  const { bundlesOverride, releaseManifest, signature, signatureKey, since } = values;
  // The same name in another folder is another file; the same address signed anew is the same file.
  const sources = Object.entries({ bundlesOverride, releaseManifest }).flatMap(([key, source]) => {
    if (source === undefined) return [];
    const isLocal = schemeOf(source) === undefined;
    return [[key, isLocal ? resolvePath(directory, source) : displayUri(source)] as const];
  });
  return {
    ...Object.fromEntries(given.filter(([, value]) => value !== undefined)),
    ...Object.fromEntries(sources),
    since: since.map((path) => resolvePath(directory, path)),
    // They decide whether anything is written at all: what one run let pass, another may not.
    ...(signature === "auto" ? {} : { signature }),
    ...(signatureKey === undefined ? {} : { signatureKey: resolvePath(directory, signatureKey) }),
  };
}

function ofAnother(output: string, command: Readonly<Record<string, unknown>>): Fault {
  const flags = Object.entries(command).flatMap(([key, value]) => {
    if (value === false) return [];
    if (value === true) return [`--${flagName(key)}`];
    return [value].flat().map((each) => `--${flagName(key)} ${String(each)}`);
  });
  return new Fault(`cannot write ${output}: another export to it was interrupted, and is not finished`, {
    cause: new Fault(`that was \`${["export artifacts --output", output, ...flags].join(" ")}\``),
    hint: `run that again to finish it; or use what it has fetched for this one with \`--refresh\`; or remove ${output}.partial and ${output}.journal`,
  });
}
