import { existsSync, statfsSync } from "node:fs";
import { dirname } from "node:path";
import type { Digest } from "../oci/digest.ts";
import { Fault, faultKind } from "../oci/fault.ts";
import type { Content, Node, Outcome, Sink } from "../oci/plan.ts";
import type { FileSet } from "./files.ts";
import { END_MARKER_BYTES, padded } from "./header.ts";
import type { Journal, Kept } from "./journal.ts";
import { type Entry, headerOf, type Layout } from "./layout.ts";
import { reachOf } from "./recorded.ts";
import { freeIn, SPARE_BYTES } from "./room.ts";
import type { Work } from "./workplace.ts";

const SYNC_BYTES = 256 * 1024 * 1024;
const SYNC_AFTER = 5000;

export interface ArchiveSinkOptions {
  /** The name that errors speak of. */
  output: string;
  layout: Layout;
  work: Work;
  /** What an earlier run has left in the files. Default: they are new. */
  kept?: Kept | undefined;
  /** Written bytes are synced in groups of so many. Default: 256 MiB. */
  syncBytes?: number;
  /** A group is synced after so many milliseconds at the latest. Default: 5 s. */
  syncAfter?: number;
}

/**
 * Writes an archive in place: each entry at the offset that the layout gave it, in whatever order content
 * arrives. What is on the disk for certain is put on record from time to time; what the record of an earlier
 * run speaks of is hashed again and kept, and a blob goes on from its last recorded byte.
 */
export class ArchiveSink implements Sink {
  readonly #output: string;
  readonly #layout: Layout;
  readonly #files: FileSet;
  readonly #journal: Journal;
  readonly #kept: Kept;
  readonly #isResumed: boolean;
  /** How far each blob is written, of those that the record does not speak of to that point. */
  readonly #written = new Map<Digest, number>();
  /** The first thing that went wrong with the files. */
  #failure: Fault | undefined;
  /** After a failed sync the system takes for written what is not: nothing is put on record any more. */
  #isDoubtful = false;
  readonly #syncBytes: number;
  readonly #syncAfter: number;
  #unsynced = 0;
  #syncedAt = performance.now();
  #syncing: Promise<void> | undefined;

  constructor({ output, layout, work, ...options }: ArchiveSinkOptions) {
    this.#output = output;
    this.#layout = layout;
    this.#files = work.files;
    this.#journal = work.journal;
    this.#kept = options.kept ?? new Map();
    this.#isResumed = options.kept !== undefined;
    this.#syncBytes = options.syncBytes ?? SYNC_BYTES;
    this.#syncAfter = options.syncAfter ?? SYNC_AFTER;
  }

  /** What is wrong with the files, after which nothing more can be written. */
  get failure(): Fault | undefined {
    return this.#failure;
  }

  /** Writes the graph, which everything else comes behind. */
  async begin(): Promise<void> {
    if (this.#isResumed) await this.#settle();
    for (const entry of this.#layout.entries) {
      if (entry.bytes === undefined) return;
      await this.#writeWhole(entry, entry.bytes);
    }
  }

  /** Writes what comes behind the last blob: where files have no holes, not before all blobs are there. */
  async finish(): Promise<void> {
    await this.#write(new Uint8Array(END_MARKER_BYTES), this.#layout.size - END_MARKER_BYTES);
  }

  async put(node: Node, content: Content): Promise<Outcome> {
    if (node.kind === "manifest") return "copied";
    // A disk that is full for one blob is full for all: nothing more is fetched in vain.
    if (this.#failure !== undefined) throw this.#failure;
    const { digest, size } = node.descriptor;
    const entry = this.#layout.byDigest.get(digest);
    if (this.#layout.leftOut.has(digest)) return "present";
    if (entry === undefined) throw new Fault(`cannot place ${digest}: it is not in the layout`);
    if (entry.bytes !== undefined) {
      await this.#writeWhole(entry, entry.bytes);
      return "copied";
    }
    await this.#ensure(headerOf(entry), entry.headerOffset);
    const kept = Math.min(this.#kept.get(digest) ?? 0, size);
    if (kept > 0) {
      try {
        await this.#fill(entry, { digest, content, kept });
        return kept === size ? "present" : "copied";
      } catch (error) {
        if (faultKind(error) !== "mismatch") throw error;
        // What was kept may be what is wrong.
      }
    }
    await this.#fill(entry, { digest, content, kept: 0 });
    return "copied";
  }

  /** The index names the roots; it is in place from the start. */
  async tag(): Promise<void> {}

  /** Puts everything that is written on record. Fails when the disk does not keep it. */
  async flush(): Promise<void> {
    await this.#syncing;
    await this.#sync();
    // What was on its way when a sync failed came after it.
    if (this.#isDoubtful) this.#drop();
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Builds on what is on record only: an earlier run may have been killed before it heard that the rest is lost. */
  async #settle(): Promise<void> {
    const { end, unbroken } = reachOf(this.#layout, this.#kept);
    try {
      this.#files.trim(end);
      await this.#files.sync().catch(() => this.#files.trim(unbroken));
    } catch (cause) {
      throw this.#fail(cause);
    }
  }

  async #fill(
    entry: Entry,
    { digest, content, kept }: { digest: Digest; content: Content; kept: number },
  ): Promise<void> {
    let position = kept;
    const held = kept === 0 ? undefined : this.#readBack({ offset: entry.offset, size: kept });
    for await (const chunk of content.stream(position, held)) {
      await this.#write(chunk, entry.offset + position);
      const { length } = chunk;
      release(chunk);
      position += length;
      this.#written.set(digest, position);
      await this.#account(length);
    }
    await this.#pad(entry);
  }

  /** What cannot be read is as good as wrong. */
  async *#readBack(extent: { offset: number; size: number }): AsyncGenerator<Uint8Array> {
    try {
      yield* this.#files.chunks(extent);
    } catch (cause) {
      throw new Fault(`cannot read back what is in ${this.#output}.partial`, { cause, kind: "mismatch" });
    }
  }

  async #writeWhole(entry: Entry, bytes: Uint8Array): Promise<void> {
    await this.#ensure(headerOf(entry), entry.headerOffset);
    await this.#ensure(bytes, entry.offset);
    await this.#pad(entry);
  }

  /** The zeros behind an entry's content. */
  async #pad(entry: Entry): Promise<void> {
    const padding = padded(entry.size) - entry.size;
    if (padding > 0) await this.#ensure(new Uint8Array(padding), entry.offset + entry.size);
  }

  /** Leaves what is there already: a failed sync takes back everything behind the first byte written since the last. */
  async #ensure(bytes: Uint8Array, position: number): Promise<void> {
    if (this.#isResumed) {
      const there = new Uint8Array(bytes.length);
      const count = await this.#files.read(there, position).catch(() => 0);
      if (count === bytes.length && Buffer.compare(there, bytes) === 0) return;
    }
    await this.#write(bytes, position);
  }

  async #write(bytes: Uint8Array, position: number): Promise<void> {
    try {
      await this.#files.write(bytes, position);
    } catch (cause) {
      throw this.#fail(cause);
    }
  }

