import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { MEDIA_TYPE } from "../../src/oci/descriptor.ts";
import { digestOf } from "../../src/oci/digest.ts";
import { Fault, faultKind } from "../../src/oci/fault.ts";
import type { Plan, Source } from "../../src/oci/plan.ts";
import { formatReference, parseReference } from "../../src/oci/reference.ts";
import { Graph, named, type Resolution, readRoots, resolve } from "../../src/transfer/resolve.ts";
import { chart, multiArchImage, type TestContent } from "../support/content.ts";
import { faultOf } from "../support/faults.ts";
import { MemorySource, manifestContent, rawImage, rawIndex } from "../support/memory.ts";

const ARM64 = { os: "linux", architecture: "arm64" };
const ARM64_V8 = { ...ARM64, variant: "v8" };

/** Everything that a plan says, its order included. */
function shown(plan: Plan): unknown {
  const nodes = [...plan.nodes.values()];
  return {
    roots: plan.roots,
    nodes: nodes.map((node) => ({
      ...node,
      repositories: [...node.repositories],
      bytes: Boolean(node.bytes),
    })),
  };
}

function resolveAll(source: Source, names: readonly string[], jobs = 4): Promise<Resolution> {
  return resolve(source, names.map(parseReference), { jobs });
}

/** The same source with its answers in whatever order the scheduler chooses. */
function shuffled(source: Source, turns: fc.Scheduler): Source {
  return {
    manifest: turns.scheduleFunction((reference) => source.manifest(reference)),
    open: turns.scheduleFunction((node) => source.open(node)),
  };
}

/** As child, as child listed otherwise and as a root by itself; in several repositories. */
async function tangled(): Promise<Record<string, TestContent>> {
  const shared = rawImage(["base", "app"], { platform: ARM64 });
  const amd64 = rawImage(["base", "other"]);
  const relisted = { ...shared, root: { ...shared.root, platform: ARM64_V8 } };
  const index = rawIndex([amd64, shared]);
  return {
    "a.b/one:1": index,
    "a.b/two:1": rawIndex([relisted, amd64]),
    "a.b/two:bare": shared,
    "c.d/nested:1": rawIndex([index, rawImage(["third"])]),
    "c.d/chart:1": await chart("harbor", "1.0.0"),
    "c.d/again:1": index,
  };
}

test("the plan is the same whatever the order in which answers come, and the number in flight", async () => {
  const contents = await tangled();
  const names = Object.keys(contents);
  const expected = shown((await resolveAll(new MemorySource(contents), names, 1)).plan);
  await fc.assert(
    fc.asyncProperty(fc.scheduler(), fc.integer({ min: 1, max: 8 }), async (turns, jobs) => {
      const source = shuffled(new MemorySource(contents), turns);
      const { plan, failures } = await turns.waitFor(resolveAll(source, names, jobs));
      expect(failures).toEqual([]);
      expect(shown(plan)).toEqual(expected);
    }),
    { numRuns: 60 },
  );
});

test("a child's platform is that of the first root which lists it", async () => {
  const contents = await tangled();
  const digest = contents["a.b/two:bare"]?.root.digest ?? "sha256:";
  const platformOf = async (...names: string[]) => {
    const { plan } = await resolveAll(new MemorySource(contents), names);
    return plan.nodes.get(digest)?.descriptor.platform;
  };
  expect(await platformOf("a.b/one:1", "a.b/two:1")).toEqual(ARM64);
  expect(await platformOf("a.b/two:1", "a.b/one:1")).toEqual(ARM64_V8);
  expect(await platformOf("a.b/two:bare", "a.b/two:1")).toEqual(ARM64);
});

test("children come before parents, each digest once, roots in the order they were asked for", async () => {
  const contents = await tangled();
  const names = Object.keys(contents).reverse();
  const { plan } = await resolveAll(new MemorySource(contents), names);
  const seen = new Set<string>();
  for (const [digest, { children, descriptor }] of plan.nodes) {
    expect(descriptor.digest).toBe(digest);
    for (const child of children) expect(seen.has(child)).toBe(true);
    seen.add(digest);
  }
  expect(plan.roots.map(({ reference }) => formatReference(reference))).toEqual(names);
});

