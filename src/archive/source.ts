import { type Digest, digestOf } from "../oci/digest.ts";
import { Fault } from "../oci/fault.ts";
import { describe, MAX_MANIFEST_BYTES, type ManifestBytes, parseManifest } from "../oci/manifest.ts";
import type { ByteStream, Node, Plan, Source } from "../oci/plan.ts";
import { formatReference, type Reference } from "../oci/reference.ts";
import { assertDigest } from "../oci/verified.ts";
import type { Extent } from "./files.ts";
import { INDEX_FILE, LAYOUT_FILE } from "./layout.ts";
import { pathOf } from "./path.ts";
import { TarFile } from "./reader.ts";
import {
  type ArchiveIndex,
  MAX_INDEX_BYTES,
  noLayout,
  originalsOf,
  type Pinned,
  readIndex,
} from "./roots.ts";

/** An archive as a source: read in place by offset, nothing unpacked. */
export class ArchiveSource implements Source {
  /** Every named root with its digest, in the order of the index. */
  readonly references: readonly Pinned[];
  /** Every root without a name: the repository that it belongs to, and its digest. */
  readonly nameless: readonly Pinned[];
  /** Of its `index.json`. */
  readonly indexDigest: Digest;
  /** Of a delta: the index digests of the archives that it builds on. */
  readonly bases: readonly Digest[];
  readonly original: (reference: Reference) => Digest | undefined;
  readonly #tar: TarFile;
  readonly #extents: ReadonlyMap<string, Extent>;

  /** Fails when the file is no archive of this kind, or not a whole one. */
  constructor(path: string) {
    this.#tar = new TarFile(path);
    try {
      this.#extents = this.#tar.entries();
      const { roots, bases, digest } = this.#readIndex();
      this.indexDigest = digest;
      this.bases = bases;
      this.original = originalsOf(roots);
      this.references = roots.flatMap(({ reference, isNamed }) => (isNamed ? reference : []));
      this.nameless = roots.flatMap(({ reference, isNamed }) => (isNamed ? [] : reference));
    } catch (error) {
      this.#tar.close();
      throw error;
    }
  }

  /** As the user named it. */
  get path(): string {
    return this.#tar.path;
  }

  close(): void {
    this.#tar.close();
  }

  /** A delta leaves blobs to its bases. */
  get mayLackBlobs(): boolean {
    return this.bases.length > 0;
  }

  /** Whether it holds this content. Fails when it has another size than the node. */
  holds(node: Node): boolean {
    return this.#extents.has(pathOf(node.descriptor.digest)) && this.#extentOf(node) !== undefined;
  }

  holdsManifest(digest: Digest): boolean {
    return this.#extents.has(pathOf(digest));
  }

  /** Fails naming the content that this archive does not hold in full. */
  assertHolds(plan: Plan): void {
    for (const node of plan.nodes.values()) {
      if (!this.holds(node)) throw this.#ofAnotherSet(plan) ?? this.#absent(node.descriptor.digest);
    }
  }

  async manifest(reference: Reference): Promise<ManifestBytes> {
    const { digest } = reference;
    if (digest === undefined)
      throw new Fault(`cannot find ${formatReference(reference)} by tag in an archive`);
    if (!this.#extents.has(pathOf(digest))) {
      throw new Fault(`cannot read ${this.#tar.path}: \`${pathOf(digest)}\` is not in it`, {
        hint: "make the archive anew with every platform: `skopeo copy --all` does, `docker save` keeps only those that were pulled (with `--platform`, of docker 28, that one as an image of its own)",
        kind: "mismatch",
      });
    }
    const bytes = this.#readBounded(pathOf(digest), MAX_MANIFEST_BYTES);
    assertDigest(bytes, digest);
    return { descriptor: describe(parseManifest(bytes), digest, bytes.length), bytes };
  }

  async open(node: Node, from = 0): Promise<ByteStream> {
    const { offset, size } = this.#extentOf(node);
    return this.#tar.chunks({ offset: offset + from, size: size - from });
  }

  slice(node: Node): Blob | undefined {
    return this.#tar.slice(this.#extentOf(node));
  }

  #extentOf({ descriptor: { digest, size } }: Node): Extent {
    const extent = this.#extents.get(pathOf(digest));
    if (extent === undefined) throw this.#absent(digest);
    if (extent.size !== size) {
      throw this.#damaged(`\`${pathOf(digest)}\` has ${extent.size} bytes, and its manifest says ${size}`);
    }
    return extent;
  }

  #absent(digest: Digest): Fault {
    return this.#damaged(`\`${pathOf(digest)}\` is not in it`);
  }

  /** A volume with content that the plan of the whole knows nothing of. */
  #ofAnotherSet({ nodes }: Plan): Fault | undefined {
    const wanted = new Set([...nodes.keys()].map(pathOf));
    for (const [name, { offset }] of this.#extents) {
      if (!name.startsWith("blobs/") || wanted.has(name)) continue;
      return this.#tar.misfit(
        offset,
        new Fault(`\`${name}\` at byte ${offset} belongs to nothing in this archive`),
      );
    }
    return;
  }

  #readIndex(): ArchiveIndex & { digest: Digest } {
    if (!this.#extents.has(INDEX_FILE)) throw noLayout(this.#tar.path, this.#extents);
    if (!this.#extents.has(LAYOUT_FILE)) throw this.#damaged(`it has no \`${LAYOUT_FILE}\``);
    const bytes = this.#readBounded(INDEX_FILE, MAX_INDEX_BYTES);
    return { ...readIndex(bytes, this.#tar.path), digest: digestOf(bytes) };
  }

  #readBounded(name: string, limit: number): Uint8Array {
    const extent = this.#extents.get(name);
    if (extent === undefined) throw this.#damaged(`\`${name}\` is not in it`);
    if (extent.size > limit) throw this.#damaged(`\`${name}\` has ${extent.size} bytes, over ${limit}`);
    return this.#tar.read(extent.offset, extent.size);
  }

  #damaged(why: string): Fault {
    return new Fault(`cannot read ${this.#tar.path}: ${why}`, {
      hint: "copy the file again, or export it anew",
      kind: "mismatch",
    });
  }
}
