import { Fault } from "../oci/fault.ts";
import { isRecord } from "../oci/manifest.ts";
import type { Bundles } from "./bundles.ts";
import { classify, type Mention, type Misshapen, mentionsOf, misshapenIn, SKIP_REASONS } from "./classify.ts";
import { MEND, throwAll } from "./failures.ts";
import { type ImageArtifact, mergeImages, parseImage } from "./images.ts";
import { isKnownComponent, type Origin } from "./selection.ts";
import { assertTitle } from "./titles.ts";
import { basenameOf, displayUri } from "./uri.ts";

/** A YAML file that a Bundles points to. */
export interface ManifestArtifact {
  /** An `eksdRelease` names images in its turn. */
  kind: "manifest" | "eksdRelease";
  uri: string;
  /** `<kubeVersion>/<component>/<basename>`: where `download artifacts` used to put it. */
  title: string;
  where: readonly string[];
  origins: readonly Origin[];
}

/** What is left out, and why; one entry for all places with the same URI. */
export interface Skipped {
  /** Without userinfo and query; empty where it stands for nothing. */
  uri: string;
  reason: string;
  where: readonly string[];
}

/** A component that this program does not know: what it names is carried all the same. */
export interface UnknownComponent {
  component: string;
  where: readonly string[];
}

export interface BundleArtifacts {
  images: ImageArtifact[];
  manifests: ManifestArtifact[];
  skipped: Skipped[];
  unknown: UnknownComponent[];
}

/** The folders of `Manifests()` in eks-anywhere's release/api/v1alpha1/artifacts.go. */
const FOLDERS = new Map([
  ["clusterAPI", "core-cluster-api"],
  ["bootstrap", "capi-kubeadm-bootstrap"],
  ["controlPlane", "capi-kubeadm-control-plane"],
  ["certManager", "cert-manager"],
  ["docker", "cluster-api-provider-docker"],
  ["vSphere", "cluster-api-provider-vsphere"],
  ["tinkerbell", "cluster-api-provider-tinkerbell"],
  ["snow", "cluster-api-provider-snow"],
  ["nutanix", "cluster-api-provider-nutanix"],
  ["cloudStack", "cluster-api-provider-cloudstack"],
  ["kindnetd", "kindnetd"],
  ["eksa", "eks-anywhere-cluster-controller"],
  ["etcdadmBootstrap", "etcdadm-bootstrap-provider"],
  ["etcdadmController", "etcdadm-controller"],
  ["eksD", "eks-distro"],
]);

/** Everything that a Bundles names, in its order. Fails naming every mention that makes no sense. */
export function bundleArtifacts({ source, versionsBundles }: Bundles): BundleArtifacts {
  const images: ImageArtifact[] = [];
  const manifests: ManifestArtifact[] = [];
  const skipped: Skipped[] = [];
  const unknown = new Map<string, Set<string>>();
  const failures: unknown[] = [];
  for (const [index, versionsBundle] of versionsBundles.entries()) {
    const { kubeVersion } = versionsBundle;
    for (const { keys, fact } of allMisshapen(versionsBundle)) {
      const where = `versionsBundles[${index}].${pathOf(keys)}`;
      failures.push(new Fault(`cannot use ${where} of ${source}`, { cause: new Error(fact), hint: MEND }));
    }
    for (const mention of allMentions(versionsBundle)) {
      const { uri, fields, keys } = mention;
      const place = `versionsBundles[${index}]`;
      const where = [`${place}.${pathOf(keys)}`];
      const origins = [{ kubeVersion, isFirst: index === 0, keys }];
      const [component] = keys;
      if (!isKnownComponent(component)) {
        unknown.set(component, (unknown.get(component) ?? new Set()).add(`${place}.${component}`));
      }
      const kind = classify(mention);
      try {
        if (kind === "image" || kind === "chart") {
          images.push({ kind, reference: parseImage(uri, fields.imageDigest), where, origins });
        } else if (kind === "manifest" || kind === "eksdRelease") {
          manifests.push({ kind, uri, title: titleOf(kubeVersion, mention), where, origins });
        } else {
          // Of YAML's many words for nothing none says more than the place.
          const shown = kind === "empty" ? "" : displayUri(uri);
          skipped.push({ uri: shown, reason: SKIP_REASONS[kind], where });
        }
      } catch (cause) {
        failures.push(new Fault(`cannot use ${where[0]} of ${source}`, { cause, hint: MEND }));
      }
    }
  }
  const artifacts = {
    images: attempt(() => mergeImages(images), failures),
    manifests: attempt(() => mergeManifests(manifests), failures),
    skipped: mergeSkipped(skipped),
    unknown: [...unknown].map(([component, where]) => ({ component, where: [...where] })),
  };
  throwAll(`cannot use what ${source} names`, failures);
  return artifacts;
}

/** One entry for each URI and reason, in order of first mention; where there is no URI, for each place. */
export function mergeSkipped(skipped: Iterable<Skipped>): Skipped[] {
  const merged = new Map<string, Skipped & { where: string[] }>();
  for (const entry of skipped) {
    const key = `${entry.reason}\n${entry.uri || entry.where[0]}`;
    const known = merged.get(key);
    if (known === undefined) merged.set(key, { ...entry, where: [...entry.where] });
    else for (const place of entry.where) known.where.push(place);
  }
  return [...merged.values()];
}

function* allMentions(versionsBundle: Record<string, unknown>): Generator<Mention> {
  for (const [component, value] of Object.entries(versionsBundle)) {
    if (isRecord(value) || Array.isArray(value)) yield* mentionsOf(component, value);
  }
}

function* allMisshapen(versionsBundle: Record<string, unknown>): Generator<Misshapen> {
  for (const [component, value] of Object.entries(versionsBundle)) {
    if (isKnownComponent(component)) yield* misshapenIn(component, value);
  }
}

/** Where a mentioned file goes among those of its Bundles. */
export function titleOf(kubeVersion: string, { keys, uri }: Mention): string {
  const [component] = keys;
  const title = `${kubeVersion}/${FOLDERS.get(component) ?? component}/${basenameOf(uri)}`;
  assertTitle(title);
  return title;
}

function mergeManifests(manifests: Iterable<ManifestArtifact>): ManifestArtifact[] {
  const merged = new Map<string, ManifestArtifact & { where: string[]; origins: Origin[] }>();
  const failures: Fault[] = [];
  for (const manifest of manifests) {
    const known = merged.get(manifest.title);
    if (known === undefined) {
      const { where, origins } = manifest;
      merged.set(manifest.title, { ...manifest, where: [...where], origins: [...origins] });
    } else if (known.uri === manifest.uri) {
      for (const place of manifest.where) known.where.push(place);
      for (const origin of manifest.origins) known.origins.push(origin);
    } else {
      const places = [known, manifest].map(({ uri, where }) => `${displayUri(uri)} at ${where[0]}`);
      failures.push(
        new Fault(`cannot keep two files as ${manifest.title}: ${places.join(", ")}`, { hint: MEND }),
      );
    }
  }
  throwAll("cannot name the manifests", failures);
  return [...merged.values()];
}

function attempt<T>(work: () => T[], failures: unknown[]): T[] {
  try {
    return work();
  } catch (error) {
    failures.push(error);
    return [];
  }
}

function pathOf(keys: readonly string[]): string {
  return keys.join(".").replace(/\.(\d+)(?=\.|$)/g, "[$1]");
}
