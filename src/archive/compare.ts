import type { Digest } from "../oci/digest.ts";
import { faultKind } from "../oci/fault.ts";
import { verified } from "../oci/verified.ts";
import { END_MARKER_BYTES, padded } from "./header.ts";
import { type Entry, headerOf, type Layout } from "./layout.ts";
import { TarFile } from "./reader.ts";

/** Whether a file is, byte for byte, the archive that a layout describes. Reads each byte once; may be aborted. */
export async function matchesLayout(path: string, layout: Layout, signal: AbortSignal): Promise<boolean> {
  const tar = new TarFile(path);
  try {
    if (tar.size !== layout.size) return false;
    const digests = new Map<Entry, Digest>();
    for (const [digest, entry] of layout.byDigest) digests.set(entry, digest);
    for (const entry of layout.entries) {
      if (!(await matchesEntry(tar, entry, { digest: digests.get(entry), signal }))) return false;
    }
    return isZero(tar.read(layout.size - END_MARKER_BYTES, END_MARKER_BYTES));
  } finally {
    tar.close();
  }
}

async function matchesEntry(
  tar: TarFile,
  entry: Entry,
  { digest, signal }: { digest: Digest | undefined; signal: AbortSignal },
): Promise<boolean> {
  const { headerOffset, offset, size, bytes } = entry;
  const header = headerOf(entry);
  if (!equal(tar.read(headerOffset, header.length), header)) return false;
  const padding = padded(size) - size;
  if (padding > 0 && !isZero(tar.read(offset + size, padding))) return false;
  if (bytes !== undefined) return equal(tar.read(offset, size), bytes);
  if (digest === undefined) return false;
  try {
    for await (const _ of verified(tar.chunks(entry), { mediaType: "", digest, size }))
      signal.throwIfAborted();
    return true;
  } catch (error) {
    signal.throwIfAborted();
    if (faultKind(error) === "mismatch") return false;
    throw error;
  }
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

function isZero(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0);
}
