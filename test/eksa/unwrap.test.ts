import { describe, expect, test } from "bun:test";
import { unwrap } from "../../src/eksa/unwrap.ts";
import { BUNDLES_ARTIFACT_TYPE, RELEASE_ARTIFACT_TYPE, wrapBundles } from "../../src/eksa/wrap.ts";
import { MEDIA_TYPE } from "../../src/oci/descriptor.ts";
import { digestOf } from "../../src/oci/digest.ts";
import { parseReference } from "../../src/oci/reference.ts";
import type { TestContent } from "../support/content.ts";
import { faultOf, textOf } from "../support/faults.ts";
import { MemorySource, manifestContent } from "../support/memory.ts";

const NAME = "mirror.example/eks-anywhere/bundles:v0.1.0";
const REFERENCE = parseReference(NAME);

const encode = (text: string) => new TextEncoder().encode(text);

/** An artifact by hand: each layer a title and a text. */
function artifact(files: readonly [string | undefined, string][], other: object = {}): TestContent {
  const blobs = new Map(files.map(([, text]) => [digestOf(encode(text)), encode(text)]));
  const layers = files.map(([title, text]) => ({
    mediaType: "application/yaml",
    digest: digestOf(encode(text)),
    size: encode(text).length,
    ...(title === undefined ? {} : { annotations: { "org.opencontainers.image.title": title } }),
  }));
  const config = { mediaType: MEDIA_TYPE.ociEmpty, digest: digestOf(encode("{}")), size: 2 };
  const content = manifestContent(MEDIA_TYPE.ociManifest, {
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.ociManifest,
    artifactType: BUNDLES_ARTIFACT_TYPE,
    config,
    layers,
    ...other,
  });
  return { ...content, blobs };
}

const read = (content: TestContent, type: string | undefined = BUNDLES_ARTIFACT_TYPE) =>
  unwrap(new MemorySource({ [NAME]: content }), REFERENCE, type);

describe("an artifact of files", () => {
  test("gives back what was wrapped, equal files too", async () => {
    const files = [
      { title: "bundle-release.yaml", bytes: encode("kind: Bundles\n") },
      { title: "1.31/a/same.yaml", bytes: encode("same") },
      { title: "1.31/b/same.yaml", bytes: encode("same") },
      { title: "1.31/c/empty.yaml", bytes: encode("") },
    ];
    const { roots, nodes } = wrapBundles({ number: 1, files });
    const source = new MemorySource({});
    for (const { descriptor, bytes = encode("") } of nodes.values())
      source.blobs.set(descriptor.digest, bytes);
    const root = roots[0]?.descriptor.digest ?? "sha256:";
    source.manifests.set(NAME, source.blobs.get(root) ?? encode(""));
    const found = await unwrap(source, REFERENCE, BUNDLES_ARTIFACT_TYPE);
    expect(found.files.map(({ title, bytes }) => [title, new TextDecoder().decode(bytes)])).toEqual(
      files.map(({ title, bytes }) => [title, new TextDecoder().decode(bytes)]),
    );
    expect(found).toMatchObject({ artifactType: BUNDLES_ARTIFACT_TYPE, descriptor: { digest: root } });
  });

  test("may have its type as that of its config", async () => {
    const config = { mediaType: BUNDLES_ARTIFACT_TYPE, digest: digestOf(encode("{}")), size: 2 };
    const found = await read(artifact([["a.yaml", "a"]], { artifactType: undefined, config }));
    expect(found.files).toHaveLength(1);
  });

  test("of another type is refused, naming both; where any will do it is not", async () => {
    const content = artifact([["a.yaml", "a"]], { artifactType: RELEASE_ARTIFACT_TYPE });
    const fault = await faultOf(() => read(content));
    expect(textOf(fault)).toContain(`expected ${BUNDLES_ARTIFACT_TYPE}, found ${RELEASE_ARTIFACT_TYPE}`);
    const source = new MemorySource({ [NAME]: content });
    expect((await unwrap(source, REFERENCE, undefined)).files).toHaveLength(1);
  });

  test.each<[string, [string | undefined, string][], string]>([
    ["none", [], "it holds no file"],
    [
      "one without a name",
      [
        ["a", "a"],
        [undefined, "b"],
      ],
      "`layers[1]` has no `org.opencontainers.image.title`",
    ],
    ["one that climbs", [["../a", "a"]], "it climbs"],
    ["one that is absolute", [["/etc/passwd", "a"]], "it is absolute"],
    [
      "two of one name",
      [
        ["a", "a"],
        ["A", "b"],
      ],
      "cannot keep both",
    ],
  ])("with %s is refused", async (_, files, says) => {
    const fault = await faultOf(() => read(artifact(files)));
    expect(textOf(fault)).toContain(NAME);
    expect(textOf(fault)).toContain(says);
  });

  test("with a file beyond all bounds is refused before it is read", async () => {
    const layer = {
      mediaType: "application/yaml",
      digest: digestOf(encode("x")),
      size: 10 ** 9,
      annotations: { "org.opencontainers.image.title": "x" },
    };
    expect(textOf(await faultOf(() => read(artifact([], { layers: [layer] }))))).toContain(
      "`x` is larger than",
    );
  });

  test("with one file a thousand times is refused before it is read", async () => {
    const layers = Array.from({ length: 1000 }, (_, index) => ({
      mediaType: "application/yaml",
      digest: digestOf(encode("x")),
      size: 1024 * 1024,
      annotations: { "org.opencontainers.image.title": `${index}` },
    }));
    expect(textOf(await faultOf(() => read(artifact([], { layers }))))).toContain("its files exceed");
  });

  test("with other bytes than it says is a mismatch", async () => {
    const content = artifact([["a.yaml", "abc"]]);
    content.blobs.set(digestOf(encode("abc")), encode("abd"));
    const fault = await faultOf(() => read(content));
    expect(textOf(fault)).toContain("cannot read `a.yaml` of");
    expect(fault.cause).toMatchObject({ kind: "mismatch" });
  });
});
