import { describe, expect, test } from "bun:test";
import { truncate } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { packTar, unpackTar } from "modern-tar";
import {
  BLOCK,
  decodeHeader,
  decodePax,
  END_MARKER_BYTES,
  encodeHeader,
  padded,
} from "../../src/archive/header.ts";
import { TarFile } from "../../src/archive/reader.ts";
import { faultOf } from "../support/faults.ts";
import { testWith } from "../support/needs.ts";
import { describeTar } from "../support/tar.ts";
import { inFolder } from "./archives.ts";

const GIB = 1024 ** 3;
const END = new Uint8Array(END_MARKER_BYTES);
const A = "a".repeat(100);

/** One name and size through our writer and our reader. */
function readBack(name: string, size: number): { name: string; size: number; type: string } {
  const bytes = encodeHeader(name, size);
  expect(bytes.length % BLOCK).toBe(0);
  const first = decodeHeader(bytes.subarray(0, BLOCK), 0);
  if (first === undefined) throw new Error("no header");
  if (first.type !== "x") return first;
  const records = decodePax(bytes.subarray(BLOCK, BLOCK + first.size), 0);
  const last = decodeHeader(bytes.subarray(bytes.length - BLOCK), 0);
  return {
    name: records.get("path") ?? last?.name ?? "",
    size: Number(records.get("size") ?? last?.size),
    type: last?.type ?? "",
  };
}

test("a header is one block, with an extended header of two more only where it must be", () => {
  expect(encodeHeader("a", 0)).toHaveLength(BLOCK);
  expect(encodeHeader(A, 8 * GIB - 1)).toHaveLength(BLOCK);
  expect(encodeHeader(`${A}a`, 0)).toHaveLength(3 * BLOCK);
  expect(encodeHeader("a", 8 * GIB)).toHaveLength(3 * BLOCK);
});

test("a header says exactly what the format's fields say, and nothing of this machine", () => {
  const block = Buffer.from(encodeHeader("blobs/sha256/ab", 0o1234567));
  const field = (at: number, length: number) => block.toString("latin1", at, at + length);
  expect(field(0, 100)).toBe("blobs/sha256/ab".padEnd(100, "\0"));
  expect(field(100, 24)).toBe("0000644\x000000000\x000000000\0");
  expect(field(124, 24)).toBe("00001234567\x0000000000000\0");
  expect(field(156, 1)).toBe("0");
  expect(field(157, 100)).toBe("\0".repeat(100));
  expect(field(257, 8)).toBe("ustar\x0000");
  expect(field(265, 64)).toBe("\0".repeat(64));
  expect(field(345, 167)).toBe("\0".repeat(167));
});

test.each<[number, string]>([
  [8 * GIB, "19 size=8589934592\n"],
  [999_999_999_999, "21 size=999999999999\n"],
])("a size of %p is said in a record that counts itself: %j", (size, record) => {
  const bytes = Buffer.from(encodeHeader("a", size));
  expect(bytes.toString("latin1", BLOCK, 2 * BLOCK)).toBe(record.padEnd(BLOCK, "\0"));
});

test("what is written reads back, for any name and size", () => {
  const name = fc.oneof(
    fc.stringMatching(/^[a-z0-9/._-]{1,99}[a-z]$/),
    fc.stringMatching(/^[a-z0-9/._-]{95,105}$/),
    fc.string({ minLength: 1, maxLength: 300, unit: "grapheme" }).filter((text) => !text.includes("\0")),
  );
  const size = fc.oneof(fc.nat(), fc.integer({ min: 8 * GIB - 2, max: 8 * GIB + 2 }), fc.maxSafeNat());
  fc.assert(
    fc.property(name, size, (path, bytes) => {
      expect(readBack(path, bytes)).toEqual({ name: path, size: bytes, type: "0" });
    }),
  );
});

