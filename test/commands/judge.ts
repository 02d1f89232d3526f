import { ArchiveInspection } from "../../src/archive/inspection.ts";
import { type ArchiveVerdict, verifyArchive } from "../../src/commands/verify-archive.ts";

/** What is found in the first of these archives, the others at hand. */
export async function verify(path: string, ...others: readonly string[]): Promise<ArchiveVerdict> {
  const [inspection, ...rest] = [path, ...others].map((each) => new ArchiveInspection(each));
  if (inspection === undefined) throw new Error("no archive");
  try {
    const { signal } = new AbortController();
    return await verifyArchive(inspection, { others: rest, signal, listener: () => {} });
  } finally {
    for (const each of [inspection, ...rest]) each.close();
  }
}
