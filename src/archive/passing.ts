import type { Descriptor } from "../oci/descriptor.ts";
import { Fault } from "../oci/fault.ts";
import type { ByteStream } from "../oci/plan.ts";

/** A blob of an archive that comes by once: whether somebody wants it, and what they get. */
export class Passing {
  readonly descriptor: Descriptor;
  /** Resolves once somebody wants it, or nobody does. */
  readonly asked: Promise<"wanted" | "settled">;
  /** Resolves once nobody wants it, or wants it any more. */
  readonly settled: Promise<void>;
  readonly #asked = Promise.withResolvers<"wanted" | "settled">();
  readonly #settled = Promise.withResolvers<void>();
  readonly #arrived = Promise.withResolvers<void>();
  #state: "coming" | "wanted" | "held" | "gone" = "coming";
  /** While they are held. */
  #bytes: Uint8Array = new Uint8Array();
  /** What gives them out once, until it is taken. */
  #stream: ByteStream | undefined;

  constructor(descriptor: Descriptor) {
    this.descriptor = descriptor;
    this.asked = this.#asked.promise;
    this.settled = this.#settled.promise;
    this.#arrived.promise.catch(() => {});
  }

  /** All of its bytes are there, to be had as often as they are wanted. */
  get isHeld(): boolean {
    return this.#state === "held";
  }

  /** Waits until its bytes are there, or come next. */
  async ready(): Promise<void> {
    if (this.#state === "coming") {
      this.#state = "wanted";
      this.#asked.resolve("wanted");
    }
    if (this.#state === "wanted") await this.#arrived.promise;
  }

  /** Its bytes, once they are there; again only while they are held. */
  async open(): Promise<ByteStream> {
    await this.ready();
    if (this.#state === "held") return once(this.#bytes);
    const stream = this.#stream;
    this.#stream = undefined;
    if (stream !== undefined) return stream;
    throw new Fault(`cannot read ${this.descriptor.digest} again: it has gone by`, {
      hint: "save the archive in a file, and import that",
    });
  }

  settle(): void {
    this.#state = "gone";
    this.#bytes = new Uint8Array();
    this.#stream = undefined;
    this.#asked.resolve("settled");
    this.#settled.resolve();
  }

  fail(error: unknown): void {
    this.#arrived.reject(error);
  }

  /** Hands it out as often as it is asked for. */
  hold(bytes: Uint8Array): void {
    if (this.#state !== "wanted") return;
    this.#state = "held";
    this.#bytes = bytes;
    this.#arrived.resolve();
  }

  /** Hands it out once; returns when nothing more is read of it. */
  async pass(chunks: AsyncGenerator<Uint8Array>): Promise<void> {
    const ended = Promise.withResolvers<void>();
    async function* stream(): AsyncGenerator<Uint8Array> {
      try {
        yield* chunks;
      } finally {
        ended.resolve();
      }
    }
    if (this.#state !== "wanted") return;
    this.#state = "gone";
    this.#stream = stream();
    this.#arrived.resolve();
    await Promise.race([ended.promise, this.settled]);
    // Waits for the piece that is being read.
    await chunks.return(undefined);
  }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
