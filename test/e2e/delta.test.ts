import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { copyFile, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { layer, multiArchImage, type TestContent } from "../support/content.ts";
import { executable, type RunResult, runExecutable } from "../support/executable.ts";
import { startRegistry, type TestRegistry, type TestRegistryOptions } from "../support/registry.ts";
import { type OnlineRelease, partsOf, putOnline, type Release, releaseOf } from "../support/release.ts";
import { listTar, readFromTar } from "../support/tar.ts";
import { expectFailure } from "./stage.ts";

const HOST = "public.ecr.aws";
const name = (repository: string, tag: string) => `${HOST}/${repository}:${tag}`;

let folder: string;
let base: string;
let delta: string;
let whole: string;
let next: Release;
const online: OnlineRelease[] = [];
const targets: TestRegistry[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eksa-airgap-delta-"));
  [base, delta, whole] = ["base.tar", "delta.tar", "whole.tar"].map((file) => join(folder, file)) as [
    string,
    string,
    string,
  ];
  const shared = [await layer("distroless", 200_000)];
  const content = (seed: string) => multiArchImage({ seed, base: shared, layerSizes: [50_000] });
  const kept = await content("kept");
  const first = releaseOf(
    new Map<string, TestContent>([
      [name("eks-anywhere/kept", "v1"), kept],
      [name("eks-anywhere/changed", "v1"), await content("changed-1")],
      [name("eks-anywhere/changed", "v1-latest"), await content("changed-1")],
      [name("other/gone", "v1"), await content("gone")],
    ]),
    new Map([["https://files.example/a.yaml", "kind: List\n"]]),
  );
  next = releaseOf(
    new Map<string, TestContent>([
      [name("eks-anywhere/kept", "v1"), kept],
      [name("eks-anywhere/changed", "v2"), await content("changed-2")],
      [name("eks-anywhere/changed", "v1-latest"), await content("changed-2")],
      // What it shares with the base is in other repositories there.
      [name("new/renamed", "v1"), await content("gone")],
    ]),
    new Map([["https://files.example/a.yaml", "kind: List\n"]]),
  );
  await exportOf(first, base);
  await exportOf(next, delta, "--since", base);
  await exportOf(next, whole);
});
afterEach(async () => {
  await Promise.all(targets.splice(0).map((target) => target.stop()));
});
afterAll(async () => {
  await Promise.all(online.map((release) => release.stop()));
  await rm(folder, { recursive: true, force: true });
});

async function exportOf(release: Release, output: string, ...flags: string[]): Promise<RunResult> {
  const bundles = join(folder, `${Bun.hash(release.yaml)}.yaml`);
  await writeFile(bundles, release.yaml);
  const place = await putOnline(release);
  online.push(place);
  const args = ["export", "artifacts", "-o", output, "--bundles-override", bundles, ...place.mirrors];
  const result = await runExecutable([...args, ...flags]);
  expect(result).toMatchObject({ status: 0, stdout: "" });
  return result;
}

async function startTarget(options: TestRegistryOptions = {}): Promise<TestRegistry> {
  const target = await startRegistry(options);
  targets.push(target);
  return target;
}

function importInto(target: TestRegistry, ...inputs: string[]) {
  return runExecutable(["import", "artifacts", "-r", target.url, ...inputs.flatMap((file) => ["-i", file])]);
}

/** Every artifact of the release with every blob, where its nodes would look. */
async function expectWhole(target: TestRegistry, release: Release): Promise<void> {
  for (const [reference, { root, manifests, blobs }] of release.artifacts) {
    const { repository, tag } = partsOf(reference);
    const url = `${target.url}/v2/${repository}`;
    const found = await fetch(`${url}/manifests/${tag}`, { method: "HEAD" });
    expect(found.headers.get("docker-content-digest")).toBe(root.digest);
    for (const { digest } of manifests) expect((await fetch(`${url}/manifests/${digest}`)).status).toBe(200);
    for (const digest of blobs.keys()) expect((await fetch(`${url}/blobs/${digest}`)).status).toBe(200);
  }
}

