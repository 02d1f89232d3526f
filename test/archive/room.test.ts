import { afterAll, expect, test } from "bun:test";
import { statfsSync, statSync } from "node:fs";
import { mkdtemp, readdir, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { assertSizes, hasRoom, roomFor } from "../../src/archive/room.ts";

const folder = await mkdtemp(join(tmpdir(), "eksa-airgap-room-"));
afterAll(() => rm(folder, { recursive: true, force: true }));

const MIB = 1024 * 1024;
const needed = (...members: [name: string, size: number][]) =>
  roomFor(members.map(([name, size]) => ({ path: join(folder, name), size })))?.needed;

test("what is needed is what is not there yet, and a little more", async () => {
  const spare = (needed(["none", 5 * MIB]) ?? 0) - 5 * MIB;
  expect(spare).toBeGreaterThan(0);
  await writeFile(join(folder, "part"), new Uint8Array(2 * MIB).fill(1));
  expect(needed(["part", 5 * MIB])).toBe(3 * MIB + spare);
  expect(needed(["part", 5 * MIB], ["none", MIB])).toBe(4 * MIB + spare);
});

test("what is whole needs nothing", async () => {
  await writeFile(join(folder, "whole"), new Uint8Array(MIB).fill(1));
  expect(needed(["whole", MIB])).toBe(0);
  expect(hasRoom({ needed: 0, free: 0, folder })).toBe(true);
});

test("a hole takes no room yet, so it is needed", async () => {
  const path = join(folder, "hole");
  await writeFile(path, "");
  await truncate(path, 50 * MIB);
  // Where files cannot have holes it is written, and there.
  const taken = statSync(path).blocks * 512;
  expect(needed(["hole", 50 * MIB])).toBeGreaterThan(50 * MIB - taken);
});

test("what is free is what the file system says; of no folder nothing is known", () => {
  const { bavail, bsize } = statfsSync(folder);
  const free = roomFor([{ path: join(folder, "x"), size: 1 }])?.free ?? 0;
  expect(Math.abs(free - bavail * bsize)).toBeLessThan(1024 * MIB);
  expect(roomFor([{ path: join(folder, "nowhere", "x"), size: 1 }])).toBeUndefined();
});

test("there is room for exactly as much as is free", () => {
  expect(hasRoom({ needed: 10, free: 10, folder })).toBe(true);
  expect(hasRoom({ needed: 11, free: 10, folder })).toBe(false);
});

test("a file that can be held leaves nothing of the try, and what is there is not touched", async () => {
  const path = join(folder, "small.partial");
  assertSizes([{ path, size: 100 * MIB }]);
  expect(await readdir(folder)).not.toContain("small.partial");
  await writeFile(path, "precious");
  assertSizes([{ path, size: 100 * MIB }]);
  expect(await Bun.file(path).text()).toBe("precious");
});