describe("another implementation reads the same", () => {
  test.each([
    ["a short name", "index.json"],
    ["100 bytes of name", A],
    ["101 bytes of name", `${A}b`],
    ["a record whose length grows by a digit", "n".repeat(990)],
    ["a sha512", `blobs/sha512/${"ab".repeat(64)}`],
    ["a name that is no ASCII", "ü".repeat(60)],
  ])("%s", async (_, name) => {
    const body = new TextEncoder().encode("content");
    const tar = Buffer.concat([
      encodeHeader(name, body.length),
      body,
      new Uint8Array(BLOCK - body.length),
      END,
    ]);
    const [entry, ...others] = await unpackTar(tar);
    expect(others).toEqual([]);
    expect(entry?.header).toMatchObject({ name, size: 7, mode: 0o644, uid: 0, gid: 0, type: "file" });
    expect(entry?.header.mtime).toEqual(new Date(0));
    expect(Buffer.from(entry?.data ?? []).toString()).toBe("content");
  });

  test("any name, between two others", async () => {
    const name = fc.stringMatching(/^[a-z0-9]{1,250}$/);
    await fc.assert(
      fc.asyncProperty(fc.array(name, { maxLength: 4 }), async (names) => {
        const tar = Buffer.concat([...names.map((each) => encodeHeader(each, 0)), END]);
        expect((await unpackTar(tar)).map(({ header }) => header.name)).toEqual(names);
      }),
      { numRuns: 40 },
    );
  });

  testWith("tar")("files from 8 GiB − 1 to 9 TiB, by GNU tar", async () => {
    await inFolder(async (folder) => {
      const archive = join(folder, "a.tar");
      for (const size of [8 * GIB - 1, 8 * GIB, 9 * 1024 * GIB]) {
        const header = encodeHeader("blobs/large", size);
        await Bun.write(archive, header);
        // Nothing but zeros, which take no room on the disk.
        await truncate(archive, header.length + padded(size) + END_MARKER_BYTES);
        expect(await describeTar(archive)).toEqual(
          [
            `-rw-r--r-- 0/0 ${String(size).padStart(15)} 1970-01-01 00:00:00 blobs/large`.replace(/ +/g, " "),
          ].map((line) => expect.stringMatching(new RegExp(`^${line.replace(/ /g, " +")}$`))),
        );
        const tar = new TarFile(archive);
        expect([...tar.entries()]).toEqual([["blobs/large", { offset: header.length, size }]]);
        tar.close();
      }
    });
  });
});

describe("a foreign header is read", () => {
  test("with the name in two parts", async () => {
    const name = `${"d".repeat(80)}/${"f".repeat(90)}`;
    const tar = await packTar([{ header: { name, size: 0 } }]);
    const block = decodeHeader(tar.subarray(0, BLOCK), 0);
    if (block?.type === "0") expect(block.name).toBe(name);
    else expect(block?.type).toBe("x");
  });

  test("of zeros as the end", () => {
    expect(decodeHeader(new Uint8Array(BLOCK), 0)).toBeUndefined();
  });

  test("unless one bit of it is not as it was written", () => {
    const good = encodeHeader("blobs/sha256/ab", 12345);
    for (let bit = 0; bit < 8 * BLOCK; bit++) {
      const at = Math.floor(bit / 8);
      const block = good.map((byte, index) => (index === at ? byte ^ (1 << (bit % 8)) : byte));
      let read: unknown;
      try {
        read = decodeHeader(block, 1024);
      } catch (error) {
        expect(error).toMatchObject({ name: "Fault", kind: "mismatch" });
        expect(String(error)).toContain("tar header at byte 1024");
        continue;
      }
      // Only the checksum's own field can change and still say the same number.
      expect(at).toBeGreaterThanOrEqual(148);
      expect(at).toBeLessThan(156);
      expect(read).toEqual({ name: "blobs/sha256/ab", size: 12345, type: "0" });
    }
  });

  test("a size that is not octal is refused, though the checksum is right", async () => {
    const block = encodeHeader("a", 0);
    block[130] = 0x39;
    block.fill(0x20, 148, 156);
    const sum = block.reduce((total, byte) => total + byte, 0);
    block.set(new TextEncoder().encode(`${sum.toString(8).padStart(6, "0")}\0 `), 148);
    expect((await faultOf(() => decodeHeader(block, 0))).message).toContain("its size is not a number");
  });

  test("any garbage is a fault or the end", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: BLOCK, maxLength: BLOCK }), (block) => {
        try {
          expect(decodeHeader(block, 0)).toBeUndefined();
        } catch (error) {
          expect(error).toMatchObject({ name: "Fault", kind: "mismatch" });
        }
      }),
    );
  });
});

describe("extended records", () => {
  const decode = (text: string) => decodePax(new TextEncoder().encode(text), 512);

  test("are keys and values, which may hold anything", () => {
    expect([...decode("12 path=a=b\n11 key= x\n\n")]).toEqual([
      ["path", "a=b"],
      ["key", " x\n"],
    ]);
    expect([...decode("")]).toEqual([]);
  });

  test.each([
    ["cut short", "12 path=a=\n"],
    ["without a length", "path=a\n"],
    ["with a length of nothing", "0 path=a\n"],
    ["with a negative length", "-9 path=a\n"],
    ["with a length that is no number", "NaN path=a\n"],
    ["with a length beyond the end", "99999999999999 path=a\n"],
    ["that do not end with a line feed", "9 path=ab"],
    ["without a space", "123456789"],
    ["that are zeros", "\0\0\0\0\0\0"],
  ])("%s are refused", async (_, text) => {
    const fault = await faultOf(() => decode(text));
    expect(fault.kind).toBe("mismatch");
    expect(fault.message).toContain("byte 512: its extended records do not add up");
  });

  test("of any bytes come to an end", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array({ maxLength: 2000 }),
          fc.string().map((s) => Buffer.from(s)),
        ),
        (body) => {
          try {
            decodePax(body, 0);
          } catch (error) {
            expect(error).toMatchObject({ name: "Fault", kind: "mismatch" });
          }
        },
      ),
    );
  });
});
