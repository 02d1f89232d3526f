import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import { packTar } from "modern-tar";
import { image } from "../support/content.ts";
import { runExecutable } from "../support/executable.ts";
import type { TestRegistry } from "../support/registry.ts";
import { releaseOf } from "../support/release.ts";
import { expectFailure, FIRST, SECOND, Stage } from "./stage.ts";

const SUCCESSORS: [command: string, successor: string][] = [
  ["download artifacts", "export artifacts"],
  ["download images", "export artifacts"],
  ["import images", "import artifacts"],
  ["import-images", "copy artifacts"],
];
const BUNDLES = "eks-anywhere/bundles";

let stage: Stage;
/** A file of `download images`. */
let images: string;

beforeAll(async () => {
  stage = await Stage.set();
  images = join(stage.folder, "images.tar");
  expect(await downloadTo(images)).toMatchObject({ status: 0, stdout: "" });
});
beforeEach(() => stage.begin());
afterEach(() => stage.end());
afterAll(() => stage.strike());

function run(...args: string[]) {
  return runExecutable(args, { cwd: stage.work });
}

function downloadTo(output: string, ...flags: string[]) {
  const inputs = ["--bundles-override", stage.bundles, ...stage.online.mirrors];
  return runExecutable(["download", "images", "-o", output, ...inputs, ...flags]);
}

/** What the Bundles points to is beside it, as `download artifacts` puts it. */
async function localBundles(yaml = stage.release.yaml): Promise<string> {
  const path = join(stage.work, "bundle-release.yaml");
  await writeFile(join(stage.work, "a.yaml"), "kind: List\n");
  await writeFile(path, yaml.replace("https://files.example/a.yaml", "a.yaml"));
  return path;
}

function importInto({ host }: TestRegistry, input: string, bundles: string, ...flags: string[]) {
  return run("import", "images", "-i", input, "-r", host, "-b", bundles, ...flags);
}

function held({ store }: TestRegistry): Promise<string[]> {
  return store.repositories();
}

describe("a deprecated command", () => {
  test("is in no list of commands", async () => {
    const { stdout } = await run("--help");
    for (const [command] of SUCCESSORS) expect(stdout).not.toMatch(new RegExp(`^ *${command} `, "m"));
    expect(stdout).toContain("import artifacts");
  });

  test.each(SUCCESSORS)("%s says in its own help what to call instead", async (command, successor) => {
    const { status, stdout, stderr } = await run(...command.split(" "), "--help");
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout.replaceAll(/\s+/g, " ")).toContain(`Deprecated: use \`eksa-airgap ${successor}\` instead.`);
    expect(stdout).toContain(`Example:\n  eksa-airgap ${command} --`);
  });

  test.each([
    ["download artifacts", ["--eksa-version V", "--ca-file FILE"]],
    ["download images", ["--eksa-version V", "--exclude REF", "--ca-file FILE"]],
    ["import images", ["--ca-file FILE"]],
    ["import-images", ["--eksa-version V", "--exclude REF", "--ca-file FILE"]],
  ])("%s shows those flags of its successor that its users are told of: %p", async (command, flags) => {
    const { stdout } = await run(...command.split(" "), "--help");
    for (const flag of flags) expect(stdout).toContain(flag);
    expect(stdout).not.toContain("--jobs");
  });

  test.each<[string, string, string]>([
    ["download images", "", '"output"'],
    ["import images", "", '"bundles", "input", "registry"'],
    ["import images", "-r localhost", '"bundles", "input"'],
    ["import-images", "", '"filename"'],
  ])("%s %s names the flags that it lacks as it always did", async (command, flags, missing) => {
    const successor = SUCCESSORS.find(([name]) => name === command)?.[1];
    const result = await run(...command.split(" "), ...flags.split(" ").filter(Boolean));
    expectFailure(result, 2, `because: required flag(s) ${missing} not set\n`);
    const warning = `Command "${command}" is deprecated, use \`eksa-airgap ${successor}\` instead\n`;
    expect(result.stderr).toStartWith(warning);
    expect(result.stderr.split("deprecated").length).toBe(2);
  });

  test("is as strict as the others", async () => {
    const unknown = await run("download", "images", "--outptu", "x");
    expectFailure(unknown, 2, "`download images` has no such flag", "did you mean `--output`?");
    expectFailure(await run("import-images", "-f", "a", "-f", "b"), 2, "cannot use `-f` twice");
    expectFailure(await run("download", "artifacts", "x"), 2, "`download artifacts` takes flags only");
  });

  test("tells of itself and its flags once, to a program as an event of its own", async () => {
    const output = join(stage.work, "x.tar");
    const { status, stderr } = await downloadTo(output, "--include-packages", "--log-format", "json");
    expect(status, stderr).toBe(0);
    const events = stderr
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(events.filter(({ event }) => event === "deprecation")).toMatchObject([
      { level: "warn", message: expect.stringMatching(/^Command "download images" is deprecated, use /) },
      { level: "warn", message: expect.stringMatching(/^Flag --include-packages has been deprecated, use /) },
    ]);
    const { stderr: quiet } = await downloadTo(output, "--quiet");
    expect(quiet).toBe("");
  });
});

