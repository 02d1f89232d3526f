import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { BLOCK, END_MARKER_BYTES, padded } from "../../src/archive/header.ts";
import { headerOf, type Layout, layOut } from "../../src/archive/layout.ts";
import { pathOf } from "../../src/archive/path.ts";
import { type Digest, digestOf } from "../../src/oci/digest.ts";
import type { Node, Plan } from "../../src/oci/plan.ts";
import { compareBytewise, parseReference } from "../../src/oci/reference.ts";
import { renamePlan } from "../../src/transfer/plan.ts";
import { planOf, rawImage } from "../support/memory.ts";
import { someContents } from "./archives.ts";

function textOf(layout: Layout, name: string): string {
  const entry = layout.entries.find((each) => each.name === name);
  return new TextDecoder().decode(entry?.bytes);
}

/** A plan of nodes with any sizes; none of the manifests can be loaded by docker. */
const plans: fc.Arbitrary<Plan> = fc
  .array(
    fc.record({
      seed: fc.nat(1_000_000),
      algorithm: fc.constantFrom("sha256" as const, "sha512" as const),
      size: fc.oneof(fc.nat(3 * BLOCK), fc.integer({ min: 0, max: 2 ** 43 })),
      isManifest: fc.boolean(),
    }),
    { maxLength: 30 },
  )
  .map((rows) => {
    const nodes = new Map<Digest, Node>();
    for (const { seed, algorithm, size, isManifest } of rows) {
      const bytes = new TextEncoder().encode(`{"mediaType":"x","seed":${seed}}`);
      const digest = digestOf(bytes, algorithm);
      const node: Node = {
        descriptor: { mediaType: "x", digest, size: isManifest ? bytes.length : size },
        kind: isManifest ? "manifest" : "blob",
        children: [],
        repositories: new Set(["a.b/x"]),
      };
      nodes.set(digest, isManifest ? { ...node, bytes } : node);
    }
    return { roots: [], nodes };
  });

test("entries lie one after the other on block boundaries, and the end is where the size says", () => {
  fc.assert(
    fc.property(plans, (plan) => {
      const { entries, size } = layOut(plan);
      let at = 0;
      for (const entry of entries) {
        expect(entry.headerOffset).toBe(at);
        expect(entry.offset).toBe(at + headerOf(entry).length);
        expect(entry.offset % BLOCK).toBe(0);
        at = entry.offset + padded(entry.size);
      }
      expect(size).toBe(at + END_MARKER_BYTES);
      expect(Number.isSafeInteger(size)).toBe(true);
    }),
  );
});

test("the graph comes first, sorted by digest; then blobs as the plan has them", () => {
  fc.assert(
    fc.property(plans, (plan) => {
      const nodes = [...plan.nodes.values()];
      const pathsOf = (kind: Node["kind"]) =>
        nodes.filter((node) => node.kind === kind).map(({ descriptor }) => descriptor.digest);
      expect(layOut(plan).entries.map(({ name }) => name)).toEqual([
        "oci-layout",
        "index.json",
        "manifest.json",
        ...pathsOf("manifest").sort(compareBytewise).map(pathOf),
        ...pathsOf("blob").map(pathOf),
      ]);
    }),
  );
});

test("the order in which manifests came to be known changes nothing", () => {
  const shuffle = (plan: Plan, seed: number): Plan => {
    const [manifests, blobs] = ["manifest", "blob"].map((kind) =>
      [...plan.nodes].filter(([, node]) => node.kind === kind),
    );
    const turned = [...(manifests ?? []).slice(seed), ...(manifests ?? []).slice(0, seed)].reverse();
    return { ...plan, nodes: new Map([...turned, ...(blobs ?? [])]) };
  };
  fc.assert(
    fc.property(plans, fc.nat(30), (plan, seed) => {
      expect(layOut(shuffle(plan, seed))).toEqual(layOut(plan));
    }),
  );
});

