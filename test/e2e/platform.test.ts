import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { rebuild } from "../archive/damage.ts";
import { referrer, seed } from "../support/content.ts";
import { type RunResult, runExecutable } from "../support/executable.ts";
import { testWith } from "../support/needs.ts";
import { startRegistry, type TestRegistry } from "../support/registry.ts";
import { type OnlineRelease, putOnline } from "../support/release.ts";
import { listTar, readFromTar } from "../support/tar.ts";
import { bundlesOf, inventContents, NAMES, ORIGINAL, type PlatformContents, rootsOf } from "./platforms.ts";
import { expectFailure } from "./stage.ts";

let folder: string;
let online: OnlineRelease;
let contents: PlatformContents;
let bundles: string;
let whole: string;
let arm: string;
let isLost = (_path: string) => false;
const targets: TestRegistry[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eksa-airgap-platform-"));
  [bundles, whole, arm] = ["bundles.yaml", "whole.tar", "arm.tar"].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  contents = await inventContents();
  const { multi, docker, bare, chart: helm, pinned } = contents;
  const artifacts = new Map([
    [NAMES.multi, multi],
    [NAMES.docker, docker],
    [NAMES.bare, bare],
    [NAMES.chart, helm],
  ]);
  online = await putOnline(
    { artifacts, documents: new Map() },
    {
      intercept: (_, { pathname }) => (isLost(pathname) ? new Response(null, { status: 404 }) : undefined),
    },
  );
  await seed(online.registry.store, "eks-anywhere/pinned", undefined, pinned);
  await writeFile(bundles, bundlesOf(contents));
  expect(await exportTo(whole)).toMatchObject({ status: 0 });
  expect(await exportTo(arm, "--platform", "linux/arm64")).toMatchObject({ status: 0 });
});
afterEach(async () => {
  await Promise.all(targets.splice(0).map((target) => target.stop()));
});
afterAll(async () => {
  await online.stop();
  await rm(folder, { recursive: true, force: true });
});

const selection = (...flags: string[]) => ["--bundles-override", bundles, ...online.mirrors, ...flags];

function exportTo(output: string, ...flags: string[]): Promise<RunResult> {
  return runExecutable(["export", "artifacts", "-o", output, ...selection(...flags)]);
}

async function startTarget(): Promise<TestRegistry> {
  const target = await startRegistry();
  targets.push(target);
  return target;
}

const importInto = (target: TestRegistry, ...inputs: string[]) =>
  runExecutable(["import", "artifacts", "-r", target.url, ...inputs.flatMap((input) => ["-i", input])]);
const verify = (...flags: string[]) => runExecutable(["verify", "artifacts", ...flags]);

async function digestAt(target: TestRegistry, name: string, tag: string): Promise<string | null> {
  const url = `${target.url}/v2/eks-anywhere/${name}/manifests/${tag}`;
  return (await fetch(url, { method: "HEAD" })).headers.get("docker-content-digest");
}

const testWithTar = testWith("tar");

