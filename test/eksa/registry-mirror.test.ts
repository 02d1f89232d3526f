import { describe, expect, test } from "bun:test";
import { stringify } from "yaml";
import { namesMirror, parseClusterMirror, seemsToNameMirror } from "../../src/eksa/cluster.ts";
import { parseImage } from "../../src/eksa/images.ts";
import { mapReference } from "../../src/eksa/mirror.ts";
import { hostOf, portOf } from "../../src/eksa/target.ts";
import { digestOf } from "../../src/oci/digest.ts";
import { Fault } from "../../src/oci/fault.ts";
import type { Reference } from "../../src/oci/reference.ts";
import { faultOf, textOf } from "../support/faults.ts";

const API = "anywhere.eks.amazonaws.com/v1alpha1";
const DIGEST = digestOf(Uint8Array.of(1));
const PACKAGES = "783794618700.dkr.ecr.us-west-2.amazonaws.com";
const BOTH = [
  { registry: "public.ecr.aws", namespace: "mirror" },
  { registry: PACKAGES, namespace: "pkgs" },
];

type Document = Record<string, unknown>;

function yaml(...documents: Document[]): { source: string; bytes: Uint8Array } {
  const text = documents.map((document) => stringify(document)).join("---\n");
  return { source: "cluster.yaml", bytes: new TextEncoder().encode(text) };
}

function cluster(registryMirrorConfiguration: unknown, spec: Document = {}): Document {
  return {
    apiVersion: API,
    kind: "Cluster",
    metadata: { name: "mgmt" },
    spec: { registryMirrorConfiguration, ...spec },
  };
}

/** How EKS Anywhere names the place of a reference: the port always there. */
function nodeName({ registry, repository, tag, digest }: Reference, source: string): string {
  const name = `${hostOf(registry)}:${portOf(registry) ?? "443"}/${repository}`;
  return source.includes("@") ? `${name}@${digest}` : `${name}:${tag}`;
}

/** Source of the expected names: EKS Anywhere, pkg/registrymirror/registrymirror.go `ReplaceRegistry`. */
describe("content goes exactly where EKS Anywhere rewrites its name to", () => {
  test.each<[string, Document, string]>([
    ["public.ecr.aws/eks-anywhere/x:v1", {}, "h:443/eks-anywhere/x:v1"],
    [`public.ecr.aws/eks-anywhere/x@${DIGEST}`, {}, `h:443/eks-anywhere/x@${DIGEST}`],
    ["oci://public.ecr.aws/eks/cilium/cilium:1.0", {}, "h:443/eks/cilium/cilium:1.0"],
    ["public.ecr.aws/eks-anywhere/x:v1", { port: "443" }, "h:443/eks-anywhere/x:v1"],
    ["public.ecr.aws/eks-anywhere/x:v1", { port: "5000" }, "h:5000/eks-anywhere/x:v1"],
    ["public.ecr.aws/eks-anywhere/x:v1", { ociNamespaces: [] }, "h:443/eks-anywhere/x:v1"],
    ["public.ecr.aws/eks-anywhere/x:v1", { endpoint: "10.0.0.1" }, "10.0.0.1:443/eks-anywhere/x:v1"],
    ["public.ecr.aws/eks-anywhere/x:v1", { endpoint: "fd00::1" }, "[fd00::1]:443/eks-anywhere/x:v1"],
    ["public.ecr.aws/eks-anywhere/x:v1", { ociNamespaces: BOTH }, "h:443/mirror/eks-anywhere/x:v1"],
    [
      `public.ecr.aws/eks-anywhere/x@${DIGEST}`,
      { ociNamespaces: BOTH },
      `h:443/mirror/eks-anywhere/x@${DIGEST}`,
    ],
    [
      "oci://public.ecr.aws/eks/cilium/cilium:1.0",
      { ociNamespaces: BOTH },
      "h:443/mirror/eks/cilium/cilium:1.0",
    ],
    [`${PACKAGES}/p:1`, { ociNamespaces: BOTH }, "h:443/pkgs/p:1"],
    // Not rewritten but asked for there: a cluster has one mirror for packages, whatever the region.
    ["783794618700.dkr.ecr.eu-west-1.amazonaws.com/p:1", { ociNamespaces: BOTH }, "h:443/pkgs/p:1"],
    [`${PACKAGES}/p@${DIGEST}`, { port: "8443", ociNamespaces: BOTH }, `h:8443/pkgs/p@${DIGEST}`],
    [
      "quay.io:8443/a/b:1",
      { ociNamespaces: [{ registry: "quay.io:8443", namespace: "q/r" }] },
      "h:443/q/r/a/b:1",
    ],
    // Go's filepath.Join takes the slashes away.
    [
      "public.ecr.aws/x:1",
      { ociNamespaces: [{ registry: "public.ecr.aws", namespace: "/a/b/" }] },
      "h:443/a/b/x:1",
    ],
    ["public.ecr.aws/x:1", { ociNamespaces: [{ registry: "public.ecr.aws" }] }, "h:443/x:1"],
  ])("%s with %j is %s", (source, mirror, expected) => {
    const { target } = parseClusterMirror(yaml(cluster({ endpoint: "h", ...mirror })));
    expect(nodeName(mapReference(parseImage(source, undefined), target), source)).toBe(expected);
  });

  test.each<[string, Document]>([
    // Its name is not rewritten: nodes do not look in the mirror.
    [`${PACKAGES}/p:1`, {}],
    ["public.ecr.aws/x:1", { ociNamespaces: BOTH.slice(1) }],
    ["public.ecr.aws:443/x:1", { ociNamespaces: BOTH }],
    ["quay.io/x:1", {}],
  ])("%s with %j has no place", async (source, mirror) => {
    const { target } = parseClusterMirror(yaml(cluster({ endpoint: "h", ...mirror })));
    const fault = await faultOf(() => mapReference(parseImage(source, undefined), target));
    expect(textOf(fault)).toContain("ociNamespaces");
  });
});

