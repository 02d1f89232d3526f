import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { encodeHeader, padded } from "../../src/archive/header.ts";
import type { Layout } from "../../src/archive/layout.ts";
import { PipeSource } from "../../src/archive/pipe-source.ts";
import { TarStream } from "../../src/archive/tar-stream.ts";
import { digestOf } from "../../src/oci/digest.ts";
import { faultKind } from "../../src/oci/fault.ts";
import type { Content, Node, Plan } from "../../src/oci/plan.ts";
import { formatReference } from "../../src/oci/reference.ts";
import { resolve } from "../../src/transfer/resolve.ts";
import { type TransferResult, transfer } from "../../src/transfer/transfer.ts";
import { image } from "../support/content.ts";
import { faultOf, textOf } from "../support/faults.ts";
import { inPieces, MemorySource } from "../support/memory.ts";
import { RecordingSink } from "../transfer/graph.ts";
import { type Contents, inFolder, someContents, writeArchive } from "./archives.ts";

const LARGE = 5 * 1024 * 1024;

async function archiveOf(contents: Contents): Promise<{ bytes: Uint8Array; layout: Layout; plan: Plan }> {
  return inFolder(async (folder) => {
    const { blobs, manifest } = new MemorySource(contents);
    const open = async ({ descriptor }: Node) =>
      inPieces(blobs.get(descriptor.digest) ?? new Uint8Array(), 64 * 1024);
    const written = await writeArchive(join(folder, "a.tar"), contents, { manifest, open });
    return { ...written, bytes: Uint8Array.from(readFileSync(join(folder, "a.tar"))) };
  });
}

interface Moving {
  sink?: RecordingSink;
  jobs?: number;
  /** bytes that the pipe gives at once */
  piece?: number;
}

/** Moves an archive out of a pipe; fails as the import would, but for what a transfer has lost. */
async function moved(bytes: Uint8Array, { sink = new RecordingSink(), jobs = 3, piece = 1000 }: Moving = {}) {
  const source = await PipeSource.open(new TarStream("the pipe", inPieces(bytes, piece)));
  try {
    const { references, nameless } = source;
    const { plan, failures } = await resolve(source, references, { jobs, nameless });
    for (const { error } of failures) throw error;
    source.follow(plan);
    const { lost } = await transfer(plan, source, sink, {
      jobs,
      onFailure: "stop",
      listener: () => {},
      signal: new AbortController().signal,
    });
    if (lost.length === 0) await source.finish();
    return { lost, plan, source };
  } finally {
    source.close();
  }
}

function kindOf(lost: TransferResult["lost"]): string[] {
  return lost.flatMap(({ error }) => (error === undefined ? [] : faultKind(error)));
}

describe("an archive out of a pipe", () => {
  test("arrives whole, whatever the jobs and the pieces that it comes in", async () => {
    const contents = someContents();
    const { bytes } = await archiveOf(contents);
    const jobs = fc.integer({ min: 1, max: 9 });
    await fc.assert(
      fc.asyncProperty(jobs, fc.integer({ min: 1, max: 5000 }), async (jobs, piece) => {
        const sink = new RecordingSink();
        const { lost } = await moved(bytes, { sink, jobs, piece });
        expect(lost).toEqual([]);
        expect(sink.tags.length).toBe(Object.keys(contents).length);
      }),
      { numRuns: 50 },
    );
  });

  test("is read to its end also where everything is there already", async () => {
    const { bytes } = await archiveOf({
      ...someContents(),
      "a.b/large:v1": await image({ seed: "x", layerSizes: [LARGE] }),
    });
    const sink = new RecordingSink();
    sink.store = async () => "present";
    expect((await moved(bytes, { sink })).lost).toEqual([]);
  });

  test("that breaks leaves what had come in full by then", async () => {
    const { bytes, layout, plan } = await archiveOf(someContents());
    const [first, second] = [...plan.nodes.values()].filter(({ kind }) => kind === "blob");
    const end = layout.byDigest.get(second?.descriptor.digest ?? "sha256:")?.offset ?? 0;
    if (first === undefined || second === undefined) throw new Error("too few blobs");
    const source = await PipeSource.open(new TarStream("the pipe", inPieces(bytes.subarray(0, end), 1000)));
    source.follow(plan);
    await source.ready(first);
    await faultOf(() => source.ready(second));
    const held = Buffer.concat(await Array.fromAsync(await source.open(first)));
    expect(digestOf(held)).toBe(first.descriptor.digest);
    source.close();
  });

  test("cut at any byte is a mismatch, and no root below which something is missing gets its name", async () => {
    const { bytes, layout } = await archiveOf(someContents());
    const bounds = layout.entries.flatMap(({ headerOffset, offset, size }) => [
      headerOffset,
      offset,
      offset + size,
    ]);
    const cuts = [...bounds.flatMap((at) => [at - 1, at, at + 1]), bytes.length - 1024, bytes.length - 1];
    for (let cut = 100; cut < bytes.length; cut += 211) cuts.push(cut);
    for (const cut of cuts.filter((at) => at >= 0)) {
      // Says so by itself when a name comes too early.
      const sink = new RecordingSink();
      try {
        const { lost } = await moved(bytes.subarray(0, cut), { sink, jobs: 1 + (cut % 5) });
        expect(lost.length).toBeGreaterThan(0);
        expect(kindOf(lost)).toContain("mismatch");
        expect(sink.tags.length + lost.length).toBe(3);
      } catch (error) {
        expect(faultKind(error)).toBe("mismatch");
      }
    }
  });

  test("with any bit flipped never gives a name to what it is not", async () => {
    const { bytes } = await archiveOf(someContents());
    const whole = new RecordingSink();
    await moved(bytes, { sink: whole });
    for (let at = 37; at < bytes.length; at += 97) {
      const flipped = Uint8Array.from(bytes);
      flipped[at] = (flipped[at] ?? 0) ^ 1;
      const sink = new RecordingSink();
      await moved(flipped, { sink }).catch(() => {});
      for (const digest of sink.present) expect(whole.present.has(digest)).toBe(true);
    }
  });
});

