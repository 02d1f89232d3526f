import { Fault, type FaultOptions } from "../oci/fault.ts";
import { compressionOf, foreignKindOf, MAGIC_BYTES } from "./compression.ts";
import { quoted } from "./entry-name.ts";
import { type Extent, FileSet } from "./files.ts";
import { BLOCK, BrokenHeader, decodeHeader, END_MARKER_BYTES, isMarked, padded } from "./header.ts";
import { type HeaderTaker, Listing } from "./listing.ts";
import { type FoundArchive, findArchive, volumeName } from "./volumes.ts";

/** Entries no larger follow each other closely: their headers are read many at once. */
const SMALL_BYTES = 16 * 1024;
const WINDOW_BYTES = 256 * 1024;
/** Read at once of a header that is far from the last one. */
const LONE_BYTES = 4 * 1024;
/** Writers fill up the last record with zeros: 10 KiB of them by default. */
const MOST_PADDING_BYTES = 1024 * 1024;

/** The file ends before the tar does. */
export class CutShort extends Fault {
  /** From where on there is nothing, or nothing of use. */
  readonly offset: number;

  constructor(offset: number, message: string, options: FaultOptions) {
    super(message, options);
    this.offset = offset;
  }
}

/** Not a tar, but what a tar was packed into. */
export class Packed extends Fault {}

/** The tar ends before its volumes do. */
export class Overlong extends Fault {}

/** A tar on disk, in one piece or in volumes, read by offset. Offsets are those of the whole. */
export class TarFile {
  /** As the user named it. */
  readonly path: string;
  /** bytes */
  readonly size: number;
  readonly #found: FoundArchive;
  readonly #files: FileSet;
  #window: { bytes: Uint8Array; start: number } = { bytes: new Uint8Array(), start: 0 };

