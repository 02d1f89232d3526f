import { type Descriptor, MEDIA_TYPE } from "../oci/descriptor.ts";
import { type Digest, digestOf } from "../oci/digest.ts";
import { Fault } from "../oci/fault.ts";
import { describe, type ManifestBytes, parseManifest } from "../oci/manifest.ts";
import type { Node, Plan, Root } from "../oci/plan.ts";
import { compareBytewise, formatReference, type RepositoryName, repositoryName } from "../oci/reference.ts";
import { assertTitles } from "./titles.ts";
import { tagOfVersion } from "./version.ts";

/** A file, and its path below the folder that a consumer chooses. */
export interface TitledFile {
  title: string;
  bytes: Uint8Array;
}

export interface BundlesContent {
  /** The Bundles' number: always one of its tags. */
  number: number;
  /** The EKS Anywhere version (`v0.26.1`), where it is known: the other tag. */
  version?: string;
  /** `bundle-release.yaml` among them, the Bundles as published. */
  files: readonly TitledFile[];
}

/** The Bundles itself among the files of its artifact. */
export const BUNDLES_TITLE = "bundle-release.yaml";
export const BUNDLES_ARTIFACT_TYPE = "application/vnd.amazonaws.eks-anywhere.bundles.v1alpha1";
/** The one file of a Release's artifact. */
export const RELEASE_TITLE = "manifest.yaml";
export const RELEASE_ARTIFACT_TYPE = "application/vnd.amazonaws.eks-anywhere.release.v1alpha1";
export const TITLE_ANNOTATION = "org.opencontainers.image.title";

const REGISTRY = "public.ecr.aws";
/** Where a Bundles is published; its tags are its number and its version. */
export const BUNDLES_REFERENCE = { registry: REGISTRY, repository: "eks-anywhere/bundles" };
/** Where a Release is published; its tag is its version. */
export const RELEASE_REFERENCE = { registry: REGISTRY, repository: "eks-anywhere/release-manifest" };
const YAML_MEDIA_TYPE = "application/yaml";
/** Spec: image-spec manifest.md, "Guidance for an Empty Descriptor". */
const EMPTY_CONFIG = new TextEncoder().encode("{}");

/**
 * A Bundles and all it points to as one OCI artifact: `oras pull` of it gives the folder that
 * `download artifacts` used to make. Equal files give an equal artifact, in whatever order they come.
 */
export function wrapBundles({ number, version, files }: BundlesContent): Plan {
  assertTitles(files.map(({ title }) => title));
  const bundles = files.filter(({ title }) => title === BUNDLES_TITLE);
  if (bundles.length === 0) throw new Fault(`cannot wrap a Bundles without its \`${BUNDLES_TITLE}\``);
  const others = files.filter(({ title }) => title !== BUNDLES_TITLE);
  others.sort((a, b) => compareBytewise(a.title, b.title));
  const tags = [`bundles-${number}`, ...(version === undefined ? [] : [tagOfVersion(version)])];
  return wrap([...bundles, ...others], {
    artifactType: BUNDLES_ARTIFACT_TYPE,
    home: BUNDLES_REFERENCE,
    tags,
  });
}

/** A Release of one version, as `deriveRelease` writes it, as an OCI artifact. */
export function wrapRelease(version: string, bytes: Uint8Array): Plan {
  return wrap([{ title: RELEASE_TITLE, bytes }], {
    artifactType: RELEASE_ARTIFACT_TYPE,
    home: RELEASE_REFERENCE,
    tags: [tagOfVersion(version)],
  });
}

/**
 * For registries that know no empty config: our artifacts in a plan, each with its own type as that of its
 * config. By the digest of what it stands for.
 */
export function withTypedConfigs({ nodes }: Plan): Map<Digest, ManifestBytes> {
  const variants = new Map<Digest, ManifestBytes>();
  for (const { descriptor, bytes } of nodes.values()) {
    const type = descriptor.artifactType;
    if (bytes === undefined || (type !== BUNDLES_ARTIFACT_TYPE && type !== RELEASE_ARTIFACT_TYPE)) continue;
    if (parseManifest(bytes).config?.mediaType !== MEDIA_TYPE.ociEmpty) continue;
    const document = JSON.parse(new TextDecoder().decode(bytes));
    const config = { ...document.config, mediaType: type };
    variants.set(descriptor.digest, manifestOf({ ...document, config }));
  }
  return variants;
}

interface Wrapping {
  artifactType: string;
  home: { registry: string; repository: string };
  tags: readonly string[];
}

/** One layer a file, in their order. */
function wrap(files: readonly TitledFile[], { artifactType, home, tags }: Wrapping): Plan {
  const repositories: ReadonlySet<RepositoryName> = new Set([repositoryName(home)]);
  const config = blob(MEDIA_TYPE.ociEmpty, EMPTY_CONFIG, repositories);
  const layers = files.map(({ title, bytes }) => ({
    title,
    node: blob(YAML_MEDIA_TYPE, bytes, repositories),
  }));
  const manifest = manifestNode(artifactType, config, layers);
  const nodes = new Map<Digest, Node>();
  for (const node of [config, ...layers.map(({ node }) => node), manifest]) {
    if (!nodes.has(node.descriptor.digest)) nodes.set(node.descriptor.digest, node);
  }
  const { descriptor } = manifest;
  const roots = [...new Set(tags)].map((tag): Root => ({ reference: { ...home, tag }, descriptor }));
  roots.sort((a, b) => compareBytewise(formatReference(a.reference), formatReference(b.reference)));
  return { roots, nodes };
}

function blob(mediaType: string, bytes: Uint8Array, repositories: ReadonlySet<RepositoryName>): Node {
  const descriptor = { mediaType, digest: digestOf(bytes), size: bytes.length };
  return { descriptor, kind: "blob", children: [], repositories, bytes };
}

/** The order of the keys is part of the format: the same content must give the same digest for ever. */
function manifestNode(
  artifactType: string,
  config: Node,
  layers: readonly { title: string; node: Node }[],
): Node {
  const document = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.ociManifest,
    artifactType,
    config: plain(config.descriptor),
    layers: layers.map(({ title, node }) => ({
      ...plain(node.descriptor),
      annotations: { [TITLE_ANNOTATION]: title },
    })),
  };
  const digests = [config, ...layers.map(({ node }) => node)].map(({ descriptor }) => descriptor.digest);
  return {
    ...manifestOf(document),
    kind: "manifest",
    children: [...new Set(digests)],
    repositories: config.repositories,
  };
}

function manifestOf(document: object): ManifestBytes {
  const bytes = new TextEncoder().encode(JSON.stringify(document));
  return { descriptor: describe(parseManifest(bytes), digestOf(bytes), bytes.length), bytes };
}

function plain({ mediaType, digest, size }: Descriptor): Descriptor {
  return { mediaType, digest, size };
}
