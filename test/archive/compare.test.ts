import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { matchesLayout } from "../../src/archive/compare.ts";
import type { Entry } from "../../src/archive/layout.ts";
import { MemorySource } from "../support/memory.ts";
import { someContents, type Written, writeArchive } from "./archives.ts";

let folder: string;
let path: string;
let written: Written;
let good: Buffer;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eksa-airgap-compare-"));
  path = join(folder, "a.tar");
  written = await writeArchive(path, someContents());
  good = await readFile(path);
});

afterAll(() => rm(folder, { recursive: true }));

async function matches(bytes: Uint8Array): Promise<boolean> {
  await Bun.write(path, bytes);
  return matchesLayout(path, written.layout, new AbortController().signal);
}

function flipped(at: number): Uint8Array {
  const bytes = Buffer.from(good);
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  return bytes;
}

/** The entry of a blob that nothing but its digest tells. */
function blob(): Entry {
  const entry = written.layout.entries.find(
    ({ bytes, size }) => bytes === undefined && size % 512 !== 0 && size > 0,
  );
  if (entry === undefined) throw new Error("no blob");
  return entry;
}

function file(name: string): Entry {
  const entry = written.layout.entries.find((each) => each.name === name);
  if (entry === undefined) throw new Error(`no ${name}`);
  return entry;
}

test("the archive that was written is the one that the layout describes", async () => {
  expect(await matches(good)).toBe(true);
});

describe("one flipped bit is seen in", () => {
  test.each<[string, () => number]>([
    ["a header", () => blob().headerOffset],
    ["a header's unused bytes", () => blob().headerOffset + 511],
    ["a blob's first byte", () => blob().offset],
    ["a blob's last byte", () => blob().offset + blob().size - 1],
    ["the padding after a blob", () => blob().offset + blob().size],
    ["the layout file", () => file("oci-layout").offset + 2],
    ["the index", () => file("index.json").offset + 20],
    ["docker's table", () => file("manifest.json").offset + 20],
    ["a manifest", () => (written.layout.entries[3]?.offset ?? 0) + 5],
    ["the end marker's first byte", () => written.layout.size - 1024],
    ["the end marker's last byte", () => written.layout.size - 1],
  ])("%s", async (_, at) => {
    expect(await matches(flipped(at()))).toBe(false);
  });

  test("every single place", async () => {
    for (let at = 0; at < good.length; at += 37) expect(await matches(flipped(at))).toBe(false);
  });
});

test("a byte more or fewer is seen", async () => {
  expect(await matches(Buffer.concat([good, new Uint8Array(1)]))).toBe(false);
  expect(await matches(good.subarray(0, -1))).toBe(false);
  expect(await matches(new Uint8Array())).toBe(false);
});

test("what cannot be read as a tar is another", async () => {
  expect(await matches(Bun.gzipSync(Uint8Array.from(good)))).toBe(false);
  const first = join(folder, "volumes.tar.000");
  await Bun.write(first, good);
  await Bun.write(join(folder, "volumes.tar.002"), good);
  expect(await matchesLayout(first, written.layout, new AbortController().signal)).toBe(false);
});

test("an archive of other content is another", async () => {
  const contents = Object.fromEntries(Object.entries(someContents()).slice(0, 2));
  const other = join(folder, "b.tar");
  await writeArchive(other, contents, new MemorySource(contents));
  expect(await matchesLayout(other, written.layout, new AbortController().signal)).toBe(false);
});