const sent = (target: TestRegistry) => target.requests.filter(({ method }) => method === "PATCH").length;

describe("a delta", () => {
  test("has the whole graph and every YAML file, and no blob that its base holds", async () => {
    const [inBase, inDelta, inWhole] = await Promise.all([base, delta, whole].map(listTar));
    const left = inWhole?.filter((entry) => !inDelta?.includes(entry)) ?? [];
    expect(left).toContain("manifest.json");
    expect(inDelta?.filter((entry) => !inWhole?.includes(entry))).toEqual([]);
    const blobs = left.filter((entry) => entry !== "manifest.json");
    for (const entry of blobs) expect(inBase).toContain(entry);
    for (const { manifests } of next.artifacts.values()) {
      for (const { digest } of manifests) expect(inDelta).toContain(`blobs/${digest.replace(":", "/")}`);
    }
    expect(Bun.file(delta).size).toBeLessThan(Bun.file(whole).size / 2);
  });

  test("names its base by the digest of its index", async () => {
    const index = await readFromTar(base, "index.json");
    const digest = `sha256:${new Bun.CryptoHasher("sha256").update(index).digest("hex")}`;
    const { annotations } = JSON.parse(await readFromTar(delta, "index.json"));
    expect(annotations).toEqual({ "dev.eksa-airgap.bases": digest });
  });

  test("of nothing new is a few manifests, and the same bytes each time", async () => {
    const [one, other] = [join(folder, "nothing-1.tar"), join(folder, "nothing-2.tar")];
    await exportOf(next, one, "--since", whole);
    await exportOf(next, other, "--since", whole, "--jobs", "1");
    expect(await Bun.file(one).bytes()).toEqual(await Bun.file(other).bytes());
    expect(Bun.file(one).size).toBeLessThan(60_000);
  });

  test("of a delta counts only what is in that file", async () => {
    const chained = join(folder, "chained.tar");
    await exportOf(next, chained, "--since", delta);
    const [inWhole, inDelta, inChained] = await Promise.all([whole, delta, chained].map(listTar));
    const left = inWhole?.filter((entry) => !inChained?.includes(entry) && entry !== "manifest.json") ?? [];
    expect(left.length).toBeGreaterThan(0);
    for (const entry of left) expect(inDelta).toContain(entry);
  });

  test("that was interrupted does not go on when its base has been replaced", async () => {
    const [moving, output] = [join(folder, "moving.tar"), join(folder, "broken.tar")];
    await copyFile(base, moving);
    const bundles = join(folder, "next.yaml");
    await writeFile(bundles, next.yaml);
    let isBroken = true;
    const place = await putOnline(next, {
      intercept: ({ method }, url) => {
        if (isBroken && method === "GET" && url.pathname.includes("/renamed/blobs/")) {
          return new Response(null, { status: 404 });
        }
        return;
      },
    });
    online.push(place);
    const args = ["export", "artifacts", "-o", output, "--bundles-override", bundles, ...place.mirrors];
    const run = () => runExecutable([...args, "--since", moving]);
    expect((await run()).status).toBe(1);
    isBroken = false;
    await copyFile(whole, moving);
    expectFailure(await run(), 1, `cannot go on: ${moving} is another archive`, "--refresh");
    await copyFile(base, moving);
    expect(await run()).toMatchObject({ status: 0 });
    expect(await Bun.file(output).bytes()).toEqual(await Bun.file(delta).bytes());
  });

  test("warns where nothing in it is new", async () => {
    const at = (name: string) => join(folder, `${name}.tar`);
    const warning = "warning: nothing in this delta is new";
    expect((await exportOf(next, at("same"), "--since", whole)).stderr).toContain(warning);
    expect((await exportOf(next, at("newer"), "--since", base)).stderr).not.toContain(warning);
    // They always travel.
    const some = await exportOf(next, at("documents"), "--since", whole, "--only", "manifests");
    expect(some.stderr).not.toContain(warning);
  });

  test("never replaces its base", async () => {
    const before = await Bun.file(base).bytes();
    const args = [
      "export",
      "artifacts",
      "-o",
      base,
      "--bundles-override",
      "b.yaml",
      "--since",
      base,
      "--force",
    ];
    const result = await runExecutable(args);
    expect(result.status).toBe(2);
    expect(result.stderr).toContain("it is what the delta builds on");
    expect(await Bun.file(base).bytes()).toEqual(before);
  });

  test("takes a base with a comma in its name, beside others", async () => {
    const names = ["a,b.tar", "c.tar", "d.tar"];
    for (const name of names) await copyFile(base, join(folder, name));
    const list = (...inputs: string[]) =>
      runExecutable(["list", "artifacts", ...inputs.flatMap((input) => ["-i", input])], { cwd: folder });
    const one = await list("c.tar");
    expect(one).toMatchObject({ status: 0 });
    expect(await list("a,b.tar")).toEqual(one);
    expect(await list("c.tar,d.tar")).toEqual(await list("c.tar", "d.tar"));
    expectFailure(await list("b,a.tar"), 1, "cannot open b");
    await exportOf(next, join(folder, "commas.tar"), "--since", join(folder, "a,b.tar"));
    expect(await Bun.file(join(folder, "commas.tar")).bytes()).toEqual(await Bun.file(delta).bytes());
  });

  test("fails on a base that is none, before anything is read", async () => {
    const args = ["export", "artifacts", "-o", join(folder, "x.tar"), "--bundles-override", "b.yaml"];
    const none = join(folder, "none.tar");
    const result = await runExecutable([...args, "--since", none]);
    expectFailure(result, 1, `cannot leave out what ${none} holds`, "ENOENT", "hint: name an archive");
  });
});

