import { describe, expect, test } from "bun:test";
import { parseBundles } from "../../src/eksa/bundles.ts";
import {
  isPackageBundle,
  packageControllers,
  parsePackageBundle,
  stageOf,
} from "../../src/eksa/package-bundle.ts";
import { formatReference, parseReference } from "../../src/oci/reference.ts";
import { toYaml } from "../support/bundles-author.ts";
import { faultOf, textOf } from "../support/faults.ts";
import { packageBundleYaml } from "../support/packages.ts";

const A = `sha256:${"a".repeat(64)}`;
const B = `sha256:${"b".repeat(64)}`;
const STAGE = stageOf(
  parseReference("public.ecr.aws/eks-anywhere/eks-anywhere-packages-bundles:v1-31-latest"),
);
const PRIVATE = "783794618700.dkr.ecr.us-west-2.amazonaws.com";

const encode = (text: string) => new TextEncoder().encode(text);

function parse(yaml: string) {
  return parsePackageBundle({ source: "bundle", bytes: encode(yaml) }, STAGE);
}

function sourceOf(fields: object, version: object = {}) {
  const one = { name: "0.1.2", digest: A, images: [{ repository: "x/y", digest: B }], ...version };
  return { name: "x", source: { repository: "x/chart", versions: [one], ...fields } };
}

/** With the tag where there is one, and the digest. */
const whole = ({
  reference,
}: {
  reference: { digest?: string; tag?: string } & Parameters<typeof formatReference>[0];
}) => {
  return `${formatReference(reference)}${reference.tag === undefined ? "" : `@${reference.digest}`}`;
};

describe("the package bundle of a Kubernetes version", () => {
  const bundleFor = (packageController: unknown, kubeVersion = "1.31") => {
    const yaml = toYaml({
      apiVersion: "anywhere.eks.amazonaws.com/v1alpha1",
      kind: "Bundles",
      spec: { number: 1, versionsBundles: [{ kubeVersion, packageController }] },
    });
    const bundles = parseBundles({ source: "bundles.yaml", bytes: encode(yaml) });
    return packageControllers(bundles).map(({ bundle }) => bundle && formatReference(bundle));
  };
  const controller = (uri: string) => ({ packageController: { uri } });

  test.each([
    ["public.ecr.aws/eks-anywhere/eks-anywhere-packages:v0.4.17-eks-a-1", "public.ecr.aws/eks-anywhere"],
    ["public.ecr.aws/l0g8r8j6/eks-anywhere-packages:v0.0.0-473d9fb", "public.ecr.aws/l0g8r8j6"],
    ["harbor.corp:5000/a/b/c/eks-anywhere-packages:v1", "harbor.corp:5000/a/b/c"],
    ["harbor.corp/eks-anywhere-packages:v1", "harbor.corp"],
    [`public.ecr.aws/eks-anywhere/eks-anywhere-packages:v1@${A}`, "public.ecr.aws/eks-anywhere"],
  ])("is beside the controller %s", (uri, place) => {
    const bundle = `${place}/eks-anywhere-packages-bundles:v1-31-latest`;
    expect(bundleFor(controller(uri))).toEqual([bundle]);
  });

  test("has the version in its tag", () => {
    const uri = "public.ecr.aws/eks-anywhere/eks-anywhere-packages:v1";
    expect(bundleFor(controller(uri), "1.9")).toEqual([
      "public.ecr.aws/eks-anywhere/eks-anywhere-packages-bundles:v1-9-latest",
    ]);
  });

  test.each([undefined, {}, controller(""), controller("<placeholder>")])(
    "is not told by %j",
    (component) => {
      expect(bundleFor(component)).toEqual([undefined]);
    },
  );
});

test.each([
  ["public.ecr.aws/eks-anywhere", "public.ecr.aws/eks-anywhere", "783794618700"],
  ["public.ecr.aws/w9m0f3l5", "public.ecr.aws/w9m0f3l5", "724423470321"],
  ["public.ecr.aws/x3k6m8v0", "public.ecr.aws/x3k6m8v0", "067575901363"],
  ["public.ecr.aws/l0g8r8j6", "public.ecr.aws/x3k6m8v0", "067575901363"],
  ["harbor.corp/a/b", "harbor.corp/a/b", "783794618700"],
])("for a bundle in %s, charts are in %s and images in %s", (place, charts, account) => {
  const bundle = parseReference(`${place}/eks-anywhere-packages-bundles:v1-31-latest`);
  expect(stageOf(bundle)).toEqual({ charts, images: `${account}.dkr.ecr.us-west-2.amazonaws.com` });
});

test.each([
  ["public.ecr.aws/eks-anywhere/eks-anywhere-packages-bundles:v1-31-latest", true],
  ["mirror.corp/eks-anywhere-packages-bundles:v1-31-118", true],
  ["public.ecr.aws/eks-anywhere/eks-anywhere-packages:v1", false],
  ["public.ecr.aws/eks-anywhere/not-eks-anywhere-packages-bundles:v1", false],
])("%s goes by the name of a package bundle: %p", (name, expected) => {
  expect(isPackageBundle(parseReference(name))).toBe(expected);
});

