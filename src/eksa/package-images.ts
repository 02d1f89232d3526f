import type { Digest } from "../oci/digest.ts";
import type { Source } from "../oci/plan.ts";
import { formatReference, parseReference, type Reference } from "../oci/reference.ts";
import { forEachBounded } from "./bounded.ts";
import { tagsInValues } from "./chart-values.ts";
import type { UnpinnedInput } from "./collect.ts";
import { type ImageArtifact, mergeImages } from "./images.ts";
import { layerOf, readLayer } from "./layer.ts";
import type { PackageBundle } from "./package-bundle.ts";
import type { PackagesOptions } from "./packages.ts";

interface Naming extends Omit<PackagesOptions, "excluded"> {
  charts: readonly ImageArtifact[];
  /** Package bundles and charts. */
  named: readonly ImageArtifact[];
}

interface PackageImage {
  artifact: ImageArtifact;
  digest: Digest;
  /** `HOST/PATH` before the repository of each chart. */
  home: string;
  tags: readonly string[];
}

interface Named {
  images: ImageArtifact[];
  unpinned: UnpinnedInput[];
}

const CONCURRENCY = 4;
const CHART_LAYER = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";
/** Charts have some kilobytes; those of today's packages at most some hundred. */
const MAX_CHART_BYTES = 16 * 1024 * 1024;
/**
 * The package controller's own parts. Its charts take them from the charts' registry, by tag. Sources:
 * eks-anywhere-packages, charts/eks-anywhere-packages/templates; eks-anywhere, `publicPackages` in copypackages.go.
 */
const PUBLIC_IMAGES: ReadonlySet<string> = new Set([
  "eks-anywhere-packages",
  "ecr-token-refresher",
  "credential-provider-package",
]);

/**
 * The names under which charts look for the images of package bundles: the tags that their values have beside
 * a digest; where no chart has one, the digest alone.
 */
export async function namePackageImages(bundles: readonly PackageBundle[], naming: Naming): Promise<Named> {
  const images = imagesOf(bundles, await readTags(naming));
  const taken = digestsByName([...naming.others, ...naming.named], images);
  const named: Named[] = [];
  await forEachBounded(images.entries(), CONCURRENCY, async ([index, image]) => {
    const tags = image.tags.filter((tag) => {
      const name = nameAtHome(image, tag);
      if (taken.get(name)?.size === 1) return true;
      naming.warn(`${name} is another image's name as well: ${nameOf(image)} gets no tag`);
      return false;
    });
    named[index] = await nameImage({ ...image, tags }, naming.source);
  });
  return {
    images: named.flatMap((one) => one.images),
    unpinned: named.flatMap((one) => one.unpinned),
  };
}

/** Digest → tags, out of the values of all charts that can be had. */
async function readTags({ charts, source, valuesOf, warn }: Naming): Promise<Map<Digest, Set<string>>> {
  const found: Map<Digest, Set<string>>[] = [];
  await forEachBounded(charts.entries(), CONCURRENCY, async ([index, { reference }]) => {
    const manifest = await source.manifest(reference).catch(() => undefined);
    // It is told with all that cannot be found.
    if (manifest === undefined) return;
    const name = formatReference(reference);
    try {
      const layer = layerOf(manifest, CHART_LAYER);
      const chart = await readLayer(source, reference, { layer, limit: MAX_CHART_BYTES });
      const values = await valuesOf(chart, name);
      if (values !== undefined)
        found[index] = tagsInValues({ source: `the values of ${name}`, bytes: values });
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      warn(`the images of ${name} get the tags that other charts have for them, if any: ${why}`);
    }
  });
  const tags = new Map<Digest, Set<string>>();
  for (const [digest, each] of found.flatMap((one) => [...(one ?? [])])) {
    tags.set(digest, (tags.get(digest) ?? new Set()).union(each));
  }
  return tags;
}

/** Each image once. */
function imagesOf(
  bundles: readonly PackageBundle[],
  tags: ReadonlyMap<Digest, ReadonlySet<string>>,
): PackageImage[] {
  const homes = new Map<string, string>();
  for (const { home, images } of bundles) {
    for (const { reference } of images) homes.set(formatReference(reference), home);
  }
  return mergeImages(bundles.flatMap(({ images }) => images)).flatMap((artifact) => {
    const { digest } = artifact.reference;
    const home = homes.get(formatReference(artifact.reference));
    if (digest === undefined || home === undefined) return [];
    return { artifact, digest, home, tags: [...(tags.get(digest) ?? [])] };
  });
}

/** Images and charts meet in the repositories of the charts: there a tag stands for one of them alone. */
function digestsByName(
  others: readonly ImageArtifact[],
  images: readonly PackageImage[],
): Map<string, Set<Digest | undefined>> {
  const digests = new Map<string, Set<Digest | undefined>>();
  const add = (name: string, digest: Digest | undefined) => {
    digests.set(name, (digests.get(name) ?? new Set()).add(digest));
  };
  for (const { reference } of others) add(formatReference(reference), reference.digest);
  for (const image of images) {
    for (const tag of image.tags) add(nameAtHome(image, tag), image.digest);
  }
  return digests;
}

async function nameImage(image: PackageImage, source: Source): Promise<Named> {
  const { artifact, digest, tags } = image;
  const isPublic = PUBLIC_IMAGES.has(artifact.reference.repository);
  const own = { images: withTags(artifact, { ...artifact.reference, digest }, tags), unpinned: [] };
  return (isPublic ? await nameInPublic(image, source) : undefined) ?? own;
}

/**
 * As a connected cluster has it: the very image in the charts' registry, else what has its tags there, where
 * it was not published under the same digest. Undefined where there is neither.
 */
async function nameInPublic(
  { artifact, digest, home, tags }: PackageImage,
  source: Source,
): Promise<Named | undefined> {
  const exact = { ...parseReference(`${home}/${artifact.reference.repository}@${digest}`), digest };
  if ((await digestThere(source, exact)) !== undefined) {
    return { images: withTags(artifact, exact, tags), unpinned: [] };
  }
  const images: ImageArtifact[] = [];
  for (const tag of tags) {
    const { digest: _, ...place } = exact;
    const found = await digestThere(source, { ...place, tag });
    if (found === undefined) return;
    images.push({ ...artifact, reference: { ...place, tag, digest: found } });
  }
  if (images.length === 0) return;
  const unpinned = images.map(({ reference, where }): UnpinnedInput => {
    return { kind: "tag", name: formatReference(reference), where };
  });
  return { images, unpinned };
}

/** Whatever the reason why it cannot be read there: elsewhere it may be. */
async function digestThere(source: Source, reference: Reference): Promise<Digest | undefined> {
  const found = await source.manifest(reference).catch(() => undefined);
  return found?.descriptor.digest;
}

function withTags(artifact: ImageArtifact, reference: Reference, tags: readonly string[]): ImageArtifact[] {
  if (tags.length === 0) return [{ ...artifact, reference }];
  return tags.map((tag) => ({ ...artifact, reference: { ...reference, tag } }));
}

function nameAtHome({ artifact, home }: PackageImage, tag: string): string {
  return `${home}/${artifact.reference.repository}:${tag}`;
}

function nameOf({ artifact }: PackageImage): string {
  return formatReference(artifact.reference);
}
