import { describe, expect, test } from "bun:test";
import { bundleArtifacts } from "../../src/eksa/artifacts.ts";
import { parseBundles } from "../../src/eksa/bundles.ts";
import { collectArtifacts, selectFrom } from "../../src/eksa/collect.ts";
import { providersIn, reasonToLeave, type Selection } from "../../src/eksa/selection.ts";
import { formatReference } from "../../src/oci/reference.ts";
import { bundlesOfRealShape } from "../support/bundles.ts";

const ALL: Selection = { kubernetesVersions: [], providers: [], only: [] };
const VERSION = "of a Kubernetes version that is not selected";
const PROVIDER = "of a provider that is not selected";

/** A Bundles of 1.30 to 1.32 whose images are called `KEY[.KEY]-VERSION`. */
function parse(...names: string[]) {
  const versionsBundles = ["1.30", "1.31", "1.32"].map((kubeVersion) => {
    const components: Record<string, Record<string, unknown>> = {};
    for (const name of names) {
      const [component = "", key = ""] = name.split(".");
      const uri = `public.ecr.aws/x/${name.toLowerCase()}:v${kubeVersion}`;
      components[component] = { ...components[component], [key]: { uri } };
    }
    return { kubeVersion, ...components };
  });
  const head = { apiVersion: "anywhere.eks.amazonaws.com/v1alpha1", kind: "Bundles" };
  const text = JSON.stringify({ ...head, spec: { number: "1", versionsBundles } });
  return bundleArtifacts(parseBundles({ source: "bundles.yaml", bytes: new TextEncoder().encode(text) }));
}

/** The versions of an image that a selection takes. */
function taken(name: string, selection: Partial<Selection>): string[] {
  return parse(name)
    .images.filter((image) => reasonToLeave(image, { ...ALL, ...selection }) === undefined)
    .map(({ reference }) => reference.tag?.slice(1) ?? "");
}

describe("by Kubernetes version", () => {
  test.each([
    "cilium.operator",
    "eksD.kindNode",
    "packageController.tokenRefresher",
    "upgrader.upgrader",
    "bottlerocketHostContainers.kubeadmBootstrap",
    "bottlerocketBootstrapContainers.multiNetworkBootstrap",
    "haproxy.image",
    "vSphere.manager",
    "snow.bottlerocketBootstrapSnow",
  ])("%s is the cluster's own", (name) => {
    expect(taken(name, { kubernetesVersions: ["1.31"] })).toEqual(["1.31"]);
  });

  test.each([
    "eksa.cliTools",
    "clusterAPI.controller",
    "bootstrap.controller",
    "controlPlane.kubeProxy",
    "certManager.webhook",
    "etcdadmBootstrap.controller",
    "etcdadmController.controller",
    "flux.helmController",
    "docker.manager",
    "vSphere.clusterAPIController",
    "vSphere.kubeVip",
    "nutanix.cloudProvider",
    "snow.manager",
    "tinkerbell.envoy",
    "cloudStack.kubeVip",
  ])("%s is taken from the first versionsBundle as well", (name) => {
    expect(taken(name, { kubernetesVersions: ["1.31"] })).toEqual(["1.30", "1.31"]);
    expect(taken(name, { kubernetesVersions: ["1.30"] })).toEqual(["1.30"]);
  });

  test("several are taken together", () => {
    expect(taken("cilium.cilium", { kubernetesVersions: ["1.32", "1.30"] })).toEqual(["1.30", "1.32"]);
  });
});