test("a child that two roots share is asked for once", async () => {
  const source = new MemorySource({
    "a.b/one:1": rawIndex([rawImage(["x"]), rawImage(["y"])]),
    "a.b/two:1": rawIndex([rawImage(["y"]), rawImage(["x"])]),
  });
  await resolveAll(source, ["a.b/one:1", "a.b/two:1"]);
  expect(source.asked).toHaveLength(4);
  expect(new Set(source.asked).size).toBe(4);
});

test("shared content is wanted by every repository that leads to it", async () => {
  const image = rawImage(["x"]);
  const source = new MemorySource({ "a.b/one:1": rawIndex([image]), "c.d/two:1": image });
  const { plan } = await resolveAll(source, ["a.b/one:1", "c.d/two:1"]);
  for (const digest of [image.root.digest, ...image.blobs.keys()]) {
    expect([...(plan.nodes.get(digest)?.repositories ?? [])]).toEqual(["a.b/one", "c.d/two"]);
  }
});

test("a manifest and a bare image's config bring their bytes along, blobs do not", async () => {
  const bare = rawImage(["layer"], { platform: ARM64 });
  const { plan } = await resolveAll(new MemorySource({ "a.b/x:1": bare }), ["a.b/x:1"]);
  const [config, layer] = [...bare.blobs.keys()];
  expect(plan.nodes.get(bare.root.digest)?.bytes).toEqual(bare.manifests[0]?.bytes);
  expect(plan.nodes.get(config ?? "sha256:")?.bytes).toEqual(bare.blobs.get(config ?? "sha256:"));
  expect(plan.nodes.get(layer ?? "sha256:")?.bytes).toBeUndefined();
  expect(plan.nodes.get(bare.root.digest)?.descriptor.platform).toEqual(ARM64);
});

describe("failures belong to their roots", () => {
  test("all others are planned, and each failure names its reference", async () => {
    const source = new MemorySource({
      "a.b/good:1": await multiArchImage({ seed: "good" }),
      "a.b/text:1": manifestContent("text/plain", "hello"),
    });
    const { plan, failures } = await resolveAll(source, ["a.b/missing:1", "a.b/good:1", "a.b/text:1"]);
    expect(plan.roots.map(({ reference }) => reference.repository)).toEqual(["good"]);
    expect(failures.map(({ reference }) => reference.repository)).toEqual(["missing", "text"]);
    expect(failures.every(({ error }) => error instanceof Fault)).toBe(true);
  });

  test("a child that is missing in one repository fails only the roots there, whoever asks first", async () => {
    const index = rawIndex([rawImage(["x"])]);
    const child = index.manifests[0]?.digest;
    const names = ["a.b/empty:1", "a.b/whole:1", "a.b/empty:2", "a.b/whole:2"];
    const source = new MemorySource(Object.fromEntries(names.map((name) => [name, index])));
    source.manifests.delete(`a.b/empty@${child}`);
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), async (turns) => {
        const { plan, failures } = await turns.waitFor(resolveAll(shuffled(source, turns), names));
        const lost = failures.map(({ reference }) => formatReference(reference));
        expect(lost.every((name) => name.startsWith("a.b/empty"))).toBe(true);
        const kept = plan.roots.map(({ reference }) => formatReference(reference));
        expect([...lost, ...kept].sort()).toEqual([...names].sort());
      }),
      { numRuns: 40 },
    );
  });

  test("a config that lies about itself is a mismatch", async () => {
    const bare = rawImage(["x"]);
    const source = new MemorySource({ "a.b/x:1": bare });
    for (const [digest, bytes] of source.blobs) source.blobs.set(digest, bytes.toReversed());
    const { failures } = await resolveAll(source, ["a.b/x:1"]);
    expect(failures.map(({ error }) => faultKind(error))).toEqual(["mismatch"]);
  });

  test("a config of gigabytes is not read", async () => {
    const content = manifestContent(MEDIA_TYPE.ociManifest, {
      config: { mediaType: MEDIA_TYPE.ociConfig, digest: digestOf(new Uint8Array()), size: 5 * 1024 ** 3 },
      layers: [],
    });
    const { failures } = await resolveAll(new MemorySource({ "a.b/x:1": content }), ["a.b/x:1"]);
    expect(String(failures[0]?.error)).toContain("cannot read an image config of 5368709120 bytes");
  });

  test("an index that gives a manifest another size than it has is a mismatch", async () => {
    const image = rawImage(["x"]);
    const lying = rawIndex([{ ...image, root: { ...image.root, size: image.root.size + 1 } }]);
    const contents = { "a.b/lying:1": lying, "a.b/honest:1": rawIndex([image]) };
    for (const names of [Object.keys(contents), Object.keys(contents).reverse()]) {
      const { failures } = await resolveAll(new MemorySource(contents), names);
      expect(failures.map(({ reference }) => reference.repository)).toEqual(["lying"]);
      expect(faultKind(failures[0]?.error)).toBe("mismatch");
    }
  });
});

