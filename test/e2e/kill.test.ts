import { expect, test } from "bun:test";
import { rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Random, runs, seedOf } from "../support/chance.ts";
import { Exporting, noise } from "./exporting.ts";

const MIB = 1024 * 1024;
const KILLS = runs(50);

/** One run with whatever earlier ones have left; says whether it was killed. */
async function runOnce(
  exporting: Exporting,
  random: Random,
  { patience, flags }: { patience: number; flags: string[] },
): Promise<boolean> {
  const { served } = exporting;
  const kept = exporting.recorded();
  served.asked.length = 0;
  const running = await exporting.start("--no-progress", "--jobs", String(1 + random.below(8)), ...flags);
  const kill = setTimeout(() => running.kill("SIGKILL"), patience);
  const result = await running.result;
  clearTimeout(kill);
  await served.settle();
  // Nothing is asked for that is on record.
  for (const { digest, from } of served.asked) expect(from, digest).toBe(kept.get(digest) ?? 0);
  const whole = [...kept].filter(([digest, bytes]) => bytes === served.layers.get(digest)?.length);
  const asked = new Set(served.asked.map(({ digest }) => digest));
  expect(whole.filter(([digest]) => asked.has(digest))).toEqual([]);
  if (result.status === 137) return true;
  expect(result.status, result.stderr).toBe(0);
  return false;
}

/** A name that stands for an archive; the later volumes get theirs before it. */
const isWhole = (name: string) => name === "out.tar" || name === "out.tar.000";

/** More with `STRESS=N`. */
test(
  `an export that is killed ${KILLS} times gives the same bytes, and asks for nothing that it has`,
  async () => {
    const seed = seedOf("kill -9");
    const random = new Random(seed);
    const buffer = noise(seed, 100 * MIB);
    const large = Array.from({ length: 8 }, (_, index) => buffer.subarray(index * MIB, (index + 80) * MIB));
    const small = Array.from({ length: 20 }, (_, index) => buffer.subarray(index, index + 10_000 * index));
    const exporting = await Exporting.of({
      "r.io/large:v1": large,
      "r.io/small:v1": small,
      "r.io/both:v1": [...small, ...large],
    });
    const started = performance.now();
    const expected = await exporting.undisturbed("--no-progress");
    // Milliseconds until the latest kill: follows how fast the machine is from moment to moment.
    let longest = performance.now() - started;
    let isSplit = false;
    const sum = () => (isSplit ? exporting.joinVolumes() : exporting.sum());
    let [kills, ends, resumed, ranges] = [0, 0, 0, 0];
    try {
      while (kills < KILLS || ends === 0) {
        if (exporting.recorded().size > 0) resumed++;
        const flags = isSplit ? ["--split-size", "100MB"] : [];
        const patience = kills < KILLS ? random.below(Math.ceil(longest)) : 100_000;
        const wasKilled = await runOnce(exporting, random, { patience, flags });
        ranges += exporting.served.asked.filter(({ from }) => from > 0).length;
        if (wasKilled) {
          kills++;
          if (exporting.recorded().size === 0) longest *= 1.1;
          // It may have been about to end.
          if ((await exporting.names()).some(isWhole)) expect(await sum()).toBe(expected);
          continue;
        }
        ends++;
        longest *= 0.75;
        expect(await sum()).toBe(expected);
        const names = await exporting.names();
        expect(names.every((name) => /^out\.tar(\.\d{3})?$/.test(name))).toBe(true);
        for (const name of names) await rm(join(dirname(exporting.output), name));
        isSplit = !isSplit;
      }
    } finally {
      await exporting.end();
    }
    console.log(`${kills} kills, ${ends} ends, ${resumed} runs gone on with, ${ranges} requests for a rest`);
    expect(resumed).toBeGreaterThan(KILLS / 10);
    expect(ranges).toBeGreaterThan(0);
  },
  100_000 + KILLS * 5000,
);
