import { expect } from "bun:test";
import fc from "fast-check";
import { type Digest, digestOf } from "../../src/oci/digest.ts";
import type { Content, Node, Outcome, Plan, Root, Sink, Source } from "../../src/oci/plan.ts";
import { formatReference } from "../../src/oci/reference.ts";
import type { TransferEvent } from "../../src/transfer/events.ts";
import { type TransferOptions, transfer } from "../../src/transfer/transfer.ts";
import { inPieces } from "../support/memory.ts";

/** What is below it, by index; none for a blob. Children always have a smaller index. */
type Shape = readonly number[][];

export interface Graph {
  plan: Plan;
  nodes: Node[];
  source: Source;
}

/** A plan of any shape. A node with children is a manifest; each of `named` is a root, once for each mention. */
export function graphOf(shape: Shape, named: readonly number[]): Graph {
  const contents = new Map<Digest, Uint8Array>();
  const nodes: Node[] = [];
  for (const [index, below] of shape.entries()) {
    const bytes = new TextEncoder().encode(`content ${index}`.repeat((index % 5) + 1));
    const digest = digestOf(bytes);
    contents.set(digest, bytes);
    const children = below.flatMap((child) => nodes[child]?.descriptor.digest ?? []);
    nodes.push({
      descriptor: { mediaType: "x", digest, size: bytes.length },
      kind: below.length === 0 ? "blob" : "manifest",
      children,
      repositories: new Set(["a.b/x"]),
      ...(below.length === 0 ? {} : { bytes }),
    });
  }
  const roots = named.flatMap((index, at): Root[] => {
    const node = nodes[index];
    const reference = { registry: "a.b", repository: "x", tag: `t${at}` };
    return node === undefined ? [] : [{ reference, descriptor: node.descriptor }];
  });
  const plan = { roots, nodes: new Map(nodes.map((node) => [node.descriptor.digest, node])) };
  const source: Source = {
    manifest: () => Promise.reject(new Error("a transfer reads no manifests")),
    open: async (node) => inPieces(contents.get(node.descriptor.digest) ?? new Uint8Array(), 5),
  };
  return { plan, nodes, source };
}

/** Blobs 0, 1, 2; images 3 (0, 1) and 4 (1, 2); an index 5 of both; the tags t0 to t2 on 3, 4 and 5. */
const DIAMOND: Shape = [[], [], [], [0, 1], [1, 2], [3, 4]];
export const diamond = () => graphOf(DIAMOND, [3, 4, 5]);

const shapes = fc
  .array(fc.array(fc.nat(), { maxLength: 4 }), { minLength: 1, maxLength: 14 })
  .map((rows) => rows.map((row, index) => [...new Set(index === 0 ? [] : row.map((at) => at % index))]));
export const graphs = fc.tuple(shapes, fc.array(fc.nat(), { maxLength: 5 })).map(([shape, picks]) =>
  graphOf(
    shape,
    picks.map((pick) => pick % shape.length),
  ),
);

/** A sink that keeps a record and checks what every sink may rely on. */
export class RecordingSink implements Sink {
  readonly started: Digest[] = [];
  readonly present = new Set<Digest>();
  readonly tags: string[] = [];
  mostActive = 0;
  #active = 0;

  async put(node: Node, content: Content): Promise<Outcome> {
    this.started.push(node.descriptor.digest);
    this.mostActive = Math.max(this.mostActive, ++this.#active);
    try {
      expect(node.children.filter((child) => !this.present.has(child))).toEqual([]);
      const outcome = await this.store(node, content);
      this.present.add(node.descriptor.digest);
      return outcome;
    } finally {
      this.#active--;
    }
  }

  async store(_node: Node, content: Content): Promise<Outcome> {
    await Array.fromAsync(content.stream());
    return "copied";
  }

  async tag({ reference, descriptor }: Root): Promise<void> {
    expect(this.present.has(descriptor.digest)).toBe(true);
    this.tags.push(formatReference(reference));
  }
}

/** Content arrives in whatever order the scheduler chooses; the nodes in `broken` never do. */
export class ScriptedSink extends RecordingSink {
  readonly #turns: fc.Scheduler;
  readonly #broken: ReadonlySet<Digest>;

  constructor(turns: fc.Scheduler, broken: Iterable<Digest> = []) {
    super();
    this.#turns = turns;
    this.#broken = new Set(broken);
  }

  override async store(node: Node, content: Content): Promise<Outcome> {
    await this.#turns.schedule(Promise.resolve());
    if (this.#broken.has(node.descriptor.digest)) throw new Error(`no ${node.descriptor.digest}`);
    const outcome = await super.store(node, content);
    await this.#turns.schedule(Promise.resolve());
    return outcome;
  }

  override async tag(root: Root): Promise<void> {
    await this.#turns.schedule(Promise.resolve());
    await super.tag(root);
  }
}

export function run({ plan, source }: Graph, sink: Sink, options: Partial<TransferOptions> = {}) {
  const events: TransferEvent[] = [];
  const result = transfer(plan, source, sink, {
    jobs: 4,
    onFailure: "continue",
    listener: (event) => events.push(event),
    signal: new AbortController().signal,
    ...options,
  });
  return { result, events };
}

/** A digest and everything below it. */
export function closure(plan: Plan, digest: Digest): Set<Digest> {
  const below = (plan.nodes.get(digest)?.children ?? []).flatMap((child) => [...closure(plan, child)]);
  return new Set([digest, ...below]);
}

export function bytesTold(events: readonly TransferEvent[], node: Node): number {
  return events.reduce((sum, event) => {
    if (event.type !== "bytes" || event.node !== node) return sum;
    expect(event.bytes).toBeGreaterThan(0);
    return sum + event.bytes;
  }, 0);
}
