import { quoted } from "./entry-name.ts";
import { BLOCK, decodeHeader, END_MARKER_BYTES, type Header, padded } from "./header.ts";
import { type Entry, headerOf, type Layout } from "./layout.ts";
import type { TarFile } from "./reader.ts";

/** A place in which a tar is not as a layout has it. */
export interface Deviation {
  offset: number;
  detail: string;
}

/**
 * Where a tar is not, byte for byte, what a layout describes, in order of offset, up to the first file that
 * lies elsewhere. The content of blobs is not looked at: their digests tell.
 */
export function* deviations(tar: TarFile, layout: Layout): Generator<Deviation> {
  for (const entry of layout.entries) {
    const { headerOffset, offset, size, bytes, name } = entry;
    const header = headerOf(entry);
    const found = readUpTo(tar, headerOffset, header.length);
    if (Buffer.compare(found, header) !== 0) {
      if (!isSameFile(found, header, headerOffset)) {
        yield { offset: headerOffset, detail: misplaced(entry, found) };
        return;
      }
      yield { offset: headerOffset, detail: `other metadata of \`${name}\`` };
    }
    const content = bytes === undefined ? -1 : firstDifference(readUpTo(tar, offset, size), bytes);
    if (content >= 0) yield { offset: offset + content, detail: `other text in \`${name}\`` };
    yield* strayBytes(tar, offset + size, padded(size) - size);
  }
  yield* strayBytes(tar, layout.size - END_MARKER_BYTES, END_MARKER_BYTES);
  const surplus = tar.size - layout.size;
  if (surplus > 0) yield { offset: layout.size, detail: `${surplus} bytes after the end marker` };
}

function* strayBytes(tar: TarFile, offset: number, length: number): Generator<Deviation> {
  const found = readUpTo(tar, offset, length);
  const at = firstDifference(found, new Uint8Array(length));
  if (at >= 0) yield { offset: offset + at, detail: "other bytes than zeros around the files" };
}

/** As much as the file has of it. */
function readUpTo(tar: TarFile, offset: number, length: number): Uint8Array {
  return tar.read(offset, Math.max(Math.min(length, tar.size - offset), 0));
}

/** Negative when there is none. */
function firstDifference(found: Uint8Array, wanted: Uint8Array): number {
  if (Buffer.compare(found, wanted) === 0) return -1;
  const at = wanted.findIndex((byte, index) => byte !== found[index]);
  return at < 0 ? wanted.length : at;
}

/** Whether two headers differ in nothing but metadata that we do not use. */
function isSameFile(found: Uint8Array, wanted: Uint8Array, at: number): boolean {
  if (found.length !== wanted.length) return false;
  const before = wanted.length - BLOCK;
  const [one, other] = [found, wanted].map((blocks) => decode(blocks.subarray(before), at));
  const isAnnouncedAlike = Buffer.compare(found.subarray(0, before), wanted.subarray(0, before)) === 0;
  return isAnnouncedAlike && one !== undefined && Bun.deepEquals(one, other);
}

function misplaced({ name, size }: Entry, found: Uint8Array): string {
  const there = found.length < BLOCK ? undefined : decode(found.subarray(0, BLOCK), 0);
  const what = there === undefined ? "nothing" : `${quoted(there.name)} of ${there.size} bytes`;
  return `${what} where \`${name}\` of ${size} bytes belongs`;
}

function decode(block: Uint8Array, at: number): Header | undefined {
  try {
    return decodeHeader(block, at);
  } catch {
    return;
  }
}
