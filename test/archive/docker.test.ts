import { describe, expect, test } from "bun:test";
import { dockerManifest } from "../../src/archive/docker.ts";
import { pathOf } from "../../src/archive/path.ts";
import type { Platform } from "../../src/oci/descriptor.ts";
import type { Plan } from "../../src/oci/plan.ts";
import { chart, image, multiArchImage, type TestContent } from "../support/content.ts";
import { planOf, rawImage, rawIndex } from "../support/memory.ts";

interface Entry {
  Config: string;
  RepoTags: string[];
  Layers: string[];
}

const AMD64 = { os: "linux", architecture: "amd64" };
const ARM64 = { os: "linux", architecture: "arm64" };
const WINDOWS = { os: "windows", architecture: "amd64" };
const UNKNOWN = { os: "unknown", architecture: "unknown" };

function entriesOf(plan: Plan): Entry[] {
  return JSON.parse(dockerManifest(plan));
}

async function entryOf(content: TestContent): Promise<Entry | undefined> {
  return entriesOf(await planOf({ "a.b/x:1": content }))[0];
}

/** What `docker load` would get of an image, if of this one. */
function entryFor({ blobs }: TestContent): Entry {
  const [Config = "", ...Layers] = [...blobs.keys()].map(pathOf);
  return { Config, RepoTags: ["a.b/x:1"], Layers };
}

const on = (platform: Platform) => rawImage(["base", JSON.stringify(platform)], { platform });

test("an image is its config, its tag and its layers in order, as compact JSON", async () => {
  const content = on(AMD64);
  const [config, base, own] = [...content.blobs.keys()].map(pathOf);
  expect(dockerManifest(await planOf({ "a.b/x:1": content }))).toBe(
    `[{"Config":"${config}","RepoTags":["a.b/x:1"],"Layers":["${base}","${own}"]}]`,
  );
});

describe("of an index docker is given", () => {
  test.each<[string, Platform[], Platform | undefined]>([
    ["linux/amd64, wherever it stands", [ARM64, AMD64], AMD64],
    [
      "the first other Linux where there is none",
      [{ ...ARM64, variant: "v8" }, ARM64],
      { ...ARM64, variant: "v8" },
    ],
    ["none of Windows", [WINDOWS, ARM64], ARM64],
    ["nothing where there is no Linux", [WINDOWS, UNKNOWN], undefined],
    ["no attestation", [UNKNOWN, ARM64], ARM64],
  ])("%s", async (_, platforms, chosen) => {
    const expected = chosen && entryFor(on(chosen));
    expect(await entryOf(rawIndex(platforms.map(on)))).toEqual(expected);
  });

  test("what an index inside it lists, too", async () => {
    expect(await entryOf(rawIndex([rawIndex([on(ARM64)]), on(AMD64)]))).toEqual(entryFor(on(AMD64)));
  });

  test("the one that it can load, where the first cannot be", async () => {
    const zstd = rawImage(["x"], { layerType: "application/vnd.oci.image.layer.v1.tar+zstd" });
    expect(await entryOf(rawIndex([zstd, on(ARM64)]))).toEqual(entryFor(on(ARM64)));
  });

  test("the image and not its build provenance", async () => {
    const entry = await entryOf(await multiArchImage({ seed: "x", attested: true }));
    expect(entry).toEqual(entryFor(await image({ seed: "x" })));
  });
});

describe("docker is not given", () => {
  test.each<[string, () => Promise<TestContent> | TestContent]>([
    ["a chart", () => chart("harbor", "1.0.0")],
    ["an image for Windows", () => on(WINDOWS)],
    [
      "an artifact with another config",
      () => rawImage(["x"], { configType: "application/vnd.oci.empty.v1+json" }),
    ],
    ["layers in zstd", () => rawImage(["x"], { layerType: "application/vnd.oci.image.layer.v1.tar+zstd" })],
    [
      "layers from elsewhere",
      () => rawImage(["x"], { layerType: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip" }),
    ],
  ])("%s", async (_, content) => {
    expect(await entryOf(await content())).toBeUndefined();
  });

  test("what is known by digest alone", async () => {
    const content = on(AMD64);
    expect(entriesOf(await planOf({ [`a.b/x@${content.root.digest}`]: content }))).toEqual([]);
  });

  test("an image with a layer that the archive does not hold", async () => {
    const content = on(AMD64);
    const plan = await planOf({ "a.b/x:1": content });
    const last = [...content.blobs.keys()].at(-1);
    const nodes = new Map([...plan.nodes].filter(([digest]) => digest !== last));
    expect(entriesOf({ ...plan, nodes })).toEqual([]);
  });
});

test.each([
  "application/vnd.oci.image.layer.v1.tar",
  "application/vnd.oci.image.layer.v1.tar+gzip",
  "application/vnd.docker.image.rootfs.diff.tar",
  "application/vnd.docker.image.rootfs.diff.tar.gzip",
])("layers of type %s can be loaded", async (layerType) => {
  expect(await entryOf(rawImage(["x"], { layerType }))).toEqual(entryFor(rawImage(["x"], { layerType })));
});

test("entries come in the order of the roots, one for each tag", async () => {
  const plan = await planOf({
    "c.d/x:1": on(AMD64),
    "a.b/y:2": await chart("x", "1.0.0"),
    "a.b/x:1": on(AMD64),
  });
  expect(entriesOf(plan).map(({ RepoTags }) => RepoTags)).toEqual([["c.d/x:1"], ["a.b/x:1"]]);
});

test("a Docker image is one like any other", async () => {
  const content = await multiArchImage({ seed: "x", dialect: "docker" });
  expect(await entryOf(content)).toEqual(entryFor(await image({ seed: "x", dialect: "docker" })));
});
