import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { volumeName } from "../../src/archive/volumes.ts";
import { Workplace } from "../../src/archive/workplace.ts";
import { transfer } from "../../src/transfer/transfer.ts";
import { faultOf } from "../support/faults.ts";
import { MemorySource, planOf } from "../support/memory.ts";
import { Writing } from "../support/writing.ts";
import { someContents, writeArchive } from "./archives.ts";

const SPLIT = 6000;
const contents = someContents();
const plan = await planOf(contents);

let folder: string;
let output: string;
let expected: Buffer;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "eksa-airgap-workplace-"));
  output = join(folder, "out", "a.tar");
  await mkdir(join(folder, "out"));
  await writeArchive(join(folder, "expected.tar"), contents);
  expected = await readFile(join(folder, "expected.tar"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const names = async () => (await readdir(join(folder, "out"))).sort();

/** Everything but the commit. */
async function filled(splitSize?: number): Promise<Writing> {
  const writing = await Writing.begin(output, plan, splitSize);
  const options = {
    jobs: 3,
    onFailure: "stop",
    listener: () => {},
    signal: new AbortController().signal,
  } as const;
  const { lost } = await transfer(plan, new MemorySource(contents), writing.sink, options);
  expect(lost).toEqual([]);
  return writing;
}

async function joinedVolumes(): Promise<Buffer> {
  const volumes = (await names()).filter((name) => /^a\.tar\.\d{3}$/.test(name));
  return Buffer.concat(await Promise.all(volumes.map((name) => readFile(join(folder, "out", name)))));
}

const PLANTED = [".partial", ".journal", ".000.partial"];

test.each(PLANTED)("a link planted under the name of the %s is not followed", async (end) => {
  const victim = join(folder, "victim");
  for (const target of [victim, join(folder, "nowhere")]) {
    await writeFile(victim, "precious");
    await symlink(target, output + end);
    const fault = await faultOf(() => new Workplace(output));
    expect(fault.message).toBe(`cannot use ${output}${end}: it is not a file`);
    expect(await readFile(victim, "utf8")).toBe("precious");
    expect(existsSync(join(folder, "nowhere"))).toBe(false);
    await rm(output + end);
  }
});

test("nor one that takes the place of what is gone on with", async () => {
  const victim = join(folder, "victim");
  await writeFile(victim, "precious");
  for (const index of [0, 2]) {
    await (await filled(SPLIT)).leave();
    const path = `${volumeName(output, index)}.partial`;
    await rm(path);
    await symlink(victim, path);
    expect((await faultOf(() => filled(SPLIT))).message).toContain(path);
    expect(await readFile(victim, "utf8")).toBe("precious");
    await rm(join(folder, "out"), { recursive: true });
    await mkdir(join(folder, "out"));
  }
});

test("a link under a volume's final name is replaced and not written through", async () => {
  const victim = join(folder, "victim");
  await writeFile(victim, "precious");
  for (const index of [0, 1]) await symlink(victim, volumeName(output, index));
  await (await filled(SPLIT)).commit();
  expect(await readFile(victim, "utf8")).toBe("precious");
  expect(Buffer.compare(await joinedVolumes(), expected)).toBe(0);
});

test("a commit that is gone on with writes through no link under a final name", async () => {
  const victim = join(folder, "victim");
  await writeFile(victim, "precious");
  const writing = await filled(SPLIT);
  await mkdir(volumeName(output, 1));
  await expect(writing.commit()).rejects.toThrow();
  writing.release();
  await rm(volumeName(output, 1), { recursive: true });
  await rm(volumeName(output, 2));
  await symlink(victim, volumeName(output, 2));
  const fault = await faultOf(() => filled(SPLIT));
  expect(fault.message).toContain("it is not a file");
  expect(await readFile(victim, "utf8")).toBe("precious");
});

test("an output that is a link stays one, and what is beside its target is what counts", async () => {
  await mkdir(join(folder, "other"));
  const target = join(folder, "other", "b.tar");
  await writeFile(target, "old");
  await symlink(target, output);
  await (await filled()).commit();
  expect(await names()).toEqual(["a.tar"]);
  expect(await readdir(join(folder, "other"))).toEqual(["b.tar"]);
  expect(Buffer.compare(await readFile(target), expected)).toBe(0);
});

test("nor does it become a file where its target is not there yet", async () => {
  const disk = join(folder, "disk");
  await mkdir(disk);
  await symlink("../disk/hop.tar", output);
  await symlink("real.tar", join(disk, "hop.tar"));
  const workplace = new Workplace(output);
  expect(workplace.output).toBe(join(disk, "real.tar"));
  workplace.release();
});
