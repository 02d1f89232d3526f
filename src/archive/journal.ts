import {
  closeSync,
  constants,
  fdatasync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readFileSync,
  rmSync,
  write,
  writeSync,
} from "node:fs";
import { type Digest, digestOf, isDigest } from "../oci/digest.ts";
import type { Plan } from "../oci/plan.ts";
import type { Delta } from "./layout.ts";
import { loadPlan, type SavedPlan, savePlan } from "./saved-plan.ts";

/** What of a plan lies in which file. */
export interface Cut {
  delta?: Delta | undefined;
  /** Bytes of each volume. Default: one file. */
  splitSize?: number | undefined;
}

/** What an export is about, written down before its first byte. */
export interface Beginning {
  /** The flags that decide what is exported and how it is cut: another command must not go on with it. */
  command: Readonly<Record<string, unknown>>;
  /** Kept for the command that wrote it. */
  notes: unknown;
  plan: Plan;
  cut: Cut;
}

/** How much of each blob is on the disk for certain: bytes from its start. A hint, to be hashed again. */
export type Kept = ReadonlyMap<Digest, number>;

/** The state of an export that did not end. */
export interface Unfinished {
  beginning: Beginning;
  kept: Kept;
  /** Its files were complete and about to get their final names. */
  isCommitting: boolean;
}

/** Windows has no such flag. */
const NO_LINK = constants.O_NOFOLLOW ?? 0;
const MAGIC = "eksa-airgap-journal-1";
const COMMIT = "commit";
const NEWLINE = 10;

/**
 * The record of an export beside its partial: first what is to be written, then lines on what is. A line is
 * written only after the bytes that it speaks of are synced, and half a line at the end counts for nothing:
 * whatever of it survives a crash is true.
 */
export class Journal {
  readonly #file: number;
  #end: number;
  #isClosed = false;

  private constructor(file: number, end: number) {
    this.#file = file;
    this.#end = end;
  }

  /** A new one, on the disk when this returns. */
  static create(path: string, { plan, ...rest }: Beginning): Journal {
    const body = Buffer.from(JSON.stringify({ ...rest, plan: savePlan(plan) }));
    const head = Buffer.from(`${MAGIC} ${body.length} ${digestOf(body)}\n`);
    const bytes = Buffer.concat([head, body, Buffer.from("\n")]);
    const file = openSync(path, "wx");
    try {
      for (let done = 0; done < bytes.length; )
        done += writeSync(file, bytes, done, bytes.length - done, done);
      fsyncSync(file);
    } catch (error) {
      closeSync(file);
      attempt(() => rmSync(path));
      throw error;
    }
    return new Journal(file, bytes.length);
  }

  /** Reads one of an earlier run; undefined when its beginning was never written in full. */
  static read(path: string): Unfinished | undefined {
    const bytes = readFileSync(path);
    const beginning = readBeginning(bytes);
    if (beginning === undefined) return;
    const { kept, isCommitting } = readRecords(bytes.subarray(beginning.end, bytes.lastIndexOf("\n") + 1));
    const { value } = beginning;
    return { beginning: { ...value, plan: loadPlan(value.plan) }, kept, isCommitting };
  }

  /** Goes on with one that `read` understood. */
  static reopen(path: string): Journal {
    const bytes = readFileSync(path);
    const end = bytes.lastIndexOf("\n") + 1;
    const file = openSync(path, constants.O_RDWR | NO_LINK);
    if (bytes.length > end) ftruncateSync(file, end);
    return new Journal(file, end);
  }

  /** The bytes that this speaks of must be on the disk. */
  async append(kept: Kept): Promise<void> {
    if (kept.size === 0) return;
    await this.#write([...kept].map(([digest, bytes]) => `${digest} ${bytes}\n`).join(""));
  }

  /** Everything is on the disk; from now on files may have their final names. */
  async appendCommit(): Promise<void> {
    await this.#write(`${COMMIT}\n`);
  }

  /** May be called twice. */
  close(): void {
    if (!this.#isClosed) closeSync(this.#file);
    this.#isClosed = true;
  }

  async #write(text: string): Promise<void> {
    const bytes = Buffer.from(text);
    try {
      await this.#writeAt(this.#end, bytes);
    } catch (error) {
      // What a failed sync leaves is not to be built upon.
      attempt(() => ftruncateSync(this.#file, this.#end));
      throw error;
    }
    this.#end += bytes.length;
  }

  async #writeAt(position: number, bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      done += await new Promise<number>((resolve, reject) => {
        write(this.#file, bytes, done, bytes.length - done, position + done, (error, count) => {
          if (error) reject(error);
          else resolve(count);
        });
      });
    }
    await new Promise<void>((resolve, reject) => {
      fdatasync(this.#file, (error) => (error ? reject(error) : resolve()));
    });
  }
}

/** On a disk that has failed already, and may fail again. */
function attempt(act: () => void): void {
  try {
    act();
  } catch {
    // What it failed with first says more.
  }
}

type Saved = Omit<Beginning, "plan"> & { plan: SavedPlan };

function readBeginning(bytes: Buffer): { value: Saved; end: number } | undefined {
  const line = bytes.subarray(0, Math.max(0, bytes.indexOf("\n"))).toString("latin1");
  const [, length, digest] = new RegExp(`^${MAGIC} (\\d{1,12}) (\\S+)$`).exec(line) ?? [];
  if (length === undefined) return;
  const start = line.length + 1;
  const body = bytes.subarray(start, start + Number(length));
  const end = start + body.length;
  // Records go behind a whole line only.
  if (digestOf(body) !== digest || bytes[end] !== NEWLINE) return;
  // Checked above to be what we wrote.
  return { value: JSON.parse(body.toString()), end: end + 1 };
}

function readRecords(bytes: Buffer): Pick<Unfinished, "kept" | "isCommitting"> {
  const kept = new Map<Digest, number>();
  let isCommitting = false;
  for (const line of bytes.toString("latin1").split("\n")) {
    const [word = "", count = ""] = line.split(" ");
    if (isDigest(word) && /^\d{1,15}$/.test(count)) kept.set(word, Number(count));
    else isCommitting ||= line === COMMIT;
  }
  return { kept, isCommitting };
}
