import { describe, expect, test } from "bun:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { detect, unpacked } from "../../src/archive/compression.ts";
import type { ByteStream } from "../../src/oci/plan.ts";
import { pseudoRandomBytes } from "../support/content.ts";
import { faultOf } from "../support/faults.ts";
import { inPieces } from "../support/memory.ts";

const BYTES = pseudoRandomBytes(300_000, "packed");
const PACKERS = [
  ["gzip", gzipSync],
  ["zstd", zstdCompressSync],
] as const;

async function unpack(packed: Uint8Array, piece = 1000): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(await whole(inPieces(packed, piece))));
}

async function whole(packed: ByteStream): Promise<ByteStream> {
  const { compression, stream } = await detect(packed);
  return unpacked(stream, { name: "x", compression });
}

describe.each(PACKERS)("%s", (name, pack) => {
  test.each([1000, 64 * 1024, 1_000_000])("is undone whatever the pieces (%i bytes)", async (piece) => {
    expect(Buffer.compare(await unpack(pack(BYTES), piece), BYTES)).toBe(0);
  });

  test("of several parts, as pigz and pzstd make them, is one stream", async () => {
    const parts = [
      pack(BYTES.subarray(0, 1000)),
      pack(BYTES.subarray(1000, 1001)),
      pack(BYTES.subarray(1001)),
    ];
    expect(Buffer.compare(await unpack(Buffer.concat(parts)), BYTES)).toBe(0);
  });

  test("that is damaged is a mismatch, and says so", async () => {
    const packed = Uint8Array.from(pack(BYTES));
    packed.fill(0xff, 4, 30);
    const fault = await faultOf(() => unpack(packed));
    expect(fault.kind).toBe("mismatch");
    expect(fault.message).toContain(`cannot unpack x: its ${name} is damaged`);
  });

  test("is unpacked as it is asked for, however much would come out", async () => {
    const bomb = pack(new Uint8Array(64 * 1024 * 1024));
    let taken = 0;
    async function* packed() {
      for (let part = 0; part < 1000; part++) {
        taken++;
        yield bomb;
      }
    }
    for await (const piece of await whole(packed())) {
      expect(piece.length).toBeLessThanOrEqual(1024 * 1024);
      break;
    }
    expect(taken * bomb.length).toBeLessThan(2 * 1024 * 1024);
  });

  test("of a stream that fails fails as that does", async () => {
    async function* breaking() {
      yield pack(BYTES).subarray(0, 5000);
      throw new Error("the disk is dead");
    }
    await expect(Array.fromAsync(await whole(breaking()))).rejects.toThrow("the disk is dead");
  });
});

test("gzip with something else behind it is a mismatch", async () => {
  const packed = Buffer.concat([gzipSync(BYTES), Buffer.from("something else")]);
  expect((await faultOf(() => unpack(packed))).kind).toBe("mismatch");
});

test("gzip that is cut short is a mismatch", async () => {
  for (const length of [3, 11, 5000]) {
    const fault = await faultOf(() => unpack(gzipSync(BYTES).subarray(0, length)));
    expect(fault.kind).toBe("mismatch");
  }
});

test.each([[""], ["a"], ["abc"], ["not compressed at all"]])("%j stays as it is", async (text) => {
  expect((await unpack(new TextEncoder().encode(text), 1)).toString()).toBe(text);
});

test("bytes after the end of a gzip are told as that", async () => {
  const packed = Buffer.concat([gzipSync(BYTES), Buffer.from("and something else")]);
  const fault = await faultOf(() => unpack(packed));
  expect(fault.kind).toBe("mismatch");
  expect(fault.message).toBe("cannot unpack x: there are bytes after the end of its gzip");
});
