import { KINDS, PROVIDERS } from "../eksa/selection.ts";
import { Fault } from "../oci/fault.ts";
import { type Flags, flagName } from "./arguments.ts";

/** On every command. */
export const OUTPUT_FLAGS = {
  verbosity: {
    type: "number",
    alias: "v",
    default: 0,
    description: "1 shows decisions, 4 every HTTP request",
    group: "Output",
  },
  quiet: { type: "boolean", alias: "q", description: "show errors only", group: "Output" },
  noProgress: { type: "boolean", description: "no progress, only what matters", group: "Output" },
  logFormat: {
    type: "string",
    choices: ["text", "json"],
    default: "text",
    description: "`json`: one event a line on stderr",
    group: "Output",
  },
} as const satisfies Flags;

/** On every command that can do a part of what a Bundles names. The Bundles' own YAML files are one artifact. */
export const PART_FLAGS = {
  kubernetesVersion: {
    type: "list",
    valueHint: "V",
    description: "only what clusters of this Kubernetes version need, e.g. `1.31`",
  },
  provider: {
    type: "list",
    choices: PROVIDERS,
    valueHint: "P",
    description: `only what this provider needs, and what all of them do: ${PROVIDERS.join(", ")}`,
  },
  only: {
    type: "list",
    choices: KINDS,
    description:
      "only artifacts of this kind; `manifests` is the Bundles with all of its YAML files, which goes whole or, where it is not named, not at all",
  },
} as const satisfies Flags;

/** On every command that takes its artifacts from a Bundles. */
export const SELECTION_FLAGS = {
  eksaVersion: {
    type: "string",
    valueHint: "V",
    description:
      "which release of EKS Anywhere; default: the one that this program was built for, else the latest; beside `--bundles-override`, the version to tag that Bundles with",
  },
  releaseManifest: {
    type: "string",
    valueHint: "SRC",
    description:
      "the Release manifest that lists the releases: a file, an https:// URL or oci://HOST/REPOSITORY:TAG; default: EKS Anywhere's own",
  },
  bundlesOverride: {
    type: "string",
    valueHint: "SRC",
    description:
      "a Bundles manifest in place of the release's: a file, an https:// URL or oci://HOST/REPOSITORY:TAG",
  },
  exclude: { type: "list", valueHint: "REF", description: "leave an artifact out knowingly" },
  includeSignatures: {
    type: "boolean",
    description: "take the signatures and other referrers of every manifest along",
  },
  includePackages: {
    type: "boolean",
    description:
      "the curated packages too: package bundle, charts, images; their registry wants a login to Amazon ECR",
  },
  ...PART_FLAGS,
  platform: {
    type: "list",
    valueHint: "OS/ARCH[/VARIANT]",
    description:
      "only the images of this platform, e.g. `linux/amd64`; what has no tag or travels with signatures stays whole",
  },
} as const satisfies Flags;

/**
 * The runtime has 256 exchanges in flight and lets the others wait, until they look like a host that is silent. A blob
 * that is read from one registry and sent to another takes two.
 */
const MOST_JOBS = 128;

/** On every command that reaches a registry. */
export const NETWORK_FLAGS = {
  caFile: {
    type: "string",
    valueHint: "FILE",
    description: "trust these certificate authorities as well as the system's",
    group: "Registries",
  },
  mirror: {
    type: "list",
    valueHint: "HOST=URL",
    description: "read HOST from URL instead",
    group: "Registries",
  },
  jobs: {
    type: "number",
    min: 1,
    max: MOST_JOBS,
    default: 8,
    description: "blobs in flight",
    group: "Registries",
  },
} as const satisfies Flags;

const { mirror: _, ...REGISTRY_FLAGS } = NETWORK_FLAGS;

/** On every command that reaches a registry of the user's own. */
export const TARGET_FLAGS = {
  ...REGISTRY_FLAGS,
  clientCert: {
    type: "string",
    valueHint: "FILE",
    description: "the certificate to show to the registry; with `--client-key`",
    group: "Registries",
  },
  clientKey: {
    type: "string",
    valueHint: "FILE",
    description: "the key of that certificate",
    group: "Registries",
  },
  insecure: {
    type: "boolean",
    description: "do not check the registry's own certificate",
    group: "Registries",
  },
} as const satisfies Flags;

/** On every command that carries what a Bundles names. */
export const SIGNATURE_FLAGS = {
  signature: {
    type: "string",
    choices: ["require", "auto", "skip"],
    default: "auto",
    description:
      "the signatures of the Bundles and its EKS-D releases. auto: where there is one it has to be valid; require: the Bundles has to have one, too; skip: do not look",
  },
  signatureKey: {
    type: "string",
    valueHint: "FILE",
    description: "whose signature counts, in place of EKS Anywhere's publisher: a public key, PEM or base64",
  },
} as const satisfies Flags;

/** On every command that may take its target from a cluster. */
export const CLUSTER_FLAGS = {
  filename: {
    type: "string",
    alias: "f",
    valueHint: "FILE",
    description:
      "the cluster whose `registryMirrorConfiguration` names the registry, in place of `--registry`",
  },
} as const satisfies Flags;

/** On every command that fills a registry. */
export const DELIVERY_FLAGS = {
  registry: {
    type: "string",
    alias: "r",
    valueHint: "HOST[:PORT][/NAMESPACE]",
    description:
      "the registry to fill; credentials: REGISTRY_USERNAME and REGISTRY_PASSWORD, or a saved login",
  },
  ...CLUSTER_FLAGS,
  keepGoing: { type: "boolean", description: "go on after an artifact that failed" },
  dryRun: { type: "boolean", description: "print what would go where, and send nothing" },
  report: {
    type: "string",
    valueHint: "FILE",
    description: "write what became of every artifact, as JSON",
  },
} as const satisfies Flags;

/** Fails on flags that were given and mean nothing without another one. */
export function assertOnlyWith<K extends string>(
  other: string,
  values: Readonly<Record<K, unknown>>,
  keys: readonly K[],
): void {
  for (const key of keys) {
    if (!isGiven(values[key])) continue;
    throw new Fault(`cannot use \`--${flagName(key)}\` without \`--${flagName(other)}\``, {
      hint: `leave it out, or give \`--${flagName(other)}\` as well`,
      kind: "usage",
    });
  }
}

/** Fails on flags that were given and mean nothing beside another one, which was given too. */
export function assertNotWith<K extends string>(
  other: string,
  values: Readonly<Record<K, unknown>>,
  keys: readonly K[],
): void {
  for (const key of keys) {
    if (!isGiven(values[key])) continue;
    throw new Fault(`cannot use \`--${flagName(other)}\` and \`--${flagName(key)}\` together`, {
      hint: "leave one of them out",
      kind: "usage",
    });
  }
}

/** Whether a flag with this value, and without a default, was in the line. */
export function isGiven(value: unknown): boolean {
  return Array.isArray(value) ? value.length > 0 : value !== undefined && value !== false;
}
