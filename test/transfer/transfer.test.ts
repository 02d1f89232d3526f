import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { faultKind } from "../../src/oci/fault.ts";
import type { Outcome, Source } from "../../src/oci/plan.ts";
import { formatReference } from "../../src/oci/reference.ts";
import { planBytes } from "../../src/transfer/plan.ts";
import { inPieces } from "../support/memory.ts";
import { bytesTold, closure, diamond, graphOf, graphs, RecordingSink, run, ScriptedSink } from "./graph.ts";

const jobCounts = fc.integer({ min: 1, max: 6 });

test("of any graph all arrives once, children first, roots named last, never more in flight than allowed", async () => {
  await fc.assert(
    fc.asyncProperty(fc.scheduler(), graphs, jobCounts, async (turns, graph, jobs) => {
      const sink = new ScriptedSink(turns);
      const { lost } = await turns.waitFor(run(graph, sink, { jobs }).result);
      expect(lost).toEqual([]);
      expect([...sink.started].sort()).toEqual([...graph.plan.nodes.keys()].sort());
      expect([...sink.tags].sort()).toEqual(
        graph.plan.roots.map(({ reference }) => formatReference(reference)).sort(),
      );
      expect(sink.mostActive).toBeLessThanOrEqual(jobs);
    }),
  );
});

test("blobs are started in the order of the plan, whatever the order in which they arrive", async () => {
  await fc.assert(
    fc.asyncProperty(fc.scheduler(), graphs, jobCounts, async (turns, graph, jobs) => {
      const sink = new ScriptedSink(turns);
      await turns.waitFor(run(graph, sink, { jobs }).result);
      const blobs = graph.nodes
        .filter(({ kind }) => kind === "blob")
        .map(({ descriptor }) => descriptor.digest);
      expect(sink.started.filter((digest) => blobs.includes(digest))).toEqual(blobs);
    }),
  );
});

test("what fails loses exactly the roots that need it, and they say why", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.scheduler(),
      graphs,
      fc.array(fc.nat()),
      jobCounts,
      async (turns, graph, picks, jobs) => {
        const { plan, nodes } = graph;
        const broken = new Set(picks.flatMap((pick) => nodes[pick % nodes.length]?.descriptor.digest ?? []));
        const sink = new ScriptedSink(turns, broken);
        const { result, events } = run(graph, sink, { jobs });
        const { lost } = await turns.waitFor(result);
        const needing = plan.roots.filter(({ descriptor }) => {
          return !closure(plan, descriptor.digest).isDisjointFrom(broken);
        });
        expect(lost.map(({ root }) => root)).toEqual(needing);
        expect(sink.tags).toHaveLength(plan.roots.length - needing.length);
        const told = events.flatMap((event) => (event.type === "lost" ? [event] : []));
        expect(told).toHaveLength(lost.length);
        for (const { root, error } of lost) expect(told).toContainEqual({ type: "lost", root, error });
        for (const { root, error } of lost) {
          const reasons = closure(plan, root.descriptor.digest).intersection(broken);
          expect([...reasons].map((digest) => `no ${digest}`)).toContain(String((error as Error).message));
        }
      },
    ),
  );
});

test("events tell the whole story: one start, each node to its end, each root once", async () => {
  await fc.assert(
    fc.asyncProperty(fc.scheduler(), graphs, async (turns, graph) => {
      const { result, events } = run(graph, new ScriptedSink(turns));
      await turns.waitFor(result);
      const { plan, nodes } = graph;
      expect(events[0]).toEqual({
        type: "start",
        nodes: nodes.length,
        bytes: planBytes(plan),
        artifacts: plan.roots.length,
      });
      for (const node of nodes) {
        const own = events.filter((event) => "node" in event && event.node === node).map(({ type }) => type);
        expect(own.filter((type) => type !== "bytes")).toEqual(["begin", "end"]);
        expect([own.at(0), own.at(-1)]).toEqual(["begin", "end"]);
        expect(bytesTold(events, node)).toBe(node.descriptor.size);
      }
      const artifacts = events.flatMap((event) => (event.type === "artifact" ? [event.root] : []));
      expect(new Set(artifacts)).toEqual(new Set(plan.roots));
      expect(artifacts).toHaveLength(plan.roots.length);
    }),
  );
});

