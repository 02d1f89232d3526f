import { describe, expect, test } from "bun:test";
import { parseClusterNeeds, parseClusterVersions } from "../../src/eksa/cluster-versions.ts";
import type { Provider } from "../../src/eksa/selection.ts";
import { faultOf, textOf } from "../support/faults.ts";

const HEAD = "apiVersion: anywhere.eks.amazonaws.com/v1alpha1\nkind: Cluster\n";

function versionsOf(text: string): string[] {
  return parseClusterVersions({ source: "cluster.yaml", bytes: new TextEncoder().encode(text) });
}

describe("a cluster's Kubernetes versions", () => {
  test.each([
    ["of the control plane", '  kubernetesVersion: "1.31"\n', ["1.31"]],
    ["unquoted", "  kubernetesVersion: 1.30\n", ["1.30"]],
    [
      "of node groups, each once",
      "  kubernetesVersion: 1.31\n  workerNodeGroupConfigurations: [{kubernetesVersion: 1.30}, {kubernetesVersion: 1.31}, {name: a}]\n",
      ["1.31", "1.30"],
    ],
    [
      "of a node group that says that it has none",
      "  kubernetesVersion: 1.31\n  workerNodeGroupConfigurations:\n  - {kubernetesVersion: null}\n  - kubernetesVersion:\n",
      ["1.31"],
    ],
  ])("are those %s", (_, spec, versions) => {
    expect(versionsOf(`kind: Secret\n---\n${HEAD}spec:\n${spec}---\nkind: OIDCConfig\n`)).toEqual(versions);
  });

  test.each([
    ["no cluster", "kind: Secret\n", "it holds 0 documents of the kind Cluster"],
    ["two clusters", `${HEAD}---\n${HEAD}`, "it holds 2 documents of the kind Cluster"],
    ["no version", `${HEAD}spec: {}\n`, "spec.kubernetesVersion: is missing"],
    ["no spec", HEAD, "document 1 of cluster.yaml"],
    ["a patch version", `${HEAD}spec: {kubernetesVersion: 1.31.2}\n`, "expected a version like `1.31`"],
  ])("cannot be taken from a file with %s", async (_, text, says) => {
    expect(textOf(await faultOf(() => versionsOf(text)))).toContain(says);
  });
});

describe("what a cluster needs", () => {
  const needsOf = (text: string) =>
    parseClusterNeeds({ source: "cluster.yaml", bytes: new TextEncoder().encode(text) });
  const cluster = (spec: string) => `kind: Secret\n---\n${HEAD}spec:\n  kubernetesVersion: 1.30\n${spec}`;

  test.each<[string, Provider]>([
    ["DockerDatacenterConfig", "docker"],
    ["VSphereDatacenterConfig", "vsphere"],
    ["TinkerbellDatacenterConfig", "tinkerbell"],
    ["NutanixDatacenterConfig", "nutanix"],
    ["SnowDatacenterConfig", "snow"],
    ["CloudStackDatacenterConfig", "cloudstack"],
  ])("is that of its provider: %s", (kind, provider) => {
    const groups = "  workerNodeGroupConfigurations: [{kubernetesVersion: 1.31}]\n";
    const needs = needsOf(cluster(`${groups}  datacenterRef: {kind: ${kind}, name: a}\n`));
    expect(needs).toEqual({ kubernetesVersions: ["1.30", "1.31"], provider });
  });

  test.each([
    ["a kind that is none", "  datacenterRef: {kind: vsphere}\n", "expected one of DockerDatacenterConfig, "],
    ["no kind", "  datacenterRef: {name: a}\n", "spec.datacenterRef.kind: is missing"],
    ["no reference", "", "spec.datacenterRef: is missing"],
  ])("cannot be told from %s", async (_, spec, says) => {
    expect(textOf(await faultOf(() => needsOf(cluster(spec))))).toContain(says);
  });
});
