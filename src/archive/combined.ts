import type { Digest } from "../oci/digest.ts";
import { Fault } from "../oci/fault.ts";
import type { ManifestBytes } from "../oci/manifest.ts";
import type { ByteStream, Node, Plan, Source } from "../oci/plan.ts";
import { formatReference, type Reference } from "../oci/reference.ts";
import { pathOf } from "./path.ts";
import type { Pinned } from "./roots.ts";
import { ArchiveSource } from "./source.ts";

/** Several archives as one: deltas, and what they build on. */
export class CombinedSource implements Source {
  /** Every named root; where a delta and its base differ in what a name stands for, the delta is right. */
  readonly references: readonly Pinned[];
  readonly nameless: readonly Pinned[];
  readonly #archives: readonly ArchiveSource[] = [];

  /** Fails when one of them is no archive of this kind, or not a whole one. */
  constructor(paths: readonly string[]) {
    const archives: ArchiveSource[] = [];
    this.#archives = archives;
    try {
      for (const path of paths) archives.push(new ArchiveSource(path));
    } catch (error) {
      this.close();
      throw error;
    }
    const newestFirst = byDescent(archives);
    this.references = unique(newestFirst, ({ references }) => references);
    this.nameless = unique(newestFirst, ({ nameless }) => nameless);
  }

  original(reference: Reference): Digest | undefined {
    for (const archive of this.#archives) {
      const original = archive.original(reference);
      if (original !== undefined) return original;
    }
    return;
  }

  close(): void {
    for (const archive of this.#archives) archive.close();
  }

  /**
   * The content of a plan that none of them holds. Fails, naming it, where nothing says that another archive
   * should: then it was lost.
   */
  lacking(plan: Plan): Node[] {
    const lacking = [...plan.nodes.values()].filter((node) => this.#holderOf(node) === undefined);
    const [first] = lacking;
    if (first === undefined || this.missingBases.length > 0) return lacking;
    if (this.#archives.length === 1) this.#archives[0]?.assertHolds(plan);
    throw this.#inNone(first);
  }

  /** The archives in which a name stands for this digest. */
  namedIn(reference: Pinned): string[] {
    const name = formatReference(reference);
    const isIt = (each: Pinned) => each.digest === reference.digest && formatReference(each) === name;
    return this.#archives.filter(({ references }) => references.some(isIt)).map(({ path }) => path);
  }

  get mayLackBlobs(): boolean {
    return this.missingBases.length > 0;
  }

  /** Index digests of archives that these build on, and that are not among them. */
  get missingBases(): string[] {
    const given = new Set(this.#archives.map(({ indexDigest }) => indexDigest));
    return [...new Set(this.#archives.flatMap(({ bases }) => bases))].filter((base) => !given.has(base));
  }

  async manifest(reference: Reference): Promise<ManifestBytes> {
    const { digest } = reference;
    const archive = this.#archives.find((each) => digest !== undefined && each.holdsManifest(digest));
    return (archive ?? this.#first(reference)).manifest(reference);
  }

  async open(node: Node, from?: number): Promise<ByteStream> {
    return this.#holding(node).open(node, from);
  }

  slice(node: Node): Blob | undefined {
    return this.#holderOf(node)?.slice(node);
  }

  #inNone({ descriptor: { digest } }: Node): Fault {
    const paths = this.#archives.map(({ path }) => path);
    const inputs = paths.map((path) => `--input ${path}`).join(" ");
    return new Fault(`cannot read ${paths.join(", ")}: \`${pathOf(digest)}\` is in none of them`, {
      hint: `\`eksa-airgap verify artifacts ${inputs}\` says which is damaged`,
      kind: "mismatch",
    });
  }

  #holderOf(node: Node): ArchiveSource | undefined {
    return this.#archives.find((archive) => archive.holds(node));
  }

  #holding(node: Node): ArchiveSource {
    const holder = this.#holderOf(node);
    if (holder === undefined) throw new Fault(`cannot find ${node.descriptor.digest} in the archives`);
    return holder;
  }

  #first(reference: Reference): ArchiveSource {
    const [first] = this.#archives;
    if (first === undefined)
      throw new Fault(`cannot find ${formatReference(reference)}: no archive is given`);
    return first;
  }
}

/** Deltas before what they build on; else as they are given. */
function byDescent(archives: readonly ArchiveSource[]): ArchiveSource[] {
  const sorted: ArchiveSource[] = [];
  const visit = (archive: ArchiveSource, path: readonly ArchiveSource[]) => {
    if (sorted.includes(archive) || path.includes(archive)) return;
    for (const other of archives) {
      if (other.bases.includes(archive.indexDigest)) visit(other, [...path, archive]);
    }
    sorted.push(archive);
  };
  for (const archive of archives) visit(archive, []);
  return sorted;
}

/** A name that an archive and its delta both have is the delta's; of two that are unrelated both stay. */
function unique(
  newestFirst: readonly ArchiveSource[],
  rootsOf: (archive: ArchiveSource) => readonly Pinned[],
): Pinned[] {
  const taken = new Map<string, { digest: string; by: ArchiveSource }[]>();
  const roots: Pinned[] = [];
  for (const archive of newestFirst) {
    for (const root of rootsOf(archive)) {
      const name = formatReference(root);
      const before = taken.get(name) ?? [];
      const isKnown = before.some(
        ({ digest, by }) => digest === root.digest || descends(by, archive, newestFirst),
      );
      if (isKnown) continue;
      taken.set(name, [...before, { digest: root.digest, by: archive }]);
      roots.push(root);
    }
  }
  return roots;
}

/** Whether a delta builds on a base, over however many of the other archives. */
function descends(
  delta: ArchiveSource,
  { indexDigest }: ArchiveSource,
  others: readonly ArchiveSource[],
): boolean {
  const below = new Set(delta.bases);
  // A set is walked in order of insertion, what is added on the way included.
  for (const digest of below) {
    const found = others.find((other) => other.indexDigest === digest);
    for (const base of found?.bases ?? []) below.add(base);
  }
  return below.has(indexDigest);
}
