import type { Kept } from "./journal.ts";
import type { Entry, Layout } from "./layout.ts";

/** How far a record reaches in the files it speaks of. In bytes from the start. */
export interface Reach {
  /** Everything before it is on record. */
  unbroken: number;
  /** Nothing behind it is. */
  end: number;
}

export function reachOf({ entries, byDigest }: Layout, kept: Kept): Reach {
  let end = 0;
  const recorded = new Map<Entry, number>();
  for (const [digest, bytes] of kept) {
    const entry = byDigest.get(digest);
    if (entry === undefined) continue;
    recorded.set(entry, bytes);
    end = Math.max(end, entry.offset + bytes);
  }
  // The graph is synced before the first record.
  const first = entries.find((entry) => {
    const { bytes, size } = entry;
    return bytes === undefined ? (recorded.get(entry) ?? 0) < size : kept.size === 0;
  });
  if (first === undefined) return { unbroken: end, end };
  const bytes = recorded.get(first);
  return { unbroken: bytes === undefined ? first.headerOffset : first.offset + bytes, end };
}
