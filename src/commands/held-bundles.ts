import { type Collection, collectWrapped } from "../eksa/collect.ts";
import { BUNDLES_ARTIFACT_TYPE, TITLE_ANNOTATION } from "../eksa/wrap.ts";
import type { Digest } from "../oci/digest.ts";
import { Fault } from "../oci/fault.ts";
import { parseManifest } from "../oci/manifest.ts";
import type { Node, Plan, Root, Source } from "../oci/plan.ts";
import { formatReference } from "../oci/reference.ts";
import { verified } from "../oci/verified.ts";

/** The Bundles that archives hold, read in full. */
export interface HeldBundles {
  bundles: Collection[];
  /** The plan that they are in, with the bytes of their files, which a pipe gives out only once. */
  plan: Plan;
}

/** All YAML files together; today's releases come to some 20 MiB. */
const MAX_TOTAL_BYTES = 256 * 1024 * 1024;

/** Reads every Bundles of a plan, with all it points to. */
export async function bundlesIn(plan: Plan, source: Source): Promise<HeldBundles> {
  const roots = new Map<Digest, Root>();
  for (const root of plan.roots) {
    if (isBundles(plan, root)) roots.set(root.descriptor.digest, root);
  }
  const filled = { ...plan, nodes: await withFiles(plan, [...roots.values()], source) };
  const bundles: Collection[] = [];
  for (const { reference, descriptor } of roots.values()) {
    bundles.push(await collectWrapped(formatReference(reference), filesOf(filled, descriptor.digest)));
  }
  return { bundles, plan: filled };
}

function isBundles({ nodes }: Plan, { descriptor, nameless }: Root): boolean {
  return !nameless && nodes.get(descriptor.digest)?.descriptor.artifactType === BUNDLES_ARTIFACT_TYPE;
}

async function withFiles(plan: Plan, roots: readonly Root[], source: Source): Promise<Plan["nodes"]> {
  const wanted = new Set(
    roots.flatMap(({ descriptor }) => plan.nodes.get(descriptor.digest)?.children ?? []),
  );
  const blobs = [...plan.nodes.values()].filter(({ kind }) => kind === "blob");
  const files = blobs.filter(({ descriptor }) => wanted.has(descriptor.digest));
  const bytes = files.reduce((sum, { descriptor }) => sum + descriptor.size, 0);
  if (bytes > MAX_TOTAL_BYTES) {
    throw new Fault(`cannot read the Bundles in the archive: its files exceed ${MAX_TOTAL_BYTES} bytes`, {
      hint: "no release has so many: see what it was exported from, and export it anew",
    });
  }
  // Of what comes by once, nothing may have to wait for what is before it.
  if (source.isOnePass && files.some((file, index) => file !== blobs[index])) {
    throw new Fault("cannot select from an archive as it comes: its Bundles is not at its start", {
      hint: "save it as a plain tar in a file, and import that",
    });
  }
  const nodes = new Map(plan.nodes);
  for (const node of files) nodes.set(node.descriptor.digest, { ...node, bytes: await read(node, source) });
  return nodes;
}

async function read(node: Node, source: Source): Promise<Uint8Array> {
  try {
    return Buffer.concat(await Array.fromAsync(verified(await source.open(node), node.descriptor)));
  } catch (cause) {
    throw new Fault("cannot read the Bundles in the archive", {
      cause,
      hint: "copy the archive again, or export it anew",
    });
  } finally {
    source.settle?.(node);
  }
}

function filesOf({ nodes }: Plan, digest: Digest): { title: string; bytes: Uint8Array }[] {
  const manifest = nodes.get(digest)?.bytes;
  const layers = manifest === undefined ? [] : parseManifest(manifest).layers;
  return layers.flatMap(({ digest, annotations }) => {
    const bytes = nodes.get(digest)?.bytes;
    return bytes === undefined ? [] : { title: annotations?.[TITLE_ANNOTATION] ?? "", bytes };
  });
}
