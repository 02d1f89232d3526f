import type { Digest } from "../oci/digest.ts";
import { Fault } from "../oci/fault.ts";
import {
  describe,
  MAX_MANIFEST_BYTES,
  type Manifest,
  type ManifestBytes,
  parseManifest,
} from "../oci/manifest.ts";
import { compareBytewise } from "../oci/reference.ts";
import { assertDigest } from "../oci/verified.ts";
import { DOCKER_FILE, INDEX_FILE, LAYOUT_FILE } from "./layout.ts";
import { digestAt } from "./path.ts";
import { type ArchiveRoot, damaged, MAX_INDEX_BYTES, OLDER_FILE, ofOlderTool, readIndex } from "./roots.ts";
import type { StreamEntry, TarStream } from "./tar-stream.ts";

/** Of all manifests together. */
const MAX_GRAPH_BYTES = 512 * 1024 * 1024;

/** Charts and package bundles, one a Kubernetes version. */
const MOST_BEFORE_OLDER = 100;

/** What stands before the first blob. */
export interface PipeGraph {
  roots: ArchiveRoot[];
  manifests: ReadonlyMap<Digest, ManifestBytes>;
}

/** Reads an archive up to its first blob. Fails where anything comes in another order than we write it in. */
export async function readGraph(tar: TarStream): Promise<PipeGraph> {
  await readLayout(tar);
  const { roots, bases } = readIndex(await readFile(tar, INDEX_FILE, MAX_INDEX_BYTES), tar.name);
  if (bases.length > 0) {
    throw new Fault(`cannot read ${tar.name} as it comes: it is a delta`, {
      cause: new Fault("what it leaves to its base must be known before anything is sent"),
      hint: "save it as a plain tar in a file, and import that",
    });
  }
  await readFile(tar, DOCKER_FILE, MAX_INDEX_BYTES);
  const graph = new Graph();
  for (const { reference } of roots) graph.want(reference.digest);
  let bytes = 0;
  let last = "";
  for (let [missing] = graph.missing; missing !== undefined; [missing] = graph.missing) {
    const entry = await tar.next();
    const expected = `the manifest ${missing}`;
    if (entry === undefined) throw damaged(tar.name, `${expected} is not in it`);
    const digest = entry.type === "0" ? digestAt(entry.name) : undefined;
    const isNext = digest !== undefined && compareBytewise(last, digest) < 0;
    if (!isNext || entry.size > MAX_MANIFEST_BYTES) throw otherOrder(tar, entry, expected);
    bytes += entry.size;
    if (bytes > MAX_GRAPH_BYTES) {
      throw new Fault(`cannot read ${tar.name}: its manifests have more than ${MAX_GRAPH_BYTES} bytes`, {
        hint: "save it as a plain tar in a file, and import that",
      });
    }
    last = digest;
    graph.add(digest, await readManifest(tar, entry, { digest, expected }));
  }
  const stray = graph.stray();
  if (stray !== undefined)
    throw damaged(tar.name, `nothing refers to ${stray}, which is among its manifests`);
  return { roots, manifests: graph.manifests };
}

/** An archive that we could read by offset, and not as it comes. */
export function otherOrder(tar: TarStream, { name, offset }: StreamEntry, expected: string): Fault {
  return new Fault(`cannot read ${tar.name} as it comes: it is not in the order of our own archives`, {
    cause: new Fault(`\`${name.slice(0, 200)}\` is at byte ${offset}, in the place of ${expected}`),
    hint: "save it as a plain tar in a file, without compression, and import that: a file may be in any order",
  });
}

/** What is first in an archive of ours. In one of EKS Anywhere's own tool, charts and package bundles come first. */
async function readLayout(tar: TarStream): Promise<void> {
  const first = await tar.next();
  let entry = first;
  for (let count = 0; count < MOST_BEFORE_OLDER && entry !== undefined; count++) {
    if (entry.name === OLDER_FILE) throw ofOlderTool(tar.name);
    if (!/^[^/]+\.(?:tgz|yaml)$/.test(entry.name)) break;
    entry = await tar.next();
  }
  await fileIn(tar, first, { name: LAYOUT_FILE, limit: MAX_MANIFEST_BYTES });
}

async function readFile(tar: TarStream, name: string, limit: number): Promise<Uint8Array> {
  return fileIn(tar, await tar.next(), { name, limit });
}

async function fileIn(
  tar: TarStream,
  entry: StreamEntry | undefined,
  { name, limit }: { name: string; limit: number },
): Promise<Uint8Array> {
  if (entry === undefined) throw damaged(tar.name, `\`${name}\` is not in it`);
  if (entry.name !== name || entry.type !== "0") throw otherOrder(tar, entry, `\`${name}\``);
  if (entry.size > limit) throw damaged(tar.name, `\`${name}\` has ${entry.size} bytes, over ${limit}`);
  return tar.read();
}

async function readManifest(
  tar: TarStream,
  entry: StreamEntry,
  { digest, expected }: { digest: Digest; expected: string },
): Promise<ReadManifest> {
  const bytes = await tar.read();
  try {
    assertDigest(bytes, digest);
  } catch (cause) {
    throw damaged(tar.name, `${expected} is broken`, cause);
  }
  try {
    const manifest = parseManifest(bytes);
    return { manifest, bytes, descriptor: describe(manifest, digest, bytes.length) };
  } catch {
    throw otherOrder(tar, entry, expected);
  }
}

interface ReadManifest extends ManifestBytes {
  manifest: Manifest;
}

/** The manifests read so far, of which a child may come before its parent. */
class Graph {
  /** Wanted, and not there yet. */
  readonly missing = new Set<Digest>();
  readonly manifests = new Map<Digest, ReadManifest>();
  readonly #wanted = new Set<Digest>();

  want(first: Digest): void {
    const wanted = new Set([first]);
    // A set is walked in order of insertion, what is added on the way included.
    for (const digest of wanted) {
      if (this.#wanted.has(digest)) continue;
      this.#wanted.add(digest);
      const found = this.manifests.get(digest);
      if (found === undefined) this.missing.add(digest);
      for (const child of found?.manifest.manifests ?? []) wanted.add(child.digest);
    }
  }

  add(digest: Digest, manifest: ReadManifest): void {
    this.manifests.set(digest, manifest);
    if (!this.missing.delete(digest)) return;
    for (const child of manifest.manifest.manifests) this.want(child.digest);
  }

  /** One that nobody wants. */
  stray(): Digest | undefined {
    return [...this.manifests.keys()].find((digest) => !this.#wanted.has(digest));
  }
}
