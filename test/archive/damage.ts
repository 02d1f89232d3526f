import { readFile } from "node:fs/promises";
import { END_MARKER_BYTES, encodeHeader, padded } from "../../src/archive/header.ts";
import { TarFile } from "../../src/archive/reader.ts";

/** The files of a tar by name, in its order. */
export function filesOf(path: string): Map<string, Uint8Array> {
  const tar = new TarFile(path);
  try {
    return new Map([...tar.entries()].map(([name, { offset, size }]) => [name, tar.read(offset, size)]));
  } finally {
    tar.close();
  }
}

/** A tar as this program writes it, of any files whatever. */
export function tarOf(files: Iterable<readonly [name: string, content: Uint8Array]>): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const [name, content] of files) {
    parts.push(encodeHeader(name, content.length), content);
    parts.push(new Uint8Array(padded(content.length) - content.length));
  }
  return Buffer.concat([...parts, new Uint8Array(END_MARKER_BYTES)]);
}

/** The same files, changed. */
export async function rebuild(
  from: string,
  to: string,
  change: (files: Map<string, Uint8Array>) => void,
): Promise<void> {
  const files = filesOf(from);
  change(files);
  await Bun.write(to, tarOf(files));
}

/** A copy with one bit turned over in each of these places. */
export async function flip(from: string, to: string, ...places: readonly number[]): Promise<void> {
  const bytes = await readFile(from);
  for (const at of places) bytes[at] = (bytes[at] ?? 0) ^ 1;
  await Bun.write(to, bytes);
}
