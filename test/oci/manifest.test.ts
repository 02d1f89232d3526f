import { expect, describe as group, test } from "bun:test";
import fc from "fast-check";
import { MEDIA_TYPE } from "../../src/oci/descriptor.ts";
import { digestOf } from "../../src/oci/digest.ts";
import { Fault } from "../../src/oci/fault.ts";
import {
  childrenOf,
  describe,
  MAX_MANIFEST_BYTES,
  type Manifest,
  parseConfigPlatform,
  parseDescriptor,
  parseManifest,
} from "../../src/oci/manifest.ts";
import { faultOf, textOf } from "../support/faults.ts";

const digest = digestOf(new Uint8Array());
const blob = { mediaType: "application/octet-stream", digest, size: 0 };
const config = { ...blob, mediaType: MEDIA_TYPE.ociConfig };
const parse = (document: unknown): Manifest => parseManifest(encode(JSON.stringify(document)));
const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

group("the type is the document's own, else told by its shape", () => {
  const image = { schemaVersion: 2, config, layers: [blob] };
  const index = { schemaVersion: 2, manifests: [blob] };
  test.each([
    ["an OCI image", { ...image, mediaType: MEDIA_TYPE.ociManifest }, MEDIA_TYPE.ociManifest],
    ["a Docker image", { ...image, mediaType: MEDIA_TYPE.dockerManifest }, MEDIA_TYPE.dockerManifest],
    ["an OCI index", { ...index, mediaType: MEDIA_TYPE.ociIndex }, MEDIA_TYPE.ociIndex],
    ["a Docker list", { ...index, mediaType: MEDIA_TYPE.dockerList }, MEDIA_TYPE.dockerList],
    ["an image without a type", image, MEDIA_TYPE.ociManifest],
    ["an index without a type", index, MEDIA_TYPE.ociIndex],
    ["an image with an empty type", { ...image, mediaType: "" }, MEDIA_TYPE.ociManifest],
    ["an image whose type is no text", { ...image, mediaType: 7 }, MEDIA_TYPE.ociManifest],
  ])("%s", (_, document, type) => {
    expect(parse(document).mediaType).toBe(type);
  });
});

test("the subject is told and is no child; one that is no descriptor is refused", async () => {
  const about = { ...blob, mediaType: MEDIA_TYPE.ociManifest, size: 7 };
  for (const shape of [{ config, layers: [blob] }, { manifests: [blob] }]) {
    const manifest = parse({ ...shape, subject: about });
    expect(manifest.subject).toEqual(about);
    expect(childrenOf(manifest)).not.toContainEqual(about);
    expect(parse({ ...shape, subject: null }).subject).toBeUndefined();
    const fault = await faultOf(() => parse({ ...shape, subject: { ...about, digest: "sha256:x" } }));
    expect(fault.message).toContain("`subject`");
  }
});

test("children are the config, then the layers, as they stand", () => {
  const layers = [3, 1, 2].map((size) => ({ ...blob, size }));
  const children = childrenOf(parse({ schemaVersion: 2, config, layers }));
  expect(children.map(({ size }) => size)).toEqual([0, 3, 1, 2]);
});

test("an index may be empty, and so may an image's list of layers", () => {
  expect(childrenOf(parse({ mediaType: MEDIA_TYPE.ociIndex }))).toEqual([]);
  expect(childrenOf(parse({ mediaType: MEDIA_TYPE.ociIndex, manifests: null }))).toEqual([]);
  expect(childrenOf(parse({ mediaType: MEDIA_TYPE.ociManifest, config }))).toEqual([config]);
});

test("a descriptor keeps what means something, and nothing else", () => {
  const platform = { os: "linux", architecture: "arm64", variant: "v8", "os.version": "1", features: [] };
  const annotations = { a: "b", n: 1 };
  const given = { ...blob, platform, annotations, urls: ["https://a.b/c", 1], data: "aGk=", other: true };
  expect(parseDescriptor(given, "x")).toEqual({
    ...blob,
    platform: { os: "linux", architecture: "arm64", variant: "v8" },
    annotations: { a: "b" },
    urls: ["https://a.b/c"],
  });
});