describe("a blob", () => {
  test("that is small can be read again until it is settled, a large one only once", async () => {
    const { bytes } = await archiveOf({
      "a.b/x:v1": await image({ seed: "x", layerSizes: [100, LARGE, 100] }),
    });
    const before: Content[] = [];
    const onePass: (boolean | undefined)[] = [];
    const sink = new RecordingSink();
    sink.store = async (node, content) => {
      if (node.bytes !== undefined) return "copied";
      const again = () => Array.fromAsync(content.stream());
      await again();
      if (content.isOnePass) expect((await faultOf(again)).message).toContain(node.descriptor.digest);
      else await again();
      for (const { stream } of before) {
        expect((await faultOf(() => Array.fromAsync(stream()))).message).toContain("it has gone by");
      }
      before.push(content);
      onePass.push(content.isOnePass);
      return "copied";
    };
    expect((await moved(bytes, { sink, jobs: 1, piece: 64 * 1024 })).lost).toEqual([]);
    expect(onePass).toEqual([false, false, true, false]);
  });

  test("that nobody reads to its end does not hold up the next one", async () => {
    const { bytes } = await archiveOf({
      "a.b/x:v1": await image({ seed: "x", layerSizes: [LARGE, 100, LARGE, 100] }),
    });
    const sink = new RecordingSink();
    sink.store = async (_, content) => {
      for await (const _ of content.stream()) break;
      return "copied";
    };
    expect((await moved(bytes, { sink, jobs: 2 })).lost).toEqual([]);
  });
});

describe("is refused by name, with what to do:", () => {
  interface Part {
    name: string;
    bytes: Uint8Array;
    type?: string;
  }

  function tarOf(parts: readonly Part[], end = new Uint8Array(1024)): Uint8Array {
    const blocks = parts.flatMap(({ name, bytes, type }) => {
      const header = Buffer.from(encodeHeader(name, bytes.length));
      if (type !== undefined) retype(header, type);
      return [header, bytes, new Uint8Array(padded(bytes.length) - bytes.length)];
    });
    return Buffer.concat([...blocks, end]);
  }

  function retype(header: Buffer, type: string): void {
    header.write(type, 156);
    header.fill(" ", 148, 156);
    const sum = header.reduce((total, byte) => total + byte, 0);
    header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  }

  const CASES: [string, (parts: Part[]) => Part[]][] = [
    [
      "manifests after the blobs",
      ([a, b, c, ...rest]) => [a, b, c, ...rest.toReversed()].flatMap((part) => part ?? []),
    ],
    ["two blobs in each other's place", (parts) => [...parts.slice(0, -2), ...parts.slice(-2).toReversed()]],
    [
      "an index at the end",
      ([layout, index, ...rest]) => [layout, ...rest, index].flatMap((part) => part ?? []),
    ],
    ["names as GNU tar gives them", (parts) => parts.map((part) => ({ ...part, name: `./${part.name}` }))],
    [
      "something else among the blobs",
      (parts) => [...parts.slice(0, -1), { name: "README", bytes: new Uint8Array(9) }],
    ],
    ["something after the last blob", (parts) => [...parts, { name: "README", bytes: new Uint8Array(9) }]],
    ["a blob that comes twice", (parts) => [...parts, ...parts.slice(-1)]],
    [
      "a link",
      (parts) => [...parts.slice(0, -1), ...parts.slice(-1).map((part) => ({ ...part, type: "2" }))],
    ],
  ];
  test.each(CASES)("%s", async (_, change) => {
    const { bytes, layout } = await archiveOf(someContents());
    const parts = layout.entries.map(({ name, offset, size }) => ({
      name,
      bytes: bytes.subarray(offset, offset + size),
    }));
    expect(Buffer.compare(tarOf(parts), bytes)).toBe(0);
    const text = await moved(tarOf(change(parts))).then(
      ({ lost }) => lost.map(({ error }) => (error instanceof Error ? error.message : "")).join("\n"),
      (error: unknown) =>
        error instanceof Error ? `${error.message} ${error.cause} ${Reflect.get(error, "hint")}` : "",
    );
    expect(text).toMatch(/cannot read the pipe as it comes|it is not in the order/);
  });

  test("no archive at all", async () => {
    for (const bytes of [new Uint8Array(), new TextEncoder().encode("hello\n"), new Uint8Array(2048)]) {
      expect((await faultOf(() => moved(bytes))).kind).toBe("mismatch");
    }
  });

  test("something after the end", async () => {
    const { bytes } = await archiveOf(someContents());
    const more = Buffer.concat([bytes, new Uint8Array(9000), Buffer.from("more")]);
    const fault = await faultOf(() => moved(more));
    expect(textOf(fault)).toContain(`byte ${bytes.length + 9000}`);
  });
});

test("the roots are those of the archive, in its order", async () => {
  const contents = someContents();
  const { bytes } = await archiveOf(contents);
  const source = await PipeSource.open(new TarStream("the pipe", inPieces(bytes, 1000)));
  const names = source.references.map(({ tag, digest, ...place }) =>
    formatReference(tag === undefined ? { ...place, digest } : { ...place, tag }),
  );
  expect(names).toEqual(Object.keys(contents));
  source.close();
});
