import { faultKind } from "../oci/fault.ts";
import { verified } from "../oci/verified.ts";
import { deviations } from "./deviations.ts";
import type { Layout } from "./layout.ts";
import { Packed, TarFile } from "./reader.ts";

/** Whether a file is, byte for byte, the archive that a layout describes. May be aborted. */
export async function matchesLayout(path: string, layout: Layout, signal: AbortSignal): Promise<boolean> {
  let tar: TarFile | undefined;
  try {
    tar = new TarFile(path);
    if (tar.size !== layout.size) return false;
    for (const _ of deviations(tar, layout)) return false;
    for (const [digest, entry] of layout.byDigest) {
      if (entry.bytes !== undefined) continue;
      const { size } = entry;
      for await (const _ of verified(tar.chunks(entry), { mediaType: "", digest, size })) {
        signal.throwIfAborted();
      }
    }
    return true;
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof Packed || faultKind(error) === "mismatch") return false;
    throw error;
  } finally {
    tar?.close();
  }
}
