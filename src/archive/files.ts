import {
  closeSync,
  constants,
  fdatasync,
  fstatSync,
  ftruncateSync,
  openSync,
  read,
  readSync,
  write,
} from "node:fs";
import { Fault } from "../oci/fault.ts";

/** Where some bytes lie. */
export interface Extent {
  /** of the first byte */
  offset: number;
  /** bytes */
  size: number;
}

/** One file of several that are one run of bytes together. */
export interface Member {
  path: string;
  /** Bytes that it has, or will have. */
  size: number;
}

/** `r`: to read. `r+`: to read and write what is there, and no link. `wx+`: the same on new files. */
type Mode = "r" | "r+" | "wx+";

/** Windows has no such flag. */
const NO_LINK = constants.O_NOFOLLOW ?? 0;

const READ_BYTES = 256 * 1024;

/** Files that follow each other: an archive in one piece, or its volumes. Offsets are those of the whole. */
export class FileSet {
  readonly members: readonly Member[];
  /** bytes */
  readonly size: number;
  readonly #files: { file: number; start: number; end: number }[] = [];
  /** Everything that was written since the last good sync lies behind it. */
  #unsynced = Number.POSITIVE_INFINITY;
  #isClosed = false;

  /** Fails with the system's error when one of them cannot be opened. */
  constructor(members: readonly Member[], mode: Mode) {
    this.members = members;
    let start = 0;
    try {
      for (const { path, size } of members) {
        const file = openSync(path, mode === "r+" ? constants.O_RDWR | NO_LINK : mode);
        this.#files.push({ file, start, end: start + size });
        start += size;
      }
    } catch (error) {
      this.close();
      throw error;
    }
    this.size = start;
  }

  /** Fills `bytes` from `offset` on, without a turn for anybody else; returns how much there was. */
  readNow(bytes: Uint8Array, offset: number): number {
    let done = 0;
    for (const { file, at, part } of this.#parts(bytes, offset)) {
      for (let filled = 0; filled < part.length; ) {
        const got = readSync(file, part, filled, part.length - filled, at + filled);
        if (got === 0) return done;
        filled += got;
        done += got;
      }
    }
    return done;
  }

  /** The same in another thread. */
  async read(bytes: Uint8Array, offset: number): Promise<number> {
    let done = 0;
    for (const { file, at, part } of this.#parts(bytes, offset)) {
      for (let filled = 0; filled < part.length; ) {
        const got = await moved(read, file, part.subarray(filled), at + filled);
        if (got === 0) return done;
        filled += got;
        done += got;
      }
    }
    return done;
  }

  /** In another thread: a slow disk holds up nobody but who waits for it. */
  async write(bytes: Uint8Array, offset: number): Promise<void> {
    this.#unsynced = Math.min(this.#unsynced, offset);
    try {
      for (const { file, at, part } of this.#parts(bytes, offset)) {
        for (let done = 0; done < part.length; ) {
          done += await moved(write, file, part.subarray(done), at + done);
        }
      }
    } finally {
      // A sync meanwhile may have come too early for it.
      this.#unsynced = Math.min(this.#unsynced, offset);
    }
  }

  /** An extent's bytes in pieces; the next one is read while the last is used. Fails when the files end early. */
  async *chunks({ offset, size }: Extent): AsyncGenerator<Uint8Array> {
    const next = (at: number) => {
      const bytes = new Uint8Array(Math.min(READ_BYTES, offset + size - at));
      const reading = this.read(bytes, at).then((got) => ({ bytes, got }));
      // It may fail while the chunk before it is still in use.
      reading.catch(() => {});
      return reading;
    };
    let pending = size > 0 ? next(offset) : undefined;
    try {
      for (let at = offset; pending !== undefined; ) {
        const { bytes, got } = await pending;
        if (got < bytes.length) throw shorter(this.memberAt(at + got)?.path ?? "the archive");
        at += got;
        pending = at < offset + size ? next(at) : undefined;
        yield bytes;
      }
    } finally {
      // The file must not be closed, and its number given to another one, while it is read.
      await pending?.catch(() => {});
    }
  }

  /** A slice of the one file that an extent lies in; undefined where it lies in several. */
  slice({ offset, size }: Extent): Blob | undefined {
    const index = this.#files.findIndex(({ start, end }) => offset >= start && offset + size <= end);
    const [member, place] = [this.members[index], this.#files[index]];
    if (member === undefined || place === undefined) return;
    // A slice of what is gone would be waited for and never come.
    if (fstatSync(place.file).size < offset - place.start + size) throw shorter(member.path);
    return Bun.file(member.path).slice(offset - place.start, offset - place.start + size);
  }

  /** Which of the files a byte lies in. */
  memberAt(offset: number): Member | undefined {
    return this.members[this.#files.findIndex(({ start, end }) => offset >= start && offset < end)];
  }

  /** Everything written so far is on the disk when this is done. Once it has failed: `dropUnsynced`. */
  async sync(): Promise<void> {
    const from = this.#unsynced;
    this.#unsynced = Number.POSITIVE_INFINITY;
    try {
      for (const { file } of this.#files) {
        await new Promise<void>((resolve, reject) => {
          fdatasync(file, (error) => (error ? reject(error) : resolve()));
        });
      }
    } catch (error) {
      this.#unsynced = Math.min(this.#unsynced, from);
      throw error;
    }
  }

  /**
   * Takes back what was written since the last good sync. After a failed one Linux holds it for written, and ext4
   * keeps to that: the same bytes written there once more read well, are synced without an error, and are zeros
   * when the disk is mounted again. Blocks that were given back are taken anew. https://lwn.net/Articles/752063/
   */
  dropUnsynced(): void {
    this.trim(this.#unsynced);
  }

  /** Cuts off what lies behind `size` in all. Default: what a file has beyond its own. */
  trim(size = this.size): void {
    for (const { file, start, end } of this.#files) {
      const most = Math.max(0, Math.min(end, size) - start);
      if (fstatSync(file).size > most) ftruncateSync(file, most);
    }
  }

  /** Fails when the system could not keep what was written. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const { file } of this.#files) closeSync(file);
  }

  /** What of `bytes` lies in which file, and where in it; nothing beyond the last one. */
  *#parts(bytes: Uint8Array, offset: number): Generator<{ file: number; at: number; part: Uint8Array }> {
    for (const { file, start, end } of this.#files) {
      const from = Math.max(offset, start);
      const to = Math.min(offset + bytes.length, end);
      if (from < to) yield { file, at: from - start, part: bytes.subarray(from - offset, to - offset) };
    }
  }
}

function shorter(path: string): Fault {
  return new Fault(`cannot read ${path} any more: it has become shorter`, {
    hint: "leave the archive alone while it is read; copy it again",
    kind: "mismatch",
  });
}

type Operation = (
  file: number,
  bytes: Uint8Array,
  offset: number,
  length: number,
  position: number,
  done: (error: NodeJS.ErrnoException | null, count: number) => void,
) => void;

function moved(operation: Operation, file: number, bytes: Uint8Array, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    operation(file, bytes, 0, bytes.length, position, (error, count) => {
      if (error) reject(error);
      else resolve(count);
    });
  });
}
