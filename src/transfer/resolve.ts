import type { Descriptor } from "../oci/descriptor.ts";
import { isImageConfigType, isIndexType } from "../oci/descriptor.ts";
import type { Digest } from "../oci/digest.ts";
import { Fault } from "../oci/fault.ts";
import { type Manifest, type ManifestBytes, parseConfigPlatform, parseManifest } from "../oci/manifest.ts";
import type { Plan, Root, Source } from "../oci/plan.ts";
import type { Reference } from "../oci/reference.ts";
import { verified } from "../oci/verified.ts";
import { buildPlan, type KnownManifest } from "./plan.ts";
import { forEachBounded } from "./pool.ts";

export interface ResolveOptions {
  /** Requests in flight. */
  jobs: number;
  /** Told of every root that is found, with all below it. */
  onResolved?: (reference: Reference) => void;
}

export interface Resolution {
  plan: Plan;
  /** Roots that are not in the plan, and why. */
  failures: { reference: Reference; error: unknown }[];
}

/** An image config is some kilobytes; what is larger is not read to learn a platform. */
const MAX_CONFIG_BYTES = 4 * 1024 * 1024;
/** An index in an index in an index is legal; a deeper one is an attack or a mistake. */
const MAX_DEPTH = 8;

/**
 * Reads every manifest below the references, each once, and makes one plan of them. The plan depends on
 * the content alone, not on the order in which answers come. Its roots are in the order of `references`.
 */
export async function resolve(
  source: Source,
  references: readonly Reference[],
  { jobs, onResolved }: ResolveOptions,
): Promise<Resolution> {
  const graph = new Graph(source);
  const roots = new Map<Reference, Root>();
  const failures = new Map<Reference, unknown>();
  await forEachBounded(references, jobs, async (reference) => {
    try {
      const descriptor = await graph.root(reference);
      roots.set(reference, { reference, descriptor });
      onResolved?.(reference);
    } catch (error) {
      failures.set(reference, error);
    }
  });
  const inOrder = references.flatMap((reference) => roots.get(reference) ?? []);
  return {
    plan: buildPlan(inOrder, graph.known),
    failures: references.flatMap((reference) =>
      failures.has(reference) ? [{ reference, error: failures.get(reference) }] : [],
    ),
  };
}

/** Manifests read so far. A digest under way is awaited, never asked for twice. */
class Graph {
  readonly known = new Map<Digest, KnownManifest>();
  readonly #source: Source;
  readonly #pending = new Map<Digest, Promise<void>>();

  constructor(source: Source) {
    this.#source = source;
  }

  async root(reference: Reference): Promise<Descriptor> {
    const found = await this.#source.manifest(reference);
    const manifest = parseManifest(found.bytes);
    if (isIndexType(manifest.mediaType)) {
      await this.#below(reference, found, 0);
      return found.descriptor;
    }
    // A bare image says what it runs on only in its config.
    const config = await this.#config(reference, manifest);
    const platform = config && parseConfigPlatform(config);
    const descriptor = platform === undefined ? found.descriptor : { ...found.descriptor, platform };
    this.known.set(descriptor.digest, {
      descriptor,
      bytes: found.bytes,
      manifest,
      ...(config === undefined ? {} : { config }),
    });
    return found.descriptor;
  }

  async #below(reference: Reference, found: ManifestBytes, depth: number): Promise<void> {
    const { descriptor, bytes } = found;
    if (this.known.has(descriptor.digest)) return;
    if (depth > MAX_DEPTH) throw new Fault(`cannot follow indexes nested more than ${MAX_DEPTH} deep`);
    const manifest = parseManifest(bytes);
    for (const child of manifest.manifests) await this.#child(reference, child, depth + 1);
    this.known.set(descriptor.digest, { descriptor, bytes, manifest });
  }

  #child(parent: Reference, { digest, platform }: Descriptor, depth: number): Promise<void> {
    const started = this.#pending.get(digest);
    if (started !== undefined) return started;
    const { registry, repository } = parent;
    const reference: Reference = { registry, repository, digest };
    const promise = this.#source.manifest(reference).then((found) => {
      const descriptor = platform === undefined ? found.descriptor : { ...found.descriptor, platform };
      return this.#below(reference, { ...found, descriptor }, depth);
    });
    this.#pending.set(digest, promise);
    // Another root may succeed where this one failed, e.g. in a repository that may be read.
    promise.catch(() => this.#pending.delete(digest));
    return promise;
  }

  async #config(reference: Reference, { config }: Manifest): Promise<Uint8Array | undefined> {
    if (config === undefined || !isImageConfigType(config.mediaType)) return;
    if (config.size > MAX_CONFIG_BYTES) {
      throw new Fault(`cannot read an image config of ${config.size} bytes`);
    }
    const repository = `${reference.registry}/${reference.repository}` as const;
    const node = {
      descriptor: config,
      kind: "blob",
      children: [],
      repositories: new Set([repository]),
    } as const;
    const chunks = await Array.fromAsync(verified(await this.#source.open(node), config));
    return Buffer.concat(chunks);
  }
}
