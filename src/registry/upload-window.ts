import type { Descriptor } from "../oci/descriptor.ts";
import { Fault } from "../oci/fault.ts";
import type { ByteStream, Content } from "../oci/plan.ts";
import { TemporaryFile } from "./temporary-file.ts";

/** Of a blob that can be read once only, so much is sent in one request and kept until it has arrived. */
export const WINDOW_CHUNK = 16 * 1024 * 1024;

/**
 * Content that can be read once only, as content that can be read again from `start` on: what has been read is kept
 * until it is let go. What is no larger than a chunk is kept whole. Several may read from it, one after the other.
 */
export class UploadWindow implements Content {
  readonly #descriptor: Descriptor;
  readonly #chunks: AsyncIterator<Uint8Array>;
  /** What is kept, from `#start` on. */
  #kept: Uint8Array[] = [];
  #start = 0;
  /** Bytes read so far. */
  #end = 0;
  #reading: Promise<void> | undefined;
  #file: TemporaryFile | undefined;

  constructor(content: Content, descriptor: Descriptor) {
    this.#descriptor = descriptor;
    this.#chunks = content.stream()[Symbol.asyncIterator]();
  }

  /** The first byte that can still be had. */
  get start(): number {
    return this.#start;
  }

  /** All of it can be had as often as it takes. */
  get isWhole(): boolean {
    return this.#file !== undefined || this.#descriptor.size <= WINDOW_CHUNK;
  }

  slice(): undefined {}

  async *stream(from = 0): ByteStream & AsyncGenerator<Uint8Array> {
    if (from < this.#start) throw this.gone();
    if (this.#file !== undefined) return yield* this.#file.read(from, this.#descriptor.size);
    for (let at = from; at < this.#descriptor.size; ) {
      while (at >= this.#end) await this.#readOn();
      const piece = this.#keptAt(at);
      at += piece.length;
      yield piece;
    }
  }

  /** What lies before `to` has arrived for good. */
  release(to: number): void {
    if (this.isWhole) return;
    for (let [first] = this.#kept; first !== undefined; [first] = this.#kept) {
      if (this.#start + first.length > to) break;
      this.#start += first.length;
      this.#kept.shift();
    }
  }

  /** Puts all of it into a temporary file, to be read from there. Fails when a part of it has been let go. */
  async spool(): Promise<void> {
    if (this.#start > 0) throw this.gone();
    const file = await TemporaryFile.create();
    try {
      for (let at = 0; at < this.#descriptor.size; ) {
        while (at >= this.#end) await this.#readOn();
        for (const piece of this.#kept.splice(0)) {
          await file.append(piece);
          at += piece.length;
        }
      }
    } catch (error) {
      this.#start = this.#end;
      await file.close();
      throw error;
    }
    this.#file = file;
  }

  async close(): Promise<void> {
    this.#kept = [];
    this.#start = this.#end;
    await this.#file?.close();
    await this.#chunks.return?.();
  }

  /** Waits for bytes beyond the last ones; who asks meanwhile waits for the same. */
  #readOn(): Promise<void> {
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  /** The last bytes count only once all of it has proved to be right. */
  async #read(): Promise<void> {
    const { size, digest } = this.#descriptor;
    const { done, value } = await this.#chunks.next();
    if (done === true) throw new Fault(`cannot read more than ${this.#end} of ${size} bytes of ${digest}`);
    const isLast = this.#end + value.length === size;
    if (isLast && (await this.#chunks.next()).done !== true) {
      throw new Fault(`cannot read ${digest}: it has more than ${size} bytes`);
    }
    this.#kept.push(value);
    this.#end += value.length;
  }

  #keptAt(position: number): Uint8Array {
    let start = this.#start;
    for (const piece of this.#kept) {
      if (position < start + piece.length) return piece.subarray(position - start);
      start += piece.length;
    }
    throw this.gone();
  }

  /** Why it cannot be sent from its start; `cause`: why it would have to be. */
  gone(cause?: unknown): Fault {
    const { digest } = this.#descriptor;
    return new Fault(`cannot send ${digest} again: its first ${this.#start} bytes have gone by`, {
      ...(cause === undefined ? {} : { cause }),
      hint: "save the archive in a file and import that: a file can be read again",
    });
  }
}
