import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { bundleArtifacts } from "../../src/eksa/artifacts.ts";
import { parseBundles } from "../../src/eksa/bundles.ts";
import { collectArtifacts } from "../../src/eksa/collect.ts";
import { eksdArtifacts } from "../../src/eksa/eksd.ts";
import { mergeImages } from "../../src/eksa/images.ts";
import { parsePackageBundle, stageOf } from "../../src/eksa/package-bundle.ts";
import { PROVIDERS, providersIn, reasonToLeave, type Selection } from "../../src/eksa/selection.ts";
import { SignedBundles } from "../../src/eksa/signature.ts";
import { wrapBundles } from "../../src/eksa/wrap.ts";
import { formatReference, parseReference } from "../../src/oci/reference.ts";
import { faultOf } from "../support/faults.ts";

/** Documents as published, kept beside the checkout. */
const DATA = join(import.meta.dir, "../../../shared/data/eks-anywhere");
const absent = !existsSync(DATA) && process.env.CI === undefined;

const file = (name: string) => ({ source: name, bytes: new Uint8Array(readFileSync(join(DATA, name))) });

/**
 * Counted with PyYAML's BaseLoader over all mappings with a `uri`, by these rules alone: empty,
 * `<placeholder>` and http URIs that do not end in `.yaml` are skipped (places; distinct URIs); what ends
 * in `.yaml`, and eksD's two strings, are manifests (distinct kubeVersion + component + basename; distinct
 * URIs); keys with `hart`, `Crds` or equal to `stack` are charts; all else are images, both distinct.
 * Images + charts agree with `grep -ohE 'uri: [a-z0-9.]+\.aws/\S+' | sort -u | wc -l`, and main's 87
 * images with upstream's `Images()` (86) and credentialProviderPackage.
 */
const PUBLISHED = [
  { name: "bundles-main-1.30-1.36.yaml", counts: [87, 5, 203, 35, 105, 17] },
  { name: "bundles-release-0.17-1.23-1.27.yaml", counts: [68, 3, 160, 36, 46, 14] },
  { name: "bundles-release-0.25-1.29-1.35-with-cloudstack.yaml", counts: [88, 5, 217, 37, 70, 16] },
  { name: "bundles-release-0.26-1.29-1.36.yaml", counts: [93, 5, 232, 36, 120, 18] },
  { name: "bundles-unit-test-1.18-1.29.yaml", counts: [113, 3, 120, 78, 46, 16] },
];

/**
 * Images and charts of one version, in turn for every provider together, docker, vsphere, tinkerbell, nutanix,
 * snow and cloudstack (`-`: the version has nothing for it). Counted by another Python script over the same
 * mentions: those of the version, and of versionsBundles[0] those of `ManagementComponentsFromBundles` but
 * vSphere.manager and snow.bottlerocketBootstrapSnow; of the components that are a provider's own, its own.
 * Of the three newer files a third script says the same, which takes the lists of images from upstream's
 * artifacts.go and the names of the fields from bundle_types.go.
 */
const SELECTED: readonly [file: string, versions: string, counts: string][] = [
  ["bundles-main-1.30-1.36.yaml", "1.30 1.31 1.32 1.33 1.34 1.35 1.36", "51+5 31+2 33+2 44+5 33+2 33+2 -"],
  ["bundles-release-0.17-1.23-1.27.yaml", "1.23 1.24 1.25 1.26 1.27", "52+3 28+2 30+2 45+3 29+2 30+2 29+2"],
  [
    "bundles-release-0.25-1.29-1.35-with-cloudstack.yaml",
    "1.29 1.30 1.31 1.32 1.33 1.34 1.35",
    "52+5 31+2 33+2 44+5 33+2 33+2 32+2",
  ],
  [
    "bundles-release-0.26-1.29-1.36.yaml",
    "1.29 1.30 1.31 1.32 1.33 1.34 1.35 1.36",
    "51+5 31+2 33+2 44+5 33+2 33+2 -",
  ],
  ["bundles-unit-test-1.18-1.29.yaml", "1.18 1.19", "28+0 19+0 23+0 - 21+0 - -"],
  ["bundles-unit-test-1.18-1.29.yaml", "1.20", "30+0 19+0 23+0 20+0 21+0 - -"],
  ["bundles-unit-test-1.18-1.29.yaml", "1.21", "51+0 35+0 42+0 35+0 36+0 34+0 -"],
  ["bundles-unit-test-1.18-1.29.yaml", "1.29", "76+3 45+2 50+2 61+3 49+2 46+2 -"],
];

