import { ContentLost } from "../oci/content-lost.ts";
import type { Digest } from "../oci/digest.ts";
import type { ByteStream, Content, Node, Outcome, Plan, Root, Sink, Source } from "../oci/plan.ts";
import { type Mark, verified } from "../oci/verified.ts";
import type { Listener } from "./events.ts";
import { planBytes } from "./plan.ts";

/**
 * Bytes after which garbage is collected by force. The runtime hardly counts what a spent response body
 * holds outside its heap: left alone, 800 blobs cost 25 MiB more than the same bytes in one blob.
 */
const COLLECT_AFTER = 32 * 1024 * 1024;

export interface TransferOptions {
  /** Nodes in flight. */
  jobs: number;
  /** What becomes of the rest when a node fails: `continue` with what does not need it, or `stop`. */
  onFailure: "continue" | "stop";
  listener: Listener;
  signal: AbortSignal;
}

export interface TransferResult {
  /** Roots that are not whole in the sink, and why; `undefined` where the run stopped before them. */
  lost: { root: Root; error: unknown }[];
}

/** Moves a plan's content from a source to a sink: children first, each root named once it is whole. */
export function transfer(
  plan: Plan,
  source: Source,
  sink: Sink,
  options: TransferOptions,
): Promise<TransferResult> {
  return new Transfer(plan, source, sink, options).run();
}

class Transfer {
  readonly #plan: Plan;
  readonly #source: Source;
  readonly #sink: Sink;
  readonly #options: TransferOptions;
  /** Blobs in the order of the plan, which is that of the archive; `nextBlob` is the first not yet started. */
  readonly #blobs: Node[];
  #nextBlob = 0;
  /** Manifests that everything is there for; they go before further blobs, so that roots get whole early. */
  readonly #ready: Node[] = [];
  #nextReady = 0;
  /** How much of what must be there before a manifest is not there yet: its children and its subject. */
  readonly #missingBefore = new Map<Digest, number>();
  /** The manifests that something must be there before. */
  readonly #waiting = new Map<Digest, Node[]>();
  readonly #rootsOf: Map<Digest, Root[]>;
  readonly #failures = new Map<Digest, unknown>();
  readonly #named = new Set<Root>();
  readonly #namingFailures = new Map<Root, unknown>();
  #active = 0;
  #sinceCollection = 0;
  #stopped = false;

  constructor(plan: Plan, source: Source, sink: Sink, options: TransferOptions) {
    this.#plan = plan;
    this.#source = source;
    this.#sink = sink;
    this.#options = options;
    const nodes = [...plan.nodes.values()];
    this.#blobs = nodes.filter((node) => node.kind === "blob");
    this.#rootsOf = Map.groupBy(plan.roots, (root) => root.descriptor.digest);
    for (const node of nodes.filter((each) => each.kind === "manifest")) this.#expect(node);
  }

  async run(): Promise<TransferResult> {
    const [plan, options] = [this.#plan, this.#options];
    this.#stopped = options.signal.aborted;
    const stop = () => {
      this.#stopped = true;
    };
    options.signal.addEventListener("abort", stop, { once: true });
    options.listener({
      type: "start",
      nodes: plan.nodes.size,
      bytes: planBytes(plan),
      artifacts: plan.roots.length,
    });
    await new Promise<void>((resolve) => this.#pump(resolve));
    options.signal.removeEventListener("abort", stop);
    options.signal.throwIfAborted();
    return { lost: this.#lost() };
  }

  #expect(node: Node): void {
    const before = new Set(node.children);
    if (node.subject !== undefined && this.#plan.nodes.has(node.subject)) before.add(node.subject);
    if (before.size === 0) this.#ready.push(node);
    this.#missingBefore.set(node.descriptor.digest, before.size);
    for (const digest of before) {
      const waiting = this.#waiting.get(digest);
      if (waiting === undefined) this.#waiting.set(digest, [node]);
      else waiting.push(node);
    }
  }

  /** Starts what can be started; `done` is called when nothing is left or in flight. */
  #pump(done: () => void): void {
    while (this.#active < this.#options.jobs && !this.#stopped) {
      const node =
        this.#nextReady < this.#ready.length ? this.#ready[this.#nextReady++] : this.#blobs[this.#nextBlob++];
      if (node === undefined) break;
      this.#active++;
      void this.#move(node).then(() => {
        this.#active--;
        this.#pump(done);
      });
    }
    if (this.#active === 0) done();
  }

  /** Never rejects: a failure is kept, and what needs the node is given up. */
  async #move(node: Node): Promise<void> {
    const { listener } = this.#options;
    listener({ type: "begin", node });
    try {
      const placed = await this.#restoring(node, () => this.#put(node));
      listener({ type: "end", node, ...placed });
    } catch (error) {
      listener({ type: "failed", node, error });
      this.#fail(node.descriptor.digest, error);
      return;
    } finally {
      this.#source.settle?.(node);
    }
    for (const root of this.#rootsOf.get(node.descriptor.digest) ?? []) await this.#name(root, node);
    for (const next of this.#waiting.get(node.descriptor.digest) ?? []) {
      const { digest } = next.descriptor;
      const missing = (this.#missingBefore.get(digest) ?? 0) - 1;
      this.#missingBefore.set(digest, missing);
      if (missing === 0 && !this.#failures.has(digest)) this.#ready.push(next);
    }
  }

  async #put(node: Node): Promise<{ outcome: Outcome; places: Record<Outcome, number> }> {
    const places = { copied: 0, mounted: 0, present: 0 };
    let isTold = false;
    const outcome = await this.#sink.put(node, this.#contentOf(node), (one) => {
      places[one] += 1;
      isTold = true;
    });
    if (!isTold) places[outcome] = 1;
    return { outcome, places };
  }

