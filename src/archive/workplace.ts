import {
  closeSync,
  existsSync,
  fsyncSync,
  lstatSync,
  openSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { dirname, resolve } from "node:path";
import { Fault } from "../oci/fault.ts";
import type { Earlier } from "./earlier.ts";
import { FileSet, type Member } from "./files.ts";
import { type Beginning, type Cut, Journal, type Unfinished } from "./journal.ts";
import { type Layout, layOut } from "./layout.ts";
import { type Lock, lockOutput } from "./lock.ts";
import { indexesOf, volumeName, volumesOf } from "./volumes.ts";

/** Links that lead from one to the next: as many as Linux follows. */
const MOST_HOPS = 40;

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
    this.output = followed(output);
    this.#lock = lockOutput(this.output);
    try {
      this.unfinished = this.#lookAround();
    } catch (error) {
      this.release();
      throw error;
    }
  }

  /** May be called twice. */
  release(): void {
    try {
      this.#lock.release();
    } catch {
      // A disk that cannot be written to any more; a lock whose holder has ended holds nobody up.
    }
  }

  /** Starts from nothing. */
  begin(beginning: Beginning, layout: Layout): Work {
    const members = partials(this.output, layout, beginning.cut);
    const journal = Journal.create(journalOf(this.output), beginning);
    // Bytes without a journal would be nobody's.
    syncFolderOf(this.output);
    const work = new Work(journal, new FileSet(members, "wx+"));
    syncFolderOf(this.output);
    return work;
  }

  /** Goes on with what an earlier run left. */
  resume(unfinished: Unfinished, layout: Layout): Work {
    if (unfinished.isCommitting) this.#takeBack(unfinished, layout);
    const members = partials(this.output, layout, unfinished.beginning.cut);
    for (const { path } of members) if (!isThere(path)) closeSync(openSync(path, "wx"));
    const files = new FileSet(members, "r+");
    files.trim();
    return new Work(Journal.reopen(journalOf(this.output)), files);
  }

  /** Gives everything its final name. The bytes must be on the disk. */
  async commit(work: Work, { size }: Layout, { splitSize }: Cut): Promise<void> {
    const finals = volumesOf(this.output, size, splitSize);
    await work.journal.appendCommit();
    work.close();
    if (splitSize !== undefined) this.#removeOlder(finals);
    for (const [index, { path }] of [...finals.entries()].toReversed()) {
      // The first volume stands for all: it comes when the others are there for certain.
      if (index === 0 && finals.length > 1) syncFolderOf(this.output);
      renameSync(`${path}.partial`, path);
    }
    this.#finish();
    this.release();
  }

  /** Makes room for another plan: what is here becomes something to copy from. */
  setAside(unfinished: Unfinished): void {
    const { plan, cut } = unfinished.beginning;
    if (unfinished.isCommitting) this.#takeBack(unfinished, layOut(plan, cut.delta));
    const base = previousOf(this.output, this.#previous().length + 1);
    // The journal first: it says what is missing beside it when this is broken off.
    renameSync(journalOf(this.output), journalOf(base));
    this.#moveTo(base, unfinished);
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
    if (!isThere(journal)) this.#finishSettingAside();
    const partial = [`${this.output}.partial`, `${volumeName(this.output, 0)}.partial`].find(isThere);
    const found = isThere(journal) ? Journal.read(journal) : undefined;
    if (found === undefined) {
      if (partial !== undefined && statSync(partial).size > 0) throw nobodys(this.output, partial);
      // A run that was killed before its first byte.
      for (const path of [journal, partial]) if (path !== undefined) rmSync(path, { force: true });
      return;
    }
    const { beginning, isCommitting } = found;
    const [first] = volumesOf(this.output, 0, beginning.cut.splitSize);
    if (isCommitting && partial === undefined && existsSync(first?.path ?? "")) {
      this.#finish();
      return;
    }
    return found;
  }

  /** Of a commit that was broken off: what has its final name already. */
  #takeBack({ beginning: { cut } }: Unfinished, layout: Layout): void {
    const finals = volumesOf(this.output, layout.size, cut.splitSize);
    for (const [index, { path }] of partials(this.output, layout, cut).entries()) {
      const final = finals[index]?.path ?? "";
      if (!isThere(path) && isThere(final)) renameSync(final, path);
    }
  }

  /** Moves what of an unfinished export is under the names of this one, and not yet under those of `base`. */
  #moveTo(base: string, { beginning: { plan, cut } }: Unfinished): void {
    const layout = layOut(plan, cut.delta);
    const to = partials(base, layout, cut);
    for (const [index, { path }] of partials(this.output, layout, cut).entries()) {
      const target = to[index]?.path ?? "";
      if (isThere(path) && !isThere(target)) renameSync(path, target);
    }
  }

  #finishSettingAside(): void {
    const [base] = this.#previous();
    const unfinished = base === undefined ? undefined : Journal.read(journalOf(base));
    if (base !== undefined && unfinished !== undefined) this.#moveTo(base, unfinished);
  }

  /**
   * Takes an older set of volumes away, which may have had more. It is none any more once its first one is gone;
   * the last ones go before those before them, so that none is left alone when this is broken off.
   */
  #removeOlder({ length }: readonly Member[]): void {
    rmSync(volumeName(this.output, 0), { force: true });
    syncFolderOf(this.output);
    for (const index of indexesOf(this.output).toReversed()) {
      if (index >= length) rmSync(volumeName(this.output, index));
    }
  }

  /** The output has its name: what it took to get there goes, and the journal last. */
  #finish(): void {
    syncFolderOf(this.output);
    for (const base of this.#previous()) discard(base);
    rmSync(journalOf(this.output));
  }
}

/** The files that an archive is written to. */
export function partials(base: string, { size }: Layout, { splitSize }: Cut): Member[] {
  return volumesOf(base, size, splitSize).map((member) => ({ ...member, path: `${member.path}.partial` }));
}

/** Where a link leads, also where there is nothing yet. */
function followed(output: string): string {
  let path = output;
  for (let hops = 0; hops < MOST_HOPS && !existsSync(path); hops++) {
    if (!lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink()) return path;
    path = resolve(dirname(path), readlinkSync(path));
  }
  return realpathSync(path);
}

/** Fails on a link, or whatever else was planted under one of our names. */
function isThere(path: string): boolean {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined || found.isFile()) return found !== undefined;
  throw new Fault(`cannot use ${path}: it is not a file`, { hint: "remove it, or choose another output" });
}

function journalOf(base: string): string {
  return `${base}.journal`;
}

function previousOf(output: string, count: number): string {
  return `${output}.previous-${count}`;
}

/** Whatever its journal says, which may be damaged. */
function discard(base: string): void {
  const volumes = indexesOf(base, ".partial").map((index) => volumeName(base, index));
  for (const path of [base, ...volumes]) rmSync(`${path}.partial`, { force: true });
  rmSync(journalOf(base));
}

function nobodys(output: string, partial: string): Fault {
  const all = partial === `${output}.partial` ? partial : `${output}.*.partial`;
  return new Fault(
    `cannot go on with ${partial}: ${journalOf(output)}, which says what is in it, is missing or damaged`,
    { hint: `remove ${all}, then run the command again: it starts from nothing` },
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
