import { Fault } from "../oci/fault.ts";
import type { Source } from "../oci/plan.ts";
import { formatReference, type Reference } from "../oci/reference.ts";
import { forEachBounded } from "./bounded.ts";
import type { UnpinnedInput } from "./collect.ts";
import { MAX_DOCUMENT_BYTES } from "./documents.ts";
import { type ImageArtifact, mergeImages } from "./images.ts";
import { layerOf, readLayer } from "./layer.ts";
import { type PackageBundle, type PackageController, parsePackageBundle, stageOf } from "./package-bundle.ts";
import { namePackageImages } from "./package-images.ts";

/** The curated packages of some Kubernetes versions. */
export interface Packages {
  /** Package bundles, charts and images, each name once. */
  images: ImageArtifact[];
  unpinned: UnpinnedInput[];
  /** Package bundles that cannot be had. */
  failures: { reference: Reference; error: unknown }[];
}

export interface PackagesOptions {
  source: Source;
  /** A chart's own `values.yaml`, where it has one, out of the archive that a chart is. */
  valuesOf: (chart: Uint8Array, name: string) => Promise<Uint8Array | undefined>;
  /** Package bundles, by `HOST/REPOSITORY:TAG`, that are named and not read. */
  excluded: ReadonlySet<string>;
  /** What the Bundles itself names: no package takes a name from it. */
  others: readonly ImageArtifact[];
  /** Told what may be missed though nothing failed. */
  warn: (text: string) => void;
}

/** A package bundle that has been read. */
interface ReadBundle extends PackageBundle {
  /** The tag that moves, pinned to what it is now. */
  artifact: ImageArtifact;
}

const CONCURRENCY = 4;

/** Reads the package bundle of each Kubernetes version, and names all that it consists of. */
export async function collectPackages(
  controllers: readonly PackageController[],
  options: PackagesOptions,
): Promise<Packages> {
  const known = controllers.flatMap(({ kubeVersion, bundle }): ImageArtifact[] => {
    const where = [`the curated packages of Kubernetes ${kubeVersion}`];
    return bundle === undefined ? [] : [{ kind: "manifest", reference: bundle, where }];
  });
  const isExcluded = ({ reference }: ImageArtifact) => options.excluded.has(formatReference(reference));
  const wanted = known.filter((artifact) => !isExcluded(artifact));
  const { bundles, failures } = await readBundles(wanted, options.source);
  const charts = mergeImages(bundles.flatMap((bundle) => bundle.charts));
  const named = [...known.filter(isExcluded), ...bundles.flatMap(namesOf), ...charts];
  const { images, unpinned } = await namePackageImages(bundles, { ...options, charts, named });
  const moving = bundles.map(({ artifact: { reference, where } }): UnpinnedInput => {
    return { kind: "tag", name: formatReference(reference), where };
  });
  return { images: mergeImages([...named, ...images]), unpinned: [...moving, ...unpinned], failures };
}

async function readBundles(
  artifacts: readonly ImageArtifact[],
  source: Source,
): Promise<{ bundles: ReadBundle[]; failures: Packages["failures"] }> {
  const bundles: ReadBundle[] = [];
  const failures: Packages["failures"] = [];
  await forEachBounded(artifacts.entries(), CONCURRENCY, async ([index, artifact]) => {
    try {
      bundles[index] = await readBundle(artifact, source);
    } catch (error) {
      failures[index] = { reference: artifact.reference, error };
    }
  });
  // In the order of the artifacts; `flat` drops empty places.
  return { bundles: bundles.flat(), failures: failures.flat() };
}

/** The document is the first layer. Source: eks-anywhere-packages, `PullBytes` in pkg/registry/pull.go. */
async function readBundle(artifact: ImageArtifact, source: Source): Promise<ReadBundle> {
  const { reference } = artifact;
  const name = formatReference(reference);
  const manifest = await source.manifest(reference);
  const layer = layerOf(manifest);
  const bytes = await readLayer(source, reference, { layer, limit: MAX_DOCUMENT_BYTES });
  const bundle = parsePackageBundle({ source: name, bytes }, stageOf(reference));
  // A cluster does not activate the bundle of another version: packagebundlecontroller_webhook.go.
  if (!bundle.name.startsWith((reference.tag ?? "").replace(/latest$/, ""))) {
    throw new Fault(`cannot use ${name}: it is ${bundle.name}, of another Kubernetes version`, {
      hint: "report it to the publisher",
    });
  }
  const pinned = { ...reference, digest: manifest.descriptor.digest };
  return { ...bundle, artifact: { ...artifact, reference: pinned } };
}

/** Also by its own name: a cluster asks for that once the bundle is active there, and it keeps what was replaced. */
function namesOf({ artifact, name }: ReadBundle): ImageArtifact[] {
  return [artifact, { ...artifact, reference: { ...artifact.reference, tag: name } }];
}
