import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtemp, readFile, rename, rm, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { TarFile } from "../../src/archive/reader.ts";
import { ArchiveSource } from "../../src/archive/source.ts";
import { findArchive, volumeName, volumesOf } from "../../src/archive/volumes.ts";
import { digestOf } from "../../src/oci/digest.ts";
import { faultOf, textOf } from "../support/faults.ts";
import { someContents, writeArchive } from "./archives.ts";
import { END, file } from "./tars.ts";

let folder: string;
let output: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "eksa-airgap-volumes-"));
  output = join(folder, "artifacts.tar");
});

afterEach(() => rm(folder, { recursive: true }));

/** Cuts an archive into volumes, and returns their paths. */
async function split(bytes: Uint8Array, splitSize: number): Promise<string[]> {
  const members = volumesOf(output, bytes.length, splitSize);
  let start = 0;
  for (const { path, size } of members) {
    await Bun.write(path, bytes.slice(start, start + size));
    start += size;
  }
  return members.map(({ path }) => path);
}

/** An archive of ours whose volumes of 3000 bytes all have headers in them, and more than four. */
async function splitArchive(): Promise<string[]> {
  await writeArchive(output, someContents());
  const bytes = await readFile(output);
  await rm(output);
  return split(bytes, 3000);
}

function read(path: string): void {
  const tar = new TarFile(path);
  try {
    tar.entries();
  } finally {
    tar.close();
  }
}

describe("an archive is cut into volumes", () => {
  test.each<[number, number, number[]]>([
    [10, 4, [4, 4, 2]],
    [8, 4, [4, 4]],
    [3, 4, [3]],
    [4, 4, [4]],
  ])("of %p bytes by %p", (size, splitSize, sizes) => {
    const members = volumesOf("a.tar", size, splitSize);
    expect(members.map((each) => each.size)).toEqual(sizes);
    expect(members.map(({ path }) => path)).toEqual(
      ["a.tar.000", "a.tar.001", "a.tar.002"].slice(0, sizes.length),
    );
  });

  test("as many as three digits can number, in the order of their names", async () => {
    const names = volumesOf("a.tar", 10_000, 10).map(({ path }) => path);
    expect(names.toSorted()).toEqual(names);
    expect(names.at(-1)).toBe("a.tar.999");
    const fault = await faultOf(() => volumesOf("a.tar", 10_001, 10));
    expect(fault).toMatchObject({ kind: "usage", hint: expect.stringContaining("`--split-size 11`") });
    expect(textOf(fault)).toContain("a.tar into 1001 volumes");
    // Told before there is memory for any of them.
    expect((await faultOf(() => volumesOf("a.tar", 2 ** 50, 1))).kind).toBe("usage");
  });

  test("that together are as long as it", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 100_000 }),
        fc.integer({ min: 100, max: 200_000 }),
        (size, cut) => {
          const sizes = volumesOf("a", size, cut).map((member) => member.size);
          expect(sizes.reduce((sum, each) => sum + each, 0)).toBe(size);
          expect(sizes.every((each) => each > 0 && each <= cut)).toBe(true);
        },
      ),
    );
  });
});

describe("the volumes are found", () => {
  test.each([
    ["by the first one", ".000"],
    ["by the archive's name", ""],
  ])("%s, and read as one", async (_, suffix) => {
    const { plan } = await writeArchive(output, someContents());
    const whole = new ArchiveSource(output);
    const expected = whole.references;
    whole.close();
    await rename(output, join(folder, "whole.tar"));
    await split(await readFile(join(folder, "whole.tar")), 3000);
    const source = new ArchiveSource(output + suffix);
    expect(source.references).toEqual(expected);
    source.assertHolds(plan);
    for (const node of plan.nodes.values()) {
      const content = Buffer.concat(await Array.fromAsync(await source.open(node)));
      expect(digestOf(content)).toBe(node.descriptor.digest);
    }
    source.close();
  });

  test("but a file in one piece goes before them", async () => {
    await splitArchive();
    await Bun.write(output, file("a"));
    expect(findArchive(output).members).toEqual([{ path: output, size: 512 }]);
  });

  test("and other files beside them are not taken", async () => {
    const paths = await split(Buffer.concat([file("a", "x"), END]), 1000);
    for (const name of ["artifacts.tar.0003", "artifacts.tar.02", "artifacts.tar.partial", "b.tar.002"])
      await Bun.write(join(folder, name), "x");
    expect(findArchive(`${output}.000`).members.map(({ path }) => path)).toEqual(paths);
  });

  test("beyond number 999", async () => {
    const bytes = Buffer.concat([file("a", "x".repeat(500)), file("b", "y"), END]);
    for (let at = 0; at < bytes.length; at += 2) {
      await Bun.write(volumeName(output, at / 2), bytes.subarray(at, at + 2));
    }
    expect(await Bun.file(`${output}.1535`).exists()).toBe(true);
    const tar = new TarFile(output);
    expect([...tar.entries().keys()]).toEqual(["a", "b"]);
    tar.close();
  });
});

