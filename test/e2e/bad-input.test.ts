import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { digestOf } from "../../src/oci/digest.ts";
import { toYaml } from "../support/bundles-author.ts";
import { image, type TestContent } from "../support/content.ts";
import { type RunResult, runExecutable } from "../support/executable.ts";
import { startRegistry } from "../support/registry.ts";
import { type OnlineRelease, putOnline, releaseOf } from "../support/release.ts";
import { expectFailure } from "./stage.ts";

const HEAD = "apiVersion: anywhere.eks.amazonaws.com/v1alpha1\nkind: Bundles\n";
const IMAGE = "public.ecr.aws/eks-anywhere/x:v1";
const ONE = digestOf(Uint8Array.of(1));
const TWO = digestOf(Uint8Array.of(2));
const MEBIBYTE = 1024 * 1024;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eksa-airgap-bad-input-"));
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

function bundlesOf(...components: object[]): string {
  const versionsBundles = components.map((fields, index) => ({ kubeVersion: `1.3${index}`, ...fields }));
  return HEAD + toYaml({ spec: { number: 1, versionsBundles } });
}

async function exportOf(yaml: string | Uint8Array, ...flags: string[]): Promise<RunResult> {
  const work = await mkdtemp(join(folder, "work-"));
  await writeFile(join(folder, "bundles.yaml"), yaml);
  const args = ["export", "artifacts", "-o", join(work, "out.tar"), "--bundles-override"];
  const result = await runExecutable([...args, "bundles.yaml", ...flags], { cwd: folder });
  expect(await readdir(work)).toEqual([]);
  return result;
}

describe("a file that is no Bundles of ours", () => {
  test.each([
    [
      "of another kind",
      "apiVersion: anywhere.eks.amazonaws.com/v1alpha1\nkind: Release\n",
      "it is `Release`",
    ],
    ["of another version", HEAD.replace("v1alpha1", "v1beta1"), "`anywhere.eks.amazonaws.com/v1beta1`"],
    ["without a list", `${HEAD}spec: {number: 1}\n`, "spec.versionsBundles: is missing"],
    ["an HTML page", "<!DOCTYPE html><title>403</title>", "it is not a YAML mapping"],
    [
      "two Bundles",
      `${bundlesOf({})}---\n${bundlesOf({})}`,
      "a second document starts, where one is expected",
    ],
    ["broken YAML", `${HEAD}spec: [1\n`, "line 4"],
    ["binary", Uint8Array.of(0xff, 0xfe, 0x00), "cannot read bundles.yaml as YAML"],
    ["empty", "", "it is empty"],
  ] as const)("%s is named, with what was expected", async (_, yaml, says) => {
    expectFailure(await exportOf(yaml), 1, "bundles.yaml", says);
  });
});

describe("a file that would never end", () => {
  const lines = (count: number, line: (index: number) => string) =>
    Array.from({ length: count }, (_, index) => line(index)).join("");

  test.each([
    [
      "of aliases that multiply",
      `a: &x0 [y, y]\n${lines(30, (index) => `b${index}: &x${index + 1} [*x${index}, *x${index}]\n`)}`,
    ],
    ["of merge keys that multiply", lines(200, (index) => `b${index}: &m${index} {<<: [*m${index - 1}]}\n`)],
    ["of brackets in brackets", `a: ${"[".repeat(100_000)}\n`],
    ["that contains itself", "a: &a [*a]\n"],
  ])("%s is refused at once", async (_, bomb) => {
    const started = performance.now();
    expectFailure(await exportOf(`${HEAD}spec: {number: 1}\n${bomb}`), 1, "cannot read bundles.yaml as YAML");
    expect(performance.now() - started).toBeLessThan(20_000);
  });

  test("of 50 MB is refused by its size, from a disk and from a server", async () => {
    const yaml = new Uint8Array(50 * MEBIBYTE).fill(0x23);
    expectFailure(await exportOf(yaml), 1, "bundles.yaml", `larger than ${32 * MEBIBYTE} bytes`);
    const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response(yaml) });
    try {
      const url = `http://127.0.0.1:${server.port}/bundles.yaml`;
      const args = ["export", "artifacts", "-o", join(folder, "x.tar"), "--bundles-override", url];
      expectFailure(await runExecutable(args), 1, url, String(32 * MEBIBYTE));
    } finally {
      await server.stop(true);
    }
  }, 30_000);

  test.each([
    [401, "hint: files are fetched without a login: fetch it by other means, and name the file"],
    [403, "hint: files are fetched without a login: fetch it by other means, and name the file"],
    [413, "hint: files are fetched without a login: fetch it by other means, and name the file"],
    [501, "hint: run the same command again later, or fetch it by other means and name the file"],
  ])("that its server refuses with %i is to be had otherwise", async (status, hint) => {
    const fetch = () => new Response(null, { status });
    const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch });
    try {
      const url = `http://127.0.0.1:${server.port}/bundles.yaml`;
      const args = ["export", "artifacts", "-o", join(folder, "x.tar"), "--bundles-override", url];
      const result = await runExecutable(args);
      expectFailure(result, 1, `answered ${status}`, hint);
      expect(result.stderr).not.toContain("docker login");
    } finally {
      await server.stop(true);
    }
  });

  test("of 20 MB of YAML is refused by its size before it is parsed", async () => {
    const yaml = `${HEAD}a: ${"b".repeat(20 * MEBIBYTE)}\n`;
    expectFailure(await exportOf(yaml), 1, `${16 * MEBIBYTE} are the limit`);
  });
});

