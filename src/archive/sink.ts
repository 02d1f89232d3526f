import {
  closeSync,
  existsSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  realpathSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import { Fault } from "../oci/fault.ts";
import type { Content, Node, Outcome, Sink } from "../oci/plan.ts";
import { END_MARKER_BYTES } from "./header.ts";
import { type Entry, headerOf, type Layout } from "./layout.ts";
import { type Lock, lockOutput } from "./lock.ts";

/**
 * Writes an archive in place: each entry at the offset that the layout gave it, in whatever order content
 * arrives. Until `commit` everything is in `OUTPUT.partial`; the final name always means a whole archive.
 */
export class ArchiveSink implements Sink {
  readonly #output: string;
  readonly #partial: string;
  readonly #layout: Layout;
  readonly #lock: Lock | undefined;
  readonly #file: number;
  /** The first thing that went wrong with the file. */
  #failure: Fault | undefined;

  /** Fails when the file cannot be made or cannot become as large as the layout. */
  constructor(output: string, layout: Layout) {
    // A link to another disk is followed once, now, and stays one.
    this.#output = existsSync(output) ? realpathSync(output) : output;
    this.#partial = `${this.#output}.partial`;
    this.#layout = layout;
    try {
      this.#lock = lockOutput(this.#output);
      // A new file, never what a link planted under this name points to.
      rmSync(this.#partial, { force: true });
      this.#file = openSync(this.#partial, "wx");
    } catch (cause) {
      this.#lock?.release();
      if (cause instanceof Fault) throw cause;
      throw new Fault(`cannot write ${this.#partial}`, { cause, hint: hintFor(cause, output) });
    }
    try {
      this.#begin();
    } catch (error) {
      this.abort();
      throw error;
    }
  }

  async put(node: Node, content: Content): Promise<Outcome> {
    if (node.bytes !== undefined) return "copied";
    // A disk that is full for one blob is full for all: nothing more is fetched in vain.
    if (this.#failure !== undefined) throw this.#failure;
    const entry = this.#layout.byDigest.get(node.descriptor.digest);
    if (entry === undefined)
      throw new Fault(`cannot place ${node.descriptor.digest}: it is not in the layout`);
    this.#write(headerOf(entry), entry.headerOffset);
    let position = entry.offset;
    for await (const chunk of content.stream()) {
      this.#write(chunk, position);
      position += chunk.length;
    }
    return "copied";
  }

  /** The index names the roots; it is in place from the start. */
  async tag(): Promise<void> {}

  /** Every byte is there: makes it last, then gives it its name. */
  commit(): void {
    this.#write(new Uint8Array(END_MARKER_BYTES), this.#layout.size - END_MARKER_BYTES);
    this.#attempt(() => {
      fsyncSync(this.#file);
      closeSync(this.#file);
      renameSync(this.#partial, this.#output);
      syncDirectory(dirname(this.#output));
    });
    this.#lock?.release();
  }

  /** Ends the work and keeps what there is, under the partial's name, which is returned. */
  keep(): string {
    this.#attempt(() => closeSync(this.#file));
    this.#lock?.release();
    return this.#partial;
  }

  /** Leaves nothing behind. */
  abort(): void {
    try {
      closeSync(this.#file);
    } catch {}
    rmSync(this.#partial, { force: true });
    this.#lock?.release();
  }

  #begin(): void {
    const { size, entries } = this.#layout;
    this.#attempt(() => {
      // A file system that cannot hold so large a file says so now and not after the first 4 GiB.
      ftruncateSync(this.#file, size);
      ftruncateSync(this.#file, 0);
    });
    for (const entry of entries) if (entry.bytes !== undefined) this.#writeEntry(entry, entry.bytes);
  }

  #writeEntry(entry: Entry, bytes: Uint8Array): void {
    this.#write(headerOf(entry), entry.headerOffset);
    this.#write(bytes, entry.offset);
  }

  #write(bytes: Uint8Array, position: number): void {
    this.#attempt(() => {
      for (let done = 0; done < bytes.length; ) {
        done += writeSync(this.#file, bytes, done, bytes.length - done, position + done);
      }
    });
  }

  #attempt(work: () => void): void {
    try {
      work();
    } catch (cause) {
      this.#failure = new Fault(`cannot write ${this.#partial}`, {
        cause,
        hint: hintFor(cause, this.#output),
      });
      throw this.#failure;
    }
  }
}

/** Windows cannot sync a directory, and does not need to. */
function syncDirectory(path: string): void {
  if (process.platform === "win32") return;
  const directory = openSync(path, "r");
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}

function hintFor(cause: unknown, output: string): string | undefined {
  const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
  switch (code) {
    case "ENOSPC":
    case "EDQUOT":
      return `free some space in ${dirname(output)}, or name another disk with \`--output\`; then run the same command again`;
    case "EFBIG":
      return `the file system of ${dirname(output)} cannot hold so large a file: name another disk with \`--output\``;
    case "ENOENT":
      return existsSync(dirname(output)) ? undefined : `create the folder ${dirname(output)} first`;
    case "EACCES":
    case "EPERM":
    case "EROFS":
      return "name a place that may be written to with `--output`";
    default:
      return;
  }
}