  /** Where the sink has lost what it had below a node, that is put once more, and then `act` is done again. */
  async #restoring<T>(node: Node, act: () => Promise<T>): Promise<T> {
    try {
      return await act();
    } catch (error) {
      if (!(error instanceof ContentLost)) throw error;
      const { digests } = error;
      const lost = node.children.filter((child) => digests.length === 0 || digests.includes(child));
      if (lost.length === 0) throw error;
      for (const child of lost.flatMap((digest) => this.#plan.nodes.get(digest) ?? [])) {
        // All of its bytes have been told of.
        await this.#sink.put(child, this.#contentOf(child, child.descriptor.size));
      }
      return act();
    }
  }

  async #name(root: Root, node: Node): Promise<void> {
    try {
      await this.#restoring(node, () => this.#sink.tag(root));
      this.#named.add(root);
      this.#options.listener({ type: "artifact", root });
    } catch (error) {
      this.#namingFailures.set(root, error);
      this.#lose(root, error);
      if (this.#options.onFailure === "stop") this.#stopped = true;
    }
  }

  #fail(digest: Digest, error: unknown): void {
    if (this.#options.onFailure === "stop") this.#stopped = true;
    if (this.#failures.has(digest)) return;
    this.#failures.set(digest, error);
    for (const root of this.#rootsOf.get(digest) ?? []) this.#lose(root, error);
    for (const next of this.#waiting.get(digest) ?? []) this.#fail(next.descriptor.digest, error);
  }

  /** What a user broke off is not lost: it is not done, and the run says why. */
  #lose(root: Root, error: unknown): void {
    const { listener, signal } = this.#options;
    if (!signal.aborted) listener({ type: "lost", root, error });
  }

  #lost(): TransferResult["lost"] {
    return this.#plan.roots
      .filter((root) => !this.#named.has(root))
      .map((root) => ({
        root,
        error: this.#failures.get(root.descriptor.digest) ?? this.#namingFailures.get(root),
      }));
  }

  /** `told`: bytes that the listener has heard of. */
  #contentOf(node: Node, told = 0): Content {
    const [source, options] = [this.#source, this.#options];
    const moved = (bytes: number) => {
      this.#sinceCollection += bytes;
      if (this.#sinceCollection < COLLECT_AFTER) return;
      this.#sinceCollection = 0;
      Bun.gc(true);
    };
    // Of a piece that is fetched again after a failure only what lies beyond the first try is news.
    let heard = told;
    const hear = (seen: number, type: "held" | "bytes") => {
      if (seen <= heard) return;
      options.listener({ type, node, bytes: seen - heard });
      heard = seen;
    };
    // Of the last reading, ascending: where a reading of what comes later can start.
    let marks: Mark[] = [];
    async function* stream(from = 0, held?: ByteStream): ByteStream & AsyncGenerator<Uint8Array> {
      const known = held === undefined ? 0 : from;
      const after = held === undefined ? marks.findLast((mark) => mark.seen <= from) : undefined;
      const first = after?.seen ?? known;
      const fresh = () => {
        if (node.bytes !== undefined) return oneChunk(node.bytes, first);
        return first > 0 && first === node.descriptor.size ? nothing() : source.open(node, first);
      };
      const whole = held === undefined ? await fresh() : joined(held, fresh);
      let seen = after?.seen ?? 0;
      const own = marks.filter((mark) => mark.seen <= seen);
      marks = own;
      const onMark = (mark: Mark) => void own.push(mark);
      for await (const chunk of verified(whole, node.descriptor, { after, onMark })) {
        const start = seen;
        const { length } = chunk;
        seen += length;
        if (start < known) hear(Math.min(seen, known), "held");
        hear(seen, "bytes");
        if (seen > from) yield start < from ? chunk.subarray(from - start) : chunk;
        // A chunk that its reader has freed leaves little behind.
        moved(chunk.byteLength > 0 ? length : length / 4);
      }
    }
    const slice: Content["slice"] = (from, to) => {
      const whole = source.slice?.(node);
      return from === undefined ? whole : whole?.slice(from, to);
    };
    const isKept = node.bytes !== undefined || source.isReplayable?.(node) === true;
    const ready = async () => {
      if (node.bytes === undefined) await source.ready?.(node);
    };
    return { stream, slice, ready, isOnePass: source.isOnePass === true && !isKept };
  }
}

/** A copy: a chunk is its reader's own. */
async function* oneChunk(bytes: Uint8Array, from: number): AsyncGenerator<Uint8Array> {
  yield bytes.slice(from);
}

/** The rest is asked for only once what is held has been read. */
async function* joined(
  held: ByteStream,
  rest: () => ByteStream | Promise<ByteStream>,
): AsyncGenerator<Uint8Array> {
  yield* held;
  yield* await rest();
}

async function* nothing(): AsyncGenerator<Uint8Array> {}
