import { Readable, type Transform } from "node:stream";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { Fault } from "../oci/fault.ts";
import type { ByteStream } from "../oci/plan.ts";

/** What a file is packed with, by its first bytes; `none` of those we know. */
export type Compression = "gzip" | "zstd" | "none";

/** Bytes that tell. */
export const MAGIC_BYTES = 4;
/** Bytes of each piece that comes out. */
const PIECE = 256 * 1024;

/** Whatever the name says. Spec: RFC 1952, 2.3.1; RFC 8878, 3.1. */
export function compressionOf(start: Uint8Array): Compression {
  const [first = 0, second, third, fourth] = start;
  if (first === 0x1f && second === 0x8b) return "gzip";
  const isFrame = first === 0x28 && second === 0xb5 && third === 0x2f && fourth === 0xfd;
  // What pzstd begins with.
  const isSkippable = (first & 0xf0) === 0x50 && second === 0x2a && third === 0x4d && fourth === 0x18;
  return isFrame || isSkippable ? "zstd" : "none";
}

const FOREIGN: readonly [string, readonly number[]][] = [
  ["an xz file", [0xfd, 0x37, 0x7a, 0x58]],
  ["a zip file", [0x50, 0x4b, 0x03, 0x04]],
  ["a bzip2 file", [0x42, 0x5a, 0x68]],
];

/** What a file is that nothing here unpacks, by its first bytes; undefined for another. */
export function foreignKindOf(start: Uint8Array): string | undefined {
  return FOREIGN.find(([, magic]) => magic.every((byte, at) => start[at] === byte))?.[0];
}

/** A stream and what it is packed with: nothing of it is lost by looking. */
export async function detect(
  stream: ByteStream,
): Promise<{ compression: Compression; stream: ByteStream & AsyncGenerator<Uint8Array> }> {
  const chunks = stream[Symbol.asyncIterator]();
  const seen: Uint8Array[] = [];
  for (let length = 0; length < MAGIC_BYTES; ) {
    const { done, value } = await chunks.next();
    if (done === true) break;
    seen.push(value);
    length += value.length;
  }
  async function* whole(): AsyncGenerator<Uint8Array> {
    try {
      yield* seen.splice(0);
      for (let next = await chunks.next(); next.done !== true; next = await chunks.next()) yield next.value;
    } finally {
      await chunks.return?.();
    }
  }
  return { compression: compressionOf(Buffer.concat(seen)), stream: whole() };
}

/**
 * Unpacks several members or frames that follow each other as well. At most a few pieces are in memory, however much
 * comes out of few bytes. Fails with what is wrong with the packing; zstd that ends too early only ends.
 */
export async function* unpacked(
  stream: ByteStream,
  { name, compression }: { name: string; compression: Compression },
): ByteStream & AsyncGenerator<Uint8Array> {
  if (compression === "none") return yield* stream;
  const unpacking =
    compression === "gzip" ? createGunzip({ chunkSize: PIECE }) : createZstdDecompress({ chunkSize: PIECE });
  const source = Readable.from(stream, { objectMode: false, highWaterMark: PIECE });
  let failure: unknown;
  source.on("error", (error) => {
    // The stream's own failure, e.g. of the disk, not one of the packing.
    failure = error;
    unpacking.destroy(error);
  });
  source.pipe(unpacking);
  let position = 0;
  try {
    for await (const piece of bytesOf(unpacking)) {
      position += piece.length;
      yield piece;
    }
  } catch (cause) {
    if (failure !== undefined) throw failure;
    // The first member was recognized by its header: what has none comes behind a whole one.
    if (cause instanceof Error && cause.message.includes("incorrect header check")) {
      throw new Fault(`cannot unpack ${name}: there are bytes after the end of its gzip`, {
        hint: "copy it again, or cut off what does not belong to it",
        kind: "mismatch",
      });
    }
    throw new Fault(`cannot unpack ${name}: its ${compression} is damaged or cut short`, {
      cause: new Fault(`nothing comes out of it at byte ${position} of the tar`, { cause }),
      hint: "copy it again, or export it anew",
      kind: "mismatch",
    });
  } finally {
    source.destroy();
    unpacking.destroy();
  }
}

async function* bytesOf(unpacking: Transform): AsyncGenerator<Uint8Array> {
  for await (const piece of unpacking) if (piece instanceof Uint8Array) yield piece;
}
