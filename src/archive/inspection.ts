import type { Descriptor } from "../oci/descriptor.ts";
import { isImageConfigType, isIndexType } from "../oci/descriptor.ts";
import type { Digest } from "../oci/digest.ts";
import { Fault } from "../oci/fault.ts";
import {
  describe,
  MAX_MANIFEST_BYTES,
  type Manifest,
  type ManifestBytes,
  parseConfigPlatform,
  parseManifest,
} from "../oci/manifest.ts";
import type { ByteStream, Node, Root, Source } from "../oci/plan.ts";
import { formatReference, type Reference } from "../oci/reference.ts";
import { assertDigest } from "../oci/verified.ts";
import { digestIn, readContents, type TarContents } from "./contents.ts";
import { type Defect, DefectFault } from "./defect.ts";
import { type Deviation, deviations } from "./deviations.ts";
import type { TarEntry } from "./entry-reader.ts";
import type { Extent } from "./files.ts";
import { type IndexReading, inspectIndex } from "./index-inspection.ts";
import { INDEX_FILE, LAYOUT_FILE, type Layout } from "./layout.ts";
import { pathOf } from "./path.ts";
import { TarFile } from "./reader.ts";
import { noLayout, originalsOf } from "./roots.ts";

/** A manifest that is what its digest says; the sizes it gives are those that were found. */
interface ReadManifest {
  descriptor: Descriptor;
  bytes: Uint8Array;
  manifest: Manifest;
  /** The root that led to it first. */
  origin: Reference;
}

/** An index in an index in an index is legal; a deeper one is an attack or a mistake. */
const MAX_DEPTH = 8;
/** An image config is some kilobytes; what is larger is not read to learn a platform. */
const MAX_CONFIG_BYTES = 4 * 1024 * 1024;
/** What is not larger is read at once: to go through another thread would take longer. */
const SMALL_BYTES = 64 * 1024;

/**
 * An archive as it is, damaged or not: everything in it that can be read is, everything else is named. As a
 * source it gives whatever is there in full, and fails with a `DefectFault` for the rest.
 */
export class ArchiveInspection implements Source {
  /** As the user named it. */
  readonly path: string;
  /** bytes of the file, or of its volumes */
  readonly size: number;
  /** What is wrong apart from content that the graph wants, which is told when it is opened. */
  readonly defects: readonly Defect[];
  /** Everything that `index.json` names; the sizes are those that were found. */
  readonly named: readonly Root[];
  /** The same, and what referrers are about where it is there and nothing else leads to it. */
  readonly roots: readonly Root[];
  /** Every manifest that can be read. */
  readonly known: ReadonlyMap<Digest, ReadManifest>;
  /** Files of the archive in order of offset, then links under the files that they lead to. */
  readonly files: ReadonlyMap<string, TarEntry>;
  /** Of its `index.json`; undefined where there is none to be read. */
  readonly indexDigest: Digest | undefined;
  /** Of a delta: the index digests of the archives that it builds on. */
  readonly bases: readonly Digest[];
  readonly original: (reference: Reference) => Digest | undefined;
  readonly #tar: TarFile;
  readonly #contents: TarContents;
  readonly #isIndexWhole: boolean;
  readonly #known = new Map<Digest, ReadManifest>();
  /** Manifests that are there and cannot be followed. */
  readonly #unreadable = new Map<Digest, Defect>();
  /** What the first to name it said. */
  readonly #sizes = new Map<Digest, number>();

