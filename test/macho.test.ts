import { expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { signAdHoc } from "../scripts/macho.ts";
import { signatureOf } from "./support/macho.ts";

const LINK_EDIT = 0x8000;

function segment(name: string, { offset, size }: { offset: number; size: number }): Buffer {
  const command = Buffer.alloc(72);
  command.writeUInt32LE(0x19, 0);
  command.writeUInt32LE(command.length, 4);
  command.write(name, 8);
  command.writeBigUInt64LE(0x4000n, 32);
  command.writeBigUInt64LE(BigInt(offset), 40);
  command.writeBigUInt64LE(BigInt(size), 48);
  return command;
}

function signature(offset: number, size: number): Buffer {
  const command = Buffer.alloc(16);
  for (const [index, word] of [0x1d, 16, offset, size].entries()) command.writeUInt32LE(word, 4 * index);
  return command;
}

/** An executable with so many bytes before its signature, which is nothing but noise. */
function executable(codeLimit: number): Buffer {
  const commands = [
    segment("__TEXT", { offset: 0, size: 0x4000 }),
    segment("__LINKEDIT", { offset: LINK_EDIT, size: codeLimit + 100 - LINK_EDIT }),
    signature(codeLimit, 100),
  ];
  const file = randomBytes(codeLimit + 100);
  const header = Buffer.alloc(32);
  const size = Buffer.concat(commands).length;
  for (const [index, word] of [0xfeedfacf, 0x01000007, 3, 2, commands.length, size].entries())
    header.writeUInt32LE(word, 4 * index);
  Buffer.concat([header, ...commands]).copy(file);
  return file;
}

test.each([LINK_EDIT, LINK_EDIT + 1, LINK_EDIT + 4095, LINK_EDIT + 5000, LINK_EDIT + 0x40000])(
  "an executable of %i bytes is signed to its last page, and changed nowhere else",
  (codeLimit) => {
    const file = executable(codeLimit);
    const signed = Buffer.from(signAdHoc(file, "program"));
    const { ends, ...found } = signatureOf(signed);
    expect(found).toEqual({ identifier: "program", flags: 0x2_0002, codeLimit, wrong: [], start: codeLimit });
    expect(new Set(ends)).toEqual(new Set([signed.length]));
    expect(signed.subarray(248, codeLimit).equals(file.subarray(248, codeLimit))).toBe(true);
    // A segment takes whole pages in memory, this one all of the signature.
    const inMemory = signed.readBigUInt64LE(32 + 72 + 32);
    expect(inMemory % 0x4000n).toBe(0n);
    expect(Number(inMemory)).toBeGreaterThanOrEqual(signed.length - LINK_EDIT);
    expect(Buffer.from(signAdHoc(signed, "program")).equals(signed)).toBe(true);
  },
);

test("what was changed after it was signed shows", () => {
  const signed = Buffer.from(signAdHoc(executable(LINK_EDIT + 5000), "program"));
  signed[0x1234] = (signed[0x1234] ?? 0) ^ 1;
  expect(signatureOf(signed).wrong).toEqual([1]);
});

test("what is no such executable is not signed", () => {
  expect(() => signAdHoc(Buffer.alloc(100), "program")).toThrow("it is no 64-bit Mach-O file");
  const bare = executable(LINK_EDIT);
  bare.writeUInt32LE(0x26, 32 + 72 + 72);
  expect(() => signAdHoc(bare, "program")).toThrow("it has no room for a signature");
});
