import type { Digest } from "../oci/digest.ts";
import type { Node, Outcome, Root } from "../oci/plan.ts";
import type { TransferEvent } from "../transfer/events.ts";

/** A blob or manifest on its way. */
export interface Passage {
  readonly node: Node;
  /** Bytes that came over the way. */
  moved: number;
  /** Bytes that were there from an earlier run. */
  held: number;
}

/** Bytes of blobs that did not have to travel. Manifests are too small to count. */
export interface Saved {
  /** Of what several artifacts refer to, all but the first. */
  shared: number;
  mounted: number;
  /** There before, from an earlier run or from another source. */
  present: number;
}

/** What a transfer has come to. */
export interface Totals {
  /** Whole, under their name. */
  artifacts: number;
  /** All that were to be. */
  wanted: number;
  lost: number;
  /** Bytes that really travelled. */
  moved: number;
  saved: Saved;
  milliseconds: number;
}

/**
 * The bytes of one transfer, by what became of them. When every artifact is whole, what moved and was saved of its
 * blobs adds up to what the artifacts would come to one by one.
 */
export class Tally {
  /** Verified, or there already. Never decreases, and never exceeds `total`. */
  done = 0;
  total = 0;
  moved = 0;
  artifacts = 0;
  wanted = 0;
  lost = 0;
  readonly passages = new Map<Digest, Passage>();
  readonly #nodes = new Map<Digest, Node>();
  #mounted = 0;
  #present = 0;
  /** Sizes of the blobs in the sink, once for each place that they are in. */
  #placed = 0;
  /** Sizes of the blobs that the whole artifacts refer to, once for each of them. */
  #referenced = 0;

  apply(event: TransferEvent): void {
    switch (event.type) {
      case "start":
        this.total = event.bytes;
        this.wanted = event.artifacts;
        break;
      case "begin":
        this.#nodes.set(event.node.descriptor.digest, event.node);
        this.passages.set(event.node.descriptor.digest, { node: event.node, moved: 0, held: 0 });
        break;
      case "bytes":
      case "held":
        this.#take(event.node, event.type === "bytes" ? "moved" : "held", event.bytes);
        break;
      case "end":
        this.#end(event.node, event.places);
        break;
      case "failed":
        this.passages.delete(event.node.descriptor.digest);
        break;
      case "artifact":
        this.artifacts += 1;
        for (const { kind, descriptor } of this.#below(event.root)) {
          if (kind === "blob") this.#referenced += descriptor.size;
        }
        break;
      case "lost":
        this.lost += 1;
        break;
    }
  }

  get saved(): Saved {
    // What was placed for an artifact that was lost saves nothing.
    const shared = Math.max(0, this.#referenced - this.#placed);
    return { shared, mounted: this.#mounted, present: this.#present };
  }

  /** Bytes of everything a root refers to, however far down. */
  sizeOf(root: Root): number {
    return this.#below(root).reduce((size, { descriptor }) => size + descriptor.size, 0);
  }

  #below({ descriptor }: Root): Node[] {
    const below = new Set([descriptor.digest]);
    const nodes: Node[] = [];
    // A set is walked in order of insertion, what is added on the way included.
    for (const digest of below) {
      const node = this.#nodes.get(digest);
      if (node === undefined) continue;
      nodes.push(node);
      for (const child of node.children) below.add(child);
    }
    return nodes;
  }

  #take({ descriptor: { digest, size } }: Node, kind: "moved" | "held", bytes: number): void {
    const passage = this.passages.get(digest);
    if (passage === undefined) return;
    // More than the size is a lie that verification is about to find out.
    const taken = Math.min(bytes, size - passage.moved - passage.held);
    passage[kind] += taken;
    this.done += taken;
    if (kind === "moved") this.moved += taken;
  }

  #end({ kind, descriptor: { digest, size } }: Node, places: Readonly<Record<Outcome, number>>): void {
    const passage = this.passages.get(digest);
    if (passage === undefined) return;
    this.passages.delete(digest);
    const { copied, mounted, present } = places;
    // A slice that the kernel sends is not seen on its way: it counts as moved once it is there.
    const unseen = size - passage.moved - passage.held;
    this.done += unseen;
    if (copied > 0) this.moved += unseen + (copied - 1) * size;
    if (kind === "manifest") return;
    if (copied > 0) this.#present += passage.held;
    this.#mounted += mounted * size;
    this.#present += present * size;
    this.#placed += (copied + mounted + present) * size;
  }
}
