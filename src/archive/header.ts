import { Fault } from "../oci/fault.ts";

/** Everything in a tar comes in blocks of this many bytes. */
export const BLOCK = 512;

/** Two blocks of zeros end a tar. */
export const END_MARKER_BYTES = 2 * BLOCK;

/** The largest size that eleven octal digits hold is one byte less. */
const LARGEST_USTAR_SIZE = 8 * 1024 ** 3;
const LONGEST_USTAR_NAME = 100;
/** The name that extended headers go by everywhere; no reader unpacks it. */
const PAX_NAME = "././@PaxHeader";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/**
 * The header of a regular file with constant metadata (mode 0644, mtime 0, owner 0, no names), as whole
 * blocks. A size of 8 GiB or more, or a name over 100 bytes, is said in a PAX record before it.
 * Spec: POSIX.1-2017 pax, "ustar Interchange Format" and "pax Header Block".
 */
export function encodeHeader(name: string, size: number): Uint8Array {
  return extended(name, size, "0");
}

/** The header of a folder, likewise; mode 0755. */
export function encodeFolderHeader(name: string): Uint8Array {
  return extended(name, 0, "5");
}

function extended(name: string, size: number, type: "0" | "5"): Uint8Array {
  const fits = encoder.encode(name).length <= LONGEST_USTAR_NAME && size < LARGEST_USTAR_SIZE;
  if (fits) return ustar(name, size, type);
  const longName = encoder.encode(name).length > LONGEST_USTAR_NAME;
  const records = encoder.encode(
    [
      ...(longName ? [paxRecord("path", name)] : []),
      ...(size >= LARGEST_USTAR_SIZE ? [paxRecord("size", String(size))] : []),
    ].join(""),
  );
  const body = new Uint8Array(padded(records.length));
  body.set(records);
  return Buffer.concat([
    ustar(PAX_NAME, records.length, "x"),
    body,
    ustar(name, size < LARGEST_USTAR_SIZE ? size : 0, type),
  ]);
}

/** Bytes rounded up to whole blocks. */
export function padded(bytes: number): number {
  return Math.ceil(bytes / BLOCK) * BLOCK;
}

/** One header block, as it stands. */
export interface Header {
  name: string;
  /** bytes of content that follow */
  size: number;
  /** POSIX typeflag: `0` a file, `5` a directory, `x` extended records for the next header, … */
  type: string;
  /** What a link points to. */
  link?: string;
}

/**
 * Reads one block; undefined for a block of zeros, which ends an archive.
 * Fails on a wrong checksum or a field that is not what the format allows, naming `offset`.
 */
export function decodeHeader(block: Uint8Array, offset: number): Header | undefined {
  if (block.every((byte) => byte === 0)) return;
  const stored = octal(block, 148, 8);
  let sum = 0;
  for (let index = 0; index < BLOCK; index++) sum += index >= 148 && index < 156 ? 32 : (block[index] ?? 0);
  if (stored !== sum) throw broken(offset, "its checksum is wrong");
  const size = number(block, 124, 12);
  if (size === undefined) throw broken(offset, "its size is not a number of bytes");
  // GNU's own format has the same magic but for this byte, and other things where the prefix would be.
  const isUstar = text(block, 257, 6) === "ustar" && block[262] === 0;
  const prefix = isUstar ? text(block, 345, 155) : "";
  const name = text(block, 0, 100);
  const type = block[156] === 0 ? "0" : String.fromCharCode(block[156] ?? 0);
  const header: Header = { name: prefix === "" ? name : `${prefix}/${name}`, size, type };
  if (type === "1" || type === "2") header.link = text(block, 157, 100);
  return header;
}

/** A name that GNU's long-name headers carry: it ends where a NUL is. */
export function decodeLongName(body: Uint8Array): string {
  return text(body, 0, body.length);
}

/** The records of a PAX header's body: `LENGTH KEY=VALUE\n` each. Fails when they do not add up. */
export function decodePax(body: Uint8Array, offset: number): Map<string, string> {
  const records = new Map<string, string>();
  for (let at = 0; at < body.length; ) {
    const space = body.indexOf(32, at);
    const digits = decoder.decode(body.subarray(at, Math.min(Math.max(space, at), at + 10)));
    const length = /^\d{1,9}$/.test(digits) ? Number(digits) : 0;
    const end = at + length;
    if (length < 5 || end <= space || end > body.length || body[end - 1] !== 10) {
      throw broken(offset, "its extended records do not add up");
    }
    const [key, ...value] = decoder.decode(body.subarray(space + 1, end - 1)).split("=");
    records.set(key ?? "", value.join("="));
    at = end;
  }
  return records;
}

/** A header that cannot be what it says, and the byte at which it starts. */
export class BrokenHeader extends Fault {
  readonly offset: number;
  /** The same without its place. */
  readonly why: string;

  constructor(offset: number, why: string) {
    super(`cannot read the tar header at byte ${offset}: ${why}`, { kind: "mismatch" });
    this.offset = offset;
    this.why = why;
  }
}

export function broken(offset: number, why: string): BrokenHeader {
  return new BrokenHeader(offset, why);
}

/** Whether a block is marked as a header, be it whole or damaged. */
export function isMarked(block: Uint8Array): boolean {
  return text(block, 257, 5) === "ustar";
}

function ustar(name: string, size: number, type: string): Uint8Array {
  const block = new Uint8Array(BLOCK);
  const put = (value: string, at: number) => block.set(encoder.encode(value), at);
  block.set(encoder.encode(name).subarray(0, LONGEST_USTAR_NAME));
  put(type === "5" ? "0000755\0" : "0000644\0", 100);
  put("0000000\0", 108);
  put("0000000\0", 116);
  put(`${size.toString(8).padStart(11, "0")}\0`, 124);
  put("00000000000\0", 136);
  put("        ", 148);
  put(type, 156);
  put("ustar\x0000", 257);
  put("0000000\0", 329);
  put("0000000\0", 337);
  const sum = block.reduce((total, byte) => total + byte, 0);
  put(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return block;
}

/** The length counts itself, so it is found by trying: it can only grow once. */
function paxRecord(key: string, value: string): string {
  const rest = encoder.encode(` ${key}=${value}\n`).length;
  const guess = rest + String(rest).length;
  const length = rest + String(guess).length;
  return `${length} ${key}=${value}\n`;
}

/** A number in either way of writing: octal digits, or GNU's base 256; undefined when it is out of bounds. */
function number(block: Uint8Array, at: number, length: number): number | undefined {
  const first = block[at] ?? 0;
  if (first < 0x80) return octal(block, at, length);
  // The first byte is a mark alone: with more bits it starts a negative number, or one beyond any disk.
  if (first !== 0x80) return;
  let value = 0;
  for (const byte of block.subarray(at + 1, at + length)) value = value * 256 + byte;
  return Number.isSafeInteger(value) ? value : undefined;
}

/** An octal field, ended by a space or NUL; undefined when it holds anything else. */
function octal(block: Uint8Array, at: number, length: number): number | undefined {
  const digits = text(block, at, length).trim();
  return /^[0-7]*$/.test(digits) ? Number.parseInt(digits || "0", 8) : undefined;
}

function text(block: Uint8Array, at: number, length: number): string {
  const field = block.subarray(at, at + length);
  const end = field.indexOf(0);
  return decoder.decode(end < 0 ? field : field.subarray(0, end));
}
