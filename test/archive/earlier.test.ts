import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { reusing } from "../../src/archive/earlier.ts";
import { FileSet } from "../../src/archive/files.ts";
import type { Digest } from "../../src/oci/digest.ts";
import type { Node } from "../../src/oci/plan.ts";
import { MemorySource } from "../support/memory.ts";
import { inFolder, someContents, writeArchive } from "./archives.ts";

const contents = someContents();

async function withEarlier(
  harm: (path: string, node: { offset: number; size: number }) => Promise<unknown>,
  keptOf: (size: number) => number,
): Promise<{ bytes: Buffer; right: Buffer; fetched: Digest[] }> {
  return inFolder(async (folder) => {
    const path = join(folder, "a.tar");
    const { plan, layout } = await writeArchive(path, contents);
    const memory = new MemorySource(contents);
    const node = [...plan.nodes.values()].find(
      ({ descriptor, bytes }) => bytes === undefined && descriptor.size > 500,
    );
    const extent = layout.byDigest.get(node?.descriptor.digest ?? "sha256:");
    if (node === undefined || extent === undefined) throw new Error("no blob");
    await harm(path, extent);
    const fetched: Digest[] = [];
    const counting = {
      manifest: memory.manifest.bind(memory),
      open: (wanted: Node, from?: number) => {
        fetched.push(wanted.descriptor.digest);
        return memory.open(wanted, from);
      },
    };
    const files = new FileSet([{ path, size: layout.size }], "r");
    const kept = new Map([[node.descriptor.digest, keptOf(extent.size)]]);
    const source = reusing(counting, [{ files, layout, kept }]);
    const chunks: Uint8Array[] = [];
    for await (const chunk of await source.open(node, 3)) chunks.push(chunk);
    files.close();
    const right = Buffer.from(memory.blobs.get(node.descriptor.digest) ?? []).subarray(3);
    return { bytes: Buffer.concat(chunks), right, fetched };
  });
}

const whole = (size: number) => size;

test("what an unfinished export has in full is copied and not fetched", async () => {
  const { bytes, right, fetched } = await withEarlier(async () => {}, whole);
  expect(fetched).toEqual([]);
  expect(Buffer.compare(bytes, right)).toBe(0);
});

const HARMS: [string, (path: string, extent: { offset: number; size: number }) => Promise<unknown>][] = [
  [
    "is wrong",
    (path, { offset }) => {
      const file = readFileSync(path);
      file[offset + 7] = (file[offset + 7] ?? 0) ^ 1;
      return writeFile(path, file);
    },
  ],
  ["was cut off", (path, { offset, size }) => truncate(path, offset + size - 1)],
  ["is gone", (path) => truncate(path, 0)],
];

test.each(HARMS)("what is on record and %s is fetched", async (_, harm) => {
  const { bytes, right, fetched } = await withEarlier(harm, whole);
  expect(fetched).toHaveLength(1);
  expect(Buffer.compare(bytes, right)).toBe(0);
});

test("what it has in part is fetched", async () => {
  const { bytes, right, fetched } = await withEarlier(
    async () => {},
    (size) => size - 1,
  );
  expect(fetched).toHaveLength(1);
  expect(Buffer.compare(bytes, right)).toBe(0);
});