describe("a reference", () => {
  const NAME = "registry.example:5000/team/app:v1";

  test("with a port, a tag and a digest is all of these, there and back", async () => {
    const content = await image({ seed: "app" });
    const release = releaseOf(new Map<string, TestContent>([[NAME, content]]));
    const online: OnlineRelease = await putOnline(release);
    const target = await startRegistry();
    try {
      const uri = `${NAME}@${content.root.digest}`;
      await writeFile(join(folder, "ported.yaml"), bundlesOf({ eksa: { cliTools: { uri } } }));
      const [yaml, tar] = [join(folder, "ported.yaml"), join(folder, "ported.tar")] as const;
      const args = ["-o", tar, "--bundles-override", yaml, ...online.mirrors];
      expect(await runExecutable(["export", "artifacts", ...args])).toMatchObject({ status: 0 });
      const { stdout } = await runExecutable(["list", "images", "-i", tar]);
      expect(stdout).toBe(`${uri}\n`);
      const into = ["import", "artifacts", "-i", tar, "-r", target.url];
      expect(await runExecutable(into)).toMatchObject({ status: 0 });
      const url = `${target.url}/v2/registry.example_5000/team/app/manifests/v1`;
      expect((await fetch(url)).headers.get("docker-content-digest")).toBe(content.root.digest);
    } finally {
      await Promise.all([online.stop(), target.stop()]);
    }
  });

  test.each<[string, object, number, string, string]>([
    [
      "that is none",
      { uri: "not a reference" },
      1,
      "cannot use versionsBundles[0].eksa.cliTools",
      "`not a reference`",
    ],
    [
      "with a port that is none",
      { uri: "reg.example:99999/x:v1" },
      1,
      "`reg.example:99999` is not",
      "eksa.cliTools",
    ],
    [
      "whose digest is another than its imageDigest",
      { uri: `${NAME}@${ONE}`, imageDigest: TWO },
      4,
      "versionsBundles[0].eksa.cliTools",
      `its imageDigest is ${TWO}`,
    ],
    ["with half a digest", { uri: IMAGE, imageDigest: "sha256:12" }, 4, "`sha256:12`", "eksa.cliTools"],
  ])("%s is named by its place", async (_, cliTools, code, place, fact) => {
    expectFailure(await exportOf(bundlesOf({ eksa: { cliTools } })), code, place, fact);
  });
});

describe("two that disagree on one reference", () => {
  test("are named by both places, in one Bundles", async () => {
    const yaml = bundlesOf(
      { eksa: { cliTools: { uri: IMAGE, imageDigest: ONE } } },
      { eksa: { cliTools: { uri: IMAGE, imageDigest: TWO } } },
    );
    const result = await exportOf(yaml);
    expectFailure(result, 4, `cannot tell which content ${IMAGE} is`);
    expectFailure(result, 4, `${ONE} at versionsBundles[0].eksa.cliTools`);
    expectFailure(result, 4, `${TWO} at versionsBundles[1].eksa.cliTools`);
    // Also where only one of the versions is wanted.
    expectFailure(await exportOf(yaml, "--kubernetes-version", "1.30"), 4, ONE, TWO);
  });

  test("are named by both places, in a Bundles and its EKS-D release", async () => {
    const eksd = toYaml({
      apiVersion: "distro.eks.amazonaws.com/v1alpha1",
      kind: "Release",
      status: { components: [{ assets: [{ image: { uri: IMAGE, imageDigest: TWO } }] }] },
    });
    await writeFile(join(folder, "eksd.yaml"), eksd);
    const yaml = bundlesOf({
      eksD: { manifestUrl: "eksd.yaml" },
      eksa: { cliTools: { uri: IMAGE, imageDigest: ONE } },
    });
    const place = "1.30/eks-distro/eksd.yaml: status.components[0].assets[0]";
    expectFailure(
      await exportOf(yaml),
      4,
      `${ONE} at versionsBundles[0].eksa.cliTools`,
      `${TWO} at ${place}`,
    );
  });

  test("are named by both archives, in two Bundles", async () => {
    const archives: string[] = [];
    for (const seed of ["one", "two"]) {
      const online = await putOnline(releaseOf(new Map([[IMAGE, await image({ seed })]])));
      const [yaml, tar] = [join(folder, `${seed}.yaml`), join(folder, `${seed}.tar`)] as const;
      const content = await image({ seed });
      await writeFile(
        yaml,
        releaseOf(new Map([[IMAGE, content]])).yaml.replace("number: 1", `number: ${archives.length}`),
      );
      const args = ["export", "artifacts", "-o", tar, "--bundles-override", yaml, ...online.mirrors];
      expect(await runExecutable(args)).toMatchObject({ status: 0 });
      await online.stop();
      archives.push(tar);
    }
    const target = await startRegistry();
    try {
      const inputs = archives.flatMap((archive) => ["-i", archive]);
      const result = await runExecutable(["import", "artifacts", ...inputs, "-r", target.url]);
      expectFailure(result, 1, `cannot tell which content ${IMAGE} is`, ...archives, "one after the other");
      expect(target.requests).toEqual([]);
    } finally {
      await target.stop();
    }
  });
});
