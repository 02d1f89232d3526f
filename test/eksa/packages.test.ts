import { describe, expect, test } from "bun:test";
import type { ImageArtifact } from "../../src/eksa/images.ts";
import type { PackageController } from "../../src/eksa/package-bundle.ts";
import { collectPackages, type Packages } from "../../src/eksa/packages.ts";
import { MEDIA_TYPE } from "../../src/oci/descriptor.ts";
import { type Fault, faultKind } from "../../src/oci/fault.ts";
import { formatReference, parseReference } from "../../src/oci/reference.ts";
import type { TestContent } from "../support/content.ts";
import { faultOf, textOf } from "../support/faults.ts";
import { MemorySource, manifestContent, rawImage } from "../support/memory.ts";
import {
  type PackageBundleFixture,
  PRIVATE_PACKAGES as PRIVATE,
  PUBLIC_PACKAGES as PUBLIC,
  packageBundle,
  packageBundleYaml,
  pushedFile,
} from "../support/packages.ts";

const BUNDLES = `${PUBLIC}/eks-anywhere-packages-bundles`;
const CONTROLLER = "eks-anywhere-packages";

const image = rawImage(["one"]);
const other = rawImage(["two"]);

function controllers(...versions: string[]): PackageController[] {
  return versions.map((kubeVersion, index) => ({
    kubeVersion,
    bundle: parseReference(`${BUNDLES}:v${kubeVersion.replace(".", "-")}-latest`),
    where: `versionsBundles[${index}].packageController`,
  }));
}

interface Asked {
  content: Record<string, TestContent>;
  versions?: string[];
  excluded?: string[];
  others?: ImageArtifact[];
  /** What is in each chart, in place of reading its archive. */
  values?: (name: string) => string | undefined;
}

async function collect({ content, versions = ["1.31"], excluded = [], others = [], values }: Asked) {
  const source = new MemorySource(content);
  const warnings: string[] = [];
  const packages = await collectPackages(controllers(...versions), {
    source,
    valuesOf: async (_, name) => {
      const text = values?.(name);
      return text === undefined ? undefined : new TextEncoder().encode(text);
    },
    excluded: new Set(excluded),
    others,
    warn: (text) => warnings.push(text),
  });
  return { ...packages, warnings, asked: source.asked };
}

function contentOf(...fixtures: PackageBundleFixture[]): Record<string, TestContent> {
  return Object.fromEntries(fixtures.flatMap(({ charts, images }) => [...charts, ...images]));
}

/** `NAME:TAG@DIGEST` → kind */
function named({ images }: Pick<Packages, "images">): Record<string, string> {
  const entries = images.map(({ kind, reference }) => {
    const { registry, repository, tag, digest } = reference;
    const name = `${registry}/${repository}${tag === undefined ? "" : `:${tag}`}`;
    return [digest === undefined ? name : `${name}@${digest}`, kind];
  });
  return Object.fromEntries(entries);
}

const digestOf = (content: TestContent | undefined) => content?.root.digest ?? "";
const valuesWith = (content: TestContent, tag: string) =>
  `image: {digest: "${digestOf(content)}", tag: "${tag}"}\n`;