describe.skipIf(absent)("published documents", () => {
  test.each(SELECTED)(
    "of %s, the versions %s come to what was counted by other means",
    (name, versions, counts) => {
      const { images, unknown } = bundleArtifacts(parseBundles(file(name)));
      expect(unknown).toEqual([]);
      for (const version of versions.split(" ")) {
        const count = (providers: Selection["providers"]) => {
          const selection: Selection = { kubernetesVersions: [version], providers, only: [] };
          const taken = images.filter((image) => reasonToLeave(image, selection) === undefined);
          const charts = taken.filter(({ kind }) => kind === "chart").length;
          const there = providersIn(images, selection);
          return providers.every((each) => there.includes(each)) ? `${taken.length - charts}+${charts}` : "-";
        };
        expect([count([]), ...PROVIDERS.map((provider) => count([provider]))].join(" ")).toBe(counts);
      }
    },
  );

  test.each([
    ["bundles-main-1.30-1.36.yaml", "packageController.credentialProviderPackage"],
    ["bundles-main-1.30-1.36.yaml", "nutanix.kubeVip"],
    ["bundles-release-0.25-1.29-1.35-with-cloudstack.yaml", "cloudStack.kubeVip"],
  ])("%s: %s, which `Images()` forgets or knows only now and then, is taken", (name, place) => {
    const { images } = bundleArtifacts(parseBundles(file(name)));
    const named = images.find(({ where }) => where.includes(`versionsBundles[0].${place}`));
    expect(named && formatReference(named.reference)).toMatch(/^public\.ecr\.aws\/\S+:\S+$/);
  });

  test.each(PUBLISHED)("$name holds what was counted by other means", ({ name, counts }) => {
    const { images, manifests, skipped } = bundleArtifacts(parseBundles(file(name)));
    expect([
      images.filter(({ kind }) => kind === "image").length,
      images.filter(({ kind }) => kind === "chart").length,
      manifests.length,
      new Set(manifests.map(({ uri }) => uri)).size,
      skipped.flatMap(({ where }) => where).length,
      skipped.length,
    ]).toEqual(counts);
  });

  // Their publisher's tests made them, in dry runs: `grep -c signature` finds nothing.
  test.each(PUBLISHED)("$name is not signed", ({ name }) => {
    expect(new SignedBundles(file(name)).judge().verdict).toEqual({ state: "absent" });
  });

  // `grep -c 'image:$'` and `grep -c 'archive:$'`.
  test.each([
    "eksd-release-kubernetes-1-20-eks-1-controllers.yaml",
    "eksd-release-kubernetes-1-21-eks-4.yaml",
  ])("%s holds 17 images and 45 archives", (name) => {
    const { images, skipped } = eksdArtifacts(file(name));
    expect([images.length, skipped.flatMap(({ where }) => where).length]).toEqual([17, 45]);
  });

  /**
   * Counted with PyYAML's BaseLoader over `spec.packages[].source.versions[]`: versions; distinct (repository,
   * name, digest); images; distinct (repository, digest). `grep -c`: 11 `- name:`; 38 `digest:` = 11 + 27.
   */
  test("package-bundle-v1-24-116.yaml holds what was counted by other means, all pinned", () => {
    const bundle = parseReference("public.ecr.aws/eks-anywhere/eks-anywhere-packages-bundles:v1-24-latest");
    const { name, charts, images } = parsePackageBundle(
      file("package-bundle-v1-24-116.yaml"),
      stageOf(bundle),
    );
    const distinct = [charts, images].map((all) => mergeImages(all).length);
    expect([name, charts.length, distinct[0], images.length, distinct[1]]).toEqual([
      "v1-24-116",
      11,
      11,
      27,
      24,
    ]);
    const text = file("package-bundle-v1-24-116.yaml").bytes;
    const digests = new Set(new TextDecoder().decode(text).match(/sha256:[0-9a-f]{64}/g));
    expect(new Set([...charts, ...images].map(({ reference }) => reference.digest as string))).toEqual(
      digests,
    );
    const names = [charts[1], images[1]].map((one) => one && formatReference(one.reference));
    expect(names).toEqual([
      "public.ecr.aws/eks-anywhere/adot/charts/aws-otel-collector:0.23.0-8dcf5fb5a1502a1da44c3e4c0552a13fa125fb74",
      "783794618700.dkr.ecr.us-west-2.amazonaws.com/adot/aws-observability/aws-otel-collector@sha256:17a22ee980451499334c2e59bba59e5d601c359c21738c5d5cfce93f33e8653a",
    ]);
  });

  test("a Bundles with an EKS-D release becomes one artifact that holds every file", async () => {
    const release = file("eksd-release-kubernetes-1-21-eks-4.yaml").bytes;
    const read = async (uri: string) =>
      uri.includes("/kubernetes-1-") ? release : new TextEncoder().encode(uri);
    const { files, images, number } = await collectArtifacts(file("bundles-main-1.30-1.36.yaml"), read);
    expect(files).toHaveLength(203 + 1);
    expect(images).toHaveLength(87 + 5 + 17);
    const { nodes, roots } = wrapBundles({ number, version: "v0.26.0", files });
    expect(roots).toHaveLength(2);
    // 35 URIs, of which 7 releases have equal bytes here; the Bundles, the config, the manifest.
    expect(nodes.size).toBe(35 - 6 + 3);
  });

  test.each(["release-manifest-unit-test.yaml", "package-bundle-v1-24-116.yaml"])(
    "%s is not taken for a Bundles",
    async (name) => {
      expect((await faultOf(() => parseBundles(file(name)))).message).toMatch(
        /as Bundles .*: it is `(Release|PackageBundle)`/,
      );
    },
  );
});
