import {
  closeSync,
  existsSync,
  fsyncSync,
  lstatSync,
  openSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { dirname } from "node:path";
import { Fault } from "../oci/fault.ts";
import type { Earlier } from "./earlier.ts";
import { FileSet, type Member } from "./files.ts";
import { type Beginning, type Cut, Journal, type Unfinished } from "./journal.ts";
import { type Layout, layOut } from "./layout.ts";
import { type Lock, lockOutput } from "./lock.ts";
import { volumeName, volumesOf } from "./volumes.ts";

/** The files that an archive is written to, and the record of what is in them. */
export class Work {
  readonly files: FileSet;
  readonly journal: Journal;

  constructor(journal: Journal, files: FileSet) {
    this.journal = journal;
    this.files = files;
  }

  /** May be called twice. */
  close(): void {
    this.files.close();
    this.journal.close();
  }
}

/**
 * Everything beside an output while it is written: `OUTPUT.lock`, `OUTPUT.journal`, and the bytes themselves in
 * `OUTPUT.partial` (volumes: `OUTPUT.000.partial`, …). What was begun with another plan waits under
 * `OUTPUT.previous-N` for its content to be used.
 */
export class Workplace {
  /** The final name; a link to another disk is followed once, now, and stays one. */
  readonly output: string;
  /** What an earlier run left. */
  readonly unfinished: Unfinished | undefined;
  readonly #lock: Lock;

  /** Fails when another run is at work here, or when what an earlier one left cannot be understood. */
  constructor(output: string) {
    this.output = existsSync(output) ? realpathSync(output) : output;
    this.#lock = lockOutput(this.output);
    try {
      this.unfinished = this.#lookAround();
    } catch (error) {
      this.release();
      throw error;
    }
  }

  release(): void {
    this.#lock.release();
  }

  /** Starts from nothing. */
  begin(beginning: Beginning, layout: Layout): Work {
    const members = partials(this.output, layout, beginning.cut);
    const journal = Journal.create(journalOf(this.output), beginning);
    return new Work(journal, new FileSet(members, "wx+"));
  }

  /** Goes on with what an earlier run left. */
  resume({ beginning, isCommitting }: Unfinished, layout: Layout): Work {
    const finals = volumesOf(this.output, layout.size, beginning.cut.splitSize);
    const members = partials(this.output, layout, beginning.cut);
    for (const [index, { path }] of members.entries()) {
      const final = finals[index]?.path ?? "";
      const found = lstatSync(path, { throwIfNoEntry: false });
      // Never what a link planted under this name points to.
      if (found !== undefined && !found.isFile()) throw nobodys(path, journalOf(this.output));
      if (found !== undefined) continue;
      if (isCommitting && existsSync(final)) renameSync(final, path);
      else closeSync(openSync(path, "wx"));
    }
    return new Work(Journal.reopen(journalOf(this.output)), new FileSet(members, "r+"));
  }

  /** Gives everything its final name. The bytes must be on the disk. */
  async commit(work: Work, { size }: Layout, { splitSize }: Cut): Promise<void> {
    const finals = volumesOf(this.output, size, splitSize);
    await work.journal.appendCommit();
    work.close();
    // The first volume stands for all: an older set is none any more once its first one is gone.
    if (splitSize !== undefined) rmSync(finals[0]?.path ?? "", { force: true });
    for (const { path } of finals.toReversed()) renameSync(`${path}.partial`, path);
    if (splitSize !== undefined) this.#removeVolumesFrom(finals.length);
    syncFolderOf(this.output);
    rmSync(journalOf(this.output));
    for (const base of this.#previous()) discard(base);
    this.release();
  }

  /** Makes room for another plan: what is here becomes something to copy from. */
  setAside({ beginning }: Unfinished): void {
    let count = 1;
    while (existsSync(journalOf(previousOf(this.output, count)))) count++;
    const base = previousOf(this.output, count);
    const layout = layOut(beginning.plan, beginning.cut.delta);
    const to = partials(base, layout, beginning.cut);
    // The journal first: bytes without one would be taken for nobody's.
    renameSync(journalOf(this.output), journalOf(base));
    for (const [index, { path }] of partials(this.output, layout, beginning.cut).entries()) {
      if (existsSync(path)) renameSync(path, to[index]?.path ?? "");
    }
  }

  /** What was set aside, the latest first. */
  previous(): Earlier[] {
    return this.#previous().flatMap((base) => {
      const unfinished = Journal.read(journalOf(base));
      if (unfinished === undefined) return [];
      const layout = layOut(unfinished.beginning.plan, unfinished.beginning.cut.delta);
      const members = partials(base, layout, unfinished.beginning.cut);
      if (!members.every(({ path }) => existsSync(path))) return [];
      return { kept: unfinished.kept, layout, files: new FileSet(members, "r") };
    });
  }

  #previous(): string[] {
    const bases: string[] = [];
    for (let count = 1; existsSync(journalOf(previousOf(this.output, count))); count++) {
      bases.unshift(previousOf(this.output, count));
    }
    return bases;
  }

  #lookAround(): Unfinished | undefined {
    const journal = journalOf(this.output);
    const partial = [`${this.output}.partial`, `${volumeName(this.output, 0)}.partial`].find(existsSync);
    const found = existsSync(journal) ? Journal.read(journal) : undefined;
    if (found === undefined) {
      if (partial !== undefined && statSync(partial).size > 0) throw nobodys(partial, journal);
      // A run that was killed before its first byte.
      for (const path of [journal, partial]) if (path !== undefined) rmSync(path, { force: true });
      return;
    }
    const { beginning, isCommitting } = found;
    const [first] = volumesOf(this.output, 0, beginning.cut.splitSize);
    if (isCommitting && partial === undefined && existsSync(first?.path ?? "")) {
      // All that was left to do was to remove it.
      rmSync(journal);
      return;
    }
    return found;
  }

  /** An older set may have had more. */
  #removeVolumesFrom(index: number): void {
    for (let next = index; existsSync(volumeName(this.output, next)); next++) {
      rmSync(volumeName(this.output, next));
    }
  }
}

/** The files that an archive is written to. */
export function partials(base: string, { size }: Layout, { splitSize }: Cut): Member[] {
  return volumesOf(base, size, splitSize).map((member) => ({ ...member, path: `${member.path}.partial` }));
}

function journalOf(base: string): string {
  return `${base}.journal`;
}

function previousOf(output: string, count: number): string {
  return `${output}.previous-${count}`;
}

function discard(base: string): void {
  const unfinished = Journal.read(journalOf(base));
  if (unfinished !== undefined) {
    const { plan, cut } = unfinished.beginning;
    for (const { path } of partials(base, layOut(plan, cut.delta), cut)) rmSync(path, { force: true });
  }
  rmSync(journalOf(base));
}

function nobodys(partial: string, journal: string): Fault {
  return new Fault(
    `cannot go on with ${partial}: ${journal}, which says what is in it, is missing or damaged`,
    {
      hint: `remove ${partial}, then run the command again: it starts from nothing`,
    },
  );
}

/** Windows cannot sync a directory, and does not need to. */
function syncFolderOf(path: string): void {
  if (process.platform === "win32") return;
  const directory = openSync(dirname(path), "r");
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}
