import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { version } from "../../package.json";
import { type RunResult, runExecutable } from "../support/executable.ts";
import { releaseManifest } from "../support/release-manifest.ts";
import { bundlesUrl, NEW, OLD, ReleaseStage } from "./release-stage.ts";
import { expectFailure } from "./stage.ts";

const ROOT = resolve(import.meta.dir, "../..");

let stage: ReleaseStage;
let built: string;

beforeAll(async () => {
  stage = await ReleaseStage.set();
  built = join(stage.folder, "built");
  expect(await build("--eksa-version", OLD, "--outfile", built)).toMatchObject({ status: 0 });
});

afterEach(() => stage.end());

afterAll(() => stage.strike());

async function build(...flags: string[]): Promise<{ status: number; stderr: string }> {
  const child = Bun.spawn([process.execPath, "scripts/build.ts", ...flags], {
    cwd: ROOT,
    stdout: "ignore",
    stderr: "pipe",
  });
  const stderr = await new Response(child.stderr).text();
  return { status: await child.exited, stderr };
}

async function run(...words: string[]): Promise<string> {
  const { status, stdout, stderr } = await runBuilt(...words);
  expect(status, stderr).toBe(0);
  return stdout + stderr;
}

async function runBuilt(...words: string[]): Promise<RunResult> {
  const child = Bun.spawn([built, ...words], {
    cwd: stage.folder,
    env: { HOME: stage.folder },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return { status: await child.exited, stdout, stderr };
}

describe("a program that was built for a version", () => {
  test("says which", async () => {
    expect(await run("--version")).toBe(`${version} (for EKS Anywhere ${OLD})\n`);
    expect(await run("version")).toBe(`${version} (for EKS Anywhere ${OLD})\n`);
    expect(JSON.parse(await run("version", "-o", "json"))).toEqual({ version, eksaVersion: OLD });
  });

  test("exports that one, and another where it is asked to", async () => {
    const said = await run("export", "artifacts", "-o", "built.tar", ...stage.online.mirrors);
    expect(said).toContain(`EKS Anywhere ${OLD}, from https://`);
    expect(await stage.bytes("built.tar")).toEqual(await stage.bytes("old.tar"));
    await run("export", "artifacts", "-o", "asked.tar", ...stage.online.mirrors, "--eksa-version", NEW);
    expect(await stage.bytes("asked.tar")).toEqual(await stage.bytes("new.tar"));
  });

  test("takes it from a registry whose latest release is another one", async () => {
    const mirror = await stage.startTarget();
    await stage.import("old.tar", mirror);
    await stage.import("new.tar", mirror);
    const address = `oci://${mirror.host}/eks-anywhere/release-manifest:latest`;
    await run("export", "artifacts", "-o", "oci.tar", ...stage.online.mirrors, "--release-manifest", address);
    expect(await stage.bytes("oci.tar")).toEqual(await stage.bytes("old.tar"));
  });

  test("fails where the Release does not have it: nobody mistyped anything", async () => {
    const entries = [{ version: NEW, bundleManifestUrl: bundlesUrl(61) }];
    await writeFile(join(stage.folder, "newer.yaml"), releaseManifest(entries));
    const from = ["--release-manifest", "newer.yaml", ...stage.online.mirrors];
    const says = [`cannot find EKS Anywhere ${OLD}, which this program was built for`, `it holds ${NEW}`];
    expectFailure(await runBuilt("list", "images", ...from), 1, ...says, "`--eksa-version`");
    expectFailure(await runBuilt("list", "images", ...from, "--eksa-version", OLD), 2);

    const mirror = await stage.startTarget();
    await stage.import("new.tar", mirror);
    const address = `oci://${mirror.host}/eks-anywhere/release-manifest:latest`;
    expectFailure(await runBuilt("list", "images", "--release-manifest", address), 1, ...says);
  });
});

test("a program that was built for no version says its own", async () => {
  expect(await runExecutable(["--version"])).toMatchObject({ status: 0, stdout: `${version}\n` });
  expect(await runExecutable(["version"])).toMatchObject({ status: 0, stdout: `${version}\n` });
  const { stdout } = await runExecutable(["version", "--output", "json"]);
  expect(JSON.parse(stdout)).toEqual({ version });
});

test.each(["0.26", "latest", "v0.26.1;x"])("nothing is built for `%s`, which is no version", async (text) => {
  const outfile = join(stage.folder, "none");
  const { status, stderr } = await build("--eksa-version", text, "--outfile", outfile);
  expect({ status, stderr }).toMatchObject({ status: 2, stderr: expect.stringContaining(text) });
  expect(await Bun.file(outfile).exists()).toBe(false);
});