test("another volume than the first is refused, with the first's name", async () => {
  const [, second = ""] = await splitArchive();
  const fault = await faultOf(() => read(second));
  expect(fault.kind).toBe("usage");
  expect(textOf(fault)).toContain("artifacts.tar.001: it is not the first volume");
  expect(fault.hint).toContain(`\`${output}.000\``);
});

test("also where it is there by itself", async () => {
  const paths = await splitArchive();
  for (const path of paths.filter((each) => !each.endsWith(".001"))) await rm(path);
  expect((await faultOf(() => read(`${output}.001`))).hint).toContain("artifacts.tar.000");
});

test("a number that no archive reaches is a gap, and takes no memory", async () => {
  await Bun.write(`${output}.999999999`, "x");
  expect((await faultOf(() => read(output))).message).toContain(`its volume ${output}.000 is missing`);
});

test("an archive in one piece may end in a number", async () => {
  const path = join(folder, "v1.31.104");
  await Bun.write(path, Buffer.concat([file("a"), END]));
  read(path);
});

describe("named is the volume that", () => {
  test.each([
    ["is missing between others", 2],
    ["is missing at the front", 0],
  ])("%s", async (_, index) => {
    const paths = await splitArchive();
    await rm(paths[index] ?? "");
    const fault = await faultOf(() => read(output));
    expect(fault.kind).toBe("mismatch");
    expect(fault.message).toContain(`its volume ${paths[index]} is missing`);
    if (index > 0) expect((await faultOf(() => read(`${output}.000`))).message).toBe(fault.message);
  });

  test("is missing at the end: the archive is cut short", async () => {
    const paths = await splitArchive();
    await Promise.all(paths.slice(2).map((path) => rm(path)));
    const fault = await faultOf(() => read(`${output}.000`));
    expect(fault.kind).toBe("mismatch");
    expect(textOf(fault)).toContain("it is cut short");
    expect(textOf(fault)).toContain("has 6000 bytes");
    expect(fault.hint).toContain(`\`${output}.002\``);
    expect(fault.hint).toContain("missing");
  });

  test("is missing after the only one", async () => {
    const paths = await splitArchive();
    await Promise.all(paths.slice(1).map((path) => rm(path)));
    expect((await faultOf(() => read(`${output}.000`))).hint).toContain(`\`${output}.001\``);
  });

  test.each([
    ["is truncated", 0, 2999, "truncated"],
    ["is truncated between others", 1, 100, "truncated"],
    ["is too long", 2, 3001, "too long"],
  ])("%s", async (_, index, size, harm) => {
    const paths = await splitArchive();
    await truncate(paths[index] ?? "", size);
    const fault = await faultOf(() => read(output));
    expect(fault.kind).toBe("mismatch");
    expect(fault.message).toContain(`its volume ${paths[index]} is ${harm}`);
    expect(textOf(fault)).toContain(`it has ${size} bytes, and the volumes before the last have 3000`);
  });

  test("is the last and truncated", async () => {
    const paths = await splitArchive();
    await truncate(paths.at(-1) ?? "", 5);
    const fault = await faultOf(() => read(output));
    expect(fault.message).toContain("it is cut short");
    expect(fault.hint).toContain(`copy \`${paths.at(-1)}\` again: it is truncated`);
  });

  test("is the last and too long", async () => {
    const paths = await splitArchive();
    await truncate(paths.at(-1) ?? "", 3001);
    expect((await faultOf(() => read(output))).message).toContain(`its volume ${paths.at(-1)} is too long`);
  });

  test("is in the place of another", async () => {
    const paths = await splitArchive();
    const [, second = "", third = ""] = paths;
    await rename(second, join(folder, "x"));
    await rename(third, second);
    await rename(join(folder, "x"), third);
    const fault = await faultOf(() => read(output));
    expect(fault.kind).toBe("mismatch");
    expect(fault.message).toContain(`its volume ${second} does not fit`);
    expect(textOf(fault)).toMatch(/tar header at byte [345]\d\d\d:/);
  });

  test("is of another set", async () => {
    const paths = await splitArchive();
    await Bun.write(paths[2] ?? "", "x".repeat(3000));
    expect((await faultOf(() => read(output))).message).toContain(`its volume ${paths[2]} does not fit`);
  });

  test("comes after the end, left by a longer archive", async () => {
    const bytes = Buffer.concat([file("a", "x".repeat(2000)), END]);
    const paths = await split(bytes, bytes.length / 2);
    const left = `${output}.00${paths.length}`;
    await Bun.write(left, "x".repeat(100));
    const fault = await faultOf(() => read(output));
    expect(fault.kind).toBe("mismatch");
    expect(fault.message).toContain(`where ${left} goes on`);
  });
});

test("zeros behind the end may fill another volume", async () => {
  await split(Buffer.concat([file("a", "x"), END, new Uint8Array(8192)]), 2048);
  read(output);
});
