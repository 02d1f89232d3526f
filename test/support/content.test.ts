import { expect, test } from "bun:test";
import { unpackTar } from "modern-tar";
import { digestOf } from "../../src/oci/digest.ts";
import { childrenOf, parseManifest } from "../../src/oci/manifest.ts";
import { chart, image, layer, multiArchImage } from "./content.ts";

test("the same arguments give the same bytes, another seed gives others", async () => {
  const digest = async (seed: string) => (await multiArchImage({ seed, attested: true })).root.digest;
  expect(await digest("a")).toBe(await digest("a"));
  expect(await digest("a")).not.toBe(await digest("b"));
});

test("every digest in a graph is one of its manifests or blobs", async () => {
  const base = [await layer("base")];
  const contents = [
    await image({ seed: "one", base, layerSizes: [10, 20] }),
    await multiArchImage({ seed: "two", base, dialect: "docker", attested: true }),
    await chart("harbor", "1.0.0"),
  ];
  for (const { manifests, blobs, root } of contents) {
    const known = new Map([...blobs, ...manifests.map(({ digest, bytes }) => [digest, bytes] as const)]);
    for (const [digest, bytes] of known) expect(digestOf(bytes)).toBe(digest);
    for (const { bytes } of manifests) {
      for (const child of childrenOf(parseManifest(bytes))) {
        expect(known.get(child.digest)?.length).toBe(child.size);
      }
    }
    expect(manifests.at(-1)?.digest).toBe(root.digest);
  }
});

test("a layer is a tar that holds a file, and is named by its config", async () => {
  const { bytes, diffId } = await layer("file", 100);
  const tar = Bun.gunzipSync(bytes.slice());
  expect(digestOf(tar)).toBe(diffId);
  const [entry] = await unpackTar(tar);
  expect(entry?.header.name).toBe("data/file");
  expect(entry?.data?.length).toBe(100);
});
