import { isPackageBundle } from "../eksa/package-bundle.ts";
import { BUNDLES_ARTIFACT_TYPE, RELEASE_ARTIFACT_TYPE } from "../eksa/wrap.ts";
import { isImageConfigType } from "../oci/descriptor.ts";
import type { Digest } from "../oci/digest.ts";
import { type Manifest, parseManifest } from "../oci/manifest.ts";
import type { Plan, Root } from "../oci/plan.ts";
import { formatPlatform, isRunnable } from "../oci/platform.ts";
import { subjectOf } from "../transfer/subject.ts";

/** `manifest`: YAML files. `referrer`: what signs or describes another one. `other`: none of these. */
export type ArtifactKind = "image" | "chart" | "manifest" | "referrer" | "other";

const YAML_ARTIFACTS = new Set([BUNDLES_ARTIFACT_TYPE, RELEASE_ARTIFACT_TYPE]);
const CHART_CONFIG = "application/vnd.cncf.helm.config.v1+json";

/** What a root is, and the platforms that it runs on, as `OS/ARCH[/VARIANT]`. */
export function describeArtifact(plan: Plan, root: Root): { kind: ArtifactKind; platforms: string[] } {
  const images = imagesBelow(plan, root.descriptor.digest);
  const kind = kindOf(plan, root, images);
  if (kind !== "image") return { kind, platforms: [] };
  const platforms = images.flatMap(({ platform }) => platform ?? []);
  return { kind, platforms: [...new Set(platforms)] };
}

interface Below {
  manifest: Manifest;
  platform: string | undefined;
}

function kindOf(plan: Plan, root: Root, below: readonly Below[]): ArtifactKind {
  const manifests = below.map(({ manifest }) => manifest);
  // cosign's look like images.
  if (root.nameless || subjectOf(plan, root) !== undefined) return "referrer";
  // It has no type of its own.
  if (isPackageBundle(root.reference)) return "manifest";
  if (manifests.some(isImage)) return "image";
  if (manifests.some(({ config }) => config?.mediaType === CHART_CONFIG)) return "chart";
  if (manifests.some(({ artifactType }) => YAML_ARTIFACTS.has(artifactType ?? ""))) return "manifest";
  return "other";
}

/** Every manifest below a digest, indexes left out, and what it runs on. */
function imagesBelow(plan: Plan, root: Digest): Below[] {
  const found: Below[] = [];
  const open = new Set([root]);
  // A set is walked in order of insertion, what is added on the way included.
  for (const digest of open) {
    const node = plan.nodes.get(digest);
    if (node?.kind !== "manifest" || node.bytes === undefined) continue;
    const manifest = parseManifest(node.bytes);
    for (const child of manifest.manifests) open.add(child.digest);
    const { platform } = node.descriptor;
    if (manifest.config !== undefined) {
      found.push({ manifest, platform: isRunnable(platform) ? formatPlatform(platform) : undefined });
    }
  }
  return found;
}

/** Layers that are files of a system: attestations and signatures have other ones. */
function isImage({ config, layers }: Manifest): boolean {
  if (config === undefined || !isImageConfigType(config.mediaType)) return false;
  return layers.every(({ mediaType }) => /\.tar(?:[.+]|$)/.test(mediaType));
}