test("a key called __proto__ changes nobody's prototype", () => {
  const text = `{"mediaType":"x","digest":"${digest}","size":1,"annotations":{"__proto__":"y"},"__proto__":{"size":2}}`;
  const descriptor = parseDescriptor(JSON.parse(text), "x");
  expect(descriptor.size).toBe(1);
  expect(Object.getPrototypeOf(descriptor.annotations)).toBe(Object.prototype);
});

test("Docker's schema 1 is refused by name", async () => {
  const document = { schemaVersion: 1, name: "x", tag: "1", fsLayers: [], history: [], signatures: [] };
  const fault = await faultOf(() => parse(document));
  expect(fault.message).toContain("schema 1");
  expect(fault.hint).toContain("push the image again");
});

group("what could be read as something else is refused", () => {
  const image = { schemaVersion: 2, config, layers: [blob] };
  const index = { schemaVersion: 2, manifests: [blob] };
  test.each<[string, object, string]>([
    ["an image and an index, without a type", { ...image, ...index }, "an index, and has `config`"],
    ["an index with layers", { ...index, layers: [] }, "an index, and has `layers`"],
    [
      "an index that says to be an image",
      { ...image, ...index, mediaType: MEDIA_TYPE.ociManifest },
      "an image manifest, and has `manifests`",
    ],
    ["an image that says to be an index", { ...image, mediaType: MEDIA_TYPE.ociIndex }, "has `config`"],
    ["a Docker list with a config", { ...index, config, mediaType: MEDIA_TYPE.dockerList }, "has `config`"],
    [
      "a Docker image with an empty list of manifests",
      { ...image, manifests: [], mediaType: MEDIA_TYPE.dockerManifest },
      "has `manifests`",
    ],
    ["an image with the layers of schema 1", { ...image, fsLayers: [] }, "has `fsLayers`"],
  ])("%s", async (_, document, says) => {
    const fault = await faultOf(() => parse(document));
    expect(fault.message).toContain(says);
    expect(fault.hint).toContain("build and push it again");
  });

  test("but not what only names an absent field", () => {
    expect(parse({ ...image, manifests: null }).layers).toEqual([blob]);
    expect(parse({ ...index, config: null, layers: null }).manifests).toEqual([blob]);
  });
});

group("what is no manifest is refused", () => {
  test.each<[string, unknown, string]>([
    ["an array", [], "not a JSON object"],
    ["null", null, "not a JSON object"],
    ["a string", "x", "not a JSON object"],
    ["an object without a shape", {}, "neither an image manifest nor an index"],
    ["a config without layers", { config }, "neither"],
    ["a type of something else", { mediaType: "text/html" }, "cannot carry a manifest of type `text/html`"],
    ["manifests that are an object", { mediaType: MEDIA_TYPE.ociIndex, manifests: {} }, "`manifests`"],
    ["layers that are text", { mediaType: MEDIA_TYPE.ociManifest, config, layers: "x" }, "`layers`"],
    ["an image without a config", { mediaType: MEDIA_TYPE.ociManifest, layers: [] }, "`config`"],
    ["a child that is a number", { manifests: [blob, 7] }, "`manifests[1]`"],
    ["a layer without a type", { config, layers: [{ digest, size: 1 }] }, "`layers[0]` has no mediaType"],
  ])("%s", async (_, document, says) => {
    expect((await faultOf(() => parse(document))).message).toContain(says);
  });

  test.each([-1, 0.5, 2 ** 53, 1e300, "1", null, undefined, {}, Number.NaN])("a size of %p", async (size) => {
    const fault = await faultOf(() => parse({ config, layers: [{ ...blob, size }] }));
    expect(fault.message).toContain("the size of `layers[0]`");
  });

  test.each(["", "sha256:", "sha1:da39a3ee5e6b4b0d3255bfef95601890afd80709", "../../etc/passwd", 1, null])(
    "a digest of %p",
    async (wrong) => {
      const fault = await faultOf(() => parse({ config: { ...config, digest: wrong }, layers: [] }));
      expect(fault.message).toContain("the digest of `config`");
    },
  );

  test.each([
    ["text", encode("<html>")],
    ["nothing", new Uint8Array()],
    ["bytes that are no UTF-8", Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x7d)],
    ["JSON cut short", encode('{"schemaVersion":2')],
  ])("%s", async (_, bytes) => {
    expect((await faultOf(() => parseManifest(bytes))).message).toContain("not JSON");
  });
});