describe("the import", () => {
  test("of a delta after its base makes the release whole, and sends only what is new", async () => {
    const target = await startTarget();
    expect((await importInto(target, base)).status).toBe(0);
    const before = sent(target);
    const result = await importInto(target, delta);
    expect(result).toMatchObject({ status: 0 });
    await expectWhole(target, next);
    // Two configs and two layers of each new image, and the Bundles.
    expect(sent(target) - before).toBe(9);
  });

  test("of a delta alone names what the target lacks, before anything is sent", async () => {
    const target = await startTarget();
    const result = await importInto(target, delta);
    expectFailure(
      result,
      1,
      `${target.host}/eks-anywhere/kept:v1`,
      "the target lacks",
      "import the archive that it was made against",
    );
    expect(target.requests.filter(({ method }) => method === "PATCH" || method === "PUT")).toEqual([]);
  });

  test("of base and delta at once is one import; the delta's names win, in whatever order", async () => {
    for (const inputs of [
      [base, delta],
      [delta, base],
    ]) {
      const target = await startTarget();
      expect(await importInto(target, ...inputs)).toMatchObject({ status: 0 });
      await expectWhole(target, next);
      const gone = await fetch(`${target.url}/v2/other/gone/manifests/v1`);
      expect([
        gone.status,
        (await fetch(`${target.url}/v2/${HOST}/other/gone/manifests/v1`)).status,
      ]).toContain(200);
    }
  });

  test("of a base, a delta and a delta of that delta at once: the latest names win, in whatever order", async () => {
    const last = releaseOf(
      new Map([[name("eks-anywhere/changed", "v1-latest"), await multiArchImage({ seed: "changed-3" })]]),
    );
    const second = join(folder, "second.tar");
    await exportOf(last, second, "--since", delta);
    for (const inputs of [
      [base, delta, second],
      [second, base, delta],
    ]) {
      const target = await startTarget();
      expect(await importInto(target, ...inputs)).toMatchObject({ status: 0 });
      await expectWhole(target, last);
    }
  });

  test("of a delta into a registry that mounts nothing sends everything that is wanted", async () => {
    const target = await startTarget({
      intercept: (_, url) =>
        url.searchParams.has("mount") ? new Response(null, { status: 405 }) : undefined,
    });
    expect((await importInto(target, base)).status).toBe(0);
    expect(await importInto(target, delta)).toMatchObject({ status: 0 });
    await expectWhole(target, next);
  });

  test("of a delta from a pipe is refused in words: what it leaves to its base must be known beforehand", async () => {
    const target = await startTarget();
    const command = [await executable(), "import", "artifacts", "-i", "-", "-r", target.url];
    const run = Bun.spawn(command, { stdin: Bun.file(delta), stdout: "pipe", stderr: "pipe" });
    expect(await run.exited).toBe(1);
    expect(await run.stderr.text()).toMatch(/it is a delta[\s\S]*hint: save it/);
    expect(target.requests).toEqual([]);
  });

  test("of two archives that differ in what a name stands for, and know nothing of each other, is refused", async () => {
    const target = await startTarget();
    expectFailure(await importInto(target, base, whole), 1, "cannot tell which content");
    expect(target.requests).toEqual([]);
  });
});