  /** Fails when one of its files is missing, cannot be opened or has not the size that it must have. */
  constructor(path: string) {
    this.path = path;
    this.#found = findArchive(path);
    try {
      this.#files = new FileSet(this.#found.members, "r");
    } catch (cause) {
      throw new Fault(`cannot open ${path}`, { cause });
    }
    this.size = this.#files.size;
    const start = new Uint8Array(MAGIC_BYTES);
    const compression = compressionOf(start.subarray(0, this.#files.readNow(start, 0)));
    if (compression === "none") return;
    this.close();
    throw new Packed(`cannot read ${path} by offset: it is packed with ${compression}`, {
      hint: "unpack it first; only `import artifacts` reads one such archive as it is",
    });
  }

  close(): void {
    this.#files.close();
  }

  /**
   * Every file in it by name. Reads headers only, as many at once as lie close together. Fails with the
   * offset on a broken header, on whatever a listing refuses, and on an archive that is cut short.
   */
  entries(): Map<string, Extent> {
    const listing = new Listing();
    try {
      return listing.finish(this.walk(listing));
    } catch (error) {
      throw error instanceof BrokenHeader ? this.#damaged(error) : error;
    }
  }

  /**
   * Hands on every header, in order, and returns where the end marker is. Fails where the structure breaks;
   * with `CutShort` after the entry that the file ends in. `from`: where a header starts. Default: the first.
   */
  walk(taker: HeaderTaker, from = 0): number {
    let at = from;
    try {
      for (;;) {
        const header = decodeHeader(this.#near(at, BLOCK, "there is no end marker"), at);
        if (header === undefined) break;
        const { size, kind } = taker.add(header, at);
        const offset = at + BLOCK;
        if (offset + size > this.size) {
          const end = BigInt(offset) + BigInt(size);
          throw this.#cutShort(`${quoted(header.name)} at byte ${at} should end at byte ${end}`);
        }
        if (kind === "extension") taker.extend(this.#near(offset, size, "a header ends"));
        at = offset + padded(size);
      }
      this.#assertEnd(at);
      return at;
    } finally {
      this.#window = { bytes: new Uint8Array(), start: 0 };
    }
  }

  /** Fails when the file ends before `length` bytes are read. */
  read(offset: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    const got = this.#files.readNow(bytes, offset);
    if (got < length) throw this.#cutShort(`there is nothing at byte ${offset + got}`);
    return bytes;
  }

  /** An extent's bytes, in pieces that fit into memory. */
  chunks(extent: Extent): AsyncGenerator<Uint8Array> {
    return this.#files.chunks(extent);
  }

  /** Undefined where an extent lies in several volumes. */
  slice(extent: Extent): Blob | undefined {
    return this.#files.slice(extent);
  }

  /** The volume that a byte lies in; undefined where there are none. */
  volumeAt(offset: number): string | undefined {
    return this.#found.isSplit ? this.#files.memberAt(offset)?.path : undefined;
  }

  /** The volumes that an extent lies in, the last one for what is behind the end; none where there are none. */
  volumesOf({ offset, size }: Extent): string[] {
    if (!this.#found.isSplit) return [];
    const { members } = this.#files;
    const found = new Set<string>();
    let start = 0;
    for (const member of members) {
      const end = start + member.size;
      if (offset < end && offset + Math.max(size, 1) > start) found.add(member.path);
      start = end;
    }
    const last = members.at(-1);
    return found.size === 0 && last !== undefined ? [last.path] : [...found];
  }

  /** A few bytes of, or just behind, a header. Fails when the file ends before. */
  #near(at: number, length: number, what: string): Uint8Array {
    if (at + length > this.size) throw this.#cutShort(`${what} at byte ${at}`);
    const { bytes, start } = this.#window;
    const end = start + bytes.length;
    if (at < start || at + length > end) {
      const span = Math.max(length, at - end < SMALL_BYTES ? WINDOW_BYTES : LONE_BYTES);
      this.#window = { bytes: this.read(at, Math.min(span, this.size - at)), start: at };
    }
    const from = at - this.#window.start;
    return this.#window.bytes.subarray(from, from + length);
  }

  /** Two blocks of zeros at `at`, and in volumes nothing but a little padding behind them. */
  #assertEnd(at: number): void {
    const what = "half an end marker is";
    const isEnd = this.#near(at, END_MARKER_BYTES, what).every((byte) => byte === 0);
    if (!isEnd) throw this.#cutShort(`${what} at byte ${at}`, at);
    if (!this.#found.isSplit) return;
    const end = at + END_MARKER_BYTES;
    const left = this.size - end;
    if (left <= MOST_PADDING_BYTES && this.read(end, left).every((byte) => byte === 0)) return;
    const name = this.#files.memberAt(end)?.path;
    const message = `cannot read ${this.path}: the archive ends at byte ${end}, where ${name} goes on`;
    throw new Overlong(message, {
      hint: "put away volumes that belong to another archive",
      kind: "mismatch",
    });
  }

  #cutShort(why: string, at = this.size): CutShort {
    const orNone = this.size < BLOCK ? ", or no archive" : "";
    return new CutShort(at, `cannot read ${this.path}: it is cut short${orNone}`, {
      cause: new Fault(`${why}, and the file has ${this.size} bytes`),
      hint: this.#found.isSplit
        ? this.#hintForLastVolume()
        : "copy the file again, and compare its size and checksum with the original's",
      kind: "mismatch",
    });
  }

  /** A last volume as long as the others is not the last. */
  #hintForLastVolume(): string {
    const { members } = this.#files;
    const [first, last] = [members[0], members.at(-1)];
    const missing = `put \`${volumeName(this.#found.path, members.length)}\` beside the others: it is missing`;
    const again = `copy \`${last?.path}\` again: it is truncated`;
    if (members.length === 1) return `${missing}, or ${again}`;
    return last?.size === first?.size ? missing : again;
  }

  /** Says which file, and which of its volumes, is not what it should be. */
  #damaged(fault: BrokenHeader): Fault {
    const misfit = this.misfit(fault.offset, fault);
    if (misfit !== undefined) return misfit;
    const start = this.read(0, BLOCK);
    if (fault.offset === 0 && !isMarked(start)) return this.#noTar(foreignKindOf(start) ?? "something else");
    const hint = `copy ${this.path} again, or export it anew: it is damaged, or no archive of ours`;
    return new Fault(fault.message, { hint, kind: "mismatch" });
  }

  #noTar(what: string): Fault {
    return new Fault(`cannot read ${this.path}: it is no archive`, {
      cause: new Fault(`there is no header of a tar at byte 0: it is ${what}`),
      hint: "name the file that `export artifacts` has written, or copy it again: what is there is another one",
      kind: "mismatch",
    });
  }

  /** Blames the volume that an offset lies in; undefined where there are none. */
  misfit(offset: number, cause: Fault): Fault | undefined {
    const name = this.volumeAt(offset);
    if (name === undefined) return;
    return new Fault(`cannot read ${this.path}: its volume ${name} does not fit`, {
      cause,
      hint: `compare the checksum of \`${name}\`, and of the volume before it, with the originals': it may be damaged, swapped or of another set`,
      kind: "mismatch",
    });
  }
}
