import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { chmod, lstat, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { lockOutput } from "../../src/archive/lock.ts";
import { parseBundles } from "../../src/eksa/bundles.ts";
import { type RunOptions, runExecutable } from "../support/executable.ts";
import { seedManifests } from "../support/mirrored-manifests.ts";
import { startRegistry, type TestRegistry, type TestRegistryOptions } from "../support/registry.ts";
import { expectFailure, Stage } from "./stage.ts";

let folder: string;
/** New for each test. */
let work: string;
let mirror: TestRegistry;
let intercept: TestRegistryOptions["intercept"];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eksa-airgap-pull-"));
});
beforeEach(async () => {
  work = await mkdtemp(join(folder, "work-"));
  mirror = await startRegistry({ intercept: (request, url) => intercept?.(request, url) });
});
afterEach(async () => {
  intercept = undefined;
  await mirror.stop();
});
afterAll(() => rm(folder, { recursive: true, force: true }));

function pull(flags: readonly string[] = [], options: RunOptions = {}) {
  return runExecutable(["pull", "manifests", "-r", mirror.host, ...flags], { cwd: work, ...options });
}

const DOWNLOADS = "eks-anywhere-downloads";

function bundlesIn(...path: string[]): Promise<string> {
  return readFile(join(work, ...path, "bundle-release.yaml"), "utf8");
}

describe("the manifests of a release come back", () => {
  test("as an import has put them, whole, named by where they are", async () => {
    const stage = await Stage.set();
    try {
      await stage.begin();
      const archive = join(stage.work, "a.tar");
      const flags = ["--eksa-version", "v0.26.1+2"];
      expect(await stage.exportTo(archive, ...flags)).toMatchObject({ status: 0 });
      expect(await stage.importTo(`${mirror.url}/team`, archive)).toMatchObject({ status: 0 });
      const line = ["pull", "manifests", "-r", `${mirror.url}/team`, ...flags];
      const result = await runExecutable(line, { cwd: work });
      expect(result).toMatchObject({ status: 0, stdout: `${join(work, DOWNLOADS)}/bundle-release.yaml\n` });
      const path = join(work, DOWNLOADS, "1.31/parts/a.yaml");
      expect(await readFile(path, "utf8")).toBe("kind: List\n");
      const expected = stage.release.yaml.replace("https://files.example/a.yaml", path);
      expect(await bundlesIn(DOWNLOADS)).toBe(expected);
      await stage.end();
    } finally {
      await stage.strike();
    }
  });

  test("into any folder, at paths that EKS Anywhere takes for files", async () => {
    const published = await seedManifests(mirror.store, { version: "v0.26.1" });
    expect(await pull(["-d", "a b/out"])).toMatchObject({ status: 0 });
    const text = await bundlesIn("a b/out");
    parseBundles({ source: "x", bytes: new TextEncoder().encode(text) });
    const releases = [...text.matchAll(/manifestUrl: "(.*)"/g)].map(([, path = ""]) => path);
    expect(releases.length).toBe(2);
    for (const path of releases) {
      expect(path).toStartWith(`${work}/a b/out/`);
      expect(path).toContain("eks-anywhere-downloads");
      expect(await readFile(path, "utf8")).toContain("kind: Release");
    }
    expect(text).not.toContain("https://anywhere-assets.eks.amazonaws.com/releases/bundles/1/artifacts/capi");
    expect(text.split("\n").length).toBe(published.split("\n").length);
    // And again.
    expect(await pull(["-d", "a b/out"])).toMatchObject({ status: 0 });
  });

  test("which release: the flag, else the only one there is", async () => {
    await seedManifests(mirror.store, { number: 7 });
    expect((await pull()).stderr).toContain("wrote 59 files of bundles-7");
    await seedManifests(mirror.store, { number: 7, version: "v0.26.1" });
    // Two names of one release.
    expect((await pull()).stderr).toContain("of v0.26.1 from");
    await seedManifests(mirror.store, { number: 8, version: "v0.27.0" });
    await seedManifests(mirror.store, { number: 9, version: "v0.27.0-rc.1" });
    const several = await pull();
    expectFailure(several, 2, "holds v0.27.0, v0.27.0-rc.1, v0.26.1", "name one with `--eksa-version V`");
    expect((await pull(["--eksa-version", "v0.26.1"])).stderr).toContain("of v0.26.1 from");
    const absent = await pull(["--eksa-version", "v0.26.2"]);
    expectFailure(
      absent,
      1,
      "the manifests of EKS Anywhere v0.26.2",
      "it holds v0.27.0, v0.27.0-rc.1, v0.26.1",
    );
    expect(absent.stderr).toContain(`import artifacts --input artifacts.tar --registry ${mirror.host}`);
    expectFailure(await pull(["--eksa-version", "a/b"]), 2, "cannot use the version `a/b` as a tag");
  });

  test("a registry that was never imported into says so", async () => {
    expectFailure(
      await pull(),
      1,
      "cannot find any manifests in",
      "it holds none",
      "export artifacts --output",
    );
  });
});