  /** Fails when the file cannot be read, lacks a volume, or is a whole tar of something else. */
  constructor(path: string) {
    this.path = path;
    this.#tar = new TarFile(path);
    try {
      this.size = this.#tar.size;
      this.#contents = readContents(this.#tar);
      this.files = this.#contents.files;
      const { roots, bases, digest, defects } = this.#readIndex();
      this.#isIndexWhole = defects.length === 0;
      this.bases = bases;
      this.original = originalsOf(roots);
      this.indexDigest = digest;
      this.known = this.#known;
      this.named = roots.map((root) => ({ ...root, descriptor: this.#sized(root.descriptor) }));
      for (const root of this.named) {
        this.#follow(root.descriptor, root.reference, 0);
        this.#learnPlatform(root.descriptor.digest);
      }
      this.roots = [...this.named, ...this.#followSubjects()];
      this.defects = [...this.#contents.defects, ...defects];
    } catch (error) {
      this.#tar.close();
      throw error;
    }
  }

  close(): void {
    this.#tar.close();
  }

  /** Whether every manifest below the roots was read: only then can it be said what nobody refers to. */
  get isGraphWhole(): boolean {
    return this.#isIndexWhole && this.#unreadable.size === 0 && this.isEndKnown;
  }

  get mayLackBlobs(): boolean {
    return this.bases.length > 0;
  }

  /** Whether the whole of it could be looked at. */
  get isEndKnown(): boolean {
    return this.#contents.cutAt === undefined && this.#contents.brokenAt === undefined;
  }

  holds(digest: Digest): boolean {
    return this.files.has(pathOf(digest));
  }

  /** Where the content starts. */
  offsetOf(digest: Digest): number | undefined {
    return this.files.get(pathOf(digest))?.offset;
  }

  /** The volumes that a defect touches; none for an archive in one piece. */
  volumesOf({ digest, offset }: Defect): string[] {
    if (offset === undefined) return [];
    const entry = digest && this.files.get(pathOf(digest));
    const size = entry === undefined ? 0 : entry.offset + entry.size - offset;
    return this.#tar.volumesOf({ offset, size: Math.max(size, 0) });
  }

  /** Where it is laid out otherwise; the content of blobs aside. */
  deviationsFrom(layout: Layout): Deviation[] {
    return [...deviations(this.#tar, layout)];
  }

  /** Why the content cannot be what it is said to be, as far as can be told without reading it. */
  defectOf({ digest, size }: Descriptor): Defect | undefined {
    const entry = this.files.get(pathOf(digest));
    if (entry === undefined) return this.#absence(digest);
    const unreadable = this.#unreadable.get(digest);
    if (unreadable !== undefined) return unreadable;
    const wanted = this.#sizes.get(digest) ?? size;
    if (wanted === entry.size) return;
    return {
      kind: "corrupt",
      digest,
      offset: entry.offset,
      detail: `it has ${entry.size} bytes, and should have ${wanted}`,
    };
  }

  async manifest(reference: Reference): Promise<ManifestBytes> {
    const { digest } = reference;
    const found = digest && this.#known.get(digest);
    if (found === undefined) throw new Fault(`cannot find ${formatReference(reference)} in ${this.path}`);
    return {
      descriptor: describe(found.manifest, found.descriptor.digest, found.bytes.length),
      bytes: found.bytes,
    };
  }

  async open({ descriptor }: Node, from = 0): Promise<ByteStream> {
    const { digest } = descriptor;
    const defect = this.defectOf(descriptor);
    const entry = this.files.get(pathOf(digest));
    if (defect !== undefined || entry === undefined) {
      throw new DefectFault(digest, defect ?? this.#absence(digest));
    }
    const content = { offset: entry.offset + from, size: entry.size - from };
    return entry.size > SMALL_BYTES ? this.#tar.chunks(content) : this.#atOnce(content);
  }

  async *#atOnce({ offset, size }: Extent): AsyncGenerator<Uint8Array> {
    yield this.#tar.read(offset, size);
  }

  /** A file of the archive, whole. Fails when it has more than `limit` bytes. */
  #read({ name, offset, size }: TarEntry, limit: number): Uint8Array {
    if (size > limit) throw new Fault(`\`${name}\` has ${size} bytes, over ${limit}`);
    return this.#tar.read(offset, size);
  }

  #readIndex(): IndexReading {
    const entry = this.files.get(INDEX_FILE);
    if (entry === undefined) {
      if (this.#contents.defects.length === 0) throw noLayout(this.path, this.files);
      return { roots: [], bases: [], defects: [this.#lackOf(INDEX_FILE)] };
    }
    const reading = inspectIndex(this.#tar, entry);
    if (!this.files.has(LAYOUT_FILE)) reading.defects.push(this.#lackOf(LAYOUT_FILE));
    return reading;
  }

  #lackOf(name: string): Defect {
    return { ...this.#lack(), detail: `there is no \`${name}\`` };
  }

  #absence(digest: Digest): Defect {
    return { digest, ...this.#lack() };
  }

  #lack(): Defect {
    const { cutAt, brokenAt } = this.#contents;
    if (cutAt !== undefined) return { kind: "truncated", offset: cutAt, detail: "the file ends before it" };
    if (brokenAt === undefined) return { kind: "missing", detail: "it is not in the archive" };
    return { kind: "missing", detail: `it is not before the broken header at byte ${brokenAt}` };
  }

  /** Reads a manifest and all indexes and manifests below it. */
  #follow(descriptor: Descriptor, origin: Reference, depth: number): void {
    const { digest } = descriptor;
    const entry = this.files.get(pathOf(digest));
    if (entry === undefined || this.#known.has(digest) || this.#unreadable.has(digest)) return;
    const bytes = this.#readManifest(digest, entry, depth);
    if (bytes === undefined) return;
    const manifest = this.#withSizes(parseManifest(bytes));
    const found = describe(manifest, digest, bytes.length);
    this.#known.set(digest, { descriptor: found, bytes, manifest, origin });
    if (isIndexType(manifest.mediaType)) {
      for (const child of manifest.manifests) this.#follow(child, origin, depth + 1);
    }
  }

  /** A bare image says what it runs on only in its config. */
  #learnPlatform(digest: Digest): void {
    const known = this.#known.get(digest);
    const config = known?.manifest.config;
    const entry = config && this.files.get(pathOf(config.digest));
    if (known === undefined || entry === undefined || !isImageConfigType(config?.mediaType ?? "")) return;
    try {
      const platform = parseConfigPlatform(this.#read(entry, MAX_CONFIG_BYTES));
      if (platform !== undefined) known.descriptor = { ...known.descriptor, platform };
    } catch {
      // What is wrong with it is told when it is opened.
    }
  }

  #readManifest(digest: Digest, entry: TarEntry, depth: number): Uint8Array | undefined {
    try {
      if (depth > MAX_DEPTH) throw new Fault(`indexes are nested more than ${MAX_DEPTH} deep`);
      const bytes = this.#read(entry, MAX_MANIFEST_BYTES);
      assertDigest(bytes, digest);
      parseManifest(bytes);
      return bytes;
    } catch (error) {
      const detail = error instanceof Error ? error.message : String(error);
      this.#unreadable.set(digest, { kind: "corrupt", digest, offset: entry.offset, detail });
      return;
    }
  }

  /** What a referrer is about counts as referred to where it is there, though it may be absent. */
  #followSubjects(): Root[] {
    const found: Root[] = [];
    // A map is walked in order of insertion, what is added on the way included.
    for (const { manifest, origin } of this.#known.values()) {
      const { subject } = manifest;
      if (subject === undefined || this.#known.has(subject.digest) || !this.holds(subject.digest)) continue;
      const { registry, repository } = origin;
      const descriptor = this.#sized(subject);
      found.push({ reference: { registry, repository, digest: subject.digest }, descriptor, nameless: true });
      this.#follow(descriptor, origin, 0);
    }
    return found;
  }

  #withSizes(manifest: Manifest): Manifest {
    return {
      ...manifest,
      manifests: manifest.manifests.map((child) => this.#sized(child)),
      layers: manifest.layers.map((layer) => this.#sized(layer)),
      ...(manifest.config === undefined ? {} : { config: this.#sized(manifest.config) }),
    };
  }

  /** One size for each digest, so that there can be a plan: a lie is told when the content is opened. */
  #sized(descriptor: Descriptor): Descriptor {
    const { digest, size } = descriptor;
    const entry = this.files.get(pathOf(digest));
    if (!this.#sizes.has(digest) || entry?.size === this.#sizes.get(digest)) this.#sizes.set(digest, size);
    const one = entry?.size ?? this.#sizes.get(digest) ?? size;
    return one === size ? descriptor : { ...descriptor, size: one };
  }
}

/** Content that an archive has under its digest. */
export function contentOf(inspection: ArchiveInspection): { digest: Digest; entry: TarEntry }[] {
  return [...inspection.files].flatMap(([name, entry]) => {
    const { digest } = digestIn(name);
    return digest === undefined ? [] : [{ digest, entry }];
  });
}
