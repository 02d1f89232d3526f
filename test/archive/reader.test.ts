import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, readFile, rm, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { packTar, type TarEntry } from "modern-tar";
import { BLOCK, encodeHeader } from "../../src/archive/header.ts";
import { TarFile } from "../../src/archive/reader.ts";
import type { Fault } from "../../src/oci/fault.ts";
import { faultOf, textOf } from "../support/faults.ts";
import { testWith } from "../support/needs.ts";
import { someContents, type Written, writeArchive } from "./archives.ts";
import { END, extension, file, forged, record } from "./tars.ts";

let folder: string;
let path: string;
let written: Written;
let good: Buffer;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eksa-airgap-reader-"));
  path = join(folder, "a.tar");
  written = await writeArchive(path, someContents());
  good = await readFile(path);
});

afterAll(() => rm(folder, { recursive: true }));

async function entriesOf(...parts: Uint8Array[]): Promise<Map<string, { offset: number; size: number }>> {
  await Bun.write(path, Buffer.concat(parts));
  const tar = new TarFile(path);
  try {
    return tar.entries();
  } finally {
    tar.close();
  }
}

async function mismatchOf(...parts: Uint8Array[]): Promise<Fault> {
  const fault = await faultOf(() => entriesOf(...parts));
  expect(fault.kind).toBe("mismatch");
  return fault;
}

test("every entry is found where the layout put it", async () => {
  const found = await entriesOf(good);
  expect([...found]).toEqual(
    written.layout.entries.map(({ name, offset, size }) => [name, { offset, size }]),
  );
});

test("an archive that is cut short anywhere is refused as such", async () => {
  const cuts = written.layout.entries.flatMap(({ headerOffset, offset, size }) => {
    return [headerOffset, headerOffset + 1, offset, offset + size, offset + size + 1, offset + size - 1];
  });
  const { size } = written.layout;
  for (const cut of new Set([...cuts, size - 1, size - 511, size - 512, size - 513, size - 1024])) {
    if (cut >= size) continue;
    const fault = await mismatchOf(good.subarray(0, cut));
    expect(fault.message).toContain("it is cut short");
    expect(textOf(fault)).toContain(`the file has ${cut} bytes`);
  }
});

test("a flipped bit in any header is refused, with its place", async () => {
  for (const { headerOffset, name } of written.layout.entries) {
    const bytes = Buffer.from(good);
    bytes[headerOffset + 3] = (bytes[headerOffset + 3] ?? 0) ^ 4;
    const fault = await mismatchOf(bytes);
    expect(fault.message).toContain(`tar header at byte ${headerOffset}`);
    expect(fault.hint).toMatch(/^copy \/\S+\.tar again/);
    expect(name).not.toBe("");
  }
});

describe("refused by name is", () => {
  test("a file that is there twice", async () => {
    const fault = await mismatchOf(encodeHeader("a", 0), encodeHeader("b", 0), encodeHeader("a", 0), END);
    expect(fault.message).toContain("at byte 1024: `a` is there twice");
  });

  test.each<[string, NonNullable<TarEntry["header"]["type"]>, string]>([
    ["a device", "character-device", "3"],
    ["a pipe", "fifo", "6"],
  ])("%s", async (_, type, flag) => {
    const header = { name: "blobs", type, linkname: "/etc/passwd", size: 0 };
    const fault = await mismatchOf(await packTar([{ header }]));
    expect(fault.message).toContain(`\`blobs\` is of type \`${flag}\`, not a file`);
  });

  test.each(["S", "D", "M", "V", "X", "7"])("an entry of GNU's or an unknown type %s", async (type) => {
    expect((await mismatchOf(forged(encodeHeader("a", 0), 156, type), END)).message).toContain(`\`${type}\``);
  });
});

test("a directory is passed over", async () => {
  const tar = await packTar([
    { header: { name: "blobs/", type: "directory", size: 0 } },
    { header: { name: "blobs/a", size: 1 }, body: "x" },
  ]);
  expect([...(await entriesOf(tar))]).toEqual([["blobs/a", { offset: 1024, size: 1 }]]);
});

