import { describe, expect, test } from "bun:test";
import { type BundleArtifacts, bundleArtifacts } from "../../src/eksa/artifacts.ts";
import { parseBundles } from "../../src/eksa/bundles.ts";
import { digestOf } from "../../src/oci/digest.ts";
import { faultKind } from "../../src/oci/fault.ts";
import { formatReference } from "../../src/oci/reference.ts";
import { bundlesOfRealShape } from "../support/bundles.ts";
import { faultOf, textOf } from "../support/faults.ts";

const ONE = digestOf(Uint8Array.of(1));
const TWO = digestOf(Uint8Array.of(2));
const IMAGE = "public.ecr.aws/eks-anywhere/x:v1";

function parse(yaml: string) {
  return parseBundles({ source: "bundles.yaml", bytes: new TextEncoder().encode(yaml) });
}

/** The artifacts of versionsBundles that hold these components, one a version. */
function artifactsOf(...components: Record<string, unknown>[]): BundleArtifacts {
  const versionsBundles = components.map((fields, index) => ({ kubeVersion: `1.3${index}`, ...fields }));
  const head = { apiVersion: "anywhere.eks.amazonaws.com/v1alpha1", kind: "Bundles" };
  return bundleArtifacts(parse(JSON.stringify({ ...head, spec: { number: "1", versionsBundles } })));
}

describe("the envelope", () => {
  const envelope = (spec: string) =>
    `apiVersion: anywhere.eks.amazonaws.com/v1alpha1\nkind: Bundles\nspec: ${spec}\n`;

  test("keeps an unquoted 1.30", () => {
    const { number, versionsBundles } = parse(
      envelope("{number: 7, versionsBundles: [{kubeVersion: 1.30}]}"),
    );
    expect([number, versionsBundles[0]?.kubeVersion]).toEqual([7, "1.30"]);
  });

  test.each([
    [
      "{number: x, versionsBundles: [{kubeVersion: 1.30}]}",
      "spec.number: expected a whole number, found `x`",
    ],
    ["{number: 1, versionsBundles: []}", "spec.versionsBundles: expected at least one versionsBundle"],
    ["{number: 1, versionsBundles: [{}]}", "spec.versionsBundles[0].kubeVersion: is missing"],
    ["{number: 1, versionsBundles: [{kubeVersion: ../../x}]}", "found `../../x`"],
    ["{number: 1, versionsBundles: [{kubeVersion: ..}]}", "found `..`"],
    ["x", "spec: expected a mapping with `number` and `versionsBundles`, found `x`"],
  ])("%p is refused", async (spec, reason) => {
    expect(textOf(await faultOf(() => parse(envelope(spec))))).toContain(reason);
  });
});

