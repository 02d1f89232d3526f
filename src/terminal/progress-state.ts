import type { Digest } from "../oci/digest.ts";
import type { Node, Root } from "../oci/plan.ts";
import type { TransferEvent } from "../transfer/events.ts";
import { MovingAverage } from "./moving-average.ts";
import { type Passage, Tally, type Totals } from "./tally.ts";
import { type Wait, Waits } from "./waits.ts";

/** The rate is the average over so many milliseconds. */
const RATE_WINDOW = 15_000;
/** The same for the time left, which must not jump with each large blob. */
const ESTIMATE_WINDOW = 60_000;
/** A blob of which nothing has shown for so long may be on its way all the same. */
const UNSEEN_AFTER = 2000;
/** A longer time to go means that next to nothing moves: better no guess than a silly one. */
const LONGEST_ESTIMATE = 7 * 24 * 3_600_000;

/** A blob or manifest on its way. */
export interface Flight {
  node: Node;
  /** Bytes verified so far. */
  received: number;
  /** What holds it up. */
  note?: string | undefined;
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
  /** Each keeps its place while it lasts. */
  flights: readonly Flight[];
  artifacts: { done: number; lost: number; total: number };
  /** What holds anything else up. */
  notes: readonly string[];
}

/** Sums up the events of one transfer; a further `start` begins anew. */
export class ProgressState {
  readonly #now: () => number;
  readonly #waits: Waits;
  #tally = new Tally();
  #started: number | undefined;
  #average = new MovingAverage(0, ESTIMATE_WINDOW);
  /** Who comes takes the first free one. */
  #slots: (Passage | undefined)[] = [];
  readonly #seatedAt = new Map<Digest, number>();

  constructor(now: () => number) {
    this.#now = now;
    this.#waits = new Waits(now);
  }

  /** Whether a transfer has started. */
  get isStarted(): boolean {
    return this.#started !== undefined;
  }

  apply(event: TransferEvent): void {
    if (event.type === "start") this.#start();
    this.#tally.apply(event);
    if (event.type === "begin") this.#seat(event.node.descriptor.digest);
    if (event.type === "end" || event.type === "failed") this.#unseat(event.node.descriptor.digest);
    if (event.type === "bytes" || event.type === "end") this.#average.add(this.#now(), this.#tally.moved);
  }

  /** Returns what to say of something that holds things up, where that is news. */
  note(text: string, wait?: Wait): string | undefined {
    return this.#waits.add(text, wait);
  }

  snapshot(): ProgressSnapshot {
    const { done, total, artifacts, lost, wanted } = this.#tally;
    const { flights, notes } = this.#flights();
    const snapshot: ProgressSnapshot = {
      done,
      total,
      flights,
      notes,
      artifacts: { done: artifacts, lost, total: wanted },
    };
    const rate = this.#rate(RATE_WINDOW);
    if (rate === undefined || this.#isBlind(flights)) return snapshot;
    snapshot.rate = rate;
    const left = rate > 0 ? ((total - done) / (this.#rate(ESTIMATE_WINDOW) ?? rate)) * 1000 : Infinity;
    if (left <= LONGEST_ESTIMATE) snapshot.left = left;
    return snapshot;
  }

  /**
   * Whether more may have moved unseen than was seen to: what the kernel sends by itself shows only once it is there.
   */
  #isBlind(flights: readonly Flight[]): boolean {
    const since = this.#now() - UNSEEN_AFTER;
    const unseen = flights.filter(({ node, received, note }) => {
      return (
        received === 0 && note === undefined && (this.#seatedAt.get(node.descriptor.digest) ?? since) <= since
      );
    });
    const sizes = unseen.reduce((sum, { node }) => sum + node.descriptor.size, 0);
    const elapsed = Math.min(this.#now() - (this.#started ?? 0), ESTIMATE_WINDOW);
    return sizes > ((this.#rate(ESTIMATE_WINDOW) ?? 0) * elapsed) / 1000;
  }

  totals(): Totals {
    const { artifacts, wanted, lost, moved, saved } = this.#tally;
    const milliseconds = this.#started === undefined ? 0 : this.#now() - this.#started;
    return { artifacts, wanted, lost, moved, saved, milliseconds };
  }

  sizeOf(root: Root): number {
    return this.#tally.sizeOf(root);
  }

  #start(): void {
    this.#started = this.#now();
    this.#tally = new Tally();
    this.#average = new MovingAverage(this.#started, ESTIMATE_WINDOW);
    this.#slots = [];
    this.#seatedAt.clear();
  }

  #seat(digest: Digest): void {
    const free = this.#slots.indexOf(undefined);
    this.#slots[free < 0 ? this.#slots.length : free] = this.#tally.passages.get(digest);
    this.#seatedAt.set(digest, this.#now());
  }

  #unseat(digest: Digest): void {
    this.#waits.forget(digest);
    this.#seatedAt.delete(digest);
    const seat = this.#slots.findIndex((passage) => passage?.node.descriptor.digest === digest);
    if (seat >= 0) this.#slots[seat] = undefined;
  }

  #flights(): { flights: Flight[]; notes: string[] } {
    const passages = this.#slots.filter((passage) => passage !== undefined);
    const digests = new Set(passages.map(({ node }) => node.descriptor.digest));
    const { own, others } = this.#waits.among(digests);
    const flights = passages.map(({ node, moved, held }) => {
      return { node, received: moved + held, note: own.get(node.descriptor.digest) };
    });
    return { flights, notes: others };
  }

  #rate(window: number): number | undefined {
    const [now, { moved }] = [this.#now(), this.#tally];
    this.#average.add(now, moved);
    return this.#average.over(window, now, moved);
  }
}