describe("a package bundle", () => {
  test("names charts by version and digest, and images by digest", () => {
    const { name, home, charts, images } = parse(packageBundleYaml("v1-31-118", [sourceOf({})]));
    expect([name, home]).toEqual(["v1-31-118", "public.ecr.aws/eks-anywhere"]);
    expect(charts.map(whole)).toEqual([`public.ecr.aws/eks-anywhere/x/chart:0.1.2@${A}`]);
    expect(images.map(whole)).toEqual([`${PRIVATE}/x/y@${B}`]);
    expect(images[0]?.where).toEqual(["v1-31-118: packages[0].source.versions[0].images[0]"]);
  });

  test("may name another registry for a chart, and images stay where they are", () => {
    const { charts, images } = parse(packageBundleYaml("v1-31-1", [sourceOf({ registry: "a.corp/b" })]));
    expect(charts.map(whole)).toEqual([`a.corp/b/x/chart:0.1.2@${A}`]);
    expect(images.map(whole)).toEqual([`${PRIVATE}/x/y@${B}`]);
  });

  test("has every version of a package, and packages without images", () => {
    const versions = [
      { name: "2.0.0+build", digest: B, images: [] },
      { name: "1.0.0", digest: A },
    ];
    const yaml = packageBundleYaml("v1-31-1-staging", [sourceOf({ registry: "", versions })]);
    const { charts, images } = parse(yaml);
    expect(charts.map(whole)).toEqual([
      `public.ecr.aws/eks-anywhere/x/chart:2.0.0_build@${B}`,
      `public.ecr.aws/eks-anywhere/x/chart:1.0.0@${A}`,
    ]);
    expect(images).toEqual([]);
  });

  test("may have fields that nobody knows yet", () => {
    const yaml = packageBundleYaml("v1-31-1", [
      { ...sourceOf({ more: { a: 1 } }, { dependencies: ["a"] }), b: 2 },
    ]);
    expect(parse(yaml).charts).toHaveLength(1);
  });

  test.each<[string, unknown, string]>([
    ["no packages", [], "spec.packages: expected at least one package"],
    ["packages that are no list", { a: 1 }, "spec.packages: expected a list of packages, found a mapping"],
    ["no versions", [sourceOf({ versions: [] })], "source.versions: expected at least one version"],
    ["no repository", [{ source: { versions: [] } }], "spec.packages[0].source.repository: is missing"],
    [
      "a repository of another kind",
      [sourceOf({ repository: { a: 1 } })],
      "expected a repository, found a mapping",
    ],
    ["no digest of a chart", [sourceOf({}, { digest: undefined })], "versions[0].digest: is missing"],
    [
      "images that are no list",
      [sourceOf({}, { images: "x" })],
      "images: expected a list of images, found `x`",
    ],
  ])("with %s is refused, with the place", async (_, packages, says) => {
    expect(textOf(await faultOf(() => parse(packageBundleYaml("v1-31-1", packages))))).toContain(says);
  });

  test.each(["", "latest", "v1-31-latest", "v1-31", "v1-31-1-a/b", `v1-31-1-${"a".repeat(200)}`])(
    "by the name %j is refused",
    async (name) => {
      const fault = await faultOf(() => parse(packageBundleYaml(name, [sourceOf({})])));
      expect(textOf(fault)).toContain("metadata.name: expected a name like `v1-31-118`");
    },
  );

  test("with names that are none is refused, with all places", async () => {
    const packages = [
      sourceOf({ repository: "UPPER" }),
      sourceOf({}, { name: "a b" }),
      sourceOf({}, { digest: "sha256:abc", images: [{ repository: "../x", digest: A }] }),
      sourceOf({}, { images: [{ repository: "x", digest: "" }] }),
    ];
    const text = textOf(await faultOf(() => parse(packageBundleYaml("v1-31-1", packages))));
    expect(text).toContain("cannot use what bundle names: 5 failures");
    for (const place of [
      "packages[0].source.versions[0]:",
      "packages[1].source.versions[0]:",
      "packages[2].source.versions[0]:",
      "packages[2].source.versions[0].images[0]:",
      "packages[3].source.versions[0].images[0]:",
    ]) {
      expect(text).toContain(place);
    }
  });

  test("is not a Bundles", async () => {
    const yaml = packageBundleYaml("v1-31-1", []).replace("kind: PackageBundle", "kind: Bundles");
    expect((await faultOf(() => parse(yaml))).message).toContain("as PackageBundle");
  });

  test("that is a bomb of aliases is refused", async () => {
    const bomb = [
      "a0: &a0 [x, x]",
      ...Array.from({ length: 60 }, (_, n) => `a${n + 1}: &a${n + 1} [*a${n}, *a${n}]`),
    ];
    const fault = await faultOf(() => parse(`${packageBundleYaml("v1-31-1", [])}${bomb.join("\n")}\n`));
    expect(textOf(fault)).toContain("more than 100 aliases");
  });
});