describe("by provider", () => {
  const names = [
    "docker.manager",
    "vSphere.manager",
    "tinkerbell.envoy",
    "nutanix.kubeVip",
    "snow.manager",
    "cloudStack.kubeVip",
    "aws.controller",
    "eksa.cliTools",
    "novelty.image",
  ];
  const of = (selection: Partial<Selection>) =>
    parse(...names)
      .images.filter((image) => reasonToLeave(image, { ...ALL, ...selection }) === undefined)
      .filter(({ reference }) => reference.tag === "v1.30")
      .map(({ reference }) => reference.repository.slice(2));

  test.each([
    ["docker", "docker.manager"],
    ["vsphere", "vsphere.manager"],
    ["tinkerbell", "tinkerbell.envoy"],
    ["nutanix", "nutanix.kubevip"],
    ["snow", "snow.manager"],
    ["cloudstack", "cloudstack.kubevip"],
  ] as const)("%s takes its own, what all share, and what nobody knows", (provider, own) => {
    expect(of({ providers: [provider] })).toEqual([own, "eksa.clitools", "novelty.image"]);
  });

  test("none takes everything; two take theirs", () => {
    expect(of({})).toHaveLength(names.length);
    expect(of({ providers: ["snow", "docker"] })).toEqual([
      "docker.manager",
      "snow.manager",
      "eksa.clitools",
      "novelty.image",
    ]);
  });

  test("what two name is taken for either", () => {
    const [shared] = ["docker", "snow"].map((component) => ({
      kind: "image" as const,
      origins: [
        { kubeVersion: "1.30", isFirst: true, keys: [component, "kubeVip"] as const },
        { kubeVersion: "1.31", isFirst: false, keys: ["vSphere", "kubeVip"] as const },
      ],
    }));
    if (shared === undefined) throw new Error("no image");
    expect(reasonToLeave(shared, { ...ALL, providers: ["vsphere"] })).toBeUndefined();
    expect(reasonToLeave(shared, { ...ALL, providers: ["nutanix"] })).toBe(PROVIDER);
    // Neither of its versions and providers alone is the wanted pair.
    const pair = { ...ALL, kubernetesVersions: ["1.30"], providers: ["vsphere"] as const };
    expect(reasonToLeave(shared, pair)).toBe(PROVIDER);
  });

  test("there are those that something is named for in the selected versions", () => {
    const { images } = parse("docker.manager", "vSphere.manager", "eksa.cliTools");
    expect(providersIn(images, ALL)).toEqual(["docker", "vsphere"]);
  });
});

test("a component that is not known is carried whatever the provider, and from the first versionsBundle too", () => {
  expect(taken("novelty.image", { providers: ["docker"], kubernetesVersions: ["1.32"] })).toEqual([
    "1.30",
    "1.32",
  ]);
  expect(parse("novelty.image", "eksa.cliTools").unknown).toEqual([
    {
      component: "novelty",
      where: ["versionsBundles[0].novelty", "versionsBundles[1].novelty", "versionsBundles[2].novelty"],
    },
  ]);
});

test("what has no origin goes by its kind alone", () => {
  const of = (kind: string, only: Selection["only"]) =>
    reasonToLeave({ kind }, { kubernetesVersions: ["1.99"], providers: ["snow"], only });
  expect(of("image", [])).toBeUndefined();
  expect(of("image", ["images"])).toBeUndefined();
  expect(of("manifest", ["charts", "manifests"])).toBeUndefined();
  expect(of("chart", ["images"])).toBe("of a kind that is not selected");
  expect(of("other", ["images"])).toBe("of a kind that is not selected");
});

describe("of a whole Bundles", () => {
  const fixture = bundlesOfRealShape({ versions: ["1.30", "1.31"], imageDigest: () => undefined });
  const encode = (text: string) => new TextEncoder().encode(text);
  const collected = collectArtifacts({ source: "b.yaml", bytes: encode(fixture.yaml) }, async (uri) =>
    encode(fixture.documents.get(uri) ?? ""),
  );

  test("EKS-D's images go by version, and nothing is left out unsaid", async () => {
    const whole = await collected;
    const part = selectFrom(whole, { ...ALL, kubernetesVersions: ["1.31"] });
    const names = part.images.map(({ reference }) => formatReference(reference));
    expect(names.filter((name) => name.includes("/eks-distro/") && name.includes("-1-30-"))).toEqual([]);
    expect(names.filter((name) => name.includes("/eks-distro/"))).toHaveLength(17);
    const left = part.skipped.filter(({ reason }) => reason === VERSION);
    // 17 of EKS-D, the node, the upgrader, three of Bottlerocket's, vSphere's manager.
    expect(left).toHaveLength(17 + 6);
    expect(part.images.length + left.length).toBe(whole.images.length);
    expect(left.every(({ where }) => where.length > 0)).toBe(true);
  });

  test("its files stay, all of them, and of its tags those that are taken are unpinned", async () => {
    const whole = await collected;
    const part = selectFrom(whole, { kubernetesVersions: ["1.31"], providers: ["docker"], only: ["images"] });
    expect(part.files).toEqual(whole.files);
    const tags = part.unpinned.filter(({ kind }) => kind === "tag").map(({ name }) => name);
    expect(tags.sort()).toEqual(part.images.map(({ reference }) => formatReference(reference)).sort());
    expect(part.unpinned.filter(({ kind }) => kind === "file")).toHaveLength(fixture.documents.size);
  });
});