describe("curated packages", () => {
  test("are the bundle by both its tags, its charts and its images, all pinned", async () => {
    const fixture = await packageBundle("v1-31-118", [
      { repository: "a/chart", version: "1.0.0", images: [{ repository: "a/x", content: image }] },
      { repository: "b/chart", version: "2.0.0", images: [{ repository: "b/y", content: other }] },
    ]);
    const packages = await collect({ content: contentOf(fixture) });
    const bundle = digestOf(fixture.charts.get(`${BUNDLES}:v1-31-latest`));
    expect(named(packages)).toEqual({
      [`${BUNDLES}:v1-31-latest@${bundle}`]: "manifest",
      [`${BUNDLES}:v1-31-118@${bundle}`]: "manifest",
      [`${PUBLIC}/a/chart:1.0.0@${digestOf(fixture.charts.get(`${PUBLIC}/a/chart:1.0.0`))}`]: "chart",
      [`${PUBLIC}/b/chart:2.0.0@${digestOf(fixture.charts.get(`${PUBLIC}/b/chart:2.0.0`))}`]: "chart",
      [`${PRIVATE}/a/x@${digestOf(image)}`]: "image",
      [`${PRIVATE}/b/y@${digestOf(other)}`]: "image",
    });
    expect(packages.unpinned).toEqual([
      { kind: "tag", name: `${BUNDLES}:v1-31-latest`, where: ["the curated packages of Kubernetes 1.31"] },
    ]);
    expect([packages.failures, packages.warnings]).toEqual([[], []]);
    // An image is not asked for before its turn comes.
    expect(packages.asked.some((name) => name.startsWith(PRIVATE))).toBe(false);
  });

  test("of several versions share what is the same", async () => {
    const shape = [
      { repository: "a/chart", version: "1.0.0", images: [{ repository: "a/x", content: image }] },
    ];
    const fixtures = [await packageBundle("v1-30-7", shape), await packageBundle("v1-31-8", shape)];
    const packages = await collect({ content: contentOf(...fixtures), versions: ["1.30", "1.31"] });
    const tags = packages.images.map(({ reference }) => reference.tag ?? "by digest");
    expect(tags).toEqual(["v1-30-latest", "v1-30-7", "v1-31-latest", "v1-31-8", "1.0.0", "by digest"]);
    expect(packages.images.at(-1)?.where).toEqual([
      "v1-30-7: packages[0].source.versions[0].images[0]",
      "v1-31-8: packages[0].source.versions[0].images[0]",
    ]);
    expect(packages.unpinned).toHaveLength(2);
  });

  test("have every bundle that cannot be had among the failures, and the rest all the same", async () => {
    const fixture = await packageBundle("v1-31-1", [{ repository: "a", version: "1.0.0", images: [] }]);
    const odd = {
      [`${BUNDLES}:v1-29-latest`]: pushedFile("bundle.yaml", "kind: List\n"),
      [`${BUNDLES}:v1-30-latest`]: pushedFile("bundle.yaml", fixture.yaml),
    };
    const { failures, images } = await collect({
      content: { ...contentOf(fixture), ...odd },
      versions: ["1.28", "1.29", "1.30", "1.31"],
    });
    const text = (index: number) => textOf(failures[index]?.error as Fault);
    expect(failures.map(({ reference }) => reference.tag)).toEqual([
      "v1-28-latest",
      "v1-29-latest",
      "v1-30-latest",
    ]);
    expect(text(0)).toContain(`cannot find ${BUNDLES}:v1-28-latest`);
    expect(text(1)).toContain("as PackageBundle (packages.eks.amazonaws.com/v1alpha1): it is `List`");
    expect(text(2)).toContain(
      `cannot use ${BUNDLES}:v1-30-latest: it is v1-31-1, of another Kubernetes version`,
    );
    expect(images.map(({ reference }) => reference.tag)).toEqual(["v1-31-latest", "v1-31-1", "1.0.0"]);
  });

  test("leave a bundle that is excluded unread, and name it", async () => {
    const { images, asked, unpinned, failures } = await collect({
      content: {},
      excluded: [`${BUNDLES}:v1-31-latest`],
    });
    expect(images.map(({ reference }) => reference)).toEqual([parseReference(`${BUNDLES}:v1-31-latest`)]);
    expect([asked, unpinned, failures]).toEqual([[], [], []]);
  });

  test("are not to be read out of an artifact that has lost its document, or lies about it", async () => {
    const empty = manifestContent(MEDIA_TYPE.ociManifest, {
      schemaVersion: 2,
      mediaType: MEDIA_TYPE.ociManifest,
      config: { mediaType: "application/vnd.oci.empty.v1+json", digest: digestOf(image), size: 2 },
      layers: [],
    });
    const large = pushedFile("bundle.yaml", " ".repeat(17 * 1024 * 1024));
    const forged = pushedFile("bundle.yaml", packageBundleYaml("v1-31-1", []));
    for (const [digest, bytes] of forged.blobs) {
      if (bytes.length > 2) forged.blobs.set(digest, bytes.with(0, 1));
    }
    const content = Object.fromEntries(
      [empty, large, forged].map((each, index) => [`${BUNDLES}:v1-${index}-latest`, each]),
    );
    const { failures } = await collect({ content, versions: ["1.0", "1.1", "1.2"] });
    const errors = failures.toSorted((a, b) =>
      formatReference(a.reference) < formatReference(b.reference) ? -1 : 1,
    );
    const texts = errors.map(({ error }) => textOf(error as Fault));
    expect(texts[0]).toContain("has no layer");
    expect(texts[1]).toContain("its content has 17825792 bytes, where 16777216 are the limit");
    expect(faultKind(errors[2]?.error)).toBe("mismatch");
  });

  test("whose charts disagree on a tag are refused", async () => {
    const shape = (values: string) => [{ repository: "a", version: "1.0.0", images: [], values }];
    const content = contentOf(
      await packageBundle("v1-30-1", shape("a: 1\n")),
      await packageBundle("v1-31-1", shape("a: 2\n")),
    );
    const fault = await faultOf(() => collect({ content, versions: ["1.30", "1.31"] }));
    expect(fault.message).toContain(`cannot tell which content ${PUBLIC}/a:1.0.0 is`);
  });
});

