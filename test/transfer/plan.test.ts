import { expect, test } from "bun:test";
import { digestOf } from "../../src/oci/digest.ts";
import type { Plan, Root } from "../../src/oci/plan.ts";
import { formatReference, type Reference } from "../../src/oci/reference.ts";
import { assertOneDigestAName, joinPlans, planBytes, renamePlan } from "../../src/transfer/plan.ts";
import { faultOf } from "../support/faults.ts";
import { planOf, rawImage, rawIndex } from "../support/memory.ts";

const one = rawImage(["base", "one"]);
const two = rawImage(["base", "two"]);

function repositoriesOf(plan: Plan, text: string): string[] {
  return [...(plan.nodes.get(digestOf(new TextEncoder().encode(text)))?.repositories ?? [])];
}

function assertChildrenFirst(plan: Plan): void {
  const seen = new Set<string>();
  for (const [digest, { children }] of plan.nodes) {
    expect(children.filter((child) => !seen.has(child))).toEqual([]);
    seen.add(digest);
  }
}

test("a plan's bytes count each content once", async () => {
  const plan = await planOf({ "a.b/x:1": one, "a.b/y:1": two, "a.b/z:1": one });
  const sizes = [...one.blobs, ...two.blobs].map(([digest, bytes]) => [digest, bytes.length] as const);
  const blobs = [...new Map(sizes).values()].reduce((sum, size) => sum + size, 0);
  expect(planBytes(plan)).toBe(blobs + one.root.size + two.root.size);
});

test("blobs come in the order in which the roots first use them", async () => {
  const plan = await planOf({ "a.b/y:1": two, "a.b/x:1": one });
  const layers = [...plan.nodes.values()].filter(({ descriptor }) => descriptor.mediaType.endsWith(".tar"));
  const expected = ["base", "two", "one"].map((text) => digestOf(new TextEncoder().encode(text)));
  expect(layers.map(({ descriptor }) => descriptor.digest)).toEqual(expected);
});

test("plans that are joined keep their roots in order, and want shared content in all places", async () => {
  const plan = joinPlans([
    await planOf({ "a.b/x:1": one }),
    await planOf({ "c.d/y:1": rawIndex([two, one]) }),
  ]);
  expect(plan.roots.map(({ reference }) => formatReference(reference))).toEqual(["a.b/x:1", "c.d/y:1"]);
  expect(repositoriesOf(plan, "base")).toEqual(["a.b/x", "c.d/y"]);
  expect(repositoriesOf(plan, "two")).toEqual(["c.d/y"]);
  assertChildrenFirst(plan);
});

test("joining changes none of the plans", async () => {
  const [first, second] = [await planOf({ "a.b/x:1": one }), await planOf({ "c.d/y:1": one })];
  joinPlans([first, second]);
  expect(repositoriesOf(first, "base")).toEqual(["a.b/x"]);
  expect(repositoriesOf(second, "base")).toEqual(["c.d/y"]);
});

test("a renamed plan holds the same content in the same order, wanted under the new names alone", async () => {
  const plan = await planOf({ "a.b/x:1": one, "c.d/y:1": rawIndex([two]) });
  const rename = ({ reference }: Root): Reference => ({
    ...reference,
    registry: "mirror:5000",
    repository: `${reference.registry}/${reference.repository}`,
  });
  const renamed = renamePlan(plan, rename);
  expect(renamed.roots.map(({ reference }) => formatReference(reference))).toEqual([
    "mirror:5000/a.b/x:1",
    "mirror:5000/c.d/y:1",
  ]);
  expect([...renamed.nodes.keys()]).toEqual([...plan.nodes.keys()]);
  expect(repositoriesOf(renamed, "base")).toEqual(["mirror:5000/a.b/x", "mirror:5000/c.d/y"]);
  expect(repositoriesOf(renamed, "two")).toEqual(["mirror:5000/c.d/y"]);
  expect(repositoriesOf(plan, "base")).toEqual(["a.b/x", "c.d/y"]);
});

test("repositories that become one are one", async () => {
  const plan = await planOf({ "a.b/x:1": one, "c.d/y:1": two });
  const renamed = renamePlan(plan, ({ reference }) => ({ ...reference, registry: "m.n", repository: "all" }));
  expect(repositoriesOf(renamed, "base")).toEqual(["m.n/all"]);
});

test("one name for two contents is refused by name; twice for the same content is not", async () => {
  const [first, second] = [await planOf({ "a.b/x:1": one }), await planOf({ "a.b/x:1": two })];
  const fault = await faultOf(() => assertOneDigestAName([...first.roots, ...second.roots]));
  expect(fault.message).toContain("a.b/x:1");
  expect(fault.message).toContain(one.root.digest);
  expect(fault.message).toContain(two.root.digest);
  assertOneDigestAName([...first.roots, ...first.roots]);
});