describe("a folder that is there already", () => {
  test("gets what has changed, and keeps what is not ours", async () => {
    await seedManifests(mirror.store, { number: 1, version: "v0.26.1" });
    await pull();
    const path = join(work, DOWNLOADS, "1.31/kindnetd/kindnetd.yaml");
    const good = await readFile(path, "utf8");
    await writeFile(path, "damaged");
    await writeFile(join(work, DOWNLOADS, "mine"), "mine");
    expect(await pull()).toMatchObject({ status: 0 });
    expect(await readFile(path, "utf8")).toBe(good);
    expect((await readdir(join(work, DOWNLOADS))).sort()).toEqual([
      "1.30",
      "1.31",
      "bundle-release.yaml",
      "mine",
    ]);
    // What is right is not touched: it may be in use.
    const before = await lstat(path);
    expect(await pull()).toMatchObject({ status: 0 });
    expect((await lstat(path)).ino).toBe(before.ino);
  });

  test("has no Bundles while it is not whole", async () => {
    await seedManifests(mirror.store, { number: 1, version: "v0.26.1" });
    await pull();
    await rm(join(work, DOWNLOADS, "1.31/kindnetd"), { recursive: true });
    await writeFile(join(work, DOWNLOADS, "1.31/kindnetd"), "in the way");
    expectFailure(await pull(), 1, `cannot write into ${join(work, DOWNLOADS)}`, "it is a file");
    expect(await readdir(join(work, DOWNLOADS))).not.toContain("bundle-release.yaml");
    await rm(join(work, DOWNLOADS, "1.31/kindnetd"));
    expect(await pull()).toMatchObject({ status: 0 });
    expect(await bundlesIn(DOWNLOADS)).toContain("kind: Bundles");
  });

  test("is left alone while another run writes there", async () => {
    await seedManifests(mirror.store, { number: 1, version: "v0.26.1" });
    await mkdir(join(work, DOWNLOADS));
    const other = lockOutput(join(work, DOWNLOADS, "bundle-release.yaml"));
    const pulled = pull();
    await Bun.sleep(1000);
    expect(await readdir(join(work, DOWNLOADS))).toEqual(["bundle-release.yaml.lock"]);
    other.release();
    expect(await pulled).toMatchObject({ status: 0 });
    expect((await readdir(join(work, DOWNLOADS))).sort()).toEqual(["1.30", "1.31", "bundle-release.yaml"]);
  });

  test("has links that are not followed", async () => {
    await seedManifests(mirror.store);
    const elsewhere = join(work, "elsewhere");
    await mkdir(elsewhere);
    await writeFile(join(elsewhere, "victim"), "untouched");
    await mkdir(join(work, DOWNLOADS, "1.30/kindnetd"), { recursive: true });
    await symlink(join(elsewhere, "victim"), join(work, DOWNLOADS, "bundle-release.yaml"));
    await symlink(join(elsewhere, "victim"), join(work, DOWNLOADS, "1.30/kindnetd/kindnetd.yaml"));
    expect(await pull()).toMatchObject({ status: 0 });
    expect((await lstat(join(work, DOWNLOADS, "1.30/kindnetd/kindnetd.yaml"))).isFile()).toBe(true);
    await rm(join(work, DOWNLOADS, "1.31"), { recursive: true });
    await symlink(elsewhere, join(work, DOWNLOADS, "1.31"));
    expectFailure(await pull(), 1, "1.31 as a folder: it is a link");
    expect(await readdir(elsewhere)).toEqual(["victim"]);
    expect(await readFile(join(elsewhere, "victim"), "utf8")).toBe("untouched");
  });

  test("that cannot be written to is named", async () => {
    await seedManifests(mirror.store);
    await mkdir(join(work, "closed"));
    await chmod(join(work, "closed"), 0o500);
    // Modes do not stop root; the kernel's own folders do.
    const closed = process.getuid?.() === 0 ? "/sys" : "closed";
    expectFailure(await pull(["-d", `${closed}/x`]), 1, "cannot write into");
  });

  test("whose path EKS Anywhere could not read is refused", async () => {
    await seedManifests(mirror.store);
    expectFailure(await pull(["-d", "100%"]), 2, "there is a `%` in the path");
    expect(await readdir(work)).toEqual([]);
  });
});

test("bytes that are not what they should be end with 4, and nothing is written", async () => {
  await seedManifests(mirror.store);
  intercept = (_, { pathname }) =>
    /\/blobs\/sha256:/.test(pathname) ? new Response("kind: Evil\n", { status: 200 }) : undefined;
  const result = await pull();
  expectFailure(result, 4, "cannot read `");
  expect(await readdir(work)).toEqual([]);
});
