import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fastFolder } from "./docker-registry.ts";

/** `exfat` and `ntfs` through FUSE where the kernel has none of its own. */
export type DiskKind = "ext4" | "xfs" | "btrfs" | "exfat" | "ntfs" | "tmpfs";

/** What making and mounting one takes. */
export const DISK_TOOLS: Readonly<Record<DiskKind, readonly string[]>> = {
  ext4: ["mkfs.ext4"],
  xfs: ["mkfs.xfs"],
  btrfs: ["mkfs.btrfs", "btrfs"],
  exfat: ["mkfs.exfat", "mount.exfat-fuse"],
  ntfs: ["mkfs.ntfs", "ntfs-3g"],
  tmpfs: [],
};

export interface Disk {
  /** Where it is mounted. */
  path: string;
  /** What it is made of, on another disk in memory that can be given more room; `ext4` and the like only. */
  backing: string;
  /** `/dev/loopN`; empty for one in memory. */
  device: string;
  end(): Promise<void>;
}

export interface DiskOptions {
  /** bytes */
  size: number;
  /** Of the disk below, in bytes: what it cannot hold ends in I/O errors. Default: enough. */
  below?: number;
  /** For `mount`. */
  options?: string;
}

/** Whether this user may mount anything, and has loop devices. */
export const MAY_MOUNT = mayMount();

function mayMount(): boolean {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return false;
  const script = "d=$(mktemp -d) && mount -t tmpfs none $d && umount $d && rmdir $d && losetup -f";
  return Bun.spawnSync(["sh", "-c", script], { stdout: "ignore", stderr: "ignore" }).success;
}

/** A disk of its own, in a file in memory. */
export async function mountDisk(kind: DiskKind, { size, below, options }: DiskOptions): Promise<Disk> {
  const folder = await mkdtemp(join(kind === "tmpfs" ? tmpdir() : fastFolder(), "eksa-airgap-disk-"));
  const [path, backing] = [join(folder, "disk"), join(folder, "below")];
  const image = join(backing, "image");
  await Bun.$`mkdir ${path} ${backing}`;
  const mounted: string[] = [];
  let device = "";
  const end = async () => {
    for (const each of mounted.toReversed())
      await Bun.$`umount ${each} || umount -l ${each}`.nothrow().quiet();
    if (device !== "") await Bun.$`losetup -d ${device}`.nothrow().quiet();
    await rm(folder, { recursive: true, force: true });
  };
  try {
    if (kind === "tmpfs") {
      await Bun.$`mount -t tmpfs -o ${options ?? `size=${size}`} none ${path}`;
      mounted.push(path);
      return { path, backing, device, end };
    }
    await Bun.$`mount -t tmpfs -o size=${below ?? size * 2} none ${backing}`;
    mounted.push(backing);
    await Bun.$`truncate -s ${size} ${image}`;
    device = (await Bun.$`losetup -f --show ${image}`.text()).trim();
    await make(kind, device);
    const by = kind === "exfat" ? "exfat-fuse" : kind === "ntfs" ? "ntfs-3g" : kind;
    await Bun.$`mount -t ${by} -o ${options ?? "rw"} ${device} ${path}`.quiet();
    mounted.push(path);
  } catch (error) {
    await end();
    throw error;
  }
  return { path, backing, device, end };
}

async function make(kind: DiskKind, device: string): Promise<void> {
  if (kind === "ext4") await Bun.$`mkfs.ext4 -q ${device}`.quiet();
  if (kind === "xfs") await Bun.$`mkfs.xfs -q ${device}`.quiet();
  if (kind === "btrfs") await Bun.$`mkfs.btrfs -q ${device}`.quiet();
  if (kind === "exfat") await Bun.$`mkfs.exfat ${device}`.quiet();
  if (kind === "ntfs") await Bun.$`mkfs.ntfs -Q -q -F ${device}`.quiet();
}
