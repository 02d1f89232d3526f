import { afterAll, beforeAll, expect, test } from "bun:test";
import { cp, mkdtemp, readdir, rm, stat, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { signatureOf } from "../support/macho.ts";

const ROOT = resolve(import.meta.dir, "../..");
/** Of the runtime alone: what this program adds to it. */
const MOST_ADDED = 0.05;
/** All platforms: their runtimes are downloaded once, 40 MB each. */
const PLATFORMS = process.env.STRESS === undefined ? ["linux-x64"] : [];

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eksa-airgap-release-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

interface Ended {
  status: number;
  text: string;
}

async function run(command: string[], cwd: string): Promise<Ended> {
  const child = Bun.spawn(command, { cwd, stdio: ["ignore", "pipe", "pipe"] });
  const [out, err] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return { status: await child.exited, text: out + err };
}

/** The same source in another folder. */
async function checkout(name: string): Promise<string> {
  const copy = join(folder, name);
  for (const part of ["src", "scripts", "package.json", "tsconfig.json", "bunfig.toml"]) {
    await cp(join(ROOT, part), join(copy, part), { recursive: true });
  }
  await symlink(join(ROOT, "node_modules"), join(copy, "node_modules"));
  return copy;
}

async function release(copy: string, ...args: string[]): Promise<string> {
  const { status, text } = await run([process.execPath, "scripts/release.ts", ...args], copy);
  expect({ status, text }).toMatchObject({ status: 0 });
  return join(copy, "dist", "release");
}

test("a release has the same bytes from whatever folder, its checksums hold, and it is little more than the runtime", async () => {
  const [one, other] = [await checkout("one"), await checkout("a folder of another name")];
  const made = await release(one, ...PLATFORMS);
  const again = await release(other, ...PLATFORMS);
  const files = (await readdir(made)).sort();
  expect(files).toContain("SHA256SUMS");
  const sums = await Bun.file(join(made, "SHA256SUMS")).text();
  expect(await Bun.file(join(again, "SHA256SUMS")).text()).toBe(sums);
  expect(sums.match(/^[0-9a-f]{64} {2}eksa-airgap-v\S+$/gm)).toHaveLength(files.length - 1);
  expect(await run(["sha256sum", "-c", "SHA256SUMS"], made)).toMatchObject({ status: 0 });

  for (const name of files.filter((name) => name.includes("-macos-"))) {
    const { codeLimit, wrong, start, ends } = signatureOf(
      Buffer.from(await Bun.file(join(made, name)).bytes()),
    );
    expect({ name, codeLimit, wrong }).toEqual({ name, codeLimit: start, wrong: [] });
    expect(new Set(ends)).toEqual(new Set([(await stat(join(made, name))).size]));
  }

  const file = files.find((name) => name.endsWith("-linux-x64")) ?? "";
  const { status } = await run([join(made, file), "--version"], folder);
  expect(status).toBe(0);
  await Bun.write(join(folder, "empty.ts"), "");
  await run([process.execPath, "build", "--compile", "empty.ts", "--outfile", "empty"], folder);
  const [runtime, whole] = [await stat(join(folder, "empty")), await stat(join(made, file))];
  expect(whole.size / runtime.size - 1).toBeLessThan(MOST_ADDED);
});

test("a release carries the version that it is built for", async () => {
  const made = await release(await checkout("for a version"), "--eksa-version", "v0.26.1", "linux-x64");
  const [file = ""] = (await readdir(made)).filter((name) => name.endsWith("-linux-x64"));
  expect((await run([join(made, file), "version"], folder)).text).toContain("v0.26.1");
});

test("a platform that there is none of is named, with those that there are", async () => {
  const { status, text } = await run([process.execPath, "scripts/release.ts", "linux-x46"], ROOT);
  expect(status).toBe(2);
  expect(text).toContain("cannot build for linux-x46: there are linux-x64, ");
});
