import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { readdir, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import {
  DISK_TOOLS,
  type Disk,
  type DiskKind,
  type DiskOptions,
  MAY_MOUNT,
  mountDisk,
} from "../support/disks.ts";
import { testWith } from "../support/needs.ts";
import { Exporting, noise } from "./exporting.ts";
import { expectFailure } from "./stage.ts";

const MB = 1_000_000;
/** bytes of the layers */
const [BASE, ONE, TWO] = [12 * MB, 8 * MB + 1, 10 * MB + 2];
const LIMIT = 60_000;

let exporting: Exporting;
let disks: Disk[];
beforeEach(async () => {
  disks = [];
  exporting = await Exporting.of({
    "r.io/one:v1": [noise(1, BASE), noise(2, ONE)],
    "r.io/two:v1": [noise(3, TWO)],
  });
});
afterEach(async () => {
  await exporting.end();
  for (const disk of disks) await disk.end();
});

/** For root on a machine that lets it mount. */
function testOn(kind: DiskKind, ...tools: readonly string[]): typeof test {
  if (MAY_MOUNT) return testWith(...DISK_TOOLS[kind], ...tools);
  console.warn("skipped for want of the right to mount:");
  return test.skip as typeof test;
}

async function disk(kind: DiskKind, options: DiskOptions): Promise<Disk> {
  const mounted = await mountDisk(kind, options);
  disks.push(mounted);
  exporting.output = join(mounted.path, "out.tar");
  return mounted;
}

/** Lets a run get to the last layer and no further, does something, then lets it go on. */
async function meanwhile(act: () => Promise<unknown>, ...flags: string[]) {
  const { served } = exporting;
  const { promise: let_go, resolve: letGo } = Promise.withResolvers<void>();
  const arrived = new Promise<void>((resolve) => {
    served.before = (digest) => {
      if (served.layers.get(digest)?.length !== TWO) return;
      resolve();
      return let_go;
    };
  });
  const running = await exporting.start("--jobs", "1", ...flags);
  await arrived;
  await act();
  letGo();
  served.before = undefined;
  const result = await running.result;
  served.asked.length = 0;
  return result;
}

async function killAtLast(...flags: string[]): Promise<void> {
  const asked = exporting.hang((bytes) => bytes.length === TWO);
  const running = await exporting.start("--jobs", "1", ...flags);
  await asked;
  running.kill("SIGKILL");
  await running.result;
  exporting.served.before = undefined;
}

function expectNoFinalName(): void {
  expect(existsSync(exporting.output)).toBe(false);
}

const KINDS: DiskKind[] = ["ext4", "xfs", "exfat", "ntfs", "tmpfs"];

for (const kind of KINDS) {
  testOn(kind)(
    `on ${kind} an export, in one file or in volumes, is the same as anywhere, and survives kill -9`,
    async () => {
      const expected = await exporting.undisturbed();
      const { path } = await disk(kind, { size: 350 * MB });
      await killAtLast();
      await exporting.succeed();
      expect(await exporting.sum()).toBe(expected);
      await rm(exporting.output);
      await killAtLast("--split-size", "7MB");
      await exporting.succeed("--split-size", "7MB");
      expect(await exporting.joinVolumes()).toBe(expected);
      expect((await readdir(path)).filter((name) => !/^out\.tar\.\d{3}$|^lost/.test(name))).toEqual([]);
    },
    LIMIT,
  );
}

testOn("tmpfs")(
  "a disk without enough room is refused before the first byte: what is needed, what is free, and where",
  async () => {
    const { path } = await disk("tmpfs", { size: 20 * MB });
    const result = await exporting.run();
    expectFailure(
      result,
      1,
      /cannot write \S+: [\d.]+ MiB are needed in \S+, and 19\.\d MiB are free/,
      "--output",
    );
    expect(result.stderr).toMatch(/hint: free [1-9][\d.]* MiB there/);
    expect(exporting.served.asked).toEqual([]);
    expect(await readdir(path)).toEqual([]);
  },
  LIMIT,
);

testOn("tmpfs")(
  "another plan for which there is no room leaves what was begun to its own command",
  async () => {
    const expected = await exporting.undisturbed();
    const { path } = await disk("tmpfs", { size: 50 * MB });
    await exporting.interrupt(TWO);
    const before = await readdir(path);
    expectFailure(await exporting.run("--refresh", "--eksa-version", "v9"), 1, "are needed in");
    expect(await readdir(path)).toEqual(before);
    await exporting.succeed();
    expect(exporting.fetched()).toEqual([TWO]);
    expect(await exporting.sum()).toBe(expected);
  },
  LIMIT,
);

testOn("tmpfs")(
  "a disk that somebody else fills meanwhile ends the run with what to do, and it goes on once there is room",
  async () => {
    const expected = await exporting.undisturbed();
    const { path } = await disk("tmpfs", { size: 60 * MB });
    const filler = join(path, "filler");
    const result = await meanwhile(() => Bun.$`head -c 60000000 /dev/zero > ${filler}`.nothrow().quiet());
    expectFailure(result, 1, "ENOSPC", `free some space in ${path}`, "same command again");
    expectNoFinalName();
    expectFailure(await exporting.run(), 1, "are needed in");
    await rm(filler);
    await exporting.succeed();
    expect(await exporting.sum()).toBe(expected);
  },
  LIMIT,
);

testOn("btrfs")(
  "a quota that is exceeded is named, and it goes on once that is raised",
  async () => {
    const expected = await exporting.undisturbed();
    const { path } = await disk("btrfs", { size: 400 * MB });
    const home = join(path, "home");
    await Bun.$`btrfs quota enable ${path} && btrfs subvolume create ${home} && btrfs qgroup limit 24M ${home}`.quiet();
    exporting.output = join(home, "out.tar");
    expectFailure(
      await exporting.run(),
      1,
      "EDQUOT",
      `a quota is used up: have it raised, or free some space in ${home}`,
      "same command again",
    );
    expectNoFinalName();
    await Bun.$`btrfs qgroup limit none ${home}`.quiet();
    await exporting.succeed();
    expect(await exporting.sum()).toBe(expected);
  },
  LIMIT,
);

testOn("tmpfs")(
  "a full table of inodes is named, however far the run gets",
  async () => {
    const expected = await exporting.undisturbed();
    const { path } = await disk("tmpfs", { size: 0, options: `size=${100 * MB},nr_inodes=12` });
    // The root folder takes one.
    for (let free = 0; free < 4; free++) {
      for (let used = (await readdir(path)).length; used < 11 - free; used++)
        await writeFile(join(path, `f${used}`), "");
      const before = await readdir(path);
      expect(before).toHaveLength(11 - free);
      const result = await exporting.run();
      if (free < 3) {
        expectFailure(result, 1, "ENOSPC", "no room for another file", path);
        expectNoFinalName();
      } else {
        expect(result.status, result.stderr).toBe(0);
        expect(await exporting.sum()).toBe(expected);
      }
      for (const name of await readdir(path)) await rm(join(path, name));
    }
  },
  LIMIT,
);

testOn("ext4")(
  "a disk that becomes read-only meanwhile ends the run, and it goes on once that is over",
  async () => {
    const expected = await exporting.undisturbed();
    const { path, device } = await disk("ext4", { size: 200 * MB, options: "errors=remount-ro" });
    const result = await meanwhile(() =>
      writeFile(`/sys/fs/ext4/${basename(device)}/trigger_fs_error`, "a test\n"),
    );
    expectFailure(result, 1, `cannot write ${exporting.output}`, /EROFS|EIO/);
    expectNoFinalName();
    expectFailure(await exporting.run(), 1, /EROFS|EIO/, "check its file system");
    await Bun.$`umount ${path}; fsck.ext4 -fy ${device}; mount -t ext4 ${device} ${path}`.nothrow().quiet();
    await exporting.succeed();
    expect(await exporting.sum()).toBe(expected);
  },
  LIMIT,
);

/** What a file system holds in memory is forgotten: what it says then is what the disk has. */
async function mountAnew({ path, device }: Disk): Promise<void> {
  await Bun.$`umount ${path}; mount ${device} ${path}`.quiet();
}

describe("a disk that took more than it can keep", () => {
  /** What is beyond it cannot be written, which shows when it is synced. */
  const below = 20 * MB;
  async function enlarge(full: Disk): Promise<void> {
    await Bun.$`mount -o remount,size=${400 * MB} ${full.backing}`;
    // Where its own records were lost it is read-only from then on.
    const { exitCode } = await Bun.$`touch ${join(full.path, "probe")}`.nothrow().quiet();
    if (exitCode !== 0) await mountAnew(full);
  }

  for (const flags of [[], ["--split-size", "7MB"]]) {
    testOn("ext4")(
      ["ends the run, and is written to anew once there is room below it", ...flags].join(" "),
      async () => {
        const expected = await exporting.undisturbed();
        const full = await disk("ext4", { size: 200 * MB, below });
        const result = await exporting.run(...flags);
        expectFailure(
          result,
          1,
          `cannot write ${exporting.output}`,
          /ENOSPC|EIO|EROFS/,
          "same command again",
        );
        expectNoFinalName();
        expectFailure(await exporting.run(...flags), 1, `cannot write ${exporting.output}`);
        expectNoFinalName();
        await enlarge(full);
        await exporting.succeed(...flags);
        await mountAnew(full);
        expect(flags.length === 0 ? await exporting.sum() : await exporting.joinVolumes()).toBe(expected);
      },
      LIMIT,
    );
  }

  testOn("ext4")(
    "is not believed when the run was killed before it heard of that",
    async () => {
      const expected = await exporting.undisturbed();
      const full = await disk("ext4", { size: 200 * MB, below });
      await killAtLast();
      await Bun.$`sync -f ${full.path}`.nothrow().quiet();
      await enlarge(full);
      await exporting.succeed();
      await mountAnew(full);
      expect(await exporting.sum()).toBe(expected);
    },
    LIMIT,
  );

  testOn("ext4")(
    "keeps what it had kept before, and only the rest is fetched",
    async () => {
      const expected = await exporting.undisturbed();
      const full = await disk("ext4", { size: 200 * MB, below: 30 * MB });
      await exporting.interrupt(TWO);
      expectFailure(await exporting.run(), 1, `cannot write ${exporting.output}`);
      await enlarge(full);
      exporting.served.asked.length = 0;
      await exporting.succeed();
      expect(exporting.fetched()).toEqual([TWO]);
      await mountAnew(full);
      expect(await exporting.sum()).toBe(expected);
    },
    LIMIT,
  );
});