describe("an image of a package", () => {
  const one = (repository: string, content = image) =>
    packageBundle("v1-31-1", [
      { repository: "a/chart", version: "1.0.0", images: [{ repository, content }] },
    ]);
  const imagesOf = (packages: Packages) => Object.keys(named(packages)).slice(3);

  test("goes by the tags that charts have beside its digest", async () => {
    const content = contentOf(await one("a/x"));
    const values = () =>
      `x: {digest: "${digestOf(image)}", tag: v1}\ny: {digest: "${digestOf(image)}", tag: v2}\n`;
    expect(imagesOf(await collect({ content, values }))).toEqual([
      `${PRIVATE}/a/x:v1@${digestOf(image)}`,
      `${PRIVATE}/a/x:v2@${digestOf(image)}`,
    ]);
  });

  test("has its tag from any chart", async () => {
    const images = [{ repository: "a/x", content: image }];
    const fixture = await packageBundle("v1-31-1", [
      { repository: "crds", version: "1.0.0", images },
      { repository: "app", version: "1.0.0", images },
    ]);
    const values = (name: string) => (name.includes("/app:") ? valuesWith(image, "v1") : undefined);
    const packages = await collect({ content: contentOf(fixture), values });
    expect(Object.keys(named(packages)).slice(4)).toEqual([`${PRIVATE}/a/x:v1@${digestOf(image)}`]);
  });

  test("has no tag that is another's where images and charts meet, and that is told", async () => {
    const images = [
      { repository: "a/chart", content: image },
      { repository: "b/y", content: image },
      { repository: "b/y", content: other },
      { repository: "c/z", content: image },
    ];
    const fixture = await packageBundle("v1-31-1", [{ repository: "a/chart", version: "1.0.0", images }]);
    const values = () =>
      `x: {digest: "${digestOf(image)}", tag: 1.0.0}\ny: {digest: "${digestOf(other)}", tag: 1.0.0}\n`;
    const others: ImageArtifact[] = [
      { kind: "image", reference: parseReference(`${PUBLIC}/c/z:1.0.0@${digestOf(other)}`), where: [] },
    ];
    const packages = await collect({ content: contentOf(fixture), values, others });
    expect(imagesOf(packages)).toEqual([
      `${PRIVATE}/a/chart@${digestOf(image)}`,
      `${PRIVATE}/b/y@${digestOf(image)}`,
      `${PRIVATE}/b/y@${digestOf(other)}`,
      `${PRIVATE}/c/z@${digestOf(image)}`,
    ]);
    expect(packages.warnings.map((text) => text.split(" ")[0])).toEqual([
      `${PUBLIC}/a/chart:1.0.0`,
      `${PUBLIC}/b/y:1.0.0`,
      `${PUBLIC}/b/y:1.0.0`,
      `${PUBLIC}/c/z:1.0.0`,
    ]);
  });

  test("keeps a tag that the Bundles has for the same content", async () => {
    const reference = parseReference(`${PUBLIC}/a/x:v1@${digestOf(image)}`);
    const packages = await collect({
      content: contentOf(await one("a/x")),
      values: () => valuesWith(image, "v1"),
      others: [{ kind: "image", reference, where: [] }],
    });
    expect(imagesOf(packages)).toEqual([`${PRIVATE}/a/x:v1@${digestOf(image)}`]);
  });

  test("goes by its digest where a chart cannot be understood, and that is told", async () => {
    const packages = await collect({ content: contentOf(await one("a/x")), values: () => "a: [b\n" });
    expect(imagesOf(packages)).toEqual([`${PRIVATE}/a/x@${digestOf(image)}`]);
    expect(packages.warnings).toHaveLength(1);
    expect(packages.warnings[0]).toContain(`the values of ${PUBLIC}/a/chart:1.0.0`);
  });

  test("whose chart is not there is left to be told with all that is not", async () => {
    const content = contentOf(await one("a/x"));
    delete content[`${PUBLIC}/a/chart:1.0.0`];
    const packages = await collect({ content });
    expect(imagesOf(packages)).toEqual([`${PRIVATE}/a/x@${digestOf(image)}`]);
    expect([packages.warnings, packages.failures]).toEqual([[], []]);
  });

  describe("that is part of the package controller", () => {
    const values = () => valuesWith(image, "v0.4.1");

    test("is the one beside its chart", async () => {
      const content = { ...contentOf(await one(CONTROLLER)), [`${PUBLIC}/${CONTROLLER}:any`]: image };
      const packages = await collect({ content, values });
      expect(imagesOf(packages)).toEqual([`${PUBLIC}/${CONTROLLER}:v0.4.1@${digestOf(image)}`]);
      expect(packages.unpinned).toHaveLength(1);
    });

    test("is what has its tag there, where its digest is another, and that is no pinned input", async () => {
      const content = { ...contentOf(await one(CONTROLLER)), [`${PUBLIC}/${CONTROLLER}:v0.4.1`]: other };
      const packages = await collect({ content, values });
      expect(imagesOf(packages)).toEqual([`${PUBLIC}/${CONTROLLER}:v0.4.1@${digestOf(other)}`]);
      expect(packages.unpinned.map(({ name }) => name)).toEqual([
        `${BUNDLES}:v1-31-latest`,
        `${PUBLIC}/${CONTROLLER}:v0.4.1`,
      ]);
    });

    test("is the one among the packages where there is none beside its chart", async () => {
      const packages = await collect({ content: contentOf(await one(CONTROLLER)), values });
      expect(imagesOf(packages)).toEqual([`${PRIVATE}/${CONTROLLER}:v0.4.1@${digestOf(image)}`]);
    });

    test("is the one among the packages where its tag is not known and its digest not there", async () => {
      const content = { ...contentOf(await one(CONTROLLER)), [`${PUBLIC}/${CONTROLLER}:v0.4.1`]: other };
      expect(imagesOf(await collect({ content }))).toEqual([`${PRIVATE}/${CONTROLLER}@${digestOf(image)}`]);
    });
  });
});
