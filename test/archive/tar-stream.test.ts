import { describe, expect, test } from "bun:test";
import { encodeHeader } from "../../src/archive/header.ts";
import { TarStream } from "../../src/archive/tar-stream.ts";
import { faultOf, textOf } from "../support/faults.ts";
import { inPieces } from "../support/memory.ts";

const text = (value: string) => new TextEncoder().encode(value);
const zeros = (length: number) => new Uint8Array(length);
const LONG = `blobs/sha512/${"a".repeat(128)}`;
const FILE = Buffer.concat([encodeHeader("a", 3), text("abc"), zeros(509)]);
const TAR = Buffer.concat([FILE, encodeHeader(LONG, 600), zeros(600).fill(7), zeros(424), zeros(1024)]);

function streamOf(bytes: Uint8Array, piece = 100): TarStream {
  return new TarStream("x", inPieces(bytes, piece));
}

async function readAll(tar: TarStream): Promise<string[]> {
  const found: string[] = [];
  for (let entry = await tar.next(); entry !== undefined; entry = await tar.next()) {
    const bytes = await tar.read();
    found.push(`${entry.name} ${entry.offset} ${bytes.length}`);
  }
  await tar.drain();
  return found;
}

test.each([1, 7, 511, 512, 513, 1000, 10_000])(
  "entries are found whatever the pieces (%i bytes)",
  async (piece) => {
    expect(await readAll(streamOf(TAR, piece))).toEqual(["a 0 3", `${LONG} 2048 600`]);
  },
);

test("what nobody reads is skipped, also what is left of it", async () => {
  const tar = streamOf(TAR, 64);
  await tar.next();
  await tar.next();
  for await (const piece of tar.chunks()) {
    expect(piece.length).toBeGreaterThan(0);
    break;
  }
  expect(await tar.next()).toBeUndefined();
  await tar.drain();
});

test("zeros after the end marker are padding, anything else is refused by its offset", async () => {
  await readAll(streamOf(Buffer.concat([TAR, zeros(10_240)])));
  const odd = Buffer.concat([TAR, zeros(300), text("x")]);
  const fault = await faultOf(() => readAll(streamOf(odd)));
  expect(fault.kind).toBe("mismatch");
  expect(textOf(fault)).toContain(`byte ${TAR.length + 300}`);
});

test("cut at any byte it fails as a mismatch, and says where", async () => {
  for (let length = 0; length < TAR.length; length++) {
    const fault = await faultOf(() => readAll(streamOf(TAR.subarray(0, length))));
    expect(fault.kind).toBe("mismatch");
    expect(textOf(fault)).toContain(`it ends at byte ${length}`);
  }
});

describe("a stream is refused that", () => {
  const pax = (records: string) => {
    const body = text(records);
    const header = Buffer.from(encodeHeader("pax", body.length));
    header[156] = "x".charCodeAt(0);
    return withChecksum(Buffer.concat([header, body, zeros(512 - body.length)]));
  };
  test.each<[string, Uint8Array]>([
    ["is no tar", text("not a tar at all ".repeat(100))],
    ["has half an end marker", Buffer.concat([zeros(512), FILE])],
    ["has an extended size that is no number", Buffer.concat([pax("13 size=0x10\n"), FILE])],
    ["has an extended size beyond counting", Buffer.concat([pax(`25 size=${"9".repeat(16)}\n`), FILE])],
  ])("%s", async (_, bytes) => {
    const fault = await faultOf(() => readAll(streamOf(bytes)));
    expect(fault.kind).toBe("mismatch");
    expect(fault.message).toContain("cannot read");
  });
});

test("a stream that breaks off says so to all who ask later", async () => {
  async function* breaking() {
    yield* inPieces(TAR.subarray(0, 700), 100);
    throw new Error("the line is dead");
  }
  const tar = new TarStream("x", breaking());
  await tar.next();
  for (let tries = 0; tries < 2; tries++) await expect(tar.next()).rejects.toThrow("the line is dead");
});

function withChecksum(block: Buffer): Buffer {
  block.fill(" ", 148, 156);
  const sum = block.subarray(0, 512).reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return block;
}
