import { expect, test } from "bun:test";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { unpackTar } from "modern-tar";
import { digestOf } from "../../src/oci/digest.ts";
import type { Content, Node } from "../../src/oci/plan.ts";
import { verified } from "../../src/oci/verified.ts";
import { faultOf } from "../support/faults.ts";
import { inPieces, MemorySource, planOf } from "../support/memory.ts";
import { Writing } from "../support/writing.ts";
import { inFolder, someContents, writeArchive } from "./archives.ts";

function contentOf(bytes: Uint8Array): Content {
  return { stream: () => inPieces(bytes, 100), slice: () => undefined };
}

test("these bytes are frozen: once released, the same plan must give them on every machine", async () => {
  await inFolder(async (folder) => {
    const path = join(folder, "a.tar");
    await writeArchive(path, someContents());
    const bytes = await readFile(path);
    expect(bytes).toHaveLength(25_600);
    expect(digestOf(bytes)).toBe("sha256:5454b69f33dd708be18413cc25440d70283fde653e1041f626aa1e91d22507a0");
  });
});

test("the tar is byte-identical whatever the order in which blobs arrive", async () => {
  await inFolder(async (folder) => {
    const contents = someContents();
    await writeArchive(join(folder, "expected.tar"), contents);
    const expected = await readFile(join(folder, "expected.tar"));
    const plan = await planOf(contents);
    const { blobs } = new MemorySource(contents);
    const arrival = fc.shuffledSubarray([...plan.nodes.values()], { minLength: plan.nodes.size });
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), arrival, async (turns, nodes) => {
        const path = join(folder, "a.tar");
        const writing = await Writing.begin(path, plan);
        const put = async (node: Node) => {
          const bytes = blobs.get(node.descriptor.digest) ?? new Uint8Array();
          async function* stream() {
            for await (const chunk of inPieces(bytes, 300)) {
              await turns.schedule(Promise.resolve());
              yield chunk;
            }
          }
          return writing.sink.put(node, { stream, slice: () => undefined });
        };
        await turns.waitFor(Promise.all(nodes.map(put)));
        await writing.commit();
        expect(Buffer.compare(await readFile(path), expected)).toBe(0);
      }),
      { numRuns: 25 },
    );
  });
});

test("another tar reader finds every file with its bytes, in order", async () => {
  await inFolder(async (folder) => {
    const path = join(folder, "a.tar");
    const contents = someContents();
    const { layout } = await writeArchive(path, contents);
    const entries = await unpackTar(await readFile(path));
    expect(entries.map(({ header }) => header.name)).toEqual(layout.entries.map(({ name }) => name));
    for (const { header, data } of entries.slice(3)) {
      expect(header.name).toBe(`blobs/${digestOf(data ?? new Uint8Array()).replace(":", "/")}`);
    }
  });
});

test("nothing has the final name before the commit, and nothing has another after it", async () => {
  await inFolder(async (folder) => {
    const contents = someContents();
    const plan = await planOf(contents);
    const { blobs } = new MemorySource(contents);
    const writing = await Writing.begin(join(folder, "a.tar"), plan);
    for (const node of plan.nodes.values()) {
      await writing.sink.put(node, contentOf(blobs.get(node.descriptor.digest) ?? new Uint8Array()));
      expect((await readdir(folder)).sort()).toEqual(["a.tar.journal", "a.tar.lock", "a.tar.partial"]);
    }
    await writing.commit();
    expect(await readdir(folder)).toEqual(["a.tar"]);
  });
});

test("content that fails while it streams is the put's failure; the next try writes it whole", async () => {
  await inFolder(async (folder) => {
    const contents = someContents();
    const plan = await planOf(contents);
    const { blobs } = new MemorySource(contents);
    const path = join(folder, "a.tar");
    const writing = await Writing.begin(path, plan);
    const { sink } = writing;
    for (const node of plan.nodes.values()) {
      const bytes = blobs.get(node.descriptor.digest) ?? new Uint8Array();
      if (node.bytes === undefined && bytes.length > 0) {
        const flipped = bytes.map((byte) => byte ^ 1);
        const stream = () => verified(inPieces(flipped, 3), node.descriptor);
        expect((await faultOf(() => sink.put(node, { stream, slice: () => undefined }))).kind).toBe(
          "mismatch",
        );
      }
      await sink.put(node, contentOf(bytes));
    }
    await writing.commit();
    await writeArchive(join(folder, "b.tar"), contents);
    expect(Buffer.compare(await readFile(path), await readFile(join(folder, "b.tar")))).toBe(0);
  });
});

test("content that has no place in the layout is refused", async () => {
  await inFolder(async (folder) => {
    const plan = await planOf(someContents());
    const writing = await Writing.begin(join(folder, "a.tar"), { roots: [], nodes: new Map() });
    const [blob] = [...plan.nodes.values()].filter(({ bytes }) => bytes === undefined);
    if (blob === undefined) throw new Error("no blob");
    const fault = await faultOf(() => writing.sink.put(blob, contentOf(new Uint8Array())));
    expect(fault.message).toContain(blob.descriptor.digest);
    await writing.leave();
  });
});
