import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type TitledFile, wrapBundles } from "../../src/eksa/wrap.ts";
import { digestOf } from "../../src/oci/digest.ts";
import { childrenOf, parseManifest } from "../../src/oci/manifest.ts";
import type { Plan } from "../../src/oci/plan.ts";
import { formatReference } from "../../src/oci/reference.ts";
import { faultOf } from "../support/faults.ts";

const file = (title: string, text = title): TitledFile => ({ title, bytes: new TextEncoder().encode(text) });
const BUNDLES = file("bundle-release.yaml", "kind: Bundles\n");

function manifestOf(plan: Plan): string {
  const digest = plan.roots[0]?.descriptor.digest;
  const node = digest === undefined ? undefined : plan.nodes.get(digest);
  return new TextDecoder().decode(node?.bytes);
}

describe("the artifact of a Bundles", () => {
  test("is this manifest, byte for byte", () => {
    const plan = wrapBundles({ number: 7, files: [file("1.31/a.yaml", "a"), BUNDLES] });
    expect(manifestOf(plan)).toBe(
      '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",' +
        '"artifactType":"application/vnd.amazonaws.eks-anywhere.bundles.v1alpha1",' +
        '"config":{"mediaType":"application/vnd.oci.empty.v1+json",' +
        '"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},' +
        '"layers":[{"mediaType":"application/yaml",' +
        `"digest":"${digestOf(BUNDLES.bytes)}","size":14,` +
        '"annotations":{"org.opencontainers.image.title":"bundle-release.yaml"}},' +
        '{"mediaType":"application/yaml",' +
        '"digest":"sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb","size":1,' +
        '"annotations":{"org.opencontainers.image.title":"1.31/a.yaml"}}]}',
    );
  });

  test("is tagged by number, and by version where it is known", () => {
    const names = (version?: string) =>
      wrapBundles({ number: 7, files: [BUNDLES], ...(version === undefined ? {} : { version }) }).roots.map(
        ({ reference }) => formatReference(reference),
      );
    const home = "public.ecr.aws/eks-anywhere/bundles";
    expect(names()).toEqual([`${home}:bundles-7`]);
    expect(names("v0.19.0-dev+latest")).toEqual([`${home}:bundles-7`, `${home}:v0.19.0-dev_latest`]);
  });

  test("has a layer for each file, and equal bytes once", () => {
    const plan = wrapBundles({
      number: 7,
      files: [BUNDLES, file("b", "same"), file("a", "same"), file("c", "{}")],
    });
    const manifest = parseManifest(new TextEncoder().encode(manifestOf(plan)));
    expect(manifest.layers.map(({ annotations }) => Object.values(annotations ?? {})[0])).toEqual([
      "bundle-release.yaml",
      "a",
      "b",
      "c",
    ]);
    expect(plan.nodes.size).toBe(4);
  });

  test("lists children before parents, each with its bytes, for its own repository alone", () => {
    const plan = wrapBundles({ number: 7, files: [BUNDLES, file("a")] });
    const seen = new Set<string>();
    for (const [digest, { bytes, children, descriptor, repositories }] of plan.nodes) {
      expect(children.every((child) => seen.has(child))).toBe(true);
      expect(digestOf(bytes ?? new Uint8Array())).toBe(digest);
      expect(descriptor.annotations).toBeUndefined();
      expect([...repositories]).toEqual(["public.ecr.aws/eks-anywhere/bundles"]);
      seen.add(digest);
    }
    const root = plan.roots[0]?.descriptor;
    expect(root?.artifactType).toBe("application/vnd.amazonaws.eks-anywhere.bundles.v1alpha1");
    const manifest = parseManifest(new TextEncoder().encode(manifestOf(plan)));
    expect([...seen]).toEqual([...childrenOf(manifest).map(({ digest }) => digest), root?.digest ?? ""]);
  });

  test("is the same in whatever order the files come", () => {
    const files = [BUNDLES, file("1.30/z"), file("1.30/a"), file("1.4/Ä"), file("1.4/B")];
    const expected = manifestOf(wrapBundles({ number: 1, files }));
    fc.assert(
      fc.property(fc.shuffledSubarray(files, { minLength: files.length }), (shuffled) => {
        expect(manifestOf(wrapBundles({ number: 1, files: shuffled }))).toBe(expected);
      }),
    );
  });

  test.each([
    "/etc/passwd",
    "../x",
    "a/../../x",
    "a/./x",
    "a\\x",
    "a\0x",
    "a\nx",
    "a//x",
    "a/",
    "",
    "C:/x",
    "Bundle-Release.yaml",
    "bundle-release.yaml",
    "bundle-release.yaml/x",
  ])("refuses the title %j", async (title) => {
    const files = [BUNDLES, { title, bytes: new Uint8Array() }];
    const { message } = await faultOf(() => wrapBundles({ number: 1, files }));
    expect(message).toMatch(/^cannot (use|keep)/);
    expect(message).not.toMatch(/\p{Cc}/u);
  });

  test("refuses titles that collide in case", async () => {
    const files = [BUNDLES, file("1.31/A.yaml"), file("1.31/a.yaml")];
    expect((await faultOf(() => wrapBundles({ number: 1, files }))).message).toContain("the same file");
  });

  test("refuses a version that no tag can be made of, and files without the Bundles", async () => {
    const fault = await faultOf(() => wrapBundles({ number: 1, version: "v 1", files: [BUNDLES] }));
    expect(fault.kind).toBe("usage");
    expect((await faultOf(() => wrapBundles({ number: 1, files: [] }))).message).toContain(
      "bundle-release.yaml",
    );
  });
});
