import { type Descriptor, isImageConfigType, isIndexType } from "../oci/descriptor.ts";
import type { Digest } from "../oci/digest.ts";
import { type Manifest, parseManifest } from "../oci/manifest.ts";
import type { Plan } from "../oci/plan.ts";
import { formatReference } from "../oci/reference.ts";
import { pathOf } from "./path.ts";

/** Layers that every docker and podman that may be met can load. */
const LOADABLE_LAYERS = new Set([
  "application/vnd.oci.image.layer.v1.tar",
  "application/vnd.oci.image.layer.v1.tar+gzip",
  "application/vnd.docker.image.rootfs.diff.tar",
  "application/vnd.docker.image.rootfs.diff.tar.gzip",
]);

/**
 * `manifest.json`, the table of contents that `docker load` and `podman load` want: tagged roots that are
 * Linux images, one platform each, linux/amd64 where there is one.
 * Spec: moby image/spec/v1.2.md, "Combined Image JSON + Filesystem Changeset Format".
 */
export function dockerManifest(plan: Plan): string {
  const images = plan.roots.flatMap(({ reference, descriptor }) => {
    if (reference.tag === undefined) return [];
    const image = runnable(plan, descriptor.digest);
    if (image?.config === undefined) return [];
    const Layers = image.layers.map((layer) => pathOf(layer.digest));
    return [{ Config: pathOf(image.config.digest), RepoTags: [formatReference(reference)], Layers }];
  });
  return JSON.stringify(images);
}

/** The one image below `digest` that docker is given; undefined when there is none that it can load. */
function runnable(plan: Plan, digest: Digest): Manifest | undefined {
  const candidates = linuxImages(plan, digest);
  return (candidates.find(({ platform }) => platform?.architecture === "amd64") ?? candidates[0])?.manifest;
}

interface Candidate {
  platform: Descriptor["platform"];
  manifest: Manifest;
}

function linuxImages(plan: Plan, digest: Digest, listed?: Descriptor["platform"]): Candidate[] {
  const node = plan.nodes.get(digest);
  if (node?.bytes === undefined || node.kind !== "manifest") return [];
  const manifest = parseManifest(node.bytes);
  if (isIndexType(manifest.mediaType)) {
    return manifest.manifests.flatMap((child) => linuxImages(plan, child.digest, child.platform));
  }
  const platform = listed ?? node.descriptor.platform;
  return platform?.os === "linux" && isLoadable(plan, manifest) ? [{ platform, manifest }] : [];
}

function isLoadable(plan: Plan, { config, layers }: Manifest): boolean {
  if (config === undefined || !isImageConfigType(config.mediaType)) return false;
  return layers.every((layer) => LOADABLE_LAYERS.has(layer.mediaType) && plan.nodes.has(layer.digest));
}