test("the largest size there is stays exact", () => {
  expect(parse({ config, layers: [{ ...blob, size: 2 ** 53 - 1 }] }).layers[0]?.size).toBe(9007199254740991);
});

test("a manifest may have 4 MiB and not a byte more", async () => {
  const image = encode(JSON.stringify({ config, layers: [] }));
  const padded = new Uint8Array(MAX_MANIFEST_BYTES).fill(0x20);
  padded.set(image);
  expect(parseManifest(padded).config).toEqual(config);
  const larger = new Uint8Array(MAX_MANIFEST_BYTES + 1).fill(0x20);
  larger.set(image);
  expect((await faultOf(() => parseManifest(larger))).message).toContain(
    `the limit is ${MAX_MANIFEST_BYTES}`,
  );
});

test.each([
  ["arrays", "[", "]"],
  ["objects", '{"a":', "}"],
])("%s nested as deep as the limit allows are read or refused, never more", (_, open, close) => {
  const depth = Math.floor((MAX_MANIFEST_BYTES - 1) / (open.length + close.length));
  const bytes = encode(`${open.repeat(depth)}1${close.repeat(depth)}`);
  expect(() => parseManifest(bytes)).toThrow(Fault);
});

test("a hostile type or field is not quoted at length", async () => {
  const fault = await faultOf(() => parse({ mediaType: "x".repeat(1_000_000) }));
  expect(textOf(fault).length).toBeLessThan(300);
});

test("any JSON is a manifest or a fault", () => {
  const value = fc.jsonValue();
  const shaped = fc.record(
    { schemaVersion: value, mediaType: value, manifests: value, config: value, layers: value },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(fc.oneof(value, shaped), (document) => {
      try {
        parse(document);
      } catch (error) {
        expect(error).toBeInstanceOf(Fault);
      }
    }),
  );
});

test("a descriptor's artifact type is the manifest's, else that of a config which is no image's", () => {
  const chart = "application/vnd.cncf.helm.config.v1+json";
  const typeOf = (document: object) => describe(parse({ layers: [], ...document }), digest, 1).artifactType;
  expect(typeOf({ config })).toBeUndefined();
  expect(typeOf({ config: { ...config, mediaType: MEDIA_TYPE.dockerConfig } })).toBeUndefined();
  expect(typeOf({ config: { ...config, mediaType: chart } })).toBe(chart);
  expect(typeOf({ config: { ...config, mediaType: chart }, artifactType: "a/b" })).toBe("a/b");
});

test("a config's platform is read where it names one", () => {
  const platform = (document: unknown) => parseConfigPlatform(encode(JSON.stringify(document)));
  expect(platform({ os: "linux", architecture: "arm", variant: "v7", config: {} })).toEqual({
    os: "linux",
    architecture: "arm",
    variant: "v7",
  });
  expect(platform({ os: "linux", architecture: "amd64", variant: "" })).toEqual({
    os: "linux",
    architecture: "amd64",
  });
  expect(platform({ os: "linux" })).toBeUndefined();
  expect(() => platform([])).toThrow(Fault);
});
