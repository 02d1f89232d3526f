import { describe, expect } from "bun:test";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { AirGap } from "../support/air-gap/air-gap.ts";
import { Random, runs, seedOf } from "../support/chance.ts";
import type { Running } from "../support/executable.ts";
import { checksum } from "../support/tar.ts";
import { type AirGapStage, done, FIRST, testInAirGap } from "./air-gap-stage.ts";

const test = testInAirGap();
/** More with `STRESS=N`. */
const ROUNDS = runs(1);
const MIB = 1024 * 1024;
/** Milliseconds after which an export has put on record what it has. */
const NOTED = 5500;

/** All that goes wrong on the way, once each. */
export function disturbed(stage: AirGapStage): void {
  describe("disturbed", () => {
    test(
      "an export that is killed twice, cut off, turned away and out of room ends with the same bytes",
      async () => {
        const random = new Random(seedOf("a disturbed export"));
        const archive = await stage.archive();
        const expected = await checksum(archive);
        for (let round = 0; round < ROUNDS; round++) {
          const output = await smallDisk(stage, Bun.file(archive).size + 64 * MIB);
          await disturbExport(stage, output, random);
          const sum = await stage.gap.hosts.output("jump", ["sha256sum", output]);
          expect(sum.slice(0, 64)).toBe(expected);
        }
      },
      120_000 * ROUNDS,
    );

    test(
      "an import whose registry is killed in the middle and comes back ends with everything in it",
      async () => {
        const random = new Random(seedOf("a disturbed import"));
        for (let round = 0; round < ROUNDS; round++) await disturbImport(stage, random);
      },
      120_000 * ROUNDS,
    );
  });
}

/** A path on a disk of the jump host that has room for so many bytes and no more. */
async function smallDisk({ gap }: AirGapStage, bytes: number): Promise<string> {
  const disk = join(gap.hosts.folder, "jump", "disk");
  await mkdir(disk, { recursive: true });
  await gap.hosts.tool("jump", ["umount", disk]);
  await gap.hosts.output("jump", ["mount", "-t", "tmpfs", "-o", `size=${bytes}`, "none", disk]);
  return join(disk, "artifacts.tar");
}

async function disturbExport(stage: AirGapStage, output: string, random: Random): Promise<void> {
  const { gap } = stage;
  const total = gap.size(FIRST);
  /** The source holds it somewhere in the tenth of the whole that follows. */
  const until = (part: number, running: Running) =>
    held(running, gap.tell("hold", Math.floor(total * (part + random.below(100) / 1000))));
  const start = async () => {
    await gap.tell("reset");
    return gap.export(output, ["--eksa-version", FIRST]);
  };

  const first = await start();
  await until(0.1, first);
  await kill(gap, first);

  const cutOff = await start();
  await until(0.4, cutOff);
  await gap.hosts.link("down");
  await gap.tell("release");
  await Bun.sleep(NOTED);
  await gap.hosts.link("up");
  await until(0.6, cutOff);
  await kill(gap, cutOff);

  const noRoom = await start();
  await gap.tell("refuse", [429, 503, 503, 429, 503]);
  await until(0.1, noRoom);
  const filler = join(output, "../filler");
  await gap.hosts.tool("jump", ["dd", "if=/dev/zero", `of=${filler}`, "bs=64K", "status=none"]);
  await gap.tell("release");
  const { status, stderr } = await noRoom.result;
  expect(status).toBe(1);
  expect(stderr).toContain("ENOSPC");
  expect(stderr).toContain("going on with");
  await gap.hosts.output("jump", ["rm", filler]);

  await done(start());
  // What was on record when the second one was killed did not have to be fetched again.
  expect(await gap.tell("sent")).toBeLessThan(total * 0.75);
}

/** Waits for what is to happen while it runs. */
async function held(running: Running, reached: Promise<unknown>): Promise<void> {
  const early = running.result.then(({ status, stderr }) => {
    throw new Error(`it ended early, with ${status}: ${stderr}`);
  });
  await Promise.race([reached, early]);
  // Later it may end as it likes.
  early.catch(() => {});
}

async function kill(gap: AirGap, running: Running): Promise<void> {
  running.kill("SIGKILL");
  expect(await running.result).toMatchObject({ status: 137 });
  await gap.tell("release");
}

async function disturbImport(stage: AirGapStage, random: Random): Promise<void> {
  const registry = await stage.gap.startRegistry();
  const archive = await stage.archive();
  const enough = Bun.file(archive).size * (0.2 + random.below(500) / 1000);
  const running = await stage.gap.import([archive], await registry.clusterFile(FIRST));
  const reached = async () => {
    while ((await registry.size()) < enough) await Bun.sleep(10);
  };
  await held(running, reached());
  await registry.kill();
  await Bun.sleep(500);
  await registry.rise();
  await done(Promise.resolve(running));
  await stage.expectAll(FIRST, registry);
  await registry.kill();
}
