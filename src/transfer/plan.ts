import type { Descriptor } from "../oci/descriptor.ts";
import type { Digest } from "../oci/digest.ts";
import { Fault } from "../oci/fault.ts";
import { childrenOf, type Manifest } from "../oci/manifest.ts";
import type { Node, Plan, Root, Source } from "../oci/plan.ts";
import { formatReference, type Reference, type RepositoryName, repositoryName } from "../oci/reference.ts";

/** A manifest with everything that is known of it. */
export interface KnownManifest {
  descriptor: Descriptor;
  bytes: Uint8Array;
  manifest: Manifest;
  /** The config blob, where it had to be read. */
  config?: Uint8Array;
}

type Draft = Omit<Node, "repositories"> & { repositories: Set<RepositoryName> };

/** Everything the roots need, children before parents. Fails when two descriptors contradict each other. */
export function buildPlan(roots: readonly Root[], known: ReadonlyMap<Digest, KnownManifest>): Plan {
  const nodes = new Map<Digest, Draft>();
  for (const root of roots) visit(root.descriptor, repositoryName(root.reference), { nodes, known });
  return { roots, nodes };
}

/** One plan of several: roots one after the other, each digest once. */
export function joinPlans(plans: readonly Plan[]): Plan {
  const nodes = new Map<Digest, Draft>();
  for (const plan of plans) {
    for (const [digest, node] of plan.nodes) {
      const draft = nodes.get(digest);
      if (draft === undefined) nodes.set(digest, { ...node, repositories: new Set(node.repositories) });
      else for (const repository of node.repositories) draft.repositories.add(repository);
    }
  }
  return { roots: plans.flatMap((plan) => plan.roots), nodes };
}

/** The same content under other names: what an import sends is what the archive holds, renamed. */
export function renamePlan(plan: Plan, rename: (root: Root) => Reference): Plan {
  const roots = plan.roots.map((root) => ({ ...root, reference: rename(root) }));
  const nodes = new Map<Digest, Draft>();
  for (const [digest, node] of plan.nodes) nodes.set(digest, { ...node, repositories: new Set() });
  for (const root of roots) spread(nodes, root.descriptor.digest, repositoryName(root.reference));
  return { roots, nodes };
}

/** Gives the content of a plan to whoever asks for it under the names of a renamed one. */
export function underOwnNames(source: Source, { nodes }: Plan): Source {
  return {
    manifest: (reference) => source.manifest(reference),
    open: (node, from) => source.open(nodes.get(node.descriptor.digest) ?? node, from),
  };
}

/** Some roots of a plan, and everything that these need. */
export function partialPlan(plan: Plan, roots: readonly Root[]): Plan {
  const wanted = closureOf(plan, roots);
  const nodes = new Map([...plan.nodes].filter(([digest]) => wanted.has(digest)));
  return renamePlan({ roots, nodes }, ({ reference }) => reference);
}

/** The digests of roots, and of all below them. */
export function closureOf({ nodes }: Plan, roots: readonly Root[]): Set<Digest> {
  const closure = new Set(roots.map(({ descriptor }) => descriptor.digest));
  // A set is walked in order of insertion, what is added on the way included.
  for (const digest of closure) for (const child of nodes.get(digest)?.children ?? []) closure.add(child);
  return closure;
}

/** Bytes of all nodes together. */
export function planBytes(plan: Plan): number {
  let bytes = 0;
  for (const node of plan.nodes.values()) bytes += node.descriptor.size;
  return bytes;
}

/** Bytes of everything below a root, itself and what it shares with others included. */
export function closureBytes(plan: Plan, root: Root): number {
  let bytes = 0;
  for (const digest of closureOf(plan, [root])) bytes += plan.nodes.get(digest)?.descriptor.size ?? 0;
  return bytes;
}

/** Fails when two roots give one name to different content, naming it. */
export function assertOneDigestAName(roots: readonly Root[]): void {
  const taken = new Map<string, Digest>();
  for (const { reference, descriptor } of roots) {
    const name = formatReference(reference);
    const other = taken.get(name);
    if (other !== undefined && other !== descriptor.digest) {
      throw new Fault(`cannot give the name ${name} to two contents: ${other} and ${descriptor.digest}`, {
        hint: "leave one of them out knowingly with `--exclude REFERENCE`",
      });
    }
    taken.set(name, descriptor.digest);
  }
}

interface Growing {
  nodes: Map<Digest, Draft>;
  known: ReadonlyMap<Digest, KnownManifest>;
}

function visit(descriptor: Descriptor, repository: RepositoryName, growing: Growing): void {
  const { nodes, known } = growing;
  const seen = nodes.get(descriptor.digest);
  if (seen !== undefined) {
    if (seen.descriptor.size !== descriptor.size) {
      const sizes = `one manifest gives it ${seen.descriptor.size} bytes, another ${descriptor.size}`;
      throw new Fault(`cannot trust ${descriptor.digest}: ${sizes}`, {
        hint: "have what is wrong published anew, or leave it out of the export with `--exclude REFERENCE`",
        kind: "mismatch",
      });
    }
    spread(nodes, descriptor.digest, repository);
    return;
  }
  const manifest = known.get(descriptor.digest);
  if (manifest === undefined) {
    nodes.set(descriptor.digest, {
      descriptor,
      kind: "blob",
      children: [],
      repositories: new Set([repository]),
    });
    return;
  }
  const { subject } = manifest.manifest;
  const children = childrenOf(manifest.manifest);
  for (const child of children) visit(child, repository, growing);
  const config = manifest.manifest.config && nodes.get(manifest.manifest.config.digest);
  if (config !== undefined && manifest.config !== undefined) config.bytes = manifest.config;
  // What the first index that lists it says, whichever answer came first.
  const platform = descriptor.platform ?? manifest.descriptor.platform;
  nodes.set(descriptor.digest, {
    descriptor: { ...manifest.descriptor, ...(platform && { platform }) },
    kind: "manifest",
    children: [...new Set(children.map((child) => child.digest))],
    ...(subject === undefined ? {} : { subject: subject.digest }),
    repositories: new Set([repository]),
    bytes: manifest.bytes,
  });
}

/** Adds a repository to a node and all below it; what has it already has it all the way down. */
function spread(nodes: Map<Digest, Draft>, digest: Digest, repository: RepositoryName): void {
  const node = nodes.get(digest);
  if (node === undefined || node.repositories.has(repository)) return;
  node.repositories.add(repository);
  for (const child of node.children) spread(nodes, child, repository);
}