test("a root is named as soon as it is whole, before blobs that it does not need", async () => {
  const graph = graphOf([[], [0], [], [2]], [1, 3]);
  const sink = new RecordingSink();
  const { events, result } = run(graph, sink, { jobs: 1 });
  await result;
  const named = events.findIndex(({ type }) => type === "artifact");
  const other = events.findIndex((event) => event.type === "begin" && event.node === graph.nodes[2]);
  expect(named).toBeLessThan(other);
});

describe("a sink that asks for the bytes again", () => {
  test("is told of each byte once", async () => {
    const graph = diamond();
    const sink = new RecordingSink();
    sink.store = async (_, content) => {
      let read = 0;
      // Broken off in the middle, then read whole, twice.
      for await (const chunk of content.stream()) {
        read += chunk.length;
        if (read > 7) break;
      }
      await Array.fromAsync(content.stream());
      await Array.fromAsync(content.stream());
      return "copied";
    };
    const { result, events } = run(graph, sink);
    expect((await result).lost).toEqual([]);
    for (const node of graph.nodes) expect(bytesTold(events, node)).toBe(node.descriptor.size);
  });

  test("gets them after a source that failed the first time", async () => {
    const graph = diamond();
    let tries = 0;
    const source: Source = {
      ...graph.source,
      open: async (node) => {
        if (++tries === 1) throw new Error("offline");
        return graph.source.open(node);
      },
    };
    const sink = new RecordingSink();
    sink.store = async (_, content) => {
      await Array.fromAsync(content.stream()).catch(() => Array.fromAsync(content.stream()));
      return "copied";
    };
    expect((await run({ ...graph, source }, sink).result).lost).toEqual([]);
    expect(tries).toBe(4);
  });
});

describe("a source that lies", () => {
  test.each([
    ["sends other bytes", (bytes: Uint8Array) => bytes.map((byte) => byte ^ 1)],
    ["sends too few", (bytes: Uint8Array) => bytes.subarray(1)],
    ["sends too many", (bytes: Uint8Array) => Buffer.concat([bytes, bytes])],
  ])("and %s costs the roots that need it, as a mismatch", async (_, falsify) => {
    const graph = diamond();
    const [victim] = graph.nodes;
    const source: Source = {
      ...graph.source,
      open: async (node) => {
        const bytes = Buffer.concat(await Array.fromAsync(await graph.source.open(node)));
        return inPieces(node === victim ? falsify(bytes) : bytes, 5);
      },
    };
    const sink = new RecordingSink();
    const { result, events } = run({ ...graph, source }, sink);
    const { lost } = await result;
    expect(lost.map(({ root }) => root.reference.tag)).toEqual(["t0", "t2"]);
    expect(lost.map(({ error }) => faultKind(error))).toEqual(["mismatch", "mismatch"]);
    expect(sink.tags).toEqual(["a.b/x:t1"]);
    expect(events.filter(({ type }) => type === "lost")).toHaveLength(2);
    for (const node of graph.nodes) expect(bytesTold(events, node)).toBeLessThanOrEqual(node.descriptor.size);
  });
});

test("content that is there, or mounted, is not read, and the outcome is told", async () => {
  const graph = diamond();
  const source: Source = { ...graph.source, open: () => Promise.reject(new Error("read")) };
  const sink = new RecordingSink();
  sink.store = async (node) => (node.kind === "blob" ? "mounted" : "present");
  const { result, events } = run({ ...graph, source }, sink);
  expect((await result).lost).toEqual([]);
  const outcomes = events.flatMap((event) => (event.type === "end" ? [event.outcome] : []));
  expect(outcomes.sort()).toEqual(["mounted", "mounted", "mounted", "present", "present", "present"]);
});

test("of each node it is told in how many places it came in which way; a sink that does not tell has one", async () => {
  const graph = diamond();
  const sink = new RecordingSink();
  const put = sink.put.bind(sink);
  sink.put = (node, content, placed?: (outcome: Outcome) => void) => {
    if (node.kind === "blob")
      for (const outcome of ["copied", "mounted", "mounted"] as const) placed?.(outcome);
    return put(node, content);
  };
  const { result, events } = run(graph, sink);
  await result;
  for (const event of events) {
    if (event.type !== "end") continue;
    const isBlob = event.node.kind === "blob";
    expect(event.places).toEqual({ copied: 1, mounted: isBlob ? 2 : 0, present: 0 });
  }
});

