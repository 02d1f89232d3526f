import { isStall } from "../http/stall.ts";
import { Fault } from "../oci/fault.ts";
import type { Content } from "../oci/plan.ts";

/** A place in a blob, and the bytes from there on. */
interface Reading {
  position: number;
  chunks: AsyncIterator<Uint8Array>;
  /** Read already, from `position` on. */
  ahead: Uint8Array;
}

/** A blob as request bodies. Bodies that follow each other share one reading of the content. */
export class UploadBody {
  /** Why a body broke: the runtime would only say that the connection did. */
  #failure: unknown;
  /** A line on which a slice took too long may only be slow: of a stream each byte is noticed. */
  #mustBeStream = false;
  readonly #content: Content;
  readonly #size: number;
  #opened = 0;
  /** What the kernel sends of the file, from and to. */
  #sliced: [from: number, to: number] | undefined;
  #idle: Reading | undefined;

  constructor(content: Content, size: number) {
    this.#content = content;
    this.#size = size;
  }

  /** Before each request: what is known of the last one's body is forgotten. */
  begin(): void {
    this.#failure = undefined;
    this.#opened = 0;
    this.#sliced = undefined;
  }

  /** Fails once the slice that is on its way is no longer there: what was announced would never come. */
  assertThere(): void {
    if (this.#sliced === undefined) return;
    try {
      this.#content.slice(...this.#sliced);
    } catch (error) {
      this.#failure = error;
      throw error;
    }
  }

  /** Why the request failed, `error` being what its sender knows. */
  reasonOf(error: unknown): unknown {
    this.#mustBeStream ||= isStall(error);
    return this.#failure ?? error;
  }

  /** Whether the request took more than one try. */
  get wasReplayed(): boolean {
    return this.#opened > 1;
  }

  /**
   * The bytes from `from` up to but not including `to`. Over plain HTTP the kernel sends a slice of a file by
   * itself; over TLS the runtime would read all of it into memory. The registry checks the digest either way.
   */
  open(url: URL, from: number, to: number): Bun.BodyInit {
    this.#opened++;
    const maySlice = url.protocol === "http:" && !this.#mustBeStream;
    const slice = maySlice ? this.#content.slice(from, to) : undefined;
    this.#sliced = slice === undefined ? undefined : [from, to];
    return slice ?? this.#stream(from, to);
  }

  /** Ends the reading that the next body would have gone on with. */
  async close(): Promise<void> {
    const reading = this.#idle;
    this.#idle = undefined;
    await reading?.chunks.return?.();
  }

  #stream(from: number, to: number): ReadableStream<Uint8Array> {
    let reading: Reading | undefined;
    let isWanted = true;
    return new ReadableStream({
      pull: async (controller) => {
        let chunk: Uint8Array | undefined;
        try {
          reading ??= await this.#readingAt(from);
          chunk = await this.#next(reading, to);
        } catch (error) {
          if (isWanted) this.#failure = error;
          throw error;
        }
        // Whoever sends it may have given up while it was read, for a reason of its own.
        if (!isWanted) return;
        if (chunk !== undefined) controller.enqueue(chunk);
        if (reading.position < to) return;
        controller.close();
        this.#idle = reading;
      },
      cancel: async () => {
        isWanted = false;
        await reading?.chunks.return?.();
      },
    });
  }

  async #readingAt(position: number): Promise<Reading> {
    const idle = this.#idle;
    this.#idle = undefined;
    if (idle?.position === position) return idle;
    await idle?.chunks.return?.();
    const chunks = this.#content.stream(position)[Symbol.asyncIterator]();
    return { position, chunks, ahead: new Uint8Array() };
  }

  /** The blob's last bytes are given out only once all of it has proved to be right. */
  async #next(reading: Reading, to: number): Promise<Uint8Array | undefined> {
    while (reading.ahead.length === 0 && reading.position < to) {
      const { done, value } = await reading.chunks.next();
      if (done === true) throw new Fault(`cannot send more than ${reading.position} bytes of ${this.#size}`);
      reading.ahead = value;
    }
    const chunk = reading.ahead.subarray(0, to - reading.position);
    reading.ahead = reading.ahead.subarray(chunk.length);
    reading.position += chunk.length;
    if (reading.position === this.#size && (await reading.chunks.next()).done !== true) {
      throw new Fault(`cannot send more than the ${this.#size} bytes that were announced`);
    }
    return chunk.length === 0 ? undefined : chunk;
  }
}
