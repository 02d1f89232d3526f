import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { watchMemory } from "../../scripts/bench/measure.ts";
import { type DiscardingOptions, DiscardingRegistry } from "../support/discarding-registry.ts";
import { executable } from "../support/executable.ts";
import { startLargeSource } from "./large-blob.ts";

/** bytes of the layer; more with `COPY_GIB=N` */
const SIZE = Number(process.env.COPY_GIB ?? 1) * 1024 ** 3;
/** MiB */
const MOST_MEMORY = 256;
/** Bytes that a broken upload may have fetched in vain: what was under way, and back to where a reading can go on. */
const MOST_TWICE = 128 * 1024 * 1024;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eksa-airgap-copy-large-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Copies one huge blob in little memory, and says what it took. */
async function copyLarge(options: DiscardingOptions) {
  const program = await executable();
  const source = startLargeSource(SIZE);
  const target = await DiscardingRegistry.start(options);
  try {
    const bundles = join(folder, "bundles.yaml");
    await writeFile(bundles, source.bundles);
    const from = ["--bundles-override", bundles, "--mirror", source.mirror, "-q"];
    const child = Bun.spawn([program, "copy", "artifacts", ...from, "-r", target.url], {
      env: { PATH: process.env.PATH ?? "", HOME: folder, TMPDIR: folder },
      stdin: "ignore",
      stdout: "ignore",
      stderr: "pipe",
    });
    const [stderr, peak] = [new Response(child.stderr).text(), watchMemory(child.pid)];
    expect(await child.exited, await stderr).toBe(0);
    expect(await stderr).toBe("");
    expect(peak()).toBeLessThan(MOST_MEMORY);
    expect(target.stored.get(source.layer.digest)).toBe(SIZE);
    return { given: source.given, breaks: target.breaks, tokens: target.tokens };
  } finally {
    await Promise.all([source.stop(), target.stop()]);
  }
}

test("a huge blob is copied in little memory, and over a lost connection without being fetched twice", async () => {
  const { given, breaks } = await copyLarge({ breaksAt: SIZE / 2 + 5_000_000 });
  expect(breaks).toBe(1);
  expect(given).toBeLessThan(SIZE + MOST_TWICE);
}, 120_000);

test("a huge blob is copied over expired tokens as well", async () => {
  const { breaks, tokens } = await copyLarge({ breaksAt: SIZE / 2 + 5_000_000, tokenLife: 1000 });
  expect(breaks).toBe(1);
  expect(tokens).toBeGreaterThan(1);
}, 120_000);
