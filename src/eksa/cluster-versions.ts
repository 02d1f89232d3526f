import * as v from "valibot";
import { Fault } from "../oci/fault.ts";
import {
  type DocumentType,
  isOfType,
  type NumberedDocument,
  parseYamlDocuments,
  readAs,
  type YamlFile,
} from "./documents.ts";
import type { Provider } from "./selection.ts";

const version = v.pipe(
  v.string("a version like `1.31`"),
  v.regex(/^[0-9]+\.[0-9]+$/, "a version like `1.31`"),
);
/** How YAML 1.1, which EKS Anywhere reads, writes what is not there. */
const absent = v.picklist(["", "~", "null", "Null", "NULL"]);
const nodeGroup = v.looseObject(
  { kubernetesVersion: v.optional(v.union([version, absent], "a version like `1.31`")) },
  "a node group",
);

const TYPE = { apiVersion: "anywhere.eks.amazonaws.com/v1alpha1", kind: "Cluster" };
const CLUSTER: DocumentType<{
  spec: { kubernetesVersion: string; workerNodeGroupConfigurations?: v.InferOutput<typeof nodeGroup>[] };
}> = {
  ...TYPE,
  schema: v.looseObject({
    spec: v.looseObject(
      {
        kubernetesVersion: version,
        workerNodeGroupConfigurations: v.exactOptional(v.array(nodeGroup, "a list of node groups")),
      },
      "a mapping with a `kubernetesVersion`",
    ),
  }),
};

/** Source: the kinds in pkg/api/v1alpha1 that `datacenterRef` may have, e.g. vspheredatacenterconfig_types.go. */
const DATACENTERS = {
  DockerDatacenterConfig: "docker",
  VSphereDatacenterConfig: "vsphere",
  TinkerbellDatacenterConfig: "tinkerbell",
  NutanixDatacenterConfig: "nutanix",
  SnowDatacenterConfig: "snow",
  CloudStackDatacenterConfig: "cloudstack",
} as const satisfies Record<string, Provider>;
const kind = v.picklist(
  Object.keys(DATACENTERS) as (keyof typeof DATACENTERS)[],
  `one of ${Object.keys(DATACENTERS).join(", ")}`,
);
const DATACENTER: DocumentType<{ spec: { datacenterRef: { kind: keyof typeof DATACENTERS } } }> = {
  ...TYPE,
  schema: v.looseObject({
    spec: v.looseObject(
      { datacenterRef: v.looseObject({ kind }, "a mapping with a `kind`") },
      "a mapping with a `datacenterRef`",
    ),
  }),
};

const THE_FILE = "give the file that one cluster is created from";

/**
 * The Kubernetes versions of a cluster's control plane and its node groups, each once.
 * Source: pkg/api/v1alpha1/cluster_types.go `KubernetesVersions`.
 */
export function parseClusterVersions(file: YamlFile): string[] {
  return versionsOf(
    theCluster(
      file,
      "the Kubernetes versions",
      `${THE_FILE}, or name the versions with \`--kubernetes-version\``,
    ),
  );
}

/** What of a Bundles a cluster needs: that of its Kubernetes versions and its provider. */
export function parseClusterNeeds(file: YamlFile): { kubernetesVersions: string[]; provider: Provider } {
  const cluster = theCluster(file, "the Kubernetes versions and the provider", THE_FILE);
  const kubernetesVersions = versionsOf(cluster);
  const { datacenterRef } = readAs(cluster, DATACENTER).spec;
  return { kubernetesVersions, provider: DATACENTERS[datacenterRef.kind] };
}

function theCluster(file: YamlFile, what: string, hint: string): NumberedDocument {
  const clusters = parseYamlDocuments(file).filter(({ content }) => isOfType(content, CLUSTER));
  const [cluster, ...others] = clusters;
  if (cluster !== undefined && others.length === 0) return cluster;
  throw new Fault(`cannot take ${what} from ${file.source}`, {
    cause: new Error(`it holds ${clusters.length} documents of the kind ${TYPE.kind} (${TYPE.apiVersion})`),
    hint,
  });
}

function versionsOf(cluster: NumberedDocument): string[] {
  const { kubernetesVersion, workerNodeGroupConfigurations = [] } = readAs(cluster, CLUSTER).spec;
  const groups = workerNodeGroupConfigurations.flatMap((group) => group.kubernetesVersion ?? []);
  return [...new Set([kubernetesVersion, ...groups.filter((each) => v.is(version, each))])];
}