describe("to verify", () => {
  const verify = (...flags: string[]) => runExecutable(["verify", "artifacts", ...flags]);

  test("a delta alone is right, and says what it leaves to its base", async () => {
    const { status, stdout } = await verify("-i", delta);
    expect(status).toBe(0);
    expect(stdout).toMatch(
      /^delta: \S+delta\.tar: \d+ blobs are left to its base \(index sha256:\w{64}\)\nok: /,
    );
    expect(await verify("-i", base, "-i", delta)).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(/^ok: [^\n]*\n$/),
    });
  });

  test("a registry against a delta wants what the base brought as well", async () => {
    const target = await startTarget();
    expect(await verify("-i", delta, "-r", target.url)).toMatchObject({ status: 4 });
    expect((await importInto(target, base)).status).toBe(0);
    const between = await verify("-i", delta, "-r", target.url, "-o", "json");
    expect(between.status).toBe(4);
    expect((await importInto(target, delta)).status).toBe(0);
    expect(await verify("-i", delta, "-r", target.url)).toMatchObject({ status: 0 });
    // A name that moved between the two is the delta's.
    expect(await verify("-i", base, "-i", delta, "-r", target.url)).toMatchObject({ status: 0 });
  });
});

describe("to list", () => {
  test("a delta is the whole release, and how much of it is in its base", async () => {
    const list = async (...files: string[]) => {
      const flags = files.flatMap((file) => ["-i", file]);
      const { status, stdout } = await runExecutable(["list", "artifacts", ...flags, "-o", "json"]);
      expect(status).toBe(0);
      return JSON.parse(stdout);
    };
    const [ofDelta, ofWhole, ofBoth] = [await list(delta), await list(whole), await list(base, delta)];
    const names = ({ artifacts }: { artifacts: { reference: string; digest: string }[] }) =>
      artifacts.map(({ reference, digest }) => `${reference}@${digest}`);
    expect(names(ofDelta)).toEqual(names(ofWhole));
    expect(ofDelta.totals.bytes).toBe(ofWhole.totals.bytes);
    expect(ofDelta.totals.leftOut.bytes).toBeGreaterThan(200_000);
    expect(ofWhole.totals.leftOut).toEqual({ blobs: 0, bytes: 0 });
    expect(ofBoth.totals.leftOut).toEqual({ blobs: 0, bytes: 0 });
    for (const name of names(ofDelta)) expect(names(ofBoth)).toContain(name);
    const moved = names(ofBoth).filter((name) => name.includes("/changed:v1-latest@"));
    expect(moved).toHaveLength(1);
  });
});
