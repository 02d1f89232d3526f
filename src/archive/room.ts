import { closeSync, existsSync, ftruncateSync, openSync, rmSync, statfsSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { Fault } from "../oci/fault.ts";
import type { Member } from "./files.ts";

/** File systems by the number that statfs gives them. Source: linux/magic.h, and ntfs3 and ntfs-3g (FUSE). */
const FAT = 0x4d44;
/** These fill a file up with zeros when it grows: to try a size would be to write it. */
const FILLS_GAPS = new Set([FAT, 0x2011bab0, 0x5346544e, 0x7366746e, 0x65735546]);
const LARGEST_ON_FAT = 2 ** 32 - 1;
/** What the journal, and the folder itself, may take. */
export const SPARE_BYTES = 16 * 1024 * 1024;

/** What is needed for what has to be written, and what there is. In bytes. */
export interface Room {
  needed: number;
  free: number;
  folder: string;
}

/** The room that files still need. `keptOf`: bytes of each that are there to stay. Default: what is on the disk. */
export function roomFor(members: readonly Member[], keptOf = onDisk): Room | undefined {
  const folder = dirname(members[0]?.path ?? ".");
  const free = freeIn(folder);
  if (free === undefined) return;
  const missing = members.reduce((sum, { path, size }) => sum + Math.max(0, size - keptOf(path)), 0);
  return { needed: missing === 0 ? 0 : missing + SPARE_BYTES, free, folder };
}

/** Bytes that may be written below a folder; undefined where the file system does not say. */
export function freeIn(folder: string): number | undefined {
  try {
    const { bavail, bsize, blocks } = statfsSync(folder);
    return blocks > 0 ? bavail * bsize : undefined;
  } catch {
    return;
  }
}

/** Whether there is enough room, as far as it can be told. */
export function hasRoom({ needed, free }: Room): boolean {
  return needed <= free;
}

/** Fails when the file system cannot hold files as large as these, without writing them. */
export function assertSizes(members: readonly Member[]): void {
  const [first] = members;
  const largest = Math.max(...members.map(({ size }) => size));
  if (first === undefined) return;
  const type = statfsSync(dirname(first.path)).type;
  if (type === FAT && largest > LARGEST_ON_FAT) throw tooLarge(first.path, largest);
  if (FILLS_GAPS.has(type) || existsSync(first.path)) return;
  const file = openSync(first.path, "wx");
  try {
    // Gone from the folder before it has a size: a run that is killed here leaves nothing behind.
    if (process.platform !== "win32") rmSync(first.path);
    ftruncateSync(file, largest);
  } catch (cause) {
    const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
    if (code === "EFBIG" || code === "EINVAL") throw tooLarge(first.path, largest, cause);
  } finally {
    closeSync(file);
    rmSync(first.path, { force: true });
  }
}

/** What a file takes on the disk; one with holes takes less than its size. */
function onDisk(path: string): number {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined) return 0;
  return process.platform === "win32" ? found.size : Math.min(found.size, found.blocks * 512);
}

function tooLarge(path: string, size: number, cause?: unknown): Fault {
  return new Fault(`cannot write ${path}: the file system cannot hold a file of ${size} bytes`, {
    ...(cause === undefined ? {} : { cause }),
    hint: "cut it into volumes with `--split-size 4000MiB`, or name another disk with `--output`",
  });
}
