import { expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { GzipFile } from "../../src/archive/gzip-file.ts";
import { pseudoRandomBytes } from "../support/content.ts";
import { faultOf } from "../support/faults.ts";
import { inFolder } from "./archives.ts";

const PIECES = [pseudoRandomBytes(3_000_000, "a"), new Uint8Array(), new Uint8Array(2_000_000)];

async function fill(file: GzipFile): Promise<void> {
  for (const piece of PIECES) {
    // Whoever gave it may use it for something else at once.
    const given = piece.slice();
    await file.write(given);
    given.fill(1);
  }
}

test("what was written is in the file, and the name is the whole file's alone", async () => {
  await inFolder(async (folder) => {
    const path = join(folder, "out.tar.gz");
    writeFileSync(path, "before");
    writeFileSync(`${path}.unfinished`, "of a run that was killed");
    const file = new GzipFile(path);
    await fill(file);
    expect(readFileSync(path, "utf8")).toBe("before");
    await file.commit();
    await file.close();
    expect(gunzipSync(readFileSync(path)).equals(Buffer.concat(PIECES))).toBe(true);
    expect(readdirSync(folder)).toEqual(["out.tar.gz"]);
  });
});

test("what is given up leaves nothing behind", async () => {
  await inFolder(async (folder) => {
    const file = new GzipFile(join(folder, "out.tar.gz"));
    await fill(file);
    await file.close();
    expect(readdirSync(folder)).toEqual([]);
  });
});

test("a link stays one", async () => {
  await inFolder(async (folder) => {
    const [link, real] = [join(folder, "link.gz"), join(folder, "real.gz")];
    writeFileSync(real, "before");
    symlinkSync("real.gz", link);
    const file = new GzipFile(link);
    await fill(file);
    await file.commit();
    await file.close();
    expect(gunzipSync(readFileSync(real)).length).toBe(5_000_000);
    expect(readFileSync(link).equals(readFileSync(real))).toBe(true);
  });
});

test("a second run is kept away, and a place that cannot be written to is named", async () => {
  await inFolder(async (folder) => {
    const nowhere = join(folder, "nowhere", "out.gz");
    const fault = await faultOf(async () => void new GzipFile(nowhere));
    expect(fault.message).toBe(`cannot write ${nowhere}`);
    expect(fault.hint).toContain("see that there is room");
    const path = join(folder, "out.gz");
    // A process that lives.
    writeFileSync(`${path}.lock`, `${process.ppid}@${(await import("node:os")).hostname()} \n`);
    expect((await faultOf(async () => void new GzipFile(path))).message).toContain(
      "another run is writing it",
    );
    expect(existsSync(`${path}.unfinished`)).toBe(false);
  });
});
