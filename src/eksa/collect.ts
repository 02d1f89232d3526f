import { Fault } from "../oci/fault.ts";
import { formatReference, type Reference } from "../oci/reference.ts";
import {
  bundleArtifacts,
  type ManifestArtifact,
  mergeSkipped,
  type Skipped,
  type UnknownComponent,
} from "./artifacts.ts";
import { forEachBounded } from "./bounded.ts";
import { type Bundles, parseBundles } from "./bundles.ts";
import type { YamlFile } from "./documents.ts";
import { eksdArtifacts } from "./eksd.ts";
import { throwAll } from "./failures.ts";
import { type ImageArtifact, mergeImages } from "./images.ts";
import { type PackageController, packageControllers } from "./package-bundle.ts";
import type { ReadDocument } from "./reader.ts";
import type { ReleaseEntry } from "./release.ts";
import { reasonToLeave, type Selection } from "./selection.ts";
import { displayUri, isHttp, schemeOf } from "./uri.ts";
import { BUNDLES_TITLE, type TitledFile } from "./wrap.ts";

/** What may differ in the next run though the Bundles is the same. */
export interface UnpinnedInput {
  /** A tag without a digest, or a YAML file behind a URL. */
  kind: "tag" | "file";
  /** The reference, or the URL without userinfo and query. */
  name: string;
  where: readonly string[];
}

/** The release that a Bundles belongs to, and the Release that is derived from it. */
export interface KnownRelease {
  entry: ReleaseEntry;
  file: TitledFile;
}

/** Everything that an export of a Bundles wants. */
export interface Collection {
  /** The Bundles' own number. */
  number: number;
  /** The EKS Anywhere version that it belongs to, where that is known. */
  version?: string;
  /** Where a Release led to it. */
  release?: KnownRelease;
  /** Images and charts of the Bundles, then the images of its EKS-D releases. */
  images: ImageArtifact[];
  /** `bundle-release.yaml` as published, then every file it points to; equal bytes may be there twice. */
  files: TitledFile[];
  skipped: Skipped[];
  unpinned: UnpinnedInput[];
  /** Where the curated packages of each Kubernetes version are named. */
  packageControllers: PackageController[];
  /** What is wanted and could not be read: told with all else that cannot be found. */
  failures: readonly { reference: Reference; error: unknown }[];
  unknown: UnknownComponent[];
  /** The Kubernetes versions that it is for, in its order. */
  kubernetesVersions: string[];
}

interface Fetched {
  manifest: ManifestArtifact;
  bytes: Uint8Array;
}

const CONCURRENCY = 4;
/** All YAML files together; today's releases come to some 20 MiB. */
const MAX_TOTAL_BYTES = 256 * 1024 * 1024;

/** Fails on a Bundles that is not to be used. */
export type AcceptBundles = (bundles: YamlFile) => void;

/** The same from the files of a Bundles' own artifact, `name`; what could not be had for it is not in it. */
export async function collectWrapped(name: string, files: readonly TitledFile[]): Promise<Collection> {
  const contents = new Map(files.map(({ title, bytes }) => [title, bytes]));
  const bytes = contents.get(BUNDLES_TITLE);
  if (bytes === undefined) {
    throw new Fault(`cannot read ${name}: it holds no \`${BUNDLES_TITLE}\``, {
      hint: "export and import the release again",
    });
  }
  const bundles = { source: `the Bundles of ${name}`, bytes };
  const { manifests } = bundleArtifacts(parseBundles(bundles));
  const titles = new Map(manifests.map(({ uri, title }) => [uri, title]));
  return collectArtifacts(bundles, async (uri) => contents.get(titles.get(uri) ?? ""));
}

/** What a Bundles names by itself, whatever is behind the URIs. */
export function namedIn(bundles: YamlFile): Pick<Collection, "images" | "kubernetesVersions"> {
  const parsed = parseBundles(bundles);
  return { images: bundleArtifacts(parsed).images, kubernetesVersions: versionsOf(parsed) };
}

function versionsOf({ versionsBundles }: Bundles): string[] {
  return [...new Set(versionsBundles.map(({ kubeVersion }) => kubeVersion))];
}

/** The part of a collection that a selection wants; the rest is left out, and its YAML files stay whole. */
export function selectFrom(collection: Collection, selection: Selection): Collection {
  const judged = collection.images.map((image) => ({ image, reason: reasonToLeave(image, selection) }));
  const images = judged.flatMap(({ image, reason }) => (reason === undefined ? image : []));
  const left = judged.flatMap(({ image: { reference, where }, reason }): Skipped[] => {
    return reason === undefined ? [] : [{ uri: formatReference(reference), reason, where }];
  });
  const files = collection.unpinned.filter(({ kind }) => kind === "file");
  return {
    ...collection,
    images,
    skipped: mergeSkipped([...collection.skipped, ...left]),
    unpinned: [...unpinnedTags(images), ...files],
  };
}

