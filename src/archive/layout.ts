import type { Descriptor } from "../oci/descriptor.ts";
import type { Digest } from "../oci/digest.ts";
import type { Plan, Root } from "../oci/plan.ts";
import { compareBytewise, formatReference, repositoryName } from "../oci/reference.ts";
import { dockerManifest } from "./docker.ts";
import { END_MARKER_BYTES, encodeHeader, padded } from "./header.ts";
import { pathOf } from "./path.ts";

/** One file of the archive and its place in it. */
export interface Entry {
  name: string;
  /** Where the header starts, in bytes from the start of the archive. */
  headerOffset: number;
  /** Where the content starts. */
  offset: number;
  /** bytes of content */
  size: number;
  /** Known before anything is fetched, for all but blobs. */
  bytes?: Uint8Array;
}

/** The whole archive, known before its first byte is written. */
export interface Layout {
  /** In order of offset. */
  entries: readonly Entry[];
  byDigest: ReadonlyMap<Digest, Entry>;
  /** Blobs of the plan that have no place in it, since the archives that a delta builds on hold them. */
  leftOut: ReadonlySet<Digest>;
  /** Bytes of the finished archive, its end marker included. */
  size: number;
}

export const LAYOUT_FILE = "oci-layout";
export const INDEX_FILE = "index.json";
export const DOCKER_FILE = "manifest.json";

/** What makes an archive a delta. */
export interface Delta {
  /** The digests of the `index.json` of the archives that it builds on. */
  bases: readonly Digest[];
  /** Blobs that those hold. */
  leftOut: readonly Digest[];
}

/** The annotations that carry a name, and who reads them. */
export const NAME_ANNOTATION = {
  /** skopeo, podman, oras. Spec: image-spec annotations.md. */
  oci: "org.opencontainers.image.ref.name",
  /** containerd and nerdctl */
  containerd: "io.containerd.image.name",
} as const;

/** Where a nameless root belongs: `HOST/REPOSITORY`. */
export const REPOSITORY_ANNOTATION = "dev.eksa-airgap.repository";

/** On a root that was pruned to some platforms: the digest of the whole index. */
export const ORIGINAL_ANNOTATION = "dev.eksa-airgap.original-digest";

/** On the index of a delta: the digests of its bases' `index.json`, sorted, with commas between them. */
export const BASES_ANNOTATION = "dev.eksa-airgap.bases";

/** The grammar of `org.opencontainers.image.ref.name`: of all separators only `--` may come twice. */
const REF_NAME =
  /^[A-Za-z0-9]+(?:(?:[-._:@+]|--)[A-Za-z0-9]+)*(?:\/[A-Za-z0-9]+(?:(?:[-._:@+]|--)[A-Za-z0-9]+)*)*$/;

const encoder = new TextEncoder();

/**
 * Places every byte. The same plan gives the same layout on every machine: the graph first, so that a
 * reader of a pipe has it before the first large blob, then blobs in the order in which roots use them.
 */
export function layOut(plan: Plan, delta?: Delta): Layout {
  const leftOut = new Set(delta?.leftOut);
  const nodes = [...plan.nodes.values()].filter(({ descriptor }) => !leftOut.has(descriptor.digest));
  const manifests = nodes
    .filter((node) => node.kind === "manifest")
    .sort((a, b) => compareBytewise(a.descriptor.digest, b.descriptor.digest));
  const blobs = nodes.filter((node) => node.kind === "blob");
  const builder = new Builder(leftOut);
  builder.add(LAYOUT_FILE, encoder.encode('{"imageLayoutVersion":"1.0.0"}'));
  builder.add(INDEX_FILE, encoder.encode(indexJson(plan.roots, delta)));
  // Docker could load nothing from a delta.
  if (delta === undefined) builder.add(DOCKER_FILE, encoder.encode(dockerManifest(plan)));
  for (const { descriptor, bytes } of [...manifests, ...blobs]) builder.addContent(descriptor, bytes);
  return builder.finish();
}

/** The block or blocks before an entry's content. Made when wanted: a hundred thousand of them add up. */
export function headerOf({ name, size }: Entry): Uint8Array {
  return encodeHeader(name, size);
}

/** Whether two layouts place the same content at the same bytes. */
export function sameLayout(one: Layout, other: Layout): boolean {
  if (one.size !== other.size || one.entries.length !== other.entries.length) return false;
  return one.entries.every((entry, index) => Bun.deepEquals(entry, other.entries[index]));
}

class Builder {
  readonly #entries: Entry[] = [];
  readonly #byDigest = new Map<Digest, Entry>();
  readonly #leftOut: ReadonlySet<Digest>;
  #end = 0;

  constructor(leftOut: ReadonlySet<Digest>) {
    this.#leftOut = leftOut;
  }

  add(name: string, bytes: Uint8Array): void {
    this.#place(name, bytes.length, bytes);
  }

  addContent({ digest, size }: Descriptor, bytes: Uint8Array | undefined): void {
    this.#byDigest.set(digest, this.#place(pathOf(digest), size, bytes));
  }

  finish(): Layout {
    return {
      entries: this.#entries,
      byDigest: this.#byDigest,
      leftOut: this.#leftOut,
      size: this.#end + END_MARKER_BYTES,
    };
  }

  #place(name: string, size: number, bytes: Uint8Array | undefined): Entry {
    const headerOffset = this.#end;
    const offset = headerOffset + encodeHeader(name, size).length;
    const entry: Entry = {
      name,
      headerOffset,
      offset,
      size,
      ...(bytes === undefined ? {} : { bytes }),
    };
    this.#entries.push(entry);
    this.#end = offset + padded(size);
    return entry;
  }
}

function indexJson(roots: readonly Root[], delta: Delta | undefined): string {
  const manifests = roots.map((root) => {
    const { mediaType, digest, size } = root.descriptor;
    return { mediaType, digest, size, annotations: annotationsOf(root) };
  });
  return JSON.stringify({
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.index.v1+json",
    manifests,
    ...(delta && { annotations: { [BASES_ANNOTATION]: delta.bases.toSorted().join(",") } }),
  });
}

function annotationsOf({ reference, nameless, original }: Root): Record<string, string> {
  if (nameless) return { [REPOSITORY_ANNOTATION]: repositoryName(reference) };
  const name = formatReference(reference);
  return {
    [NAME_ANNOTATION.containerd]: name,
    ...(REF_NAME.test(name) && { [NAME_ANNOTATION.oci]: name }),
    ...(original && { [ORIGINAL_ANNOTATION]: original }),
  };
}