describe("a mention", () => {
  test("is an EKS-D release at eksD.manifestUrl, and nowhere below it", () => {
    const uri = (name: string) => `https://distro.example/${name}.yaml`;
    const components = { manifestUrl: { uri: uri("below") } };
    const { manifests } = artifactsOf({ eksD: { manifestUrl: uri("own"), components } });
    expect(manifests.map(({ kind, uri }) => [kind, uri])).toEqual([
      ["eksdRelease", uri("own")],
      ["manifest", uri("below")],
    ]);
  });

  test("with an imageDigest is fetched by it and keeps its tag", () => {
    const { images } = artifactsOf({ a: { b: { uri: IMAGE, imageDigest: ONE } } });
    expect(images).toEqual([
      {
        kind: "image",
        reference: { registry: "public.ecr.aws", repository: "eks-anywhere/x", tag: "v1", digest: ONE },
        where: ["versionsBundles[0].a.b"],
        origins: [{ kubeVersion: "1.30", isFirst: true, keys: ["a", "b"] }],
      },
    ]);
  });

  test("without a tag is known by its imageDigest", () => {
    const { images } = artifactsOf({ a: { uri: "public.ecr.aws/x", imageDigest: ONE } });
    expect(images[0]?.reference).toEqual({ registry: "public.ecr.aws", repository: "x", digest: ONE });
  });

  test.each([
    ["an empty imageDigest", ""],
    ["a placeholder for one", "<placeholder>"],
  ])("with %s stands by its tag", (_name, imageDigest) => {
    const [image] = artifactsOf({ a: { uri: IMAGE, imageDigest } }).images;
    expect(image?.reference.digest).toBeUndefined();
  });

  test("of an unknown component is carried, however deep and in a list", () => {
    const found = artifactsOf({
      novelty: { deep: [{ deeper: { uri: IMAGE } }], crds: { uri: "https://a.example/crds.yaml" } },
    });
    expect(found.images[0]?.where).toEqual(["versionsBundles[0].novelty.deep[0].deeper"]);
    expect(found.manifests[0]?.title).toBe("1.30/novelty/crds.yaml");
  });

  test.each([
    [{ cilium: { helmChart: { uri: IMAGE } } }, "chart"],
    [{ tinkerbell: { tinkerbellStack: { tinkerbellChart: { uri: IMAGE } } } }, "chart"],
    [{ tinkerbell: { tinkerbellStack: { tinkerbellCrds: { uri: IMAGE } } } }, "chart"],
    [{ tinkerbell: { tinkerbellStack: { stack: { uri: IMAGE } } } }, "chart"],
    [{ other: { stack: { uri: IMAGE } } }, "image"],
    [{ a: { b: { uri: `oci://${IMAGE}` } } }, "image"],
  ])("%j is one %s", (components, kind) => {
    expect(artifactsOf(components).images.map((image) => image.kind as string)).toEqual([kind]);
  });

  test.each([
    [
      { clusterAPI: { components: { uri: "https://a.example/p/core.yaml?X=1" } } },
      "1.30/core-cluster-api/core.yaml",
    ],
    [
      { vSphere: { metadata: { uri: "config/v1/metadata.yaml" } } },
      "1.30/cluster-api-provider-vsphere/metadata.yaml",
    ],
    [{ certManager: { manifest: { uri: "https://a.example/cm" } } }, "1.30/cert-manager/cm"],
    [{ eksD: { manifestUrl: "embed:///testdata/eks-4.yaml" } }, "1.30/eks-distro/eks-4.yaml"],
    [{ eksD: { components: "https://a.example/crd.yaml" } }, "1.30/eks-distro/crd.yaml"],
    [{ aws: { components: { uri: "https://a.example/c.yaml" } } }, "1.30/aws/c.yaml"],
  ])("%j is the manifest %s", (components, title) => {
    const found = artifactsOf(components);
    expect(found.manifests.map((manifest) => manifest.title)).toEqual([title]);
    expect(found.images).toEqual([]);
  });

  test.each([
    [{ eksD: { ova: { uri: "https://a.example/b.ova", sha256: "aa" } } }, "archives are not carried"],
    [{ eksD: { crictl: { uri: "https://u:p@a.example/c.tar.gz?sig=1" } } }, "archives are not carried"],
    [{ t: { hook: { vmlinuz: { arm: { uri: "https://a.example/vmlinuz" } } } } }, "archives are not carried"],
    [{ cloudStack: { components: { uri: "<placeholder>" } } }, "a placeholder"],
    [{ snow: { manager: { uri: "" } } }, "the URI is empty"],
    [{ eksD: { manifestUrl: "" } }, "the URI is empty"],
  ])("%j is left out: %s", (components, reason) => {
    const { skipped, ...rest } = artifactsOf(components);
    expect(skipped.map((entry) => entry.reason)).toEqual([reason]);
    expect([rest.images, rest.manifests]).toEqual([[], []]);
    expect(JSON.stringify(skipped)).not.toMatch(/u:p|sig/);
  });
});

