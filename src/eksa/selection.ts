import type { ImageArtifact } from "./images.ts";

export const PROVIDERS = ["docker", "vsphere", "tinkerbell", "nutanix", "snow", "cloudstack"] as const;
export const KINDS = ["images", "charts", "manifests"] as const;

export type Provider = (typeof PROVIDERS)[number];
type Kind = (typeof KINDS)[number];

/** What of a Bundles is wanted. An empty list: all. Its YAML files are one artifact, which is never trimmed. */
export interface Selection {
  kubernetesVersions: readonly string[];
  providers: readonly Provider[];
  only: readonly Kind[];
}

/** A place in a Bundles that names something. */
export interface Origin {
  kubeVersion: string;
  /** In `versionsBundles[0]`, from which every cluster's management components are taken. */
  isFirst: boolean;
  /** Within the versionsBundle, the component's own first. */
  keys: readonly [component: string, ...string[]];
}

/** Source: release/api/v1alpha1/artifacts.go. */
const PROVIDER_OF = new Map<string, Provider | "aws">([
  ["docker", "docker"],
  ["vSphere", "vsphere"],
  ["tinkerbell", "tinkerbell"],
  ["nutanix", "nutanix"],
  ["snow", "snow"],
  ["cloudStack", "cloudstack"],
  // No cluster can be made with it any more; older Bundles name it.
  ["aws", "aws"],
]);
/** Of all clusters and of none of the providers alone. */
const SHARED = [
  "bootstrap",
  "bottlerocketBootstrapContainers",
  "bottlerocketHostContainers",
  "certManager",
  "cilium",
  "clusterAPI",
  "controlPlane",
  "eksD",
  "eksa",
  "etcdadmBootstrap",
  "etcdadmController",
  "flux",
  "haproxy",
  "kindnetd",
  "packageController",
  "upgrader",
];
const KNOWN: ReadonlySet<string> = new Set([...SHARED, ...PROVIDER_OF.keys()]);
/** Taken from `versionsBundles[0]`. Source: pkg/cluster/fetch.go `ManagementComponentsFromBundles`. */
const MANAGEMENT: ReadonlySet<string> = new Set([
  "bootstrap",
  "certManager",
  "cloudStack",
  "clusterAPI",
  "controlPlane",
  "docker",
  "eksa",
  "etcdadmBootstrap",
  "etcdadmController",
  "flux",
  "nutanix",
  "snow",
  "tinkerbell",
  "vSphere",
]);
/** Part of these, and yet taken from the cluster's own version: pkg/providers/{vsphere/template,snow/apibuilder}.go. */
const OF_THE_CLUSTER: ReadonlySet<string> = new Set(["vSphere.manager", "snow.bottlerocketBootstrapSnow"]);

const REASONS = {
  kind: "of a kind that is not selected",
  version: "of a Kubernetes version that is not selected",
  provider: "of a provider that is not selected",
} as const;

/** Whether this program knows what a component is. What it does not know travels with its version, whatever the provider. */
export function isKnownComponent(component: string): boolean {
  return KNOWN.has(component);
}

export function wantsManifests({ only }: Selection): boolean {
  return only.length === 0 || only.includes("manifests");
}

/** Why a selection leaves something out; undefined when it takes it. What has no origin goes by its kind alone. */
export function reasonToLeave(
  { kind, origins }: { kind: string; origins?: readonly Origin[] },
  { kubernetesVersions, providers, only }: Selection,
): string | undefined {
  if (only.length > 0 && !only.some((each) => each === `${kind}s`)) return REASONS.kind;
  if (origins === undefined) return;
  const here = origins.filter((origin) => isOfVersion(origin, kubernetesVersions));
  if (here.length === 0) return REASONS.version;
  return here.some((origin) => isOfProvider(origin, providers)) ? undefined : REASONS.provider;
}

/** The providers that something is named for, in the order of `PROVIDERS`. */
export function providersIn(
  images: Iterable<Pick<ImageArtifact, "origins">>,
  { kubernetesVersions }: Selection,
): Provider[] {
  const found = new Set<string | undefined>();
  for (const { origins = [] } of images) {
    for (const origin of origins) {
      if (isOfVersion(origin, kubernetesVersions)) found.add(PROVIDER_OF.get(origin.keys[0]));
    }
  }
  return PROVIDERS.filter((provider) => found.has(provider));
}

function isOfVersion(origin: Origin, versions: readonly string[]): boolean {
  return versions.length === 0 || versions.includes(origin.kubeVersion) || isForAll(origin);
}

function isForAll({ isFirst, keys }: Origin): boolean {
  if (!isFirst) return false;
  return !KNOWN.has(keys[0]) || (MANAGEMENT.has(keys[0]) && !OF_THE_CLUSTER.has(keys.join(".")));
}

function isOfProvider({ keys }: Origin, providers: readonly Provider[]): boolean {
  const own = PROVIDER_OF.get(keys[0]);
  return providers.length === 0 || own === undefined || providers.some((provider) => provider === own);
}
