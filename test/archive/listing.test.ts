import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Extent } from "../../src/archive/files.ts";
import { BLOCK, encodeHeader } from "../../src/archive/header.ts";
import { TarFile } from "../../src/archive/reader.ts";
import type { Fault } from "../../src/oci/fault.ts";
import { faultOf } from "../support/faults.ts";
import { base256, blocks, END, extension, file, forged, header, record, seedArchives } from "./tars.ts";

let folder: string;
let path: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eksa-airgap-listing-"));
  path = join(folder, "a.tar");
});

afterAll(() => rm(folder, { recursive: true }));

function list(): Map<string, Extent> {
  const tar = new TarFile(path);
  try {
    return tar.entries();
  } finally {
    tar.close();
  }
}

async function listed(...parts: Uint8Array[]): Promise<Map<string, Extent>> {
  await Bun.write(path, Buffer.concat(parts));
  return list();
}

async function contentsOf(archive: Uint8Array): Promise<Record<string, string>> {
  await Bun.write(path, archive);
  const tar = new TarFile(path);
  const entries = [...tar.entries()].map(([name, { offset, size }]) => {
    return [name, Buffer.from(tar.read(offset, size)).toString()];
  });
  tar.close();
  return Object.fromEntries(entries);
}

async function refusalOf(...parts: Uint8Array[]): Promise<Fault> {
  const fault = await faultOf(() => listed(...parts));
  expect(fault.kind).toBe("mismatch");
  return fault;
}

const LONG = `blobs/sha512/${"ab".repeat(64)}`;

describe("what other writers write is read", () => {
  const seeds = seedArchives();

  test.each<[string, keyof typeof seeds, Record<string, string>]>([
    ["nothing at all", "empty", {}],
    ["folders, and names that start with `./`", "folders", { "blobs/a": "x" }],
    ["PAX records", "pax", { [LONG]: "abc" }],
    ["GNU's long names and links, and its padding", "gnu", { [LONG]: "abc", hard: "abc" }],
    ["names in two parts", "prefix", { "blobs/sha256/b": "c" }],
    [
      "links to files that come later, and to links",
      "links",
      { "store/a": "content", "blobs/sha256/a": "content", "blobs/sha256/b": "content", hard: "content" },
    ],
    ["sizes in base 256", "base256", { a: "abc" }],
  ])("%s", async (_, name, contents) => {
    expect(await contentsOf(seeds[name] ?? END)).toEqual(contents);
  });

  test("a folder that comes twice, or is marked by a slash alone", async () => {
    const folders = [header("blobs/", "5"), header("./blobs", "5"), encodeHeader("old/", 0)];
    expect(await contentsOf(Buffer.concat([...folders, file("blobs/a", "x"), END]))).toEqual({
      "blobs/a": "x",
    });
  });

  test("GNU's header, which has times where ustar has half the name", async () => {
    const gnu = forged(forged(encodeHeader("a", 0), 257, "ustar  \0"), 345, "14700000000");
    expect([...(await listed(gnu, END)).keys()]).toEqual(["a"]);
  });

  test("the order of the archive is kept", async () => {
    expect([...(await listed(file("c"), file("a"), file("b"), END)).keys()]).toEqual(["c", "a", "b"]);
  });

  test("one link after the other, but not for ever", async () => {
    const chain = (length: number) =>
      Array.from({ length }, (_, index) => header(`l${index}`, "2", index === 0 ? "a" : `l${index - 1}`));
    expect((await listed(file("a", "x"), ...chain(8), END)).get("l7")?.size).toBe(1);
    const fault = await refusalOf(file("a", "x"), ...chain(9), END);
    expect(fault.message).toContain(`at byte ${2 * BLOCK + 8 * BLOCK}: \`l8\` is a link to links`);
  });
});