describe("mentions of the same", () => {
  test("image become one that knows all its places", () => {
    const component = { a: { uri: IMAGE, imageDigest: ONE } };
    expect(artifactsOf(component, component).images).toMatchObject([
      { where: ["versionsBundles[0].a", "versionsBundles[1].a"] },
    ]);
  });

  test("tag are pinned by the one that has a digest, whichever comes first", () => {
    const [bare, pinned] = [{ uri: IMAGE }, { uri: IMAGE, imageDigest: ONE }];
    for (const components of [
      { a: bare, b: pinned },
      { a: pinned, b: bare },
    ]) {
      expect(artifactsOf(components).images.map(({ reference }) => reference.digest)).toEqual([ONE]);
    }
  });

  test("tag with two digests are refused, naming both places", async () => {
    const fault = await faultOf(() =>
      artifactsOf({ a: { uri: IMAGE, imageDigest: ONE }, b: { uri: IMAGE, imageDigest: TWO } }),
    );
    expect(textOf(fault)).toContain(`${ONE} at versionsBundles[0].a, ${TWO} at versionsBundles[0].b`);
    expect(faultKind(fault)).toBe("mismatch");
  });

  test("title from two URIs are refused, naming both places", async () => {
    const fault = await faultOf(() =>
      artifactsOf({
        x: { metadata: { uri: "https://a.example/m.yaml" }, components: { uri: "https://b.example/m.yaml" } },
      }),
    );
    expect(textOf(fault)).toContain("versionsBundles[0].x.metadata");
    expect(textOf(fault)).toContain("versionsBundles[0].x.components");
  });

  test("URI in two versions are a title each", () => {
    const component = { kindnetd: { manifest: { uri: "https://a.example/k.yaml" } } };
    expect(artifactsOf(component, component).manifests.map(({ title }) => title)).toEqual([
      "1.30/kindnetd/k.yaml",
      "1.31/kindnetd/k.yaml",
    ]);
  });
});

test.each<[string, Record<string, unknown>, string]>([
  ["eksa.cliTools.uri", { eksa: { cliTools: { uri: ["x"] } } }, "it is a list, where text is expected"],
  ["eksa.cliTools.uri", { eksa: { cliTools: { uri: { a: "b" } } } }, "it is a mapping"],
  ["eksa.cliTools", { eksa: { cliTools: IMAGE } }, "it is text, where a mapping with `uri` is expected"],
  ["eksa.components", { eksa: { components: "https://a.example/x.yaml" } }, "a mapping with `uri`"],
  ["upgrader", { upgrader: "hello" }, "it is text, where a component is expected"],
  ["eksD.manifestUrl", { eksD: { manifestUrl: ["x"] } }, "it is a list, where text is expected"],
])("%s of another shape is named, and not left out without a word", async (place, components, fact) => {
  const text = textOf(await faultOf(() => artifactsOf(components)));
  expect(text).toContain(`cannot use versionsBundles[0].${place} of bundles.yaml`);
  expect(text).toContain(fact);
});

test.each(["", "~", "null", "NULL"])("a URI that is `%s` is empty, and named by its place", (uri) => {
  const places = ["cliTools", "diagnosticCollector"];
  const eksa = Object.fromEntries(places.map((place) => [place, { uri }]));
  expect(artifactsOf({ eksa }).skipped).toEqual(
    places.map((place) => ({
      uri: "",
      reason: "the URI is empty",
      where: [`versionsBundles[0].eksa.${place}`],
    })),
  );
});

test("all that makes no sense is named at once", async () => {
  const fault = await faultOf(() =>
    artifactsOf({
      a: { uri: "not a reference" },
      b: { uri: IMAGE, imageDigest: "sha256:12" },
      c: { uri: `public.ecr.aws/x@${ONE}`, imageDigest: TWO },
      "../up": { manifest: { uri: "https://a.example/m.yaml" } },
      d: { manifest: { uri: "https://a.example/.." } },
      e: { manifest: { uri: "https://a.example/" } },
    }),
  );
  for (const place of ["a", "b", "c", "../up.manifest", "d.manifest", "e.manifest"]) {
    expect(textOf(fault)).toContain(`cannot use versionsBundles[0].${place} of bundles.yaml:`);
  }
});

test("a Bundles of the real shape gives exactly what it was made of", () => {
  const fixture = bundlesOfRealShape({ versions: ["1.30", "1.31", "1.32"], registry: "127.0.0.1:5000" });
  const { images, manifests, skipped } = bundleArtifacts(parse(fixture.yaml));
  const names = (kind: string) =>
    images.filter((image) => image.kind === kind).map(({ reference }) => formatReference(reference));
  expect(names("image").sort()).toEqual(
    fixture.images.filter((name) => !name.includes("/eks-distro/")).sort(),
  );
  expect(names("chart").sort()).toEqual([...fixture.charts].sort());
  expect(new Set(manifests.map(({ uri }) => uri))).toEqual(new Set(fixture.documents.keys()));
  expect(new Set(skipped.map(({ reason }) => reason)).size).toBe(3);
  expect(names("image")).toContain("127.0.0.1:5000/eks/cilium/cilium:v1.19.4-1");
  expect(names("chart")).toContain("127.0.0.1:5000/eks/cilium/cilium:1.19.4-1");
});