/**
 * Reads every document a Bundles points to, each URI once, if `accept` has nothing against that. Fails naming all
 * that cannot be had.
 */
export async function collectArtifacts(
  bundles: YamlFile,
  read: ReadDocument,
  accept?: AcceptBundles,
): Promise<Collection> {
  const parsed = parseBundles(bundles);
  accept?.(bundles);
  const named = bundleArtifacts(parsed);
  const { fetched, unresolved } = await fetchManifests(named.manifests, read);
  const releases = readReleases(fetched);
  const images = mergeImages([...named.images, ...releases.images]);
  return {
    number: parsed.number,
    images,
    files: [
      { title: BUNDLES_TITLE, bytes: bundles.bytes },
      ...fetched.map(({ manifest, bytes }) => ({ title: manifest.title, bytes })),
    ],
    skipped: mergeSkipped([...named.skipped, ...unresolved, ...releases.skipped]),
    unpinned: [...unpinnedTags(images), ...unpinnedFiles(fetched)],
    packageControllers: packageControllers(parsed),
    failures: [],
    unknown: named.unknown,
    kubernetesVersions: versionsOf(parsed),
  };
}

async function fetchManifests(
  manifests: readonly ManifestArtifact[],
  read: ReadDocument,
): Promise<{ fetched: Fetched[]; unresolved: Skipped[] }> {
  const failures: Fault[] = [];
  const contents = new Map<string, Uint8Array | undefined>();
  let total = 0;
  const titles = new Map(manifests.map(({ uri, title }) => [uri, title]));
  await forEachBounded(titles, CONCURRENCY, async ([uri, title]) => {
    try {
      if (total > MAX_TOTAL_BYTES) throw new Fault(`the files before it exceed ${MAX_TOTAL_BYTES} bytes`);
      const bytes = await read(uri, title);
      total += bytes?.length ?? 0;
      contents.set(uri, bytes);
    } catch (cause) {
      failures.push(
        new Fault(`cannot read ${displayUri(uri)}`, {
          cause,
          hint: "check that it is there for this machine; `--mirror HOST=URL` reads a host from elsewhere",
        }),
      );
    }
  });
  throwAll("cannot read what the Bundles points to", failures);
  const fetched: Fetched[] = [];
  const unresolved: Skipped[] = [];
  for (const manifest of manifests) {
    const bytes = contents.get(manifest.uri);
    if (bytes !== undefined) fetched.push({ manifest, bytes });
    else unresolved.push(skip(manifest));
  }
  return { fetched, unresolved };
}

function skip({ kind, uri, where }: ManifestArtifact): Skipped {
  const loss = kind === "eksdRelease" ? ", and the images it names are left out with it" : "";
  return { uri: displayUri(uri), reason: `cannot be resolved${loss}`, where };
}

function readReleases(fetched: readonly Fetched[]): { images: ImageArtifact[]; skipped: Skipped[] } {
  const images: ImageArtifact[] = [];
  const skipped: Skipped[] = [];
  const failures: unknown[] = [];
  for (const { manifest, bytes } of fetched) {
    if (manifest.kind !== "eksdRelease") continue;
    try {
      const release = eksdArtifacts({ source: manifest.title, bytes });
      const { origins } = manifest;
      images.push(...release.images.map((image) => ({ ...image, origins })));
      skipped.push(...release.skipped);
    } catch (error) {
      failures.push(error);
    }
  }
  throwAll("cannot read the EKS-D releases", failures);
  return { images, skipped };
}

function unpinnedTags(images: readonly ImageArtifact[]): UnpinnedInput[] {
  return images
    .filter(({ reference }) => reference.digest === undefined)
    .map(({ reference, where }) => ({ kind: "tag", name: formatReference(reference), where }));
}

function unpinnedFiles(fetched: readonly Fetched[]): UnpinnedInput[] {
  const files = new Map<string, UnpinnedInput>();
  for (const { manifest } of fetched) {
    if (!isHttp(manifest.uri) && schemeOf(manifest.uri) !== "oci") continue;
    const where = [...(files.get(manifest.uri)?.where ?? []), ...manifest.where];
    files.set(manifest.uri, { kind: "file", name: displayUri(manifest.uri), where });
  }
  return [...files.values()];
}
