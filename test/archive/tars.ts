import { END_MARKER_BYTES, encodeHeader, padded } from "../../src/archive/header.ts";

export const END = new Uint8Array(END_MARKER_BYTES);

const encoder = new TextEncoder();

/** A header with one field changed and the checksum made right. */
export function forged(block: Uint8Array, at: number, field: string | Uint8Array): Uint8Array {
  // Not `slice`: of a Buffer it is the same memory.
  const header = Uint8Array.from(block);
  header.set(typeof field === "string" ? encoder.encode(field) : field, at);
  header.fill(0x20, 148, 156);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.set(encoder.encode(`${sum.toString(8).padStart(6, "0")}\0 `), 148);
  return header;
}

/** A header of any type, with what it links to. */
export function header(name: string, type: string, link = ""): Uint8Array {
  return forged(forged(encodeHeader(name, 0), 156, type), 157, link);
}

/** Content filled up to whole blocks. */
export function blocks(content: string | Uint8Array): Uint8Array {
  const bytes = typeof content === "string" ? encoder.encode(content) : content;
  const whole = new Uint8Array(padded(bytes.length));
  whole.set(bytes);
  return whole;
}

export function file(name: string, content: string | Uint8Array = ""): Uint8Array {
  return Buffer.concat([encodeHeader(name, Buffer.byteLength(content)), blocks(content)]);
}

/** `x`, `g`, `L` or `K`: what it says of the next header, or of all. */
export function extension(type: string, body: string): Uint8Array {
  const size = Buffer.byteLength(body);
  return Buffer.concat([forged(encodeHeader("././@Extension", size), 156, type), blocks(body)]);
}

/** A PAX record, which counts itself. */
export function record(key: string, value: string): string {
  const rest = Buffer.byteLength(` ${key}=${value}\n`);
  const length = rest + String(rest + String(rest).length).length;
  return `${length} ${key}=${value}\n`;
}

/** A size in GNU's base 256. */
export function base256(size: bigint): Uint8Array {
  const field = new Uint8Array(12);
  const all = BigInt.asUintN(96, size);
  for (let index = 0; index < 12; index++) field[index] = Number((all >> BigInt(8 * (11 - index))) & 0xffn);
  field[0] = (field[0] ?? 0) | 0x80;
  return field;
}

/** One of each that a reader must know: what tools write, in other orders and with other headers than ours. */
export function seedArchives(): Record<string, Uint8Array> {
  const long = `blobs/sha512/${"ab".repeat(64)}`;
  return {
    empty: END,
    plain: Buffer.concat([
      file("oci-layout", "{}"),
      file("index.json", "{}"),
      file("blobs/a", "x".repeat(600)),
      END,
    ]),
    folders: Buffer.concat([header("./", "5"), header("./blobs/", "5"), file("./blobs/a", "x"), END]),
    pax: Buffer.concat([
      extension("g", record("comment", "x")),
      extension("x", record("mtime", "1.5") + record("path", long) + record("size", "3")),
      file("short", "abc"),
      END,
    ]),
    gnu: Buffer.concat([
      extension("L", `${long}\0`),
      file("short", "abc"),
      extension("K", `${long}\0`),
      header("hard", "1", "cut off"),
      END,
      new Uint8Array(8192),
    ]),
    prefix: Buffer.concat([forged(encodeHeader("b", 1), 345, "blobs/sha256"), blocks("c"), END]),
    links: Buffer.concat([
      header("blobs/sha256/a", "2", "../../store/./a"),
      header("blobs/sha256/b", "2", "a"),
      header("hard", "1", "./store/a"),
      file("store/a", "content"),
      END,
    ]),
    base256: Buffer.concat([forged(encodeHeader("a", 0), 124, base256(3n)), blocks("abc"), END]),
  };
}
