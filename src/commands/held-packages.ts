import { MAX_DOCUMENT_BYTES } from "../eksa/documents.ts";
import { layerOf, readLayer } from "../eksa/layer.ts";
import { isPackageBundle, kubeVersionOf, parsePackageBundle, stageOf } from "../eksa/package-bundle.ts";
import type { Origin } from "../eksa/selection.ts";
import type { Digest } from "../oci/digest.ts";
import { causes, Fault } from "../oci/fault.ts";
import type { Plan, Root, Source } from "../oci/plan.ts";
import { formatReference } from "../oci/reference.ts";

/** For which Kubernetes versions the curated packages of archives are; by digest, the package bundles among them. */
export type PackageOrigins = ReadonlyMap<Digest, readonly Origin[]>;

/**
 * What the package bundles of a plan name, each for its Kubernetes version. None of it where one of them cannot be
 * read, since that may name anything; `warn` is told then.
 */
export async function packagesIn(
  plan: Plan,
  source: Source,
  warn: (text: string) => void,
): Promise<PackageOrigins> {
  const bundles = new Map<Digest, Root>();
  for (const root of plan.roots) {
    if (!root.nameless && isPackageBundle(root.reference)) bundles.set(root.descriptor.digest, root);
  }
  const origins = new Map<Digest, Origin[]>();
  try {
    for (const [digest, bundle] of bundles) {
      const { kubeVersion, digests } = await readBundle(plan, bundle, source);
      const origin: Origin = { kubeVersion, isFirst: false, keys: ["packageController"] };
      for (const each of [digest, ...digests]) origins.set(each, [...(origins.get(each) ?? []), origin]);
    }
    return origins;
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    const facts = causes(error).flatMap((link) => (link instanceof Error ? link.message : []));
    warn(`the curated packages of every Kubernetes version are taken: ${facts.join(": ")}`);
    return new Map();
  }
}

/** The digests of all that it names, as it names them: a root that was pruned has that as its original. */
async function readBundle(
  { nodes }: Plan,
  { reference, descriptor }: Root,
  source: Source,
): Promise<{ kubeVersion: string; digests: ReadonlySet<Digest> }> {
  const name = formatReference(reference);
  if (source.isOnePass) {
    throw new Fault(`cannot read ${name}`, {
      cause: new Error("an archive that comes by once has it too late"),
    });
  }
  const bytes = nodes.get(descriptor.digest)?.bytes ?? new Uint8Array();
  const layer = layerOf({ descriptor, bytes });
  const document = await readLayer(source, reference, { layer, limit: MAX_DOCUMENT_BYTES });
  const bundle = parsePackageBundle({ source: name, bytes: document }, stageOf(reference));
  const named = [...bundle.charts, ...bundle.images];
  return {
    kubeVersion: kubeVersionOf(bundle.name),
    digests: new Set(named.flatMap((each) => each.reference.digest ?? [])),
  };
}