/** Source: EKS Anywhere, pkg/api/v1alpha1/cluster.go and pkg/validations/cluster.go. */
describe("a mistake is told in EKS Anywhere's own words", () => {
  const regions = ["us-west-2", "eu-west-1"].map((region) => ({
    registry: `783794618700.dkr.ecr.${region}.amazonaws.com`,
    namespace: "p",
  }));
  test.each<[unknown, string]>([
    [{ port: "443" }, "no value set for RegistryMirrorConfiguration.Endpoint"],
    [{ endpoint: "", port: "443" }, "no value set for RegistryMirrorConfiguration.Endpoint"],
    [{ endpoint: "h", port: "65536" }, "registry mirror port 65536 is invalid, please provide a valid port"],
    [{ endpoint: "h", port: "https" }, "registry mirror port https is invalid, please provide a valid port"],
    [
      { endpoint: "h", ociNamespaces: [{ registry: "", namespace: "a" }] },
      "registry can't be set to empty in OCINamespaces",
    ],
    [
      { endpoint: "h", ociNamespaces: regions },
      "only one registry mirror for curated packages is suppported",
    ],
  ])("%j: %s", async (mirror, words) => {
    const fault = await faultOf(() => parseClusterMirror(yaml(cluster(mirror))));
    expect(textOf(fault)).toContain(`: ${words}`);
  });

  test("nodes of Bottlerocket cannot skip verification", async () => {
    const machine = { apiVersion: API, kind: "VSphereMachineConfig", metadata: { name: "cp" } };
    const insecure = cluster({ endpoint: "h", insecureSkipVerify: true });
    const bottlerocket = { ...machine, spec: { osFamily: "bottlerocket" } };
    const fault = await faultOf(() => parseClusterMirror(yaml(insecure, bottlerocket)));
    expect(textOf(fault)).toContain("InsecureSkipVerify is not supported for bottlerocket: `cp` (document 2");
    expect(parseClusterMirror(yaml(insecure, { ...machine, spec: { osFamily: "ubuntu" } }))).toMatchObject({
      insecureSkipVerify: true,
    });
    expect(parseClusterMirror(yaml(cluster({ endpoint: "h" }), bottlerocket))).toBeDefined();
  });
});