test("a blob with two sizes is refused", async () => {
  const layer = { mediaType: "x", digest: digestOf(Uint8Array.of(1)), size: 1 };
  const config = { ...layer, mediaType: "application/vnd.cncf.helm.config.v1+json" };
  const contents = {
    "a.b/x:1": manifestContent(MEDIA_TYPE.ociManifest, { config, layers: [layer] }),
    "a.b/y:1": manifestContent(MEDIA_TYPE.ociManifest, { config, layers: [{ ...layer, size: 2 }] }),
  };
  const source = new MemorySource(contents);
  const fault = await faultOf(() => resolveAll(source, ["a.b/x:1", "a.b/y:1"]));
  expect(fault.message).toContain("one manifest gives it 1 bytes, another 2");
  expect(fault.kind).toBe("mismatch");
});

describe("indexes in indexes", () => {
  const nested = (depth: number): TestContent => {
    let content = rawImage(["x"]);
    for (let level = 0; level < depth; level++) content = rawIndex([content], { level: String(level) });
    return content;
  };

  test("are followed to the bottom", async () => {
    const { plan } = await resolveAll(new MemorySource({ "a.b/x:1": nested(3) }), ["a.b/x:1"]);
    expect([...plan.nodes.values()].map(({ kind }) => kind)).toEqual([
      "blob",
      "blob",
      ...new Array<"manifest">(4).fill("manifest"),
    ]);
  });

  test("are given up when they do not end", async () => {
    const source = new MemorySource({ "a.b/x:1": nested(50) });
    const { failures } = await resolveAll(source, ["a.b/x:1"]);
    expect(String(failures[0]?.error)).toContain("nested more than 8 deep");
    expect(source.asked.length).toBeLessThan(12);
  });
});

test("each root that is found is told once", async () => {
  const told: string[] = [];
  const source = new MemorySource({ "a.b/x:1": rawImage(["x"]) });
  await resolve(source, ["a.b/x:1", "a.b/y:1"].map(parseReference), {
    jobs: 1,
    onResolved: (reference) => told.push(formatReference(reference)),
  });
  expect(told).toEqual(["a.b/x:1"]);
});

test("manifests without end are not read into memory without end", async () => {
  const children = Array.from({ length: 20 }, (_, index) => rawImage([`layer ${index}`]));
  const source = new MemorySource({ "a.b/many:1": rawIndex(children), "a.b/one:1": rawImage(["one"]) });
  const wanted = ["a.b/one:1", "a.b/many:1"].map((name) => named(parseReference(name)));
  const { roots, failures } = await readRoots(new Graph(source, 5000), wanted, { jobs: 1 });
  expect(roots.map(({ reference }) => formatReference(reference))).toEqual(["a.b/one:1"]);
  expect(failures.map(({ error }) => String(error))).toEqual([
    expect.stringContaining("cannot hold more than 5000 bytes of manifests"),
  ]);
});
