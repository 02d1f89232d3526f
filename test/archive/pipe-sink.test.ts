import { expect, test } from "bun:test";
import { closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { layOut } from "../../src/archive/layout.ts";
import { writePipe } from "../../src/archive/pipe-file.ts";
import { PipeSink } from "../../src/archive/pipe-sink.ts";
import type { ByteStream, Node, Plan, Source } from "../../src/oci/plan.ts";
import { transfer } from "../../src/transfer/transfer.ts";
import { faultOf } from "../support/faults.ts";
import { inPieces, MemorySource, planOf, rawImage } from "../support/memory.ts";
import { inFolder, someContents, writeArchive } from "./archives.ts";

/** What comes out when a plan is moved from `source` into a pipe. */
async function piped(
  folder: string,
  { plan, source, jobs, readAhead }: { plan: Plan; source: Source; jobs: number; readAhead: number },
) {
  const path = join(folder, "piped");
  const file = openSync(path, "w");
  try {
    const sink = new PipeSink((bytes) => writePipe(file, bytes), layOut(plan), { readAhead });
    const { lost } = await transfer(plan, source, sink, {
      jobs,
      onFailure: "stop",
      listener: () => {},
      signal: new AbortController().signal,
    });
    if (lost.length === 0) await sink.finish();
    return { lost, bytes: () => readFileSync(path) };
  } finally {
    closeSync(file);
  }
}

test("a pipe gets the very bytes of the file, whatever the order of arrival, the jobs and the memory", async () => {
  await inFolder(async (folder) => {
    const contents = someContents();
    const { plan } = await writeArchive(join(folder, "expected.tar"), contents);
    const expected = readFileSync(join(folder, "expected.tar"));
    const inMemory = new MemorySource(contents);
    const jobs = fc.integer({ min: 1, max: 9 });
    const readAhead = fc.constantFrom(0, 1, 50, 1000, 1_000_000);
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), jobs, readAhead, async (turns, jobs, readAhead) => {
        const open = async (node: Node) => {
          const bytes = inMemory.blobs.get(node.descriptor.digest) ?? new Uint8Array();
          async function* stream() {
            for await (const chunk of inPieces(bytes, 100)) {
              await turns.schedule(Promise.resolve());
              yield chunk;
            }
          }
          return stream();
        };
        const source = { manifest: inMemory.manifest, open };
        const { bytes } = await turns.waitFor(piped(folder, { plan, source, jobs, readAhead }));
        expect(Buffer.compare(bytes(), expected)).toBe(0);
      }),
      { numRuns: 60 },
    );
  });
});

test("what is not at its turn is read ahead within one budget, then waits", async () => {
  await inFolder(async (folder) => {
    const contents = { "a.b/x:v1": rawImage(["first", ..."bcdefgh".split("").map((c) => c.repeat(5000))]) };
    const plan = await planOf(contents);
    const { blobs, manifest } = new MemorySource(contents);
    const [first] = [...plan.nodes.values()].filter((node) => node.bytes === undefined);
    const gate = Promise.withResolvers<void>();
    const idle = Promise.withResolvers<void>();
    let read = 0;
    const open = async (node: Node): Promise<ByteStream> => {
      const bytes = blobs.get(node.descriptor.digest) ?? new Uint8Array();
      async function* stream() {
        if (node === first) await gate.promise;
        for await (const chunk of inPieces(bytes, 100)) {
          if (node !== first) read += chunk.length;
          yield chunk;
        }
      }
      return stream();
    };
    const moving = piped(folder, { plan, source: { manifest, open }, jobs: 8, readAhead: 3000 });
    setTimeout(idle.resolve, 50);
    await idle.promise;
    // A piece is in hand for each of the other seven.
    expect(read).toBeGreaterThanOrEqual(3000);
    expect(read).toBeLessThanOrEqual(3000 + 7 * 100);
    gate.resolve();
    const { lost, bytes } = await moving;
    expect(lost).toEqual([]);
    await writeArchive(join(folder, "a.tar"), contents);
    expect(Buffer.compare(bytes(), readFileSync(join(folder, "a.tar")))).toBe(0);
  });
});

test("a blob that fails ends it all: the others are told, and the end marker never comes", async () => {
  await inFolder(async (folder) => {
    const contents = someContents();
    const { plan } = await writeArchive(join(folder, "expected.tar"), contents);
    const expected = readFileSync(join(folder, "expected.tar"));
    const inMemory = new MemorySource(contents);
    const blobs = [...plan.nodes.values()].filter(({ bytes }) => bytes === undefined);
    for (const broken of blobs) {
      const open = async (node: Node) => {
        if (node === broken) throw new Error("no such blob");
        return inMemory.open(node);
      };
      const source = { manifest: inMemory.manifest, open };
      const { lost, bytes } = await piped(folder, { plan, source, jobs: 8, readAhead: 1000 });
      expect(lost.length).toBeGreaterThan(0);
      expect(bytes().length).toBeLessThanOrEqual(expected.length - 1024);
      expect(Buffer.compare(bytes(), expected.subarray(0, bytes().length))).toBe(0);
    }
  });
});

test("content that has no place in the layout is refused", async () => {
  await inFolder(async (folder) => {
    const plan = await planOf(someContents());
    const file = openSync(join(folder, "piped"), "w");
    const sink = new PipeSink((bytes) => writePipe(file, bytes), layOut({ roots: [], nodes: new Map() }));
    const [blob] = [...plan.nodes.values()].filter(({ bytes }) => bytes === undefined);
    if (blob === undefined) throw new Error("no blob");
    const content = { stream: () => inPieces(new Uint8Array(), 1), slice: () => undefined };
    expect((await faultOf(() => sink.put(blob, content))).message).toContain(blob.descriptor.digest);
    closeSync(file);
  });
});
