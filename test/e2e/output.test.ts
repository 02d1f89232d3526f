import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test";
import { lstat, mkdir, readdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { executable, runExecutable, startExecutable } from "../support/executable.ts";
import { testWith } from "../support/needs.ts";
import { expectFailure, Stage } from "./stage.ts";

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.set();
});
beforeEach(() => stage.begin());
afterEach(() => stage.end());
afterAll(() => stage.strike());

test("two exports to one file: the second is refused, the first is not harmed", async () => {
  const output = join(stage.work, "out.tar");
  const held = Promise.withResolvers<undefined>();
  const asked = Promise.withResolvers<void>();
  const [first] = [...stage.release.artifacts.values()];
  const [large] = [...(first?.blobs ?? [])].toSorted(([, a], [, b]) => b.length - a.length)[0] ?? [""];
  stage.intercept = async (_, url) => {
    if (!url.pathname.endsWith(`/blobs/${large}`)) return;
    asked.resolve();
    return held.promise;
  };
  const { result } = await startExecutable(stage.exportArgs(output));
  await Promise.race([asked.promise, result]);
  stage.intercept = undefined;
  const second = await stage.exportTo(output);
  held.resolve(undefined);
  expectFailure(second, 1, `cannot write ${output}: another run is writing it`, "hint: wait for it");
  expect((await result).status).toBe(0);
  expect(await Bun.file(output).bytes()).toEqual(await Bun.file(stage.archive).bytes());
  expect(await readdir(stage.work)).toEqual(["out.tar"]);
});

test("a link planted in place of the partial file is not followed", async () => {
  const victim = join(stage.work, "victim");
  await writeFile(victim, "precious");
  const output = join(stage.work, "out.tar");
  await symlink(victim, `${output}.partial`);
  expectFailure(
    await stage.exportTo(output),
    1,
    `cannot use ${output}.partial: it is not a file`,
    "hint: remove",
  );
  expect(await Bun.file(victim).text()).toBe("precious");
});

test("an output that is a link stays one; what it points to is replaced", async () => {
  const disk = join(stage.work, "disk");
  await mkdir(disk);
  await writeFile(join(disk, "real.tar"), "old");
  await symlink(join(disk, "real.tar"), join(stage.work, "out.tar"));
  expect((await stage.exportTo(join(stage.work, "out.tar"), "--force")).status).toBe(0);
  expect((await lstat(join(stage.work, "out.tar"))).isSymbolicLink()).toBe(true);
  expect(await Bun.file(join(disk, "real.tar")).bytes()).toEqual(await Bun.file(stage.archive).bytes());
  expect(await readdir(disk)).toEqual(["real.tar"]);
});

test.each<[string, (work: string) => string[], RegExp]>([
  [
    "its own input",
    (work) => ["-o", join(work, "b.yaml"), "--bundles-override", join(work, "b.yaml")],
    /is the Bundles/,
  ],
  [
    "its own Release",
    (work) => ["-o", join(work, "b.yaml"), "--release-manifest", join(work, "b.yaml")],
    /is the Release/,
  ],
  ["a device", (work) => ["-o", "/dev/null", "--bundles-override", join(work, "b.yaml")], /is a device/],
  ["a folder", (work) => ["-o", work, "--bundles-override", join(work, "b.yaml")], /is a folder/],
])("%s is no output, even by force", async (_, flags, message) => {
  await writeFile(join(stage.work, "b.yaml"), "precious");
  const result = await runExecutable(["export", "artifacts", "--force", ...flags(stage.work)]);
  expectFailure(result, 2, message, "hint:");
  expect(await Bun.file(join(stage.work, "b.yaml")).text()).toBe("precious");
});

test.each([
  ["below a file", "b.yaml/out.tar"],
  ["longer than a file system has them", "x".repeat(300)],
])("a name %s is refused in our words", async (_, name) => {
  await writeFile(join(stage.work, "b.yaml"), "precious");
  const output = join(stage.work, name);
  expectFailure(await stage.exportTo(output), 1, `error: cannot write ${output}`, "because: E", "hint:");
});

testWith("mkfifo")("an import from a pipe that nobody writes to is refused at once", async () => {
  const pipe = join(stage.work, "pipe");
  await Bun.$`mkfifo ${pipe}`;
  const target = await stage.startTarget();
  expectFailure(await stage.importTo(target.host, pipe), 1, `cannot open ${pipe}`, "it is not a file");
});

test("a Bundles may come from a pipe, and must end", async () => {
  const output = join(stage.work, "out.tar");
  const command = [await executable(), "-o", output, ...stage.online.mirrors];
  const shell = (source: string) =>
    Bun.spawn(
      ["bash", "-c", `exec "$0" export artifacts "$@" --force --bundles-override ${source}`, ...command],
      { stdout: "ignore", stderr: "pipe" },
    );
  const fromPipe = shell(`<(cat '${stage.bundles}')`);
  expect(await fromPipe.exited).toBe(0);
  expect(await Bun.file(output).bytes()).toEqual(await Bun.file(stage.archive).bytes());
  const endless = shell("/dev/zero");
  expect(await endless.exited).toBe(1);
  expect(await new Response(endless.stderr).text()).toContain("it is larger than");
});

test("a mirror given twice for one host is refused", async () => {
  const twice = ["--mirror", "a.example=https://b.example", "--mirror", "a.example=https://c.example"];
  expectFailure(
    await stage.exportTo(join(stage.work, "out.tar"), ...twice),
    2,
    "cannot read a.example from two mirrors",
  );
});