test("a slice is the source's own, where it has one", async () => {
  const graph = diamond();
  const slices: (Blob | undefined)[] = [];
  const sink = new RecordingSink();
  sink.store = async (_, content) => {
    slices.push(content.slice());
    return "copied";
  };
  const blob = new Blob(["x"]);
  await run({ ...graph, source: { ...graph.source, slice: () => blob } }, sink).result;
  expect(new Set(slices)).toEqual(new Set([blob]));
  slices.length = 0;
  await run(graph, sink).result;
  expect(new Set(slices)).toEqual(new Set([undefined]));
});

test("a root that cannot be named is lost alone", async () => {
  const sink = new RecordingSink();
  const refused = new Error("immutable");
  const tag = sink.tag.bind(sink);
  sink.tag = async (root) => {
    if (root.reference.tag === "t0") throw refused;
    await tag(root);
  };
  const { result, events } = run(diamond(), sink);
  const { lost } = await result;
  expect(lost.map(({ root, error }) => [root.reference.tag, error])).toEqual([["t0", refused]]);
  expect(sink.tags.sort()).toEqual(["a.b/x:t1", "a.b/x:t2"]);
  expect(events.flatMap((event) => (event.type === "lost" ? [event.error] : []))).toEqual([refused]);
});

describe("with `stop`", () => {
  test("nothing new is started after the first failure, and all that is missing is lost", async () => {
    const graph = diamond();
    const sink = new RecordingSink();
    sink.store = async (node) => {
      if (node === graph.nodes[1]) throw new Error("no");
      return "copied";
    };
    const { lost } = await run(graph, sink, { jobs: 1, onFailure: "stop" }).result;
    expect(sink.started).toHaveLength(2);
    expect(lost.map(({ root }) => root.reference.tag)).toEqual(["t0", "t1", "t2"]);
  });

  test("roots that the run did not come to have no error of their own", async () => {
    const graph = graphOf([[], [0], [], [2]], [1, 3]);
    const sink = new RecordingSink();
    const reason = new Error("no");
    sink.store = () => Promise.reject(reason);
    const { lost } = await run(graph, sink, { jobs: 1, onFailure: "stop" }).result;
    expect(lost.map(({ error }) => error)).toEqual([reason, undefined]);
  });

  test("a name that is refused stops the run, too", async () => {
    const graph = graphOf([[], [0], [], [2]], [1, 3]);
    const sink = new RecordingSink();
    sink.tag = () => Promise.reject(new Error("no"));
    const { lost } = await run(graph, sink, { jobs: 1, onFailure: "stop" }).result;
    expect(lost).toHaveLength(2);
    expect(sink.started).toHaveLength(2);
  });
});

describe("an abort", () => {
  test("rejects with its reason, after what is in flight has ended, and starts nothing new", async () => {
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), graphs, fc.nat(20), async (turns, graph, after) => {
        const abort = new AbortController();
        const sink = new ScriptedSink(turns);
        let startedBefore = 0;
        let ended = 0;
        const store = sink.store.bind(sink);
        sink.store = async (node, content) => {
          if (sink.started.length > after && !abort.signal.aborted) {
            startedBefore = sink.started.length;
            abort.abort(new Error("interrupted"));
          }
          return store(node, content).finally(() => ended++);
        };
        const { result } = run(graph, sink, { signal: abort.signal, jobs: 3 });
        const end = await turns.waitFor(result.catch((error: unknown) => error));
        if (!abort.signal.aborted) return;
        expect(end).toEqual(new Error("interrupted"));
        expect(sink.started).toHaveLength(startedBefore);
        expect(ended).toBe(startedBefore);
      }),
    );
  });

  test("that came before the run lets nothing start", async () => {
    const sink = new RecordingSink();
    const { result } = run(diamond(), sink, { signal: AbortSignal.abort(new Error("interrupted")) });
    await expect(result).rejects.toThrow("interrupted");
    expect(sink.started).toEqual([]);
  });
});

test("a plan of nothing is done at once", async () => {
  const { result, events } = run(graphOf([], []), new RecordingSink());
  expect((await result).lost).toEqual([]);
  expect(events).toEqual([{ type: "start", nodes: 0, bytes: 0, artifacts: 0 }]);
});