/** The documents that `generate clusterconfig` writes beside a cluster. */
const PROVIDERS: [string, Document[]][] = [
  ["docker", [{ kind: "DockerDatacenterConfig", spec: {} }]],
  [
    "vsphere",
    [
      {
        kind: "VSphereDatacenterConfig",
        spec: { datacenter: "dc", server: "vc", thumbprint: "", insecure: false },
      },
      { kind: "VSphereMachineConfig", spec: { diskGiB: 25, osFamily: "ubuntu", users: [{ name: "capv" }] } },
    ],
  ],
  [
    "tinkerbell",
    [
      { kind: "TinkerbellDatacenterConfig", spec: { tinkerbellIP: "10.0.0.9" } },
      {
        kind: "TinkerbellMachineConfig",
        spec: { hardwareSelector: { type: "cp" }, osFamily: "bottlerocket" },
      },
      {
        kind: "TinkerbellTemplateConfig",
        spec: { template: { tasks: [{ name: "t", volumes: ["/dev:/dev"] }] } },
      },
    ],
  ],
  ["nutanix", [{ kind: "NutanixMachineConfig", spec: { memorySize: "4Gi", cluster: { type: "name" } } }]],
  ["snow", [{ kind: "SnowIPPool", spec: { pools: [{ ipStart: "10.0.0.2" }] } }]],
  ["cloudstack", [{ kind: "CloudStackDatacenterConfig", spec: { availabilityZones: [] } }]],
];

describe("the mirror is found in what `generate clusterconfig` writes", () => {
  test.each(PROVIDERS)("for %s", (_, documents) => {
    const own = documents.map((one) => ({ apiVersion: API, metadata: { name: "mgmt" }, ...one }));
    const spec = {
      clusterNetwork: { cniConfig: { cilium: {} }, pods: { cidrBlocks: ["192.168.0.0/16"] } },
      controlPlaneConfiguration: { count: 1, endpoint: { host: "10.0.0.5" } },
      datacenterRef: { kind: documents[0]?.kind, name: "mgmt" },
      eksaVersion: "v0.26.1",
      kubernetesVersion: "1.31",
      managementCluster: { name: "mgmt" },
    };
    const mirror = { endpoint: "h", port: 5000, authenticate: true, ociNamespaces: BOTH };
    const file = yaml(...own.slice(0, 1), cluster(mirror, spec), ...own.slice(1));
    expect(namesMirror(file)).toBe(true);
    expect(parseClusterMirror(file)).toEqual({
      target: {
        scheme: "https",
        registry: "h:5000",
        namespace: "",
        ociNamespaces: new Map([
          ["public.ecr.aws", "mirror"],
          [PACKAGES, "pkgs"],
        ]),
      },
      authenticate: true,
      insecureSkipVerify: false,
      eksaVersion: "v0.26.1",
    });
  });

  test.each<[string, Document[]]>([
    ["a cluster without a mirror", [cluster(undefined)]],
    ["one whose mirror is empty", [cluster(null)]],
    ["packages", [{ apiVersion: "packages.eks.amazonaws.com/v1alpha1", kind: "Package", spec: {} }]],
    ["another kind of Cluster", [{ ...cluster({ endpoint: "h" }), apiVersion: "cluster.x-k8s.io/v1beta1" }]],
  ])("%s has none", (_, documents) => {
    expect(namesMirror(yaml(...documents))).toBe(false);
  });

  test("of what is no YAML it cannot be told, but for the word", () => {
    for (const bytes of [new TextEncoder().encode("{["), Uint8Array.of(0xff)]) {
      expect(() => namesMirror({ source: "x", bytes })).toThrow(Fault);
      expect(seemsToNameMirror({ source: "x", bytes })).toBe(false);
    }
    const bytes = new TextEncoder().encode("{[\n  registryMirrorConfiguration:\n");
    expect(seemsToNameMirror({ source: "x", bytes })).toBe(true);
  });

  test.each(["", "~", "null"])("an `eksaVersion: %s` is none", (text) => {
    const file = yaml(cluster({ endpoint: "h" }));
    const more = new TextEncoder().encode(`${new TextDecoder().decode(file.bytes)}  eksaVersion: ${text}\n`);
    expect(parseClusterMirror({ ...file, bytes: more }).eksaVersion).toBeUndefined();
  });
});
