import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { appendFile, link, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Layout, layOut } from "../../src/archive/layout.ts";
import { volumeName, volumesOf } from "../../src/archive/volumes.ts";
import { Workplace } from "../../src/archive/workplace.ts";
import type { Plan } from "../../src/oci/plan.ts";
import { transfer } from "../../src/transfer/transfer.ts";
import { faultOf } from "../support/faults.ts";
import { MemorySource, planOf, rawImage } from "../support/memory.ts";
import { Writing } from "../support/writing.ts";
import { someContents, writeArchive } from "./archives.ts";

const SPLIT = 6000;
const contents = someContents();
const plan = await planOf(contents);
const layout = layOut(plan);

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

const finals = volumesOf("a.tar", layout.size, SPLIT).map(({ path }) => path);

test("volumes one after the other are the plain archive", async () => {
  await (await filled(SPLIT)).commit();
  expect(await names()).toEqual(finals);
  expect(finals.length).toBeGreaterThan(3);
  expect(Buffer.compare(await joinedVolumes(), expected)).toBe(0);
});

test.each([1, 511, 512, 5000, 25_599, 25_600, 1_000_000].map((size) => [Math.max(size, 300)]))(
  "volumes of %i bytes are the plain archive",
  async (size) => {
    await (await filled(size)).commit();
    expect(Buffer.compare(await joinedVolumes(), expected)).toBe(0);
  },
);

/** What a folder in the way does to a rename, a crash before it does as well. */
test.each(finals.map((name, index) => [name, index] as const))(
  "a commit that ends before %s has its name is not whole by any name, and is gone on with",
  async (name, index) => {
    const writing = await filled(SPLIT);
    if (index > 0) {
      await mkdir(join(folder, "out", name));
      await expect(writing.commit()).rejects.toThrow();
      await rm(join(folder, "out", name), { recursive: true });
    } else {
      // The first one is removed if it is there, so a folder in its place fails sooner; its rename is the last.
      await mkdir(join(folder, "out", name));
      await expect(writing.commit()).rejects.toThrow();
      await rm(join(folder, "out", name), { recursive: true });
      for (const later of finals.slice(1))
        await rename(`${join(folder, "out", later)}.partial`, join(folder, "out", later));
    }
    expect(existsSync(volumeName(output, 0))).toBe(false);
    const there = (await names()).filter((one) => finals.includes(one));
    expect(there).toEqual(finals.slice(index + 1));
    writing.release();
    const again = await filled(SPLIT);
    expect(again.isResumed).toBe(true);
    await again.commit();
    expect(await names()).toEqual(finals);
    expect(Buffer.compare(await joinedVolumes(), expected)).toBe(0);
  },
);

test("a run that ends after the last name was given only has to clean up", async () => {
  await (await filled()).leave();
  const saved = await readFile(`${output}.journal`);
  await (await filled()).commit();
  await writeFile(`${output}.journal`, `${saved.toString("latin1")}commit\n`, "latin1");
  const workplace = new Workplace(output);
  expect(workplace.unfinished).toBeUndefined();
  workplace.release();
  expect(await names()).toEqual(["a.tar"]);
});

test("volumes of an older, longer set are gone once the new one is there", async () => {
  for (let index = 0; index < finals.length + 4; index++) await writeFile(volumeName(output, index), "old");
  await writeFile(`${output}.notes`, "mine");
  await (await filled(SPLIT)).commit();
  expect(await names()).toEqual([...finals, "a.tar.notes"]);
  expect(Buffer.compare(await joinedVolumes(), expected)).toBe(0);
});

test("an older, longer set that is half replaced does not read as whole, and does not stay", async () => {
  for (let index = 0; index < finals.length + 4; index++) await writeFile(volumeName(output, index), "old");
  const writing = await filled(SPLIT);
  // A folder in the way of the removal of the older ones.
  const obstacle = volumeName(output, finals.length + 1);
  await rm(obstacle);
  await mkdir(obstacle);
  await expect(writing.commit()).rejects.toThrow();
  expect(existsSync(volumeName(output, 0))).toBe(false);
  await rm(obstacle, { recursive: true });
  await writeFile(obstacle, "old");
  writing.release();
  await (await filled(SPLIT)).commit();
  expect(await names()).toEqual(finals);
});

test("an older output stays until the new one is whole", async () => {
  await writeFile(output, "old");
  const writing = await filled();
  expect(await readFile(output, "utf8")).toBe("old");
  await writing.commit();
  expect(Buffer.compare(await readFile(output), expected)).toBe(0);
});

test("bytes without a journal are nobody's: they are refused and kept", async () => {
  await writeFile(`${output}.partial`, "precious");
  const fault = await faultOf(() => new Workplace(output));
  expect(fault.message).toContain("journal");
  expect(fault.hint).toContain(`${output}.partial`);
  expect(await names()).toEqual(["a.tar.partial"]);
  expect(await readFile(`${output}.partial`, "utf8")).toBe("precious");
});

test("bytes with a damaged journal likewise, volumes too", async () => {
  await writeFile(`${output}.000.partial`, "precious");
  await writeFile(`${output}.journal`, "eksa-airgap-journal-1 12 sha");
  const fault = await faultOf(() => new Workplace(output));
  expect(fault.hint).toStartWith(`remove ${output}.*.partial, then`);
  expect(await names()).toEqual(["a.tar.000.partial", "a.tar.journal"]);
});

test("a run that was killed before its first byte leaves nothing in the way", async () => {
  await writeFile(`${output}.partial`, "");
  await writeFile(`${output}.journal`, "eksa-air");
  const workplace = new Workplace(output);
  expect(workplace.unfinished).toBeUndefined();
  workplace.release();
  expect(await names()).toEqual([]);
});