describe("a size beyond the file is refused without being believed", () => {
  test("in the header", async () => {
    const fault = await mismatchOf(encodeHeader("a", 8 * 1024 ** 3 - 1), END);
    expect(textOf(fault)).toContain(`\`a\` at byte 0 should end at byte ${8 * 1024 ** 3 - 1 + BLOCK}`);
  });

  test("in the extended header", async () => {
    expect((await mismatchOf(encodeHeader("a", 2 ** 53 - 1), END)).message).toContain("it is cut short");
  });

  test.each([
    ["2^60", `${2n ** 60n}`],
    ["more than can be counted exactly", `${2n ** 53n}`],
    ["a negative one", "-1"],
    ["a fraction", "1.5"],
    ["a power", "1e3"],
    ["hexadecimal", "0x10"],
    ["nothing", ""],
    ["a thousand digits", "9".repeat(1000)],
  ])("%s", async (_, size) => {
    const fault = await mismatchOf(extension("x", record("size", size)), file("a"), END);
    expect(fault.message).toContain("its extended size is not a number of bytes");
  });
});

test("extended records of more than 64 KiB are refused unread", async () => {
  await Bun.write(path, forged(encodeHeader("x", 64 * 1024 + 1), 156, "x"));
  await truncate(path, 100 * 1024);
  const tar = new TarFile(path);
  expect((await faultOf(() => tar.entries())).message).toContain("65537 bytes of extended records");
  tar.close();
});

test("a global extended header is passed over", async () => {
  const comment = extension("g", record("comment", "made by hand"));
  expect([...(await entriesOf(comment, file("a"), END)).keys()]).toEqual(["a"]);
});

test("one end marker is enough of them, what follows it is not looked at", async () => {
  expect([...(await entriesOf(encodeHeader("a", 0), END, encodeHeader("a", 0))).keys()]).toEqual(["a"]);
  expect((await mismatchOf(encodeHeader("a", 0), new Uint8Array(BLOCK))).message).toContain("cut short");
});

test("any garbage is refused as a mismatch", async () => {
  const garbage = fc.oneof(
    fc.uint8Array({ maxLength: 3000 }),
    fc.tuple(fc.nat(good.length), fc.uint8Array({ minLength: 1, maxLength: 600 })).map(([at, bytes]) => {
      const damaged = Buffer.from(good);
      damaged.set(bytes.subarray(0, Math.max(good.length - at, 0)), Math.min(at, good.length));
      return damaged;
    }),
  );
  await fc.assert(
    fc.asyncProperty(garbage, async (bytes) => {
      try {
        expect((await entriesOf(bytes)).size).toBeLessThanOrEqual(written.layout.entries.length);
      } catch (error) {
        expect(error).toMatchObject({ name: "Fault", kind: "mismatch" });
      }
    }),
    { numRuns: 200 },
  );
});

test("an empty file is cut short, and no archive of nothing", async () => {
  expect((await mismatchOf()).message).toContain("cut short");
  expect([...(await entriesOf(END))]).toEqual([]);
});

test("a file that is missing, or a folder, is named", async () => {
  expect((await faultOf(() => new TarFile(join(folder, "no.tar")))).message).toContain("no.tar");
  expect(textOf(await faultOf(() => new TarFile(folder)))).toContain("not a file");
});

test("content is read in pieces, by slice or in one, always the same bytes", async () => {
  const content = Buffer.alloc(600_000, "content");
  const size = content.length;
  await Bun.write(
    path,
    Buffer.concat([encodeHeader("a", size), content, new Uint8Array(512 - (size % 512)), END]),
  );
  const tar = new TarFile(path);
  const extent = { offset: BLOCK, size };
  const pieces = await Array.fromAsync(tar.chunks(extent));
  expect(pieces.length).toBeGreaterThan(1);
  expect(Buffer.compare(Buffer.concat(pieces), content)).toBe(0);
  expect(Buffer.compare((await tar.slice(extent)?.bytes()) ?? new Uint8Array(), content)).toBe(0);
  expect(Buffer.compare(tar.read(BLOCK, size), content)).toBe(0);
  expect((await faultOf(() => tar.read(tar.size - 1, 2))).kind).toBe("mismatch");
  tar.close();
});

testWith("tar")("an archive that GNU tar made is read", async () => {
  const from = join(folder, "files");
  // ustar splits a name at a slash, into 155 bytes and 100.
  const names = {
    ustar: `blobs/${"d".repeat(120)}/${"f".repeat(90)}`,
    pax: `blobs/sha512/${"ab".repeat(64)}`,
  };
  await Bun.write(join(from, "index.json"), "{}");
  for (const [format, long] of Object.entries(names)) {
    await Bun.write(join(from, long), "x");
    await Bun.$`tar --format=${format} -C ${from} -cf ${path} index.json ${long}`.quiet();
    const tar = new TarFile(path);
    expect([...tar.entries().keys()].sort()).toEqual([long, "index.json"]);
    tar.close();
  }
});
