import * as v from "valibot";
import { Fault } from "../oci/fault.ts";
import { type DocumentType, isOfType, parseYamlDocuments, readAs, type YamlFile } from "./documents.ts";

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

const CLUSTER: DocumentType<{
  spec: { kubernetesVersion: string; workerNodeGroupConfigurations?: v.InferOutput<typeof nodeGroup>[] };
}> = {
  apiVersion: "anywhere.eks.amazonaws.com/v1alpha1",
  kind: "Cluster",
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

/**
 * The Kubernetes versions of a cluster's control plane and its node groups, each once.
 * Source: pkg/api/v1alpha1/cluster_types.go `KubernetesVersions`.
 */
export function parseClusterVersions(file: YamlFile): string[] {
  const clusters = parseYamlDocuments(file).filter(({ content }) => isOfType(content, CLUSTER));
  const [cluster, ...others] = clusters;
  if (cluster === undefined || others.length > 0) {
    throw new Fault(`cannot take the Kubernetes versions from ${file.source}`, {
      cause: new Error(
        `it holds ${clusters.length} documents of the kind ${CLUSTER.kind} (${CLUSTER.apiVersion})`,
      ),
      hint: "give the file that one cluster is created from, or name the versions with `--kubernetes-version`",
    });
  }
  const { kubernetesVersion, workerNodeGroupConfigurations = [] } = readAs(cluster, CLUSTER).spec;
  const groups = workerNodeGroupConfigurations.flatMap((group) => group.kubernetesVersion ?? []);
  return [...new Set([kubernetesVersion, ...groups.filter((each) => v.is(version, each))])];
}
