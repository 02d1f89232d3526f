import { Fault } from "../oci/fault.ts";
import type { ByteStream } from "../oci/plan.ts";
import { BLOCK, broken, decodeHeader, decodePax, END_MARKER_BYTES, padded } from "./header.ts";

/** Extended records are names and numbers: a few hundred bytes. */
const MAX_PAX_BYTES = 64 * 1024;
/** Zeros after the end marker: tar fills up to whole records, of 10 KiB unless told otherwise. */
const MAX_PADDING = 64 * 1024 * 1024;

/** A file, or something else by its type, and where its header is. */
export interface StreamEntry {
  name: string;
  /** bytes of content */
  size: number;
  /** POSIX typeflag; `0` is a file. */
  type: string;
  /** of its header */
  offset: number;
}

/** A tar that comes by once, read from its start to its end. */
export class TarStream {
  /** As users know it. */
  readonly name: string;
  readonly #isFile: boolean;
  readonly #chunks: AsyncIterator<Uint8Array>;
  /** Read, and not yet used. */
  #rest: Uint8Array = new Uint8Array();
  /** Bytes used so far. */
  #position = 0;
  /** Why the stream broke off; said again to all who ask later. */
  #failure: { error: unknown } | undefined;
  /** Of the current entry: content not yet read, and the padding behind it. */
  #content = 0;
  #padding = 0;

  /** `isFile`: it comes out of a file, which may be copied again. */
  constructor(name: string, stream: ByteStream, { isFile = false } = {}) {
    this.name = name;
    this.#isFile = isFile;
    this.#chunks = stream[Symbol.asyncIterator]();
  }

  /**
   * The next entry, folders left out; what is left of the one before is skipped. Undefined at the end marker.
   * Fails with the offset on a broken header, and where the stream ends.
   */
  async next(): Promise<StreamEntry | undefined> {
    let extended = new Map<string, string>();
    for (;;) {
      await this.#skip();
      const offset = this.#position;
      const header = decodeHeader(await this.#take(BLOCK), offset);
      if (header === undefined) {
        await this.#endMarker();
        return;
      }
      const isExtension = header.type === "x" || header.type === "g";
      const size = isExtension ? header.size : sizeOf(extended.get("size"), header.size, offset);
      this.#content = size;
      this.#padding = padded(size) - size;
      if (isExtension) {
        if (size > MAX_PAX_BYTES) throw broken(offset, `it has ${size} bytes of extended records`);
        // A global header speaks of metadata that we do not use.
        if (header.type === "x") extended = decodePax(await this.read(), offset);
      } else {
        const name = extended.get("path") ?? header.name;
        if (header.type !== "5") return { name, size, type: header.type, offset };
        extended = new Map();
      }
    }
  }

  /** All that is left of the current entry's content; whoever asks has looked at its size. */
  async read(): Promise<Uint8Array> {
    const bytes = await this.#take(this.#content);
    this.#content = 0;
    return bytes;
  }

  /** The same in pieces. What is left when the iteration ends is skipped later. */
  async *chunks(): AsyncGenerator<Uint8Array> {
    while (this.#content > 0) {
      const piece = await this.#piece(this.#content);
      this.#content -= piece.length;
      yield piece;
    }
  }

  /** After the end marker: fails on anything but zeros. A writer that is not read to its end would be killed. */
  async drain(): Promise<void> {
    for (let padding = 0; ; ) {
      const start = this.#position;
      if (!(await this.#fill())) return;
      const piece = await this.#piece(Number.POSITIVE_INFINITY);
      padding += piece.length;
      const odd = piece.findIndex((byte) => byte !== 0);
      if (odd < 0 && padding <= MAX_PADDING) continue;
      throw new Fault(`cannot make sense of ${this.name}: something follows its end`, {
        hint: "send the archive alone, as it was written",
        cause: new Fault(`the archive has ended, and there is more at byte ${start + Math.max(0, odd)}`),
        kind: "mismatch",
      });
    }
  }

  /** Gives the stream up. */
  async close(): Promise<void> {
    await this.#chunks.return?.();
  }

  async #endMarker(): Promise<void> {
    const offset = this.#position;
    const rest = await this.#take(END_MARKER_BYTES - BLOCK);
    if (rest.some((byte) => byte !== 0)) throw broken(offset, "it follows half an end marker");
  }

  async #skip(): Promise<void> {
    for (let left = this.#content + this.#padding; left > 0; ) left -= (await this.#piece(left)).length;
    this.#content = 0;
    this.#padding = 0;
  }

  async #take(length: number): Promise<Uint8Array> {
    const first = length === 0 ? new Uint8Array() : await this.#piece(length);
    if (first.length === length) return first;
    const bytes = new Uint8Array(length);
    bytes.set(first);
    for (let at = first.length; at < length; ) {
      const piece = await this.#piece(length - at);
      bytes.set(piece, at);
      at += piece.length;
    }
    return bytes;
  }

  /** At least one byte, at most `limit`. */
  async #piece(limit: number): Promise<Uint8Array> {
    if (!(await this.#fill())) throw this.#cutShort();
    const piece = this.#rest.subarray(0, limit);
    this.#rest = this.#rest.subarray(piece.length);
    this.#position += piece.length;
    return piece;
  }

  /** False when there is nothing more. */
  async #fill(): Promise<boolean> {
    if (this.#failure !== undefined) throw this.#failure.error;
    try {
      while (this.#rest.length === 0) {
        const { done, value } = await this.#chunks.next();
        if (done === true) return false;
        this.#rest = value;
      }
    } catch (error) {
      this.#failure = { error };
      throw error;
    }
    return true;
  }

  #cutShort(): Fault {
    return new Fault(`cannot read ${this.name} to its end: it is cut short`, {
      cause: new Fault(`it ends at byte ${this.#position}`),
      hint: this.#isFile
        ? "copy it again, and compare its size and checksum with the original's"
        : "see whether what writes it has failed; then run the same command again to send the rest",
      kind: "mismatch",
    });
  }
}

function sizeOf(extended: string | undefined, plain: number, at: number): number {
  if (extended === undefined) return plain;
  const size = /^\d{1,16}$/.test(extended) ? Number(extended) : Number.NaN;
  if (!Number.isSafeInteger(size)) throw broken(at, "its extended size is not a number of bytes");
  return size;
}
