import { describe, expect, test } from "bun:test";
import { ContentLost } from "../../src/oci/content-lost.ts";
import type { Descriptor } from "../../src/oci/descriptor.ts";
import { type Digest, digestOf } from "../../src/oci/digest.ts";
import { faultKind } from "../../src/oci/fault.ts";
import type { Node, Source } from "../../src/oci/plan.ts";
import { transfer } from "../../src/transfer/transfer.ts";
import { pseudoRandomBytes } from "../support/content.ts";
import { inPieces } from "../support/memory.ts";
import { bytesTold, diamond, type Graph, RecordingSink, run } from "./graph.ts";

describe("what a sink has lost below a manifest", () => {
  /** Refuses the image 3, or its tag, until the blob 1 is put a second time. */
  function forgetful(graph: Graph, digests: (graph: Graph) => Digest[], refuses: "put" | "tag") {
    const sink = new RecordingSink();
    const { store, tag } = { store: sink.store.bind(sink), tag: sink.tag.bind(sink) };
    const puts = () => sink.started.filter((digest) => digest === graph.nodes[1]?.descriptor.digest).length;
    const refuse = () => {
      if (puts() < 2) throw new ContentLost("gone", { digests: digests(graph), cause: undefined });
    };
    sink.store = async (node, content) => {
      if (refuses === "put" && node === graph.nodes[3]) refuse();
      return store(node, content);
    };
    sink.tag = async (root) => {
      if (refuses === "tag" && root.reference.tag === "t0") refuse();
      await tag(root);
    };
    return { sink, puts };
  }

  test.each<["put" | "tag", string, (graph: Graph) => Digest[]]>([
    ["put", "named", ({ nodes }) => nodes.slice(1, 2).map(({ descriptor }) => descriptor.digest)],
    ["tag", "named", ({ nodes }) => nodes.slice(1, 2).map(({ descriptor }) => descriptor.digest)],
    ["put", "not named", () => []],
  ])("is put once more, then the manifest again (%s; the lost is %s)", async (refuses, _, digests) => {
    const graph = diamond();
    const { sink, puts } = forgetful(graph, digests, refuses);
    const { result, events } = run(graph, sink);
    expect((await result).lost).toEqual([]);
    expect(puts()).toBe(2);
    expect(sink.tags.sort()).toEqual(["a.b/x:t0", "a.b/x:t1", "a.b/x:t2"]);
    for (const node of graph.nodes.filter(({ kind }) => kind === "blob")) {
      expect(bytesTold(events, node)).toBe(node.descriptor.size);
    }
  });

  test("and loses again fails the manifest", async () => {
    const graph = diamond();
    const { sink } = forgetful(graph, () => [], "put");
    sink.store = async (node) => {
      if (node === graph.nodes[3]) throw new ContentLost("gone", { digests: [], cause: undefined });
      return "copied";
    };
    const { lost } = await run(graph, sink).result;
    expect(lost.map(({ root }) => root.reference.tag)).toEqual(["t0", "t2"]);
  });
});

test("content can be had from any byte on, and is verified as a whole all the same", async () => {
  const graph = diamond();
  const tails: string[] = [];
  const sink = new RecordingSink();
  sink.store = async (_, content) => {
    tails.push(await new Response(Buffer.concat(await Array.fromAsync(content.stream(3)))).text());
    return "copied";
  };
  await run(graph, sink, { jobs: 1 }).result;
  expect(tails.slice(0, 2)).toEqual(["tent 0", "tent 1content 1"]);
  sink.store = async (_, content) => {
    await Array.fromAsync(content.stream(3));
    return "copied";
  };
  const source: Source = {
    ...graph.source,
    open: async () => inPieces(new TextEncoder().encode("Xontent 0"), 5),
  };
  const { lost } = await run({ ...graph, source }, sink).result;
  expect(lost).toHaveLength(3);
});

describe("a reading that goes on where an earlier one broke off", () => {
  const MIB = 1024 * 1024;
  const BYTES = pseudoRandomBytes(40 * MIB, "large");
  const LARGE: Descriptor = { mediaType: "x", digest: digestOf(BYTES), size: BYTES.length };

  /** Reads to 35 MiB, then again from 34 MiB on; `second` is what the source has by then. */
  async function readTwice(second: Uint8Array) {
    const asked: number[] = [];
    const node: Node = { descriptor: LARGE, kind: "blob", children: [], repositories: new Set() };
    const sources = [BYTES, second];
    const source: Source = {
      manifest: () => Promise.reject(new Error("none is wanted")),
      open: async (_, from = 0) => {
        asked.push(from);
        return inPieces(sources.shift()?.subarray(from) ?? new Uint8Array(), MIB);
      },
    };
    let rest: Uint8Array = new Uint8Array();
    const sink = new RecordingSink();
    sink.store = async (_, content) => {
      let seen = 0;
      for await (const chunk of content.stream()) {
        seen += chunk.length;
        if (seen >= 35 * MIB) break;
      }
      rest = Buffer.concat(await Array.fromAsync(content.stream(34 * MIB)));
      return "copied";
    };
    const plan = { roots: [], nodes: new Map([[LARGE.digest, node]]) };
    const failures: unknown[] = [];
    await transfer(plan, source, sink, {
      jobs: 1,
      onFailure: "stop",
      listener: (event) => {
        if (event.type === "failed") failures.push(event.error);
      },
      signal: new AbortController().signal,
    });
    return { asked, rest, failures };
  }

  test("reads little of what the first has read", async () => {
    const { asked, rest, failures } = await readTwice(BYTES);
    expect(failures).toEqual([]);
    expect(asked).toEqual([0, 32 * MIB]);
    expect(Buffer.compare(rest, BYTES.subarray(34 * MIB))).toBe(0);
  });

  test.each([33, 39])("notices other bytes at %i MiB", async (at) => {
    const other = BYTES.slice();
    other[at * MIB] = (other[at * MIB] ?? 0) ^ 1;
    const { failures } = await readTwice(other);
    expect(failures.map(faultKind)).toEqual(["mismatch"]);
  });
});
