import type { Descriptor } from "../oci/descriptor.ts";
import { isImageConfigType, isIndexType } from "../oci/descriptor.ts";
import type { Digest } from "../oci/digest.ts";
import { Fault } from "../oci/fault.ts";
import { type Manifest, type ManifestBytes, parseConfigPlatform, parseManifest } from "../oci/manifest.ts";
import type { Plan, Root, Source } from "../oci/plan.ts";
import { formatReference, type Reference } from "../oci/reference.ts";
import { verified } from "../oci/verified.ts";
import { buildPlan, type KnownManifest } from "./plan.ts";
import { forEachBounded } from "./pool.ts";

export interface ResolveOptions {
  /** Requests in flight. */
  jobs: number;
  /** Told of every root that is found, with all below it. */
  onResolved?: (reference: Reference) => void;
  /** Roots that stay without a name, by digest in their repositories. Default: none. */
  nameless?: readonly Reference[];
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
/** Of all manifests of a run together, which are held in memory: those of a release are some megabytes. */
const MAX_GRAPH_BYTES = 256 * 1024 * 1024;

/**
 * Reads every manifest below the references, each once, and makes one plan of them. The plan depends on
 * the content alone, not on the order in which answers come. Its roots are in the order of `references`,
 * and after them that of `nameless`.
 */
export async function resolve(
  source: Source,
  references: readonly Reference[],
  { jobs, onResolved, nameless = [] }: ResolveOptions,
): Promise<Resolution> {
  const graph = new Graph(source);
  const wanted = [...references.map(named), ...nameless.map(unnamed)];
  const { roots, failures } = await readRoots(graph, wanted, { jobs, onResolved });
  const told = roots.map((root) => {
    const original = root.nameless ? undefined : source.original?.(root.reference);
    return original === undefined ? root : { ...root, original };
  });
  return { plan: buildPlan(told, graph.known), failures };
}

/** A root that is not read yet. */
export type Wanted = Omit<Root, "descriptor">;

export function named(reference: Reference): Wanted {
  return { reference };
}

function unnamed(reference: Reference): Wanted {
  return { reference, nameless: true };
}

/** Reads roots and all below them into the graph; both results are in the order of `wanted`. */
export async function readRoots(
  graph: Graph,
  wanted: readonly Wanted[],
  {
    jobs,
    onResolved,
  }: Pick<ResolveOptions, "jobs"> & { onResolved?: ResolveOptions["onResolved"] | undefined },
): Promise<{ roots: Root[]; failures: Resolution["failures"] }> {
  const roots = new Map<Wanted, Root>();
  const failures = new Map<Wanted, Resolution["failures"][number]>();
  await forEachBounded(wanted, jobs, async (root) => {
    const { reference } = root;
    try {
      roots.set(root, { ...root, descriptor: await graph.root(reference) });
      onResolved?.(reference);
    } catch (error) {
      failures.set(root, { reference, error });
    }
  });
  return {
    roots: wanted.flatMap((root) => roots.get(root) ?? []),
    failures: wanted.flatMap((root) => failures.get(root) ?? []),
  };
}

/** Manifests read so far. A digest under way is awaited, never asked for twice. */
export class Graph {
  readonly known = new Map<Digest, KnownManifest>();
  readonly #source: Source;
  readonly #pending = new Map<Digest, Promise<void>>();
  readonly #limit: number;
  #held = 0;

  /** `limit`: bytes of manifests that are held at most. */
  constructor(source: Source, limit = MAX_GRAPH_BYTES) {
    this.#source = source;
    this.#limit = limit;
  }

  async root(reference: Reference): Promise<Descriptor> {
    const found = await this.#read(reference);
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

  async #read(reference: Reference): Promise<ManifestBytes> {
    const found = await this.#source.manifest(reference);
    this.#held += found.bytes.length;
    if (this.#held <= this.#limit) return found;
    throw new Fault(`cannot hold more than ${this.#limit} bytes of manifests`, {
      hint: "no release has so many: look for an index that names thousands, and leave it out with `--exclude REFERENCE`",
    });
  }

  async #below(reference: Reference, found: ManifestBytes, depth: number): Promise<void> {
    const { descriptor, bytes } = found;
    if (this.known.has(descriptor.digest)) return;
    if (depth > MAX_DEPTH) throw new Fault(`cannot follow indexes nested more than ${MAX_DEPTH} deep`);
    const manifest = parseManifest(bytes);
    for (const child of manifest.manifests) await this.#child(reference, child, depth + 1);
    this.known.set(descriptor.digest, { descriptor, bytes, manifest });
  }

  async #child(parent: Reference, child: Descriptor, depth: number): Promise<void> {
    const { digest, size } = child;
    await this.#once(digest, async () => {
      const reference: Reference = { registry: parent.registry, repository: parent.repository, digest };
      await this.#below(reference, await this.#read(reference), depth);
    });
    const found = this.known.get(digest)?.descriptor.size;
    if (found === size) return;
    throw new Fault(`cannot trust ${digest}: an index gives it ${size} bytes, and it has ${found}`, {
      kind: "mismatch",
    });
  }

  /** Where another root's attempt fails, this one's may succeed, e.g. in a repository that may be read. */
  async #once(digest: Digest, work: () => Promise<void>): Promise<void> {
    for (let other = this.#pending.get(digest); other !== undefined; other = this.#pending.get(digest)) {
      if (await other.then(succeeded, failed)) return;
    }
    const own = work().catch((error: unknown) => {
      this.#pending.delete(digest);
      throw error;
    });
    this.#pending.set(digest, own);
    await own;
  }

  async #config(reference: Reference, { config }: Manifest): Promise<Uint8Array | undefined> {
    if (config === undefined || !isImageConfigType(config.mediaType)) return;
    // It comes only after all manifests, or it is elsewhere.
    if (this.#source.isOnePass || this.#source.mayLackBlobs) return;
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
    try {
      const chunks = await Array.fromAsync(verified(await this.#source.open(node), config));
      return Buffer.concat(chunks);
    } catch (cause) {
      throw new Fault(`cannot read the config of ${formatReference(reference)}`, { cause });
    }
  }
}

const succeeded = () => true;
const failed = () => false;
