import { type Descriptor, MEDIA_TYPE } from "../oci/descriptor.ts";
import { type Digest, digestOf } from "../oci/digest.ts";
import { Fault } from "../oci/fault.ts";
import { describe, parseManifest } from "../oci/manifest.ts";
import type { Node, Plan, Root } from "../oci/plan.ts";
import {
  compareBytewise,
  formatReference,
  isTag,
  type Reference,
  type RepositoryName,
  repositoryName,
} from "../oci/reference.ts";
import { assertTitles } from "./titles.ts";

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

const HOME = { registry: "public.ecr.aws", repository: "eks-anywhere/bundles" };
const REPOSITORIES: ReadonlySet<RepositoryName> = new Set([repositoryName(HOME)]);
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

  const config = blob(MEDIA_TYPE.ociEmpty, EMPTY_CONFIG);
  const layers = [...bundles, ...others].map(({ title, bytes }) => ({
    title,
    node: blob(YAML_MEDIA_TYPE, bytes),
  }));
  const manifest = manifestNode(config, layers);
  const nodes = new Map<Digest, Node>();
  for (const node of [config, ...layers.map(({ node }) => node), manifest]) {
    if (!nodes.has(node.descriptor.digest)) nodes.set(node.descriptor.digest, node);
  }
  return { roots: rootsOf(manifest.descriptor, number, version), nodes };
}

function blob(mediaType: string, bytes: Uint8Array): Node {
  const descriptor = { mediaType, digest: digestOf(bytes), size: bytes.length };
  return { descriptor, kind: "blob", children: [], repositories: REPOSITORIES, bytes };
}

/** The order of the keys is part of the format: the same content must give the same digest for ever. */
function manifestNode(config: Node, layers: readonly { title: string; node: Node }[]): Node {
  const document = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.ociManifest,
    artifactType: BUNDLES_ARTIFACT_TYPE,
    config: plain(config.descriptor),
    layers: layers.map(({ title, node }) => ({
      ...plain(node.descriptor),
      annotations: { "org.opencontainers.image.title": title },
    })),
  };
  const bytes = new TextEncoder().encode(JSON.stringify(document));
  const digests = [config, ...layers.map(({ node }) => node)].map(({ descriptor }) => descriptor.digest);
  return {
    descriptor: describe(parseManifest(bytes), digestOf(bytes), bytes.length),
    kind: "manifest",
    children: [...new Set(digests)],
    repositories: REPOSITORIES,
    bytes,
  };
}

function plain({ mediaType, digest, size }: Descriptor): Descriptor {
  return { mediaType, digest, size };
}

function rootsOf(descriptor: Descriptor, number: number, version: string | undefined): Root[] {
  const tags = [`bundles-${number}`];
  if (version !== undefined) tags.push(tagOfVersion(version));
  const references = [...new Set(tags)].map((tag): Reference => ({ ...HOME, tag }));
  references.sort((a, b) => compareBytewise(formatReference(a), formatReference(b)));
  return references.map((reference) => ({ reference, descriptor }));
}

/** A tag has no `+`. */
function tagOfVersion(version: string): string {
  const tag = version.replaceAll("+", "_");
  if (isTag(tag)) return tag;
  throw new Fault(`cannot tag a Bundles with the version \`${version.slice(0, 200)}\``, {
    hint: "a version looks like `v0.26.1`",
    kind: "usage",
  });
}