  /** Syncs while others write; who would get too far ahead of the disk waits. */
  async #account(bytes: number): Promise<void> {
    this.#unsynced += bytes;
    const isDue = this.#unsynced >= this.#syncBytes || performance.now() - this.#syncedAt >= this.#syncAfter;
    if (isDue && this.#syncing === undefined) {
      this.#syncing = this.#sync().finally(() => {
        this.#syncing = undefined;
      });
    }
    if (this.#unsynced >= this.#syncBytes) await this.#syncing;
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Never rejects: a failure is kept, and stops what is written next. */
  async #sync(): Promise<void> {
    if (this.#isDoubtful) return;
    const written = new Map(this.#written);
    this.#unsynced = 0;
    try {
      await this.#synced();
      await this.#journal.append(written);
      for (const [digest, bytes] of written) {
        if (this.#written.get(digest) === bytes) this.#written.delete(digest);
      }
    } catch (cause) {
      this.#fail(cause);
    }
    this.#syncedAt = performance.now();
  }

  async #synced(): Promise<void> {
    try {
      await this.#files.sync();
    } catch (error) {
      this.#isDoubtful = true;
      this.#drop();
      throw error;
    }
  }

  #drop(): void {
    try {
      this.#files.dropUnsynced();
    } catch {
      // A disk that takes nothing any more has to be mounted again, which has the same effect.
    }
  }

  #fail(cause: unknown): Fault {
    this.#failure ??= new Fault(`cannot write ${this.#output}.partial`, {
      cause,
      hint: hintFor(cause, this.#output),
    });
    return this.#failure;
  }
}

/** What helps when a file cannot be made or written. */
export function hintFor(cause: unknown, output: string): string | undefined {
  const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
  const again = "then run the same command again: it goes on where it was";
  switch (code) {
    case "ENOSPC":
    case "EDQUOT":
      if (isOutOfInodes(dirname(output))) {
        return `${dirname(output)} has space, but no room for another file: remove some, ${again}; or name another disk with \`--output\``;
      }
      if (code === "ENOSPC" && (freeIn(dirname(output)) ?? 0) > SPARE_BYTES) {
        return `${dirname(output)} has space, but what it lies on (an image file, a thin volume) is full: make room there, ${again}; or name another disk with \`--output\``;
      }
      return `${code === "EDQUOT" ? "a quota is used up: have it raised, or " : ""}free some space in ${dirname(output)}, ${again}; or name another disk with \`--output\``;
    case "EFBIG":
      return `the file system of ${dirname(output)} cannot hold so large a file: cut it with \`--split-size 4000MiB\`, or name another disk with \`--output\``;
    case "ENOENT":
      return existsSync(dirname(output)) ? undefined : `create the folder ${dirname(output)} first`;
    case "EACCES":
    case "EPERM":
      return "name a place that may be written to with `--output`";
    case "EROFS":
      return `name a place that may be written to with \`--output\`; if the disk of ${dirname(output)} became read-only by itself, check its file system, ${again}`;
    case "EIO":
    case "EUCLEAN":
    case "EBADMSG":
    case "ENODEV":
    case "ENXIO":
      return `look after the disk of ${dirname(output)} and check its file system, ${again}`;
    default:
      return;
  }
}

/** Some file systems have as many as they need, and say none at all. */
function isOutOfInodes(folder: string): boolean {
  try {
    const { files, ffree } = statfsSync(folder);
    return files > 0 && ffree === 0;
  } catch {
    return false;
  }
}

/** Frees a chunk that nobody reads any more: the collector would let many megabytes of them pile up first. */
function release({ buffer, byteLength }: Uint8Array): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) buffer.transfer(0);
}