describe("an archive for one platform", () => {
  testWithTar("has tagged indexes pruned, which say what they were; nothing else is touched", async () => {
    const roots = await rootsOf(arm);
    for (const name of ["multi", "docker"] as const) {
      const { digest, annotations } = roots.get(NAMES[name]) ?? { digest: "", annotations: {} };
      expect(annotations[ORIGINAL]).toBe(contents[name].root.digest);
      const pruned = await readFromTar(arm, `blobs/${digest.replace(":", "/")}`);
      const old = JSON.parse(new TextDecoder().decode(contents[name].manifests.at(-1)?.bytes));
      const isArm = (index: number) => index % 2 === 1;
      expect(pruned).toBe(
        JSON.stringify({ ...old, manifests: old.manifests.filter((_: unknown, at: number) => isArm(at)) }),
      );
    }
    const untouched = { [NAMES.bare]: contents.bare, [NAMES.chart]: contents.chart };
    for (const [name, { root }] of Object.entries(untouched)) {
      expect(roots.get(name)).toMatchObject({ digest: root.digest });
      expect(roots.get(name)?.annotations).not.toHaveProperty([ORIGINAL]);
    }
    const entries = await listTar(arm);
    for (const digest of contents.pinned.blobs.keys()) {
      expect(entries).toContain(`blobs/${digest.replace(":", "/")}`);
    }
    expect(Bun.file(arm).size).toBeLessThan(Bun.file(whole).size - 40_000);
  });

  test("is laid out as it should be, and the Bundles' own digests are told to be kept", async () => {
    const { status, stdout } = await verify("-i", arm);
    expect({ status, stdout }).toMatchObject({ status: 0, stdout: expect.stringMatching(/^ok: /) });
  });

  test("is the same bytes each time, and another selection is another archive", async () => {
    const again = join(folder, "again.tar");
    expect(await exportTo(again, "--platform", "linux/arm64", "--jobs", "1")).toMatchObject({ status: 0 });
    expect(await Bun.file(again).bytes()).toEqual(await Bun.file(arm).bytes());
    expect((await exportTo(arm, "--platform", "linux/arm64")).stderr).toContain("is already what");
    expectFailure(await exportTo(arm), 1, "there is another file of that name");
  });

  test("reports what stays whole, and what each was", async () => {
    const [output, report] = [join(folder, "reported.tar"), join(folder, "report.json")];
    const plan = await exportTo(output, "--platform", "linux/arm64", "--dry-run");
    const name = `${NAMES.pinned}@${contents.pinned.root.digest}`;
    expect(plan.stdout).toContain(`stays whole: ${name} (known only by its digest)`);
    const { stderr } = await exportTo(output, "--platform", "linux/arm64", "--report", report);
    expect(stderr).toContain("1 stay whole, whatever the platform: known only by its digest");
    const { artifacts, whole: kept } = JSON.parse(await Bun.file(report).text());
    expect(kept).toEqual([{ reference: name, reason: "known only by its digest" }]);
    const multi = artifacts.find(({ reference }: { reference: string }) => reference === NAMES.multi);
    expect(multi).toMatchObject({ original: contents.multi.root.digest, state: "done" });
  });

  test("is listed with the digests that it has", async () => {
    const { stdout } = await runExecutable(["list", "artifacts", "-i", arm, "-o", "json"]);
    const { artifacts } = JSON.parse(stdout);
    const multi = artifacts.find(({ reference }: { reference: string }) => reference === NAMES.multi);
    expect(multi).toMatchObject({ original: contents.multi.root.digest, platforms: ["linux/arm64"] });
    const [ofArchive, ofSelection] = await Promise.all([
      runExecutable(["list", "images", "-i", arm]),
      runExecutable(["list", "images", ...selection("--platform", "linux/arm64")]),
    ]);
    expect(ofArchive.stdout).toContain(`${NAMES.multi}@${multi.digest}\n`);
    expect(ofSelection.stdout).toBe(ofArchive.stdout);
  });

  test("can be a delta, and a base", async () => {
    const [delta, bundle] = [join(folder, "delta.tar"), await startTarget()];
    expect(await exportTo(delta, "--platform", "linux/arm64", "--since", whole)).toMatchObject({ status: 0 });
    expect((await listTar(delta)).length).toBeLessThan((await listTar(arm)).length);
    expect(await verify("-i", delta, "-i", whole)).toMatchObject({ status: 0 });
    expect(await importInto(bundle, whole)).toMatchObject({ status: 0 });
    expect(await importInto(bundle, delta)).toMatchObject({ status: 0 });
    expect(await verify("-i", delta, "-r", bundle.url)).toMatchObject({ status: 0 });
  });
});

test("an interrupted export for a platform goes on with it", async () => {
  const output = join(folder, "interrupted.tar");
  const flags = ["--platform", "linux/arm64"];
  const [lost] = [...contents.docker.blobs.keys()].toReversed();
  isLost = (path) => path.endsWith(`/blobs/${lost}`);
  expectFailure(await exportTo(output, ...flags), 1, NAMES.docker);
  isLost = () => false;
  expectFailure(await exportTo(output), 1, "another export to it was interrupted", "--platform linux/arm64");
  const { status, stderr } = await exportTo(output, ...flags);
  expect(status).toBe(0);
  expect(stderr).toContain("going on with");
  expect(await Bun.file(output).bytes()).toEqual(await Bun.file(arm).bytes());
});

