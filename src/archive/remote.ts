import type { Digest } from "../oci/digest.ts";
import { Fault } from "../oci/fault.ts";
import type { ManifestBytes } from "../oci/manifest.ts";
import type { ByteStream, Node, Plan, Source } from "../oci/plan.ts";
import { formatReference, type Reference } from "../oci/reference.ts";
import type { Extent } from "./files.ts";
import { BLOCK, padded } from "./header.ts";
import { headerOf, type Layout, layOut } from "./layout.ts";
import { pathOf } from "./path.ts";
import { type PipeGraph, readGraph } from "./pipe-graph.ts";
import { damaged, type Pinned } from "./roots.ts";
import { type StreamEntry, TarStream } from "./tar-stream.ts";

/** A file elsewhere, of which any part can be had. */
export interface RemoteFile {
  /** For messages. */
  name: string;
  /** bytes */
  size: number;
  /** The bytes from `from` up to but not including `to`. */
  read(from: number, to: number): ByteStream;
}

/** What stands before the first blob is kept; that of today's releases has some 10 MiB. */
const MAX_HEAD_BYTES = 256 * 1024 * 1024;

/** What stands before the first blob, and where that is. */
interface Head {
  graph: PipeGraph;
  /** All bytes up to it, or a little less. */
  bytes: Uint8Array;
  first: StreamEntry | undefined;
}

/**
 * An archive of ours elsewhere, to plan with: its graph is read at once, in one go, and no more. A blob can be had
 * once it is known what all of it is (`follow`): that says where each lies.
 */
export class RemoteArchive implements Source {
  /** Every named root with its digest, in the order of the index. */
  readonly references: readonly Pinned[];
  /** Every root without a name. */
  readonly nameless: readonly Pinned[];
  readonly #file: RemoteFile;
  readonly #head: Head;
  readonly #byName: ReadonlyMap<string, Digest>;
  #extents: ReadonlyMap<Digest, Extent> | undefined;

  private constructor(file: RemoteFile, head: Head) {
    const { roots } = head.graph;
    this.#file = file;
    this.#head = head;
    this.references = roots.flatMap(({ reference, isNamed }) => (isNamed ? reference : []));
    this.nameless = roots.flatMap(({ reference, isNamed }) => (isNamed ? [] : reference));
    this.#byName = new Map(this.references.map((one) => [formatReference(one), one.digest]));
  }

  /** Reads up to the first blob. Fails where it is no archive of ours, or in another order than ours. */
  static async open(file: RemoteFile): Promise<RemoteArchive> {
    const chunks: Uint8Array[] = [];
    const tar = new TarStream(file.name, recorded(file, chunks));
    try {
      const graph = await readGraph(tar);
      const first = await tar.next();
      return new RemoteArchive(file, { graph, first, bytes: Buffer.concat(chunks) });
    } finally {
      await tar.close();
    }
  }

  /** bytes */
  get size(): number {
    return this.#file.size;
  }

  /** Before it is known where they lie. */
  get mayLackBlobs(): boolean {
    return this.#extents === undefined;
  }

  async manifest(reference: Reference): Promise<ManifestBytes> {
    const digest = reference.digest ?? this.#byName.get(formatReference(reference));
    const found = digest && this.#head.graph.manifests.get(digest);
    if (found === undefined) {
      throw new Fault(`cannot find ${formatReference(reference)} in ${this.#file.name}`, {
        kind: "mismatch",
      });
    }
    return { descriptor: found.descriptor, bytes: found.bytes };
  }

  async open(node: Node, from = 0): Promise<ByteStream> {
    return readAt(this.#file, this.#extents?.get(node.descriptor.digest), { node, from });
  }

  /** Takes the plan of all that it holds, as far as the manifests tell: blobs can be had from now on. */
  follow(plan: Plan): void {
    const layout = layOut(plan);
    const { first } = this.#head;
    const [digest, entry] =
      [...layout.byDigest].find(([each]) => plan.nodes.get(each)?.kind === "blob") ?? [];
    if (digest === undefined || entry === undefined) return;
    if (first === undefined || first.name !== pathOf(digest)) {
      throw damaged(this.#file.name, `\`${pathOf(digest)}\` is not in its place`);
    }
    // What comes before the blobs may be otherwise by as much as a config says that is not read yet.
    const shift = first.offset + BLOCK - entry.offset;
    if (layout.size + shift !== this.#file.size) {
      const { name, size } = this.#file;
      throw damaged(name, `it has ${size} bytes, and what it says it holds takes ${layout.size + shift}`);
    }
    this.#extents = new Map(
      [...layout.byDigest].map(([each, { offset, size }]) => [each, { offset: offset + shift, size }]),
    );
  }

  /** Whether it has the size of a layout and begins like it; of blobs nothing is read. */
  startsAs(layout: Layout): boolean {
    const { bytes } = this.#head;
    const isAt = (offset: number, wanted: Uint8Array) =>
      Buffer.compare(bytes.subarray(offset, offset + wanted.length), wanted) === 0;
    for (const entry of layout.entries) {
      const { headerOffset, offset, size, bytes: content } = entry;
      const end = offset + padded(size);
      if (content === undefined || end > bytes.length) break;
      const isSame = isAt(headerOffset, headerOf(entry)) && isAt(offset, content);
      if (!isSame || !isAt(offset + size, new Uint8Array(end - offset - size))) return false;
    }
    return layout.size === this.#file.size;
  }
}

/** The blobs of an archive elsewhere that is known to be laid out so. */
export function remoteSource(file: RemoteFile, layout: Layout): Source {
  return {
    manifest: async (reference) => {
      throw new Fault(`cannot read ${formatReference(reference)} again: it is in the plan`);
    },
    open: async (node, from = 0) => readAt(file, layout.byDigest.get(node.descriptor.digest), { node, from }),
  };
}

function readAt(
  file: RemoteFile,
  extent: Extent | undefined,
  { node: { descriptor }, from }: { node: Node; from: number },
): ByteStream {
  if (extent === undefined) throw damaged(file.name, `\`${pathOf(descriptor.digest)}\` is not in it`);
  return file.read(extent.offset + from, extent.offset + extent.size);
}

async function* recorded(file: RemoteFile, chunks: Uint8Array[]): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  for await (const chunk of file.read(0, file.size)) {
    bytes += chunk.length;
    if (bytes > MAX_HEAD_BYTES) throw damaged(file.name, `its first ${MAX_HEAD_BYTES} bytes hold no blob`);
    // A chunk is its reader's own.
    chunks.push(chunk.slice());
    yield chunk;
  }
}
