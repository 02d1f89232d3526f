import type { Digest } from "../oci/digest.ts";
import { Fault } from "../oci/fault.ts";
import type { ManifestBytes } from "../oci/manifest.ts";
import type { ByteStream, Node, Plan, Source } from "../oci/plan.ts";
import { formatReference, type Reference } from "../oci/reference.ts";
import { Budget } from "./budget.ts";
import { Passing } from "./passing.ts";
import { pathOf } from "./path.ts";
import { otherOrder, type PipeGraph, readGraph } from "./pipe-graph.ts";
import { damaged, originalsOf, type Pinned } from "./roots.ts";
import type { TarStream } from "./tar-stream.ts";

/** A blob of no more bytes is kept in memory until it is settled. */
const SMALL_BYTES = 4 * 1024 * 1024;
/** All of these together. */
const SMALL_BYTES_AT_ONCE = 32 * 1024 * 1024;
/** Of a larger one a sink keeps some until it is sure that it has arrived: so much at most. */
const KEPT_OF_LARGE = 32 * 1024 * 1024;
/** All of these together. */
const KEPT_AT_ONCE = 2 * KEPT_OF_LARGE;

/** An archive that comes by once, e.g. out of a pipe: the graph first, then each blob when it is its turn. */
export class PipeSource implements Source {
  readonly isOnePass = true;
  /** Every named root with its digest, in the order of the index. */
  readonly references: readonly Pinned[];
  /** Every root without a name: the repository that it belongs to, and its digest. */
  readonly nameless: readonly Pinned[];
  readonly original: (reference: Reference) => Digest | undefined;
  readonly #tar: TarStream;
  readonly #manifests: PipeGraph["manifests"];
  readonly #blobs = new Map<Digest, Passing>();
  readonly #memory = new Budget(SMALL_BYTES_AT_ONCE);
  readonly #kept = new Budget(KEPT_AT_ONCE);
  #walk: Promise<void> = Promise.resolve();
  #failure: { error: unknown } | undefined;

  private constructor(tar: TarStream, { roots, manifests }: PipeGraph) {
    this.#tar = tar;
    this.#manifests = manifests;
    this.original = originalsOf(roots);
    this.references = roots.flatMap(({ reference, isNamed }) => (isNamed ? reference : []));
    this.nameless = roots.flatMap(({ reference, isNamed }) => (isNamed ? [] : reference));
  }

  /** Reads up to the first blob. Fails when it is no archive of ours, or in another order than ours. */
  static async open(tar: TarStream): Promise<PipeSource> {
    return new PipeSource(tar, await readGraph(tar));
  }

  async manifest(reference: Reference): Promise<ManifestBytes> {
    const { digest } = reference;
    const found = digest && this.#manifests.get(digest);
    if (found === undefined)
      throw new Fault(`cannot find ${formatReference(reference)} in ${this.#tar.name}`);
    return { descriptor: found.descriptor, bytes: found.bytes };
  }

  /** From now on blobs are handed out: all of this plan's, which is the whole of the archive, in its order. */
  follow(plan: Plan): void {
    const blobs = [...plan.nodes.values()].filter(({ kind }) => kind === "blob");
    for (const { descriptor } of blobs) this.#blobs.set(descriptor.digest, new Passing(descriptor));
    this.#walk = this.#walkThrough([...this.#blobs.values()]);
    this.#walk.catch((error: unknown) => this.#fail(error));
  }

  isReplayable({ descriptor }: Node): boolean {
    return descriptor.size <= SMALL_BYTES;
  }

  async ready(node: Node): Promise<void> {
    await this.#blobOf(node).ready();
  }

  async open(node: Node): Promise<ByteStream> {
    return this.#blobOf(node).open();
  }

  settle({ descriptor }: Node): void {
    this.#blobs.get(descriptor.digest)?.settle();
  }

  /** Every blob is settled: reads to the end. Fails when the archive does not end as it must. */
  async finish(): Promise<void> {
    await this.#walk;
  }

  /** Nothing more is read. */
  close(): void {
    this.#fail(new Fault(`cannot read on in ${this.#tar.name}: it is closed`));
    this.#tar.close().catch(() => {});
  }

  #blobOf({ descriptor: { digest } }: Node): Passing {
    const blob = this.#blobs.get(digest);
    // What had come in full before the pipe broke is as good as ever.
    if (this.#failure !== undefined && blob?.isHeld !== true) throw this.#failure.error;
    if (blob === undefined) throw damaged(this.#tar.name, `\`${pathOf(digest)}\` is not in it`);
    return blob;
  }

  async #walkThrough(blobs: readonly Passing[]): Promise<void> {
    for (const blob of blobs) {
      await this.#arrive(blob);
      if ((await blob.asked) === "settled") continue;
      if (blob.descriptor.size <= SMALL_BYTES) await this.#hold(blob);
      else await this.#pass(blob);
    }
    const more = await this.#tar.next();
    if (more !== undefined) throw otherOrder(this.#tar, more, "the end");
    await this.#tar.drain();
  }

  async #arrive({ descriptor: { digest, size } }: Passing): Promise<void> {
    const entry = await this.#tar.next();
    const path = pathOf(digest);
    if (entry === undefined) throw damaged(this.#tar.name, `\`${path}\` is not in it`);
    if (entry.name !== path || entry.type !== "0") throw otherOrder(this.#tar, entry, `\`${path}\``);
    if (entry.size === size) return;
    throw damaged(this.#tar.name, `\`${path}\` has ${entry.size} bytes, and its manifest says ${size}`);
  }

  async #hold(blob: Passing): Promise<void> {
    const { size } = blob.descriptor;
    await this.#memory.take(size);
    blob.hold(await this.#tar.read());
    void blob.settled.then(() => this.#memory.give(size));
  }

  async #pass(blob: Passing): Promise<void> {
    const share = Math.min(blob.descriptor.size, KEPT_OF_LARGE);
    await this.#kept.take(share);
    void blob.settled.then(() => this.#kept.give(share));
    await blob.pass(this.#tar.chunks());
  }

  /** Whoever waits for a blob waits in vain. */
  #fail(error: unknown): void {
    this.#failure ??= { error };
    for (const blob of this.#blobs.values()) blob.fail(this.#failure.error);
  }
}