describe("where nothing is for the platform", () => {
  test("each artifact is named with its platforms, before a blob is fetched", async () => {
    online.registry.requests.length = 0;
    const result = await exportTo(join(folder, "none.tar"), "--platform", "linux/s390x");
    expectFailure(
      result,
      1,
      NAMES.multi,
      "cannot find linux/s390x in the image: it is for linux/amd64, linux/arm64",
    );
    expectFailure(result, 1, NAMES.bare, "it is for linux/arm64", "have nothing for linux/s390x");
    expect(result.stderr).not.toContain("--exclude");
    expect(result.stderr).not.toContain(NAMES.chart);
    // The config of the bare image says what it runs on.
    const { blobs } = contents.bare;
    const fetched = online.registry.requests.filter(({ path }) => /\/blobs\//.test(path));
    expect(
      fetched.every(
        ({ path }) => [...blobs.keys()].some((digest) => path.includes(digest)) || path.includes("/chart/"),
      ),
    ).toBe(true);
  });
});

describe("verify holds names against the Bundles", () => {
  test.each<[string, () => string, (index: string) => string]>([
    [
      "two that have changed places",
      () => whole,
      (index) =>
        index.replaceAll("/multi:", "/x:").replaceAll("/docker:", "/multi:").replaceAll("/x:", "/docker:"),
    ],
    ["pruned ones that do not say what they were", () => arm, (index) => index.replaceAll(ORIGINAL, "other")],
  ])("%s", async (_, from, change) => {
    const bad = join(folder, "bad.tar");
    await rebuild(from(), bad, (files) => {
      const index = new TextDecoder().decode(files.get("index.json"));
      files.set("index.json", new TextEncoder().encode(change(index)));
    });
    const { status, stdout } = await verify("-i", bad);
    expect(status).toBe(4);
    for (const name of ["multi", "docker"] as const) {
      expect(stdout).toContain(`its Bundles names ${contents[name].root.digest}\n  ${NAMES[name]}`);
    }
  });
});

describe("in a registry", () => {
  test("the pruned index has the tag, and is verified", async () => {
    const target = await startTarget();
    expect(await importInto(target, arm)).toMatchObject({ status: 0 });
    const { digest } = (await rootsOf(arm)).get(NAMES.multi) ?? {};
    expect(await digestAt(target, "multi", "v1")).toBe(digest ?? "");
    expect(await verify("-i", arm, "-r", target.url)).toMatchObject({ status: 0 });
    expect((await verify("-i", whole, "-r", target.url)).status).toBe(4);
  });

  test("a tag that stands for the whole keeps it, and that is right too", async () => {
    const target = await startTarget();
    expect(await importInto(target, whole)).toMatchObject({ status: 0 });
    const { status, stderr } = await importInto(target, arm);
    expect(status).toBe(0);
    expect(stderr).toMatch(/warning: kept the tag \S+\/multi:v1: it stands for all platforms/);
    const piped = ["import", "artifacts", "-i", "-", "-r", target.url];
    expect(await runExecutable(piped, { stdin: Bun.file(arm) })).toMatchObject({
      status: 0,
      stderr: expect.stringContaining("kept the tag"),
    });
    expect(await digestAt(target, "multi", "v1")).toBe(contents.multi.root.digest);
    for (const archive of [arm, whole]) {
      expect(await verify("-i", archive, "-r", target.url)).toMatchObject({ status: 0 });
    }
  });

  test("a tag that stood for other platforms stands for those of the latest import", async () => {
    const target = await startTarget();
    const amd = join(folder, "other.tar");
    await exportTo(amd, "--platform", "linux/amd64", "--exclude", NAMES.bare);
    for (const archive of [amd, arm]) {
      expect(await importInto(target, archive)).toMatchObject({ status: 0 });
      const { digest } = (await rootsOf(archive)).get(NAMES.multi) ?? {};
      expect(await digestAt(target, "multi", "v1")).toBe(digest ?? "");
    }
    expect(await importInto(target, whole)).toMatchObject({ status: 0 });
    expect(await digestAt(target, "multi", "v1")).toBe(contents.multi.root.digest);
  });

  test("the whole and the part in one import are two contents of one name", async () => {
    const result = await importInto(await startTarget(), whole, arm);
    expectFailure(result, 1, `${NAMES.multi}`, contents.multi.root.digest, "whole.tar", "arm.tar");
  });
});

test("what travels with its signatures stays whole, and its signatures good", async () => {
  const signature = referrer({
    subject: contents.multi.root,
    artifactType: "application/vnd.cncf.notary.signature",
    body: "signed",
  });
  await seed(online.registry.store, "eks-anywhere/multi", undefined, signature);
  const output = join(folder, "signed.tar");
  const flags = ["--platform", "linux/arm64", "--include-signatures"];
  const { status, stderr } = await exportTo(output, ...flags);
  expect(status).toBe(0);
  expect(stderr).toContain("1 stay whole, whatever the platform: its signatures travel along");
  const roots = await rootsOf(output);
  expect(roots.get(NAMES.multi)).toMatchObject({ digest: contents.multi.root.digest });
  expect(roots.get(NAMES.docker)?.annotations).toHaveProperty([ORIGINAL], contents.docker.root.digest);
  const target = await startTarget();
  expect(await importInto(target, output)).toMatchObject({ status: 0 });
  expect(await verify("-i", output, "-r", target.url)).toMatchObject({ status: 0 });
});
