import type { Digest } from "../oci/digest.ts";
import type { Node, Plan, Root } from "../oci/plan.ts";
import type { RepositoryName } from "../oci/reference.ts";
import { assertDigest } from "../oci/verified.ts";

/** A plan as JSON: sets as lists, bytes in base64. */
export interface SavedPlan {
  roots: readonly Root[];
  nodes: SavedNode[];
}

type SavedNode = Omit<Node, "repositories" | "bytes"> & { repositories: RepositoryName[]; bytes?: string };

export function savePlan({ roots, nodes }: Plan): SavedPlan {
  const saved = [...nodes.values()].map(({ repositories, bytes, ...node }) => ({
    ...node,
    repositories: [...repositories],
    ...(bytes === undefined ? {} : { bytes: Buffer.from(bytes).toString("base64") }),
  }));
  return { roots, nodes: saved };
}

/** The same plan. Fails when content that is known does not hash to its digest. */
export function loadPlan({ roots, nodes }: SavedPlan): Plan {
  const loaded = new Map<Digest, Node>();
  for (const { repositories, bytes, ...node } of nodes) {
    const content = bytes === undefined ? undefined : Buffer.from(bytes, "base64");
    if (content !== undefined) assertDigest(content, node.descriptor.digest);
    loaded.set(node.descriptor.digest, {
      ...node,
      repositories: new Set(repositories),
      ...(content === undefined ? {} : { bytes: content }),
    });
  }
  return { roots, nodes: loaded };
}
