import type { Digest } from "../oci/digest.ts";
import { Fault } from "../oci/fault.ts";
import type { Content, Node, Outcome, Sink } from "../oci/plan.ts";
import { Budget } from "./budget.ts";
import { END_MARKER_BYTES, padded } from "./header.ts";
import { type Entry, headerOf, type Layout } from "./layout.ts";

/** Bytes that all blobs together may be ahead of their turn. */
const READ_AHEAD = 32 * 1024 * 1024;

export interface PipeSinkOptions {
  /** bytes; for tests */
  readAhead?: number;
}

/** Takes what is next, whole. A `Fault` of its own stays the failure. */
export type WriteNext = (bytes: Uint8Array) => Promise<void>;

/** When an entry may be written: everything before it is out. */
interface Turn {
  isNow: boolean;
  come: Promise<void>;
  begin: () => void;
  fail: (error: unknown) => void;
}

/**
 * Writes an archive in order, as a pipe wants it. A blob that comes before its turn is read ahead as far as memory that all
 * of them share allows, then waits. What is out cannot be taken back: a blob that fails ends it all, without the
 * end marker, so that a reader sees that it is cut short.
 */
export class PipeSink implements Sink {
  readonly #writeNext: WriteNext;
  readonly #layout: Layout;
  readonly #ahead: Budget;
  readonly #turns = new Map<Entry, Turn>();
  /** Index of the first entry that is not out yet. */
  #next = 0;
  #failure: Fault | undefined;
  /** Entries that are known from the start are written by whoever comes by. */
  readonly #begun: Promise<void>;

  constructor(writeNext: WriteNext, layout: Layout, { readAhead = READ_AHEAD }: PipeSinkOptions = {}) {
    this.#writeNext = writeNext;
    this.#layout = layout;
    this.#ahead = new Budget(readAhead);
    for (const entry of layout.entries) if (entry.bytes === undefined) this.#turns.set(entry, newTurn());
    this.#begun = this.#advance();
    this.#begun.catch(() => {});
  }

  async put(node: Node, content: Content): Promise<Outcome> {
    if (node.bytes !== undefined) return "copied";
    const { digest } = node.descriptor;
    if (this.#layout.leftOut.has(digest)) return "present";
    const entry = this.#layout.byDigest.get(digest);
    const turn = entry && this.#turns.get(entry);
    if (entry === undefined || turn === undefined) {
      throw new Fault(`cannot place ${digest}: it is not in the layout`);
    }
    if (this.#failure !== undefined) throw this.#failure;
    try {
      await this.#write(entry, turn, content);
      await this.#advance();
      return "copied";
    } catch (error) {
      this.#fail(digest, error);
      // Nothing is written any more when the failure is told.
      await this.#begun.catch(() => {});
      throw error;
    }
  }

  /** The index names the roots; it is out before the first of them is whole. */
  async tag(): Promise<void> {}

  /** Every entry is out: ends the archive. */
  async finish(): Promise<void> {
    await this.#begun;
    if (this.#failure !== undefined) throw this.#failure;
    await this.#out(new Uint8Array(END_MARKER_BYTES));
  }

  async #write(entry: Entry, turn: Turn, content: Content): Promise<void> {
    const ahead: Uint8Array[] = [];
    let taken = 0;
    let isBegun = false;
    const catchUp = async () => {
      if (!isBegun) await this.#out(headerOf(entry));
      isBegun = true;
      for (const bytes of ahead.splice(0)) await this.#out(bytes);
      this.#ahead.give(taken);
      taken = 0;
    };
    try {
      for await (const chunk of content.stream()) {
        if (!turn.isNow && this.#ahead.tryTake(chunk.length)) {
          ahead.push(chunk);
          taken += chunk.length;
          continue;
        }
        await turn.come;
        await catchUp();
        await this.#out(chunk);
      }
      await turn.come;
      await catchUp();
    } finally {
      this.#ahead.give(taken);
    }
    await this.#out(new Uint8Array(padded(entry.size) - entry.size));
    this.#next++;
  }

  /** Writes what is known, up to the next blob, whose turn it is then. */
  async #advance(): Promise<void> {
    for (const { entries } = this.#layout; ; this.#next++) {
      const entry = entries[this.#next];
      if (entry === undefined) return;
      if (entry.bytes === undefined) {
        const turn = this.#turns.get(entry);
        if (turn !== undefined) turn.isNow = true;
        turn?.begin();
        return;
      }
      await this.#out(headerOf(entry));
      await this.#out(entry.bytes);
      await this.#out(new Uint8Array(padded(entry.size) - entry.size));
    }
  }

  async #out(bytes: Uint8Array): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    try {
      await this.#writeNext(bytes);
    } catch (cause) {
      throw this.#broken(cause);
    }
  }

  #broken(cause: unknown): Fault {
    if (cause instanceof Fault) return this.#end(cause);
    const isGone = cause instanceof Error && "code" in cause && cause.code === "EPIPE";
    const fault = isGone
      ? new Fault("cannot write the archive: the reader of the pipe has gone", {
          hint: "look at what the reader said",
        })
      : new Fault("cannot write the archive to the pipe", { cause });
    return this.#end(fault);
  }

  /** Nobody gets a turn after this one. */
  #fail(digest: Digest, cause: unknown): void {
    this.#end(new Fault(`cannot go on with the archive: ${digest} in it has failed`, { cause }));
  }

  /** The first failure stays the failure. */
  #end(fault: Fault): Fault {
    this.#failure ??= fault;
    for (const turn of this.#turns.values()) turn.fail(this.#failure);
    return this.#failure;
  }
}

function newTurn(): Turn {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  promise.catch(() => {});
  return { isNow: false, come: promise, begin: resolve, fail: reject };
}