test("bytes behind the end of what is gone on with are cut off", async () => {
  await (await filled()).leave();
  await appendFile(`${output}.partial`, "x".repeat(5000));
  await (await filled()).commit();
  expect(Buffer.compare(await readFile(output), expected)).toBe(0);
});

test("a file of a set that is gone is written once more", async () => {
  await (await filled(SPLIT)).leave();
  await rm(`${volumeName(output, 1)}.partial`);
  await (await filled(SPLIT)).commit();
  expect(Buffer.compare(await joinedVolumes(), expected)).toBe(0);
});

async function otherPlan(): Promise<{ plan: Plan; layout: Layout }> {
  const other = await planOf({ ...contents, "r.io/more:v1": rawImage(["one", "two more"]) });
  return { plan: other, layout: layOut(other) };
}

/** What is there is set aside and something else begun. */
async function setAside(splitSize?: number): Promise<void> {
  const workplace = new Workplace(output);
  const { unfinished } = workplace;
  if (unfinished === undefined) throw new Error("nothing to set aside");
  workplace.setAside(unfinished);
  const other = await otherPlan();
  workplace.begin({ command: {}, notes: {}, plan: other.plan, cut: { splitSize } }, other.layout).close();
  workplace.release();
}

test("what was begun with another plan is set aside, the latest first, and gone when a plan is done", async () => {
  await (await filled()).leave();
  await setAside();
  await setAside(SPLIT);
  expect((await names()).filter((name) => name.endsWith(".journal"))).toEqual([
    "a.tar.journal",
    "a.tar.previous-1.journal",
    "a.tar.previous-2.journal",
  ]);
  const workplace = new Workplace(output);
  const earlier = workplace.previous();
  expect(earlier.map(({ kept }) => kept.size > 0)).toEqual([false, true]);
  const blob = [...plan.nodes.values()].find(({ kind, bytes }) => kind === "blob" && bytes === undefined);
  const extent = layout.byDigest.get(blob?.descriptor.digest ?? "sha256:");
  expect(extent && earlier[1]?.layout.byDigest.get(blob?.descriptor.digest ?? "sha256:")).toEqual(extent);
  for (const { files } of earlier) files.close();
  const { unfinished } = workplace;
  if (unfinished === undefined) throw new Error("nothing begun");
  const other = await otherPlan();
  await workplace.commit(workplace.resume(unfinished, other.layout), other.layout, { splitSize: SPLIT });
  expect((await names()).filter((name) => !/^a\.tar\.\d{3}$/.test(name))).toEqual([]);
});

test.each([undefined, SPLIT])(
  "nothing of it is left over where its journal is damaged (volumes of %p)",
  async (size) => {
    await (await filled(size)).leave();
    await setAside();
    const journal = `${output}.previous-1.journal`;
    await writeFile(journal, (await readFile(journal)).subarray(1));
    const workplace = new Workplace(output);
    expect(workplace.previous()).toEqual([]);
    const { unfinished } = workplace;
    if (unfinished === undefined) throw new Error("nothing begun");
    const other = await otherPlan();
    await workplace.commit(workplace.resume(unfinished, other.layout), other.layout, {});
    expect(await names()).toEqual(["a.tar"]);
  },
);

test("a run that was killed while it set volumes aside is understood, and its bytes are used", async () => {
  await (await filled(SPLIT)).leave();
  // The journal and one of the volumes have moved, the others have not.
  await rename(`${output}.journal`, `${output}.previous-1.journal`);
  await rename(`${output}.001.partial`, `${output}.previous-1.001.partial`);
  const workplace = new Workplace(output);
  expect(workplace.unfinished).toBeUndefined();
  const [earlier] = workplace.previous();
  const bytes = new Uint8Array(expected.length);
  await earlier?.files.read(bytes, 0);
  // All but the end marker, which comes last.
  expect(Buffer.compare(bytes.subarray(0, -1024), expected.subarray(0, -1024))).toBe(0);
  earlier?.files.close();
  workplace.release();
  expect((await names()).every((name) => name.startsWith("a.tar.previous-1."))).toBe(true);
});

test("volumes that have their names already are set aside with the others", async () => {
  const writing = await filled(SPLIT);
  await mkdir(volumeName(output, 1));
  await expect(writing.commit()).rejects.toThrow();
  writing.release();
  await rm(volumeName(output, 1), { recursive: true });
  expect(await names()).toContain("a.tar.002");
  await setAside();
  expect(await names()).not.toContain("a.tar.002");
  const workplace = new Workplace(output);
  const [earlier] = workplace.previous();
  const bytes = new Uint8Array(expected.length);
  await earlier?.files.read(bytes, 0);
  expect(Buffer.compare(bytes, expected)).toBe(0);
  earlier?.files.close();
  workplace.release();
});

test("what cannot be used of what was set aside is left out", async () => {
  await (await filled(SPLIT)).leave();
  await setAside();
  await rm(`${output}.previous-1.001.partial`);
  const workplace = new Workplace(output);
  expect(workplace.previous()).toEqual([]);
  workplace.release();
});

test("a second run at the same output is refused, by whatever name it calls it", async () => {
  const first = new Workplace(output);
  await writeFile(`${output}.lock`, `1@${(await readFile(`${output}.lock`, "utf8")).split("@")[1]}`);
  expect((await faultOf(() => new Workplace(output))).message).toContain("another run is writing it");
  await link(`${output}.lock`, join(folder, "kept"));
  first.release();
});