describe("refused is, with its byte,", () => {
  const before = file("first", "x");
  const at = before.length;

  test.each(["../a", "a/../../b", "a/../b", "..", "/a", "/", "./../a", "a/.."])(
    "the name %s",
    async (name) => {
      const fault = await refusalOf(before, file(name), END);
      expect(fault.message).toContain(`at byte ${at}: \`${name}\` is no path inside the archive`);
    },
  );

  test.each([
    ["in a PAX record", extension("x", record("path", "../a"))],
    ["in GNU's long name", extension("L", "../a\0")],
  ])("a name that climbs out %s", async (_, announced) => {
    expect((await refusalOf(announced, file("a"), END)).message).toContain("`../a` is no path");
  });

  test.each<[string, Uint8Array]>([
    ["the same", file("first")],
    ["in another form", file(".//first")],
    ["a link", header("first", "2", "x")],
    ["a folder", header("first/", "5")],
  ])("a name that is there already: %s", async (_, entry) => {
    const fault = await refusalOf(before, entry, END);
    expect(fault.message).toContain(`at byte ${at}: \`first\` is there twice`);
  });

  test("a file in a folder's place", async () => {
    const fault = await refusalOf(header("a/", "5"), file("a"), END);
    expect(fault.message).toContain("at byte 512: `a` is there twice");
  });

  test.each([
    ["to outside", "a/b", "2", "../../etc/passwd", "outside the archive"],
    ["to outside and back in", "a/b", "2", "../../x/first", "outside the archive"],
    ["to an absolute path", "a", "2", "/first", "outside the archive"],
    ["that is hard, to outside", "a", "1", "../first", "outside the archive"],
    ["that is hard, to an absolute path", "a", "1", "/first", "outside the archive"],
    ["to nothing", "a", "2", "second", "no file in the archive"],
    ["to a folder", "a", "2", ".", "no file in the archive"],
    ["to an empty path", "a", "2", "", "no file in the archive"],
    ["to itself", "a", "2", "a", "links without an end"],
    ["that is hard, to itself", "a", "1", "a", "links without an end"],
  ])("a link %s", async (_, name, type, target, says) => {
    const fault = await refusalOf(before, header(name, type, target), END);
    expect(fault.message).toContain(`at byte ${at}: `);
    expect(fault.message).toContain(says);
  });

  test("links in a circle", async () => {
    const fault = await refusalOf(header("a", "2", "b"), header("b", "2", "a"), END);
    expect(fault.message).toContain("at byte 0: `a` is a link to links without an end");
  });

  test.each([
    ["a link", forged(forged(encodeHeader("a", 600), 156, "2"), 157, "first")],
    ["a folder", forged(encodeHeader("a", 600), 156, "5")],
  ])("%s with content", async (_, entry) => {
    const fault = await refusalOf(before, entry, blocks("x".repeat(600)), END);
    expect(fault.message).toContain(`at byte ${at}: \`a\` is no file and is said to have content`);
  });

  test.each([
    ["GNU.sparse.major", "1"],
    ["GNU.sparse.size", "1000"],
    ["GNU.sparse.map", "0,1"],
  ])("a sparse file, announced by %s", async (key, value) => {
    const fault = await refusalOf(before, extension("x", record(key, value)), file("a"), END);
    expect(fault.message).toContain(`at byte ${at}: it announces a sparse file`);
  });

  test.each(["path", "linkpath", "size"])("a global record of a %s", async (key) => {
    const fault = await refusalOf(before, extension("g", record(key, "1")), file("a"), END);
    expect(fault.message).toContain(`at byte ${at}: it gives every entry the same \`${key}\``);
  });

  test.each<[string, Uint8Array[]]>([
    ["two long names", [extension("L", "a\0"), extension("L", "b\0")]],
    ["a long name and a record", [extension("L", "a\0"), extension("x", record("path", "b"))]],
    ["two records", [extension("x", record("path", "a")), extension("x", record("path", "b"))]],
  ])("a name that is said twice: %s", async (_, announced) => {
    expect((await refusalOf(...announced, file("c"), END)).message).toContain("is said twice");
  });

  test("a long name of nothing", async () => {
    const fault = await refusalOf(extension("L", "\0"), file("a"), END);
    expect(fault.message).toContain("at byte 1024: its name is empty");
  });

  test("an announcement without an entry", async () => {
    const fault = await refusalOf(extension("L", "a\0"), END);
    expect(fault.message).toContain("at byte 1024: the archive ends where an entry is announced");
  });

  test.each([
    ["2^60", 2n ** 60n],
    ["2^53", 2n ** 53n],
    ["−1", -1n],
    ["the most that fits", 2n ** 95n - 1n],
  ])("a size of %s in base 256", async (_, size) => {
    const fault = await refusalOf(before, forged(encodeHeader("a", 0), 124, base256(size)), END);
    expect(fault.message).toContain(`at byte ${at}: its size is not a number of bytes`);
  });

  test.each(["-0000000001", "0000000008", "1e3", "0x10", "12 34"])("a size of %j", async (size) => {
    const field = size.padEnd(12, "\0");
    const fault = await refusalOf(before, forged(encodeHeader("a", 0), 124, field), END);
    expect(fault.message).toContain(`at byte ${at}: its size is not a number of bytes`);
  });

  test("one block of zeros between entries", async () => {
    const fault = await refusalOf(before, new Uint8Array(BLOCK), file("a"), END);
    expect(String(fault.cause)).toContain(`half an end marker is at byte ${at}`);
  });
});

/** Headers of empty files `e0000000`, `e0000001`, …; quick to make. */
function manyHeaders(count: number): Uint8Array {
  const all = Buffer.alloc(count * BLOCK);
  const first = encodeHeader("e0000000", 0);
  const digits = (index: number) => String(index).padStart(7, "0");
  const sumOf = (text: string) => [...text].reduce((sum, char) => sum + char.charCodeAt(0), 0);
  const rest =
    first.reduce((total, byte) => total + byte, 0) -
    sumOf(Buffer.from(first.subarray(148, 156)).toString("latin1"));
  for (let index = 0; index < count; index++) {
    const block = all.subarray(index * BLOCK, (index + 1) * BLOCK);
    block.set(first);
    block.write(digits(index), 1, "latin1");
    const sum = rest + 8 * 0x20 + sumOf(digits(index)) - sumOf(digits(0));
    block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  }
  return all;
}

test("a hundred thousand entries are listed with a few reads", async () => {
  const found = await listed(manyHeaders(100_000), END);
  expect(found.size).toBe(100_000);
  expect(found.get("e0099999")).toEqual({ offset: 100_000 * BLOCK, size: 0 });
}, 10_000);

test("a million of tiny entries are refused", async () => {
  await Bun.write(path, manyHeaders(500_001));
  await truncate(path, 1_000_000 * BLOCK);
  const fault = await faultOf(list);
  expect(fault.kind).toBe("mismatch");
  expect(fault.message).toContain(`at byte ${500_000 * BLOCK}: there are more than 500000 headers`);
}, 30_000);

test("names of many bytes are refused before they fill the memory", async () => {
  const name = (index: number) => `${String(index).padStart(8, "0")}${"/n".repeat(2000)}`;
  const entry = (index: number) => Buffer.concat([extension("L", `${name(index)}\0`), encodeHeader("a", 0)]);
  await Bun.write(path, Buffer.concat(Array.from({ length: 17_000 }, (_, index) => entry(index))));
  expect((await faultOf(list)).message).toContain("the names in the archive have more than");
}, 30_000);
