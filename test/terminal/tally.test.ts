import { expect, test } from "bun:test";
import fc from "fast-check";
import type { Outcome } from "../../src/oci/plan.ts";
import { formatSummary } from "../../src/terminal/progress-view.ts";
import { Tally, type Totals } from "../../src/terminal/tally.ts";
import { planBytes } from "../../src/transfer/plan.ts";
import { closure, graphs, RecordingSink, run } from "../transfer/graph.ts";
import { CONFIG, endOf, LAYER, MANIFEST, MIB, nodeOf, ROOT, rootOf, START, TOTAL } from "./transfers.ts";

const outcomes = fc.array(fc.constantFrom<Outcome>("copied", "mounted", "present"), { minLength: 1 });

test("of any transfer, what moved and was saved of its blobs adds up to what its artifacts come to one by one", async () => {
  await fc.assert(
    fc.asyncProperty(graphs, outcomes, async (graph, ways) => {
      const roots = graph.nodes.flatMap(({ descriptor }, index) =>
        ["a", "b"].map((tag) => ({
          reference: { registry: "a.b", repository: "x", tag: `${tag}${index}` },
          descriptor,
        })),
      );
      const plan = { ...graph.plan, roots };
      const sink = new RecordingSink();
      let count = 0;
      const store = sink.store.bind(sink);
      sink.store = async (node, content) => {
        const way = ways[count++ % ways.length] ?? "copied";
        return way === "copied" ? store(node, content) : way;
      };
      const { result, events } = run({ ...graph, plan }, sink);
      await result;
      const tally = new Tally();
      for (const event of events) tally.apply(event);
      const { shared, mounted, present } = tally.saved;
      const manifests = events.flatMap((event) =>
        event.type === "end" && event.node.kind === "manifest" && event.outcome === "copied"
          ? event.node
          : [],
      );
      const moved = tally.moved - manifests.reduce((sum, { descriptor }) => sum + descriptor.size, 0);
      const blobs = roots.flatMap(({ descriptor }) =>
        [...closure(plan, descriptor.digest)].flatMap((digest) => plan.nodes.get(digest) ?? []),
      );
      const whole = blobs.reduce(
        (sum, { kind, descriptor }) => sum + (kind === "blob" ? descriptor.size : 0),
        0,
      );
      expect(moved + shared + mounted + present).toBe(whole);
      expect([tally.done, tally.total]).toEqual([planBytes(plan), planBytes(plan)]);
      expect([tally.artifacts, tally.wanted, tally.lost]).toEqual([roots.length, roots.length, 0]);
    }),
  );
});

/** What a transfer of the layer alone, wanted in several places by as many artifacts, comes to. */
function tallied(places: Record<Outcome, number>, { moved = 0, held = 0 } = {}): Tally {
  const tally = new Tally();
  const artifacts = places.copied + places.mounted + places.present;
  tally.apply({ type: "start", nodes: 1, bytes: 100 * MIB, artifacts });
  tally.apply({ type: "begin", node: LAYER });
  tally.apply({ type: "held", node: LAYER, bytes: held });
  tally.apply({ type: "bytes", node: LAYER, bytes: moved });
  tally.apply({ type: "end", node: LAYER, outcome: "copied", places });
  for (let index = 0; index < artifacts; index++) {
    tally.apply({ type: "artifact", root: rootOf(LAYER, `v${index}`) });
  }
  return tally;
}

test.each([
  ["sent once and mounted twice", { copied: 1, mounted: 2, present: 0 }, { moved: 100 * MIB }, [100, 200, 0]],
  ["sent unseen, as the kernel sends a slice", { copied: 1, mounted: 0, present: 0 }, {}, [100, 0, 0]],
  ["sent once more where it could not be mounted", { copied: 2, mounted: 0, present: 0 }, {}, [200, 0, 0]],
  ["there in one of three places", { copied: 1, mounted: 1, present: 1 }, {}, [100, 100, 100]],
  ["half there from an earlier run", { copied: 1, mounted: 0, present: 0 }, { held: 50 * MIB }, [50, 0, 50]],
  ["all there from an earlier run", { copied: 0, mounted: 0, present: 1 }, { held: 100 * MIB }, [0, 0, 100]],
])("a blob that is %s", (_, places, bytes, [moved = 0, mounted = 0, present = 0]) => {
  const tally = tallied(places, bytes);
  expect({ moved: tally.moved, ...tally.saved }).toEqual({
    moved: moved * MIB,
    shared: 0,
    mounted: mounted * MIB,
    present: present * MIB,
  });
  expect(tally.done).toBe(100 * MIB);
});

test("what moved for an artifact that was lost has moved, and saves nothing", () => {
  const tally = new Tally();
  tally.apply(START);
  for (const node of [CONFIG, LAYER]) tally.apply({ type: "begin", node });
  tally.apply({ type: "bytes", node: LAYER, bytes: 10 * MIB });
  tally.apply(endOf(CONFIG, "copied"));
  tally.apply({ type: "failed", node: LAYER, error: new Error("gone") });
  tally.apply({ type: "lost", root: ROOT, error: new Error("gone") });
  expect({ moved: tally.moved, done: tally.done, lost: tally.lost, ...tally.saved }).toEqual({
    moved: 11 * MIB,
    done: 11 * MIB,
    lost: 1,
    shared: 0,
    mounted: 0,
    present: 0,
  });
});

test("an artifact is as large as all that it refers to, each once", () => {
  const tally = new Tally();
  const twice = nodeOf("index", 100, [MANIFEST.descriptor.digest, LAYER.descriptor.digest]);
  for (const node of [CONFIG, LAYER, MANIFEST, twice]) tally.apply({ type: "begin", node });
  expect(tally.sizeOf(ROOT)).toBe(TOTAL);
  expect(tally.sizeOf(rootOf(twice, "v2"))).toBe(TOTAL + 100);
});

const NOTHING = { shared: 0, mounted: 0, present: 0 };
const WHOLE = {
  artifacts: 250,
  wanted: 250,
  lost: 0,
  moved: 4000 * MIB,
  saved: NOTHING,
  milliseconds: 100_000,
};

test.each<[Partial<Totals>, string[]]>([
  [{}, ["exported 250 artifacts: 3.9 GiB moved in 1 min 40 s (40.0 MiB/s)"]],
  [
    { saved: { shared: 2 * MIB, mounted: MIB, present: 5 * MIB } },
    [
      "exported 250 artifacts: 3.9 GiB moved in 1 min 40 s (40.0 MiB/s)",
      "saved 8.0 MiB: 2.0 MiB shared between artifacts, 1.0 MiB mounted, 5.0 MiB there already",
    ],
  ],
  [
    { artifacts: 1, wanted: 1, moved: 0, saved: { ...NOTHING, present: MIB }, milliseconds: 900 },
    ["exported 1 artifact: 0 B moved in 1 s", "saved 1.0 MiB: 1.0 MiB there already"],
  ],
  [
    { artifacts: 12, lost: 2, moved: 40 * MIB, milliseconds: 1000 },
    ["exported 12 of 250 artifacts, 2 failed: 40.0 MiB moved in 1 s (40.0 MiB/s)"],
  ],
])("the summary of %p", (totals, lines) => {
  expect(formatSummary("exported", { ...WHOLE, ...totals }).split("\n")).toEqual(lines);
});
