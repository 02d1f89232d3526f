import { afterEach, beforeEach, expect } from "bun:test";
import { existsSync } from "node:fs";
import { readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { volumeName } from "../../src/archive/volumes.ts";
import { executable } from "../support/executable.ts";
import { testWith } from "../support/needs.ts";
import { Exporting, noise } from "./exporting.ts";

const LIMIT = 120_000;
const SPLIT = ["--split-size", "1MB"];
const VOLUMES = 5;
/** The system calls that change what there is by which name, and that keep it. */
const CALLS = ["rename", "unlink", "fsync", "fdatasync"];

let exporting: Exporting;
beforeEach(async () => {
  const base = noise(1, 2_000_000);
  exporting = await Exporting.of({
    "r.io/one:v1": [base, noise(2, 1_000_001)],
    "r.io/two:v1": [base, noise(3, 1_500_002)],
  });
});
afterEach(() => exporting.end());

/** Ends a run at the `count`th time that one of its threads makes this system call; says whether it came to that. */
async function killedAt(call: string, count: number, args: readonly string[]): Promise<boolean> {
  const inject = ["-e", `trace=${call}`, "-e", `inject=${call}:signal=KILL:when=${count}`];
  const child = Bun.spawn(
    ["strace", "-f", "-qq", "-o", "/dev/null", ...inject, await executable(), ...args],
    {
      env: { PATH: process.env.PATH ?? "", HOME: exporting.folder },
      stdout: "ignore",
      stderr: "pipe",
    },
  );
  const stderr = await new Response(child.stderr).text();
  const status = await child.exited;
  if (status !== 137) expect(status, stderr).toBe(0);
  return status === 137;
}

async function empty(): Promise<void> {
  const folder = dirname(exporting.output);
  for (const name of await exporting.names()) await rm(join(folder, name));
}

/** Where a run is killed at each of these calls in turn, `again` must make all of it good. */
async function killEverywhere(
  args: readonly string[],
  prepare: () => Promise<void>,
  check: () => Promise<void>,
) {
  let kills = 0;
  for (const call of CALLS) {
    for (let count = 1; ; count++) {
      await empty();
      await prepare();
      const wasKilled = await killedAt(call, count, args);
      if (wasKilled) kills++;
      await check();
      if (!wasKilled) break;
    }
  }
  return kills;
}

const onlyVolumes = (count: number) => Array.from({ length: count }, (_, index) => `out.tar.00${index}`);

testWith("strace")(
  "killed at any rename, removal or sync, volumes that replace an older set are old, none or new, and then new",
  async () => {
    const expected = await exporting.undisturbed();
    const flags = [...SPLIT, "--force"];
    const old = async () => {
      for (let index = 0; index < VOLUMES + 3; index++)
        await writeFile(volumeName(exporting.output, index), "old");
    };
    const kills = await killEverywhere(exporting.args(flags), old, async () => {
      if (existsSync(volumeName(exporting.output, 0))) {
        const joined = await exporting.joinVolumes();
        const isOld =
          (await readFile(join(exporting.folder, "joined.tar"), "latin1")) === "old".repeat(VOLUMES + 3);
        expect(isOld || joined === expected).toBe(true);
      }
      await exporting.succeed(...flags);
      expect(await exporting.joinVolumes()).toBe(expected);
      expect(await exporting.names()).toEqual(onlyVolumes(VOLUMES));
    });
    expect(kills).toBeGreaterThan(20);
  },
  LIMIT,
);

testWith("strace")(
  "killed at any of them while another plan takes over, everything is found again, and goes in the end",
  async () => {
    const flags = ["--exclude", "r.io/one:v1", "--refresh", ...SPLIT];
    const expected = await exporting.undisturbed("--exclude", "r.io/one:v1");
    const begun = async () => {
      const asked = exporting.hang(({ length }) => length === 1_500_002);
      const running = await exporting.start("--jobs", "1", ...SPLIT);
      await asked;
      running.kill("SIGINT");
      await running.result;
      exporting.served.before = undefined;
      exporting.served.asked.length = 0;
    };
    const kills = await killEverywhere(exporting.args(flags), begun, async () => {
      const base = exporting.served.asked.filter(({ bytes }) => bytes === 2_000_000);
      await exporting.succeed(...flags);
      // What the first run has fetched is never lost.
      expect(base).toEqual([]);
      expect(exporting.served.asked.filter(({ bytes }) => bytes === 2_000_000)).toEqual([]);
      expect(await exporting.joinVolumes()).toBe(expected);
      expect(await exporting.names()).toEqual(onlyVolumes(4));
    });
    expect(kills).toBeGreaterThan(20);
  },
  LIMIT,
);