test("every digest of the plan has its entry, at the path that the standard gives it", async () => {
  const plan = await planOf(someContents());
  const { byDigest, entries } = layOut(plan);
  expect([...byDigest.keys()].sort()).toEqual([...plan.nodes.keys()].sort());
  for (const [digest, entry] of byDigest) {
    expect(entry.name).toBe(`blobs/sha256/${digest.slice(7)}`);
    expect(entry.size).toBe(plan.nodes.get(digest)?.descriptor.size ?? -1);
    expect(entries).toContain(entry);
  }
});

test("the layout file is the standard's", async () => {
  const layout = layOut(await planOf(someContents()));
  expect(textOf(layout, "oci-layout")).toBe('{"imageLayoutVersion":"1.0.0"}');
});

describe("index.json", () => {
  const indexOf = async (...names: string[]): Promise<string> => {
    const content = rawImage(["x"]);
    const [first = ""] = names;
    const plan = await planOf({ [first]: content });
    const [root] = plan.roots;
    if (root === undefined) throw new Error("no root");
    const roots = names.map((name) => ({ ...root, reference: parseReference(name) }));
    return textOf(layOut({ ...plan, roots }), "index.json");
  };

  test("is compact, its fields in a fixed order, without a line feed at the end", async () => {
    const { root } = rawImage(["x"]);
    const name = "public.ecr.aws/eks-anywhere/x:v1";
    expect(await indexOf(name)).toBe(
      `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[` +
        `{"mediaType":"${root.mediaType}","digest":"${root.digest}","size":${root.size},"annotations":` +
        `{"io.containerd.image.name":"${name}","org.opencontainers.image.ref.name":"${name}"}}]}`,
    );
  });

  test("has one descriptor a reference, two for one digest", async () => {
    const { manifests } = JSON.parse(await indexOf("a.b/x:1", "a.b/x:2"));
    expect(manifests).toHaveLength(2);
    expect(manifests[0].digest).toBe(manifests[1].digest);
  });

  test("names what has a tag by it alone, and what has none by its digest", async () => {
    const digest = rawImage(["x"]).root.digest;
    const { manifests } = JSON.parse(await indexOf(`a.b/x:1@${digest}`, `a.b/x@${digest}`));
    const names = manifests.map((each: { annotations: Record<string, string> }) =>
      Object.values(each.annotations),
    );
    expect(names).toEqual([
      ["a.b/x:1", "a.b/x:1"],
      [`a.b/x@${digest}`, `a.b/x@${digest}`],
    ]);
  });

  test.each([
    ["public.ecr.aws/a/b:v1", true],
    ["registry.example.com:5000/a/b:v1_2", true],
    ["a.b/a_b/c.d-e:V1", true],
    ["a.b/a--b:1", true],
    ["a.b/a__b:1", false],
    ["a.b/a---b:1", false],
    ["a.b/x:_1", false],
    ["a.b/x:1-", false],
    ["a.b/x:1..2", false],
    ["[::1]:5000/x:1", false],
  ])("names %s for the standard's readers: %p", async (name, isInGrammar) => {
    const { manifests } = JSON.parse(await indexOf(name));
    expect(manifests[0].annotations).toEqual({
      "io.containerd.image.name": name,
      ...(isInGrammar ? { "org.opencontainers.image.ref.name": name } : {}),
    });
  });

  test("says the true type of a Docker image, and nothing of its platform", async () => {
    const mediaType = "application/vnd.docker.distribution.manifest.v2+json";
    const content = rawImage(["x"], { mediaType, platform: { os: "linux", architecture: "arm64" } });
    const { manifests } = JSON.parse(textOf(layOut(await planOf({ "a.b/x:1": content })), "index.json"));
    expect(Object.keys(manifests[0])).toEqual(["mediaType", "digest", "size", "annotations"]);
    expect(manifests[0].mediaType).toBe(mediaType);
  });
});

test("the names of repositories do not move a blob", async () => {
  const plan = await planOf(someContents());
  const renamed = renamePlan(plan, ({ reference }) => ({ ...reference, registry: "z.z" }));
  const order = (layout: Layout) =>
    layout.entries.map(({ name, size }) => [name, name.endsWith("json") || size]);
  expect(order(layOut(renamed))).toEqual(order(layOut(plan)));
});