describe("`download images`", () => {
  test("holds the images and charts, and no YAML", async () => {
    const { stdout } = await run("list", "artifacts", "-i", images, "-o", "json");
    const { artifacts } = JSON.parse(stdout);
    expect(artifacts.map(({ reference }: { reference: string }) => reference)).toEqual([FIRST, SECOND]);
  });

  test("replaces what is there, and is the same bytes again", async () => {
    const output = join(stage.work, "out.tar");
    await writeFile(output, "something else");
    expect(await downloadTo(output)).toMatchObject({ status: 0 });
    expect((await readFile(output)).equals(await readFile(images))).toBe(true);
    expect(await downloadTo(output)).toMatchObject({ status: 0 });
    expect(await readdir(stage.work)).toEqual(["out.tar"]);
  });

  test("is gzipped where the name says so, and only there", async () => {
    const output = join(stage.work, "out.tar.gz");
    await writeFile(`${output}.unfinished`, "of a run that was killed");
    const result = await downloadTo(output);
    expect(result).toMatchObject({ status: 0, stdout: "" });
    expect(result.stderr).toContain(`\nwrote ${output} (`);
    expect(gunzipSync(await readFile(output)).equals(await readFile(images))).toBe(true);
    expect(await downloadTo(join(stage.work, "out.tgz"))).toMatchObject({ status: 0 });
    expect((await readFile(join(stage.work, "out.tgz"))).equals(await readFile(images))).toBe(true);
    expect((await readdir(stage.work)).sort()).toEqual(["out.tar.gz", "out.tgz"]);
    expectFailure(await downloadTo(output, "--split-size", "1MB"), 2, "what is gzipped has no volumes");
  });

  test.each(["out.tar", "out.tar.gz"])("goes by the name %s only when it is whole", async (name) => {
    const output = join(stage.work, name);
    await writeFile(output, "the last one");
    stage.intercept = stage.largeBlobs(() => new Uint8Array(300_000));
    expectFailure(await downloadTo(output), 4, `cannot export ${FIRST}`);
    expect(await readFile(output, "utf8")).toBe("the last one");
    if (name.endsWith(".gz")) expect(await readdir(stage.work)).toEqual([name]);
    stage.intercept = undefined;
    expect(await downloadTo(output)).toMatchObject({ status: 0 });
    expect(await readdir(stage.work)).toEqual([name]);
  });

  test("is not held up by an interrupted one of another Bundles", async () => {
    const output = join(stage.work, "out.tar");
    stage.intercept = stage.largeBlobs(() => new Uint8Array(300_000));
    expect(await downloadTo(output)).toMatchObject({ status: 4 });
    await stage.expectOnlyPartial();
    stage.intercept = undefined;
    const bundles = join(stage.folder, "second.yaml");
    await writeFile(bundles, releaseOf(new Map([...stage.release.artifacts].slice(1))).yaml);
    const args = ["download", "images", "-o", output, "--bundles-override", bundles, ...stage.online.mirrors];
    expect(await runExecutable(args)).toMatchObject({ status: 0 });
    expect((await run("list", "artifacts", "-i", output)).stdout).toStartWith(SECOND);
    expect(await readdir(stage.work)).toEqual(["out.tar"]);
  });

  test("takes a hint of its successor's: one that cannot be had can be left out", async () => {
    const absent = await image({ seed: "absent" });
    const { yaml } = releaseOf(new Map([...stage.release.artifacts, ["public.ecr.aws/absent:v1", absent]]));
    await writeFile(join(stage.work, "bundles.yaml"), yaml);
    const output = join(stage.work, "out.tar");
    const args = ["download", "images", "-o", output, "--bundles-override", "bundles.yaml"];
    const result = await run(...args, ...stage.online.mirrors);
    expectFailure(result, 1, "public.ecr.aws/absent:v1", "`--exclude REFERENCE`");
    const without = ["--exclude", "public.ecr.aws/absent:v1"];
    expect(await run(...args, ...stage.online.mirrors, ...without)).toMatchObject({ status: 0 });
  });
});

