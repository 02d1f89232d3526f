import type { Digest } from "../oci/digest.ts";
import type { Node, Outcome, Root } from "../oci/plan.ts";
import type { TransferEvent } from "../transfer/events.ts";

/** The rate is the average over so many milliseconds. */
const RATE_WINDOW = 15_000;
const SAMPLE_INTERVAL = 500;
/** Before so many milliseconds a rate says nothing about the rest. */
const SHORTEST_ESTIMATE = 2000;
/** A longer time to go means that next to nothing moves: better no guess than a silly one. */
const LONGEST_ESTIMATE = 7 * 24 * 3_600_000;

/** A blob or manifest on its way. */
export interface Flight {
  readonly node: Node;
  /** bytes verified so far */
  readonly received: number;
}

/** A transfer at one moment. Sizes in bytes, times in milliseconds. */
export interface ProgressSnapshot {
  /** Never decreases; content that was there already counts. */
  done: number;
  total: number;
  /** Bytes a second of late; absent until there is something to average. */
  rate?: number;
  /** Absent until it can be told. */
  left?: number;
  /** In the order in which they began. */
  flights: readonly Flight[];
  artifacts: { done: number; total: number };
}

/** What a whole transfer came to. */
export interface Totals {
  artifacts: number;
  lost: number;
  /** Bytes that really travelled. */
  moved: number;
  milliseconds: number;
  /** Blobs, by what became of them. */
  blobs: Record<Outcome, number>;
}

/** Sums up the events of one transfer; a further `start` begins anew. */
export class ProgressState {
  readonly #now: () => number;
  #started: number | undefined;
  #done = 0;
  #total = 0;
  #wanted = 0;
  #totals = noTotals();
  #flights = new Map<Digest, { node: Node; received: number }>();
  #begun = new Map<Digest, Node>();
  #samples: { at: number; moved: number }[] = [];

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Whether a transfer has started. */
  get isStarted(): boolean {
    return this.#started !== undefined;
  }

  apply(event: TransferEvent): void {
    switch (event.type) {
      case "start":
        this.#start(event.bytes, event.artifacts);
        break;
      case "begin":
        this.#begin(event.node);
        break;
      case "bytes":
        this.#receive(event.node, event.bytes);
        break;
      case "held":
        this.#hold(event.node, event.bytes);
        break;
      case "end":
        this.#end(event.node, event.outcome);
        break;
      case "failed":
        this.#flights.delete(event.node.descriptor.digest);
        break;
      case "artifact":
        this.#totals.artifacts += 1;
        break;
      case "lost":
        this.#totals.lost += 1;
        break;
    }
  }

  snapshot(): ProgressSnapshot {
    const snapshot: ProgressSnapshot = {
      done: this.#done,
      total: this.#total,
      flights: [...this.#flights.values()],
      artifacts: { done: this.#totals.artifacts, total: this.#wanted },
    };
    const rate = this.#rate();
    if (rate === undefined) return snapshot;
    snapshot.rate = rate;
    const left = ((this.#total - this.#done) / rate) * 1000;
    if (left <= LONGEST_ESTIMATE && this.#elapsed() >= SHORTEST_ESTIMATE) snapshot.left = left;
    return snapshot;
  }

  totals(): Totals {
    return { ...this.#totals, blobs: { ...this.#totals.blobs }, milliseconds: this.#elapsed() };
  }

  /** Bytes of everything a root refers to, however far down. */
  sizeOf({ descriptor }: Root): number {
    const seen = new Set<Digest>();
    const open: Digest[] = [descriptor.digest];
    let size = 0;
    for (let digest = open.pop(); digest !== undefined; digest = open.pop()) {
      const node = this.#begun.get(digest);
      if (node === undefined || seen.has(digest)) continue;
      seen.add(digest);
      size += node.descriptor.size;
      open.push(...node.children);
    }
    return size;
  }

  #start(bytes: number, artifacts: number): void {
    this.#started = this.#now();
    this.#done = 0;
    this.#total = bytes;
    this.#wanted = artifacts;
    this.#totals = noTotals();
    this.#flights.clear();
    this.#begun.clear();
    this.#samples = [{ at: this.#started, moved: 0 }];
  }

  #begin(node: Node): void {
    this.#begun.set(node.descriptor.digest, node);
    this.#flights.set(node.descriptor.digest, { node, received: 0 });
  }

  #receive(node: Node, bytes: number): void {
    const flight = this.#flights.get(node.descriptor.digest);
    if (flight === undefined) return;
    // More than the size is a lie that verification is about to find out.
    const taken = Math.min(bytes, node.descriptor.size - flight.received);
    flight.received += taken;
    this.#done += taken;
    this.#totals.moved += taken;
    this.#sample();
  }

  #hold(node: Node, bytes: number): void {
    const flight = this.#flights.get(node.descriptor.digest);
    if (flight === undefined) return;
    flight.received += bytes;
    this.#done += bytes;
  }

  #end(node: Node, outcome: Outcome): void {
    const { digest, size } = node.descriptor;
    const flight = this.#flights.get(digest);
    if (flight === undefined) return;
    // A slice that the kernel sends is not seen on its way: it counts as moved once it is there.
    const unseen = size - flight.received;
    this.#done += unseen;
    if (outcome === "copied") {
      this.#totals.moved += unseen;
      this.#sample();
    }
    this.#flights.delete(digest);
    if (node.kind === "blob") this.#totals.blobs[outcome] += 1;
  }

  #sample(): void {
    const at = this.#now();
    const last = this.#samples.at(-1);
    if (last !== undefined && at - last.at < SAMPLE_INTERVAL) return;
    this.#samples.push({ at, moved: this.#totals.moved });
    while (this.#samples.length > 2 && at - (this.#samples[1]?.at ?? at) >= RATE_WINDOW)
      this.#samples.shift();
  }

  #rate(): number | undefined {
    this.#sample();
    const [oldest] = this.#samples;
    const span = oldest === undefined ? 0 : this.#now() - oldest.at;
    if (oldest === undefined || span < SAMPLE_INTERVAL) return;
    return ((this.#totals.moved - oldest.moved) / span) * 1000;
  }

  #elapsed(): number {
    return this.#started === undefined ? 0 : this.#now() - this.#started;
  }
}

function noTotals(): Totals {
  return { artifacts: 0, lost: 0, moved: 0, milliseconds: 0, blobs: { copied: 0, mounted: 0, present: 0 } };
}