describe("`import images`", () => {
  test("sends what the Bundles names out of a file that holds more", async () => {
    const [target, other] = [await stage.startTarget(), await stage.startTarget()];
    const only = releaseOf(new Map([...stage.release.artifacts].slice(1)));
    const bundles = await localBundles(only.yaml);
    expect(await importInto(target, stage.archive, bundles)).toMatchObject({ status: 0 });
    expect(await held(target)).toEqual(["eks-anywhere/second"]);
    // As it comes, too.
    const packed = join(stage.work, "artifacts.tar.gz");
    await writeFile(packed, gzipSync(await readFile(stage.archive)));
    const result = await importInto(other, packed, bundles);
    expect(result.status, result.stderr).toBe(0);
    expect(await held(other)).toEqual(["eks-anywhere/second"]);
    expect(result.stdout).toContain("registryMirrorConfiguration:");
  });

  test("never sends the YAML, which `import artifacts` does", async () => {
    const [target, other] = [await stage.startTarget(), await stage.startTarget()];
    expect(await importInto(target, stage.archive, await localBundles())).toMatchObject({ status: 0 });
    expect(await held(target)).toEqual(["eks-anywhere/first", "eks-anywhere/second"]);
    expect(await stage.importTo(other.host)).toMatchObject({ status: 0 });
    expect(await held(other)).toContain(BUNDLES);
  });

  test("fails before anything is sent where the file lacks something, or holds other content", async () => {
    const target = await stage.startTarget();
    const another = await image({ seed: "another" });
    const lacking = new Map([...stage.release.artifacts, ["public.ecr.aws/lost:v1", another]]);
    const missing = await importInto(target, images, await localBundles(releaseOf(lacking).yaml));
    expectFailure(
      missing,
      1,
      "cannot find public.ecr.aws/lost:v1: it is not in the archive",
      "nothing has been sent",
    );
    const other = new Map([...stage.release.artifacts, [FIRST, another]]);
    const different = await importInto(target, images, await localBundles(releaseOf(other).yaml));
    expectFailure(
      different,
      4,
      `cannot take ${FIRST} from the archive`,
      `the Bundles names ${another.root.digest}`,
    );
    expect(await held(target)).toEqual([]);
  });

  test("wants no CSI component, of which EKS Anywhere uses none", async () => {
    const target = await stage.startTarget();
    const unused = await image({ seed: "unused" });
    const named = new Map([...stage.release.artifacts, ["public.ecr.aws/csi-components/x:v1", unused]]);
    const result = await importInto(target, images, await localBundles(releaseOf(named).yaml));
    expect(result.status, result.stderr).toBe(0);
    expect(await held(target)).toEqual(["eks-anywhere/first", "eks-anywhere/second"]);
  });

  test("says where the files of a Bundles are looked for", async () => {
    const target = await stage.startTarget();
    const bundles = await localBundles();
    const args = ["import", "images", "-i", images, "-r", target.host, "-b", bundles];
    const elsewhere = await runExecutable(args);
    expectFailure(
      elsewhere,
      1,
      `cannot read the Bundles ${bundles}`,
      "a.yaml",
      "relative to the working directory",
    );
  });

  test.each(["images.tar", "images.tar.gz"])("refuses an older tool's %s by name", async (name) => {
    const flat = ["cilium-1.19.4-1.tgz", "eks-anywhere-packages-bundles-v1-31-latest.yaml", "images.tar"];
    const tar = await packTar(
      [...flat, "tools-image.tar"].map((entry) => ({ header: { name: entry, size: 1 }, body: "x" })),
    );
    const path = join(stage.work, name);
    await writeFile(path, name.endsWith(".gz") ? gzipSync(tar) : tar);
    const target = await stage.startTarget();
    const result = await importInto(target, path, await localBundles());
    expectFailure(result, 1, "`download images` of EKS Anywhere's own tool", "`images.tar` among them");
    expect(result.stderr).toContain("hint: download it anew with `eksa-airgap export artifacts`");
  });
});
