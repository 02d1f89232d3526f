import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathOf } from "../../src/archive/path.ts";
import { type Digest, hexOf } from "../../src/oci/digest.ts";
import { filesOf, flip, rebuild } from "../archive/damage.ts";
import { image, multiArchImage, seed, type TestContent } from "../support/content.ts";
import { fastFolder, startDockerRegistry } from "../support/docker-registry.ts";
import { type RunResult, runExecutable } from "../support/executable.ts";
import { testWith } from "../support/needs.ts";
import type { TestRegistry } from "../support/registry.ts";
import { putOnline, releaseOf } from "../support/release.ts";
import { FIRST, SECOND, Stage } from "./stage.ts";

const BUNDLES = "public.ecr.aws/eks-anywhere/bundles:bundles-1";

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.set();
});
beforeEach(() => stage.begin());
afterEach(() => stage.end());
afterAll(() => stage.strike());

interface Problem {
  kind: string;
  digest?: string;
  offset?: number;
  place?: string;
  artifacts: string[];
}

function verify(...flags: string[]): Promise<RunResult> {
  return runExecutable(["verify", "artifacts", ...flags]);
}

/** The problems, as a script reads them; stdout must be one document. */
async function problemsOf(...flags: string[]): Promise<Problem[]> {
  const { status, stdout, stderr } = await verify(...flags, "-o", "json");
  const report: { ok: boolean; problems: Problem[] } = JSON.parse(stdout);
  expect({ status, ok: report.ok }, stderr).toEqual(
    report.problems.length === 0 ? { status: 0, ok: true } : { status: 4, ok: false },
  );
  return report.problems;
}

/** The layer of an image that no other has. */
function layerOf(reference: string): Digest {
  const content = stage.release.artifacts.get(reference);
  const [digest] = [...(content?.blobs ?? [])].sort(([, a], [, b]) => b.length - a.length)[0] ?? [];
  if (digest === undefined) throw new Error(`no ${reference}`);
  return digest;
}

/** Where a blob's bytes begin in the archive. */
async function offsetOf(digest: Digest): Promise<number> {
  const content = filesOf(stage.archive).get(pathOf(digest)) ?? new Uint8Array();
  return (await readFile(stage.archive)).indexOf(content);
}

describe("an archive", () => {
  test("that is whole ends with 0, and one line says what it holds", async () => {
    const { status, stdout } = await verify("-i", stage.archive);
    expect({ status, lines: stdout.split("\n") }).toEqual({
      status: 0,
      lines: [expect.stringMatching(/^ok: \S+ \([\d.]+ KiB\): 3 artifacts, 3 manifests, \d+ blobs$/), ""],
    });
  });

  test("whole, as JSON", async () => {
    const { status, stdout, stderr } = await verify("-i", stage.archive, "-o", "json", "--quiet");
    const { size } = Bun.file(stage.archive);
    expect({ status, stderr, report: JSON.parse(stdout) }).toEqual({
      status: 0,
      stderr: "",
      report: {
        ok: true,
        archive: {
          files: [stage.archive],
          bytes: size,
          artifacts: 3,
          manifests: 3,
          blobs: expect.any(Number),
        },
        problems: [],
        notes: [],
      },
    });
  });

  test("with a flipped bit", async () => {
    const bad = join(stage.work, "flipped.tar");
    const digest = layerOf(FIRST);
    const offset = await offsetOf(digest);
    await flip(stage.archive, bad, offset + 1000);
    expect(await problemsOf("-i", bad)).toMatchObject([
      { kind: "corrupt", digest, offset, artifacts: [FIRST] },
    ]);
    const { status, stdout, stderr } = await verify("-i", bad);
    expect(status).toBe(4);
    expect(stdout).toContain(`corrupt: ${digest} at byte ${offset} of ${bad}: `);
    expect(stdout).toContain(`\n  ${FIRST}\n`);
    expect(stdout).not.toContain(SECOND);
    expect(stderr).toContain(`error: cannot verify ${bad}: 1 problem\n`);
    expect(stderr).toContain(`done ${SECOND} `);
    expect(stderr).not.toMatch(/^failed /m);
  });

  test("that is cut short, flipped before that, and without a blob", async () => {
    const bad = join(stage.work, "cut.tar");
    await rebuild(stage.archive, bad, (files) => files.delete(pathOf(layerOf(SECOND))));
    await writeFile(bad, (await readFile(bad)).subarray(0, -1500));
    await flip(bad, bad, await offsetOf(layerOf(FIRST)));
    const problems = await problemsOf("-i", bad);
    expect(problems).toContainEqual(
      expect.objectContaining({ kind: "corrupt", digest: layerOf(FIRST), artifacts: [FIRST] }),
    );
    expect(problems).toContainEqual(
      expect.objectContaining({ kind: "truncated", digest: layerOf(SECOND), artifacts: [SECOND] }),
    );
  });

  test("without a blob, and with one that nobody wants", async () => {
    const bad = join(stage.work, "bad.tar");
    const extra = [...(await image({ seed: "extra" })).blobs][0];
    await rebuild(stage.archive, bad, (files) => {
      files.delete(pathOf(layerOf(SECOND)));
      if (extra !== undefined) files.set(pathOf(extra[0]), extra[1]);
    });
    expect(await problemsOf("-i", bad)).toMatchObject([
      { kind: "missing", digest: layerOf(SECOND), artifacts: [SECOND] },
      { kind: "extra", digest: extra?.[0], artifacts: [] },
    ]);
  });

  test("that is right and not in our layout ends with 0 and a note", async () => {
    const other = join(stage.work, "other.tar");
    await rebuild(stage.archive, other, (files) => files.delete("manifest.json"));
    const { status, stdout } = await verify("-i", other);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^layout: \S+other\.tar is not laid out as this program does it: .* at byte \d+/);
  });

  test("in volumes: whole, and without one of them", async () => {
    const output = join(stage.work, "split.tar");
    expect(await stage.exportTo(output, "--split-size", "100KiB")).toMatchObject({ status: 0 });
    expect(await problemsOf("-i", `${output}.000`)).toEqual([]);
    await rm(`${output}.001`);
    expect(await problemsOf("-i", `${output}.000`)).toMatchObject([
      { kind: "missing", volumes: [`${output}.001`], artifacts: [] },
    ]);
    const lacking = await verify("-i", output);
    expect(lacking.stdout).toContain(`its volume ${output}.001 is missing`);
    expect(lacking.stderr).toMatch(/hint: put split\.tar\.001 beside the others$/m);
    await writeFile(`${output}.001`, new Uint8Array(1000));
    expect(await problemsOf("-i", output)).toMatchObject([{ kind: "truncated", volumes: [`${output}.001`] }]);
  });

  test("that is no archive is not called damaged", async () => {
    await writeFile(join(stage.work, "empty.tar"), new Uint8Array(1024));
    expect(await verify("-i", join(stage.work, "empty.tar"))).toMatchObject({ status: 1, stdout: "" });
  });

  test("names in it cannot write to the terminal", async () => {
    const bad = join(stage.work, "names.tar");
    await rebuild(stage.archive, bad, (files) => files.set("\u001b[2Jevil\nok: all", new Uint8Array(1)));
    const { status, stdout } = await verify("-i", bad);
    expect(status).toBe(4);
    expect(stdout).not.toContain("\u001b");
    expect(stdout).not.toMatch(/^ok/m);
  });

  test("flags for a registry are refused without one", async () => {
    expect(await verify("-i", stage.archive, "--insecure")).toMatchObject({ status: 2 });
  });
});

describe("a registry", () => {
  async function filled(): Promise<TestRegistry> {
    const target = await stage.startTarget();
    expect(await stage.importTo(`${target.url}/eksa`)).toMatchObject({ status: 0 });
    target.requests.length = 0;
    return target;
  }

  test("that holds everything is asked for no blob, and changed by nothing", async () => {
    const target = await filled();
    expect(await problemsOf("-i", stage.archive, "-r", `${target.url}/eksa`)).toEqual([]);
    expect(new Set(target.requests.map(({ method }) => method))).toEqual(new Set(["GET", "HEAD"]));
    const gets = target.requests.filter(({ method, path }) => method === "GET" && path.includes("/blobs/"));
    expect(gets).toEqual([]);
  });

  test("that is empty lacks every artifact", async () => {
    const target = await stage.startTarget();
    const problems = await problemsOf("-i", stage.archive, "-r", target.url);
    expect(new Set(problems.map(({ kind }) => kind))).toEqual(new Set(["missing"]));
    expect((await verify("-i", stage.archive, "-r", target.url)).stderr).not.toContain(
      "a namespace of its own",
    );
    expect([...new Set(problems.flatMap(({ artifacts }) => artifacts))].sort()).toEqual(
      [BUNDLES, FIRST, SECOND].sort(),
    );
  });

  test("in which a tag was moved", async () => {
    const target = await filled();
    await seed(target.store, "eksa/eks-anywhere/second", "v2", await image({ seed: "moved" }));
    expect(await problemsOf("-i", stage.archive, "-r", `${target.url}/eksa`)).toMatchObject([
      { kind: "different", place: `${target.host}/eksa/eks-anywhere/second:v2`, artifacts: [SECOND] },
    ]);
    const { stdout, stderr } = await verify("-i", stage.archive, "-r", `${target.url}/eksa`);
    expect(stdout).toContain("the tag stands for sha256:");
    expect(stderr).toContain("where another release has moved a tag, give each a namespace of its own");
  });

  test("that does not answer for a blob is not said to lack it: that is a failure of another kind", async () => {
    let isRefused = false;
    const target = await stage.startTarget({
      intercept: (_, { pathname }) =>
        isRefused && pathname.includes(layerOf(FIRST)) ? new Response("", { status: 403 }) : undefined,
    });
    expect(await stage.importTo(target.url)).toMatchObject({ status: 0 });
    isRefused = true;
    const { status, stdout } = await verify("-i", stage.archive, "-r", target.url, "-o", "json");
    expect({ status, report: JSON.parse(stdout) }).toMatchObject({
      status: 1,
      report: { ok: false, problems: [{ kind: "unchecked", digest: layerOf(FIRST), artifacts: [FIRST] }] },
    });
  });

  test("is not compared with an archive that is damaged itself", async () => {
    const target = await filled();
    const bad = join(stage.work, "bad.tar");
    await rebuild(stage.archive, bad, (files) => files.delete(pathOf(layerOf(SECOND))));
    expect(await problemsOf("-i", bad, "-r", `${target.url}/eksa`)).toMatchObject([{ kind: "missing" }]);
    expect(target.requests).toEqual([]);
  });

  testWith("docker-registry")(
    "of another make: a moved tag, a blob and a manifest that are gone, a blob cut short",
    async () => {
      const target = await startDockerRegistry({ parent: fastFolder() });
      stage.running.push(target);
      const archive = join(stage.work, "multi.tar");
      const NAME = "public.ecr.aws/eks-anywhere/multi:v1";
      const multi = await multiArchImage({ seed: "multi" });
      await exportOf(archive, new Map([...stage.release.artifacts, [NAME, multi]]));
      expect(await stage.importTo(target.url, archive)).toMatchObject({ status: 0 });
      expect(await problemsOf("-i", archive, "-r", target.url)).toEqual([]);

      await removeFrom(target.directory, layerOf(FIRST));
      const [child] = multi.manifests;
      if (child === undefined) throw new Error("no child");
      await removeFrom(target.directory, child.digest);
      const shrunk = [...multi.blobs.keys()].at(-1) ?? "sha256:";
      await writeFile(join(folderOf(target.directory, shrunk), "data"), "short");
      await moveTag(`${target.url}/v2/eks-anywhere/second/manifests/v2`, SECOND);
      const problems = await problemsOf("-i", archive, "-r", target.url);
      expect(problems.map(({ kind, digest, artifacts }) => ({ kind, digest, artifacts }))).toEqual(
        expect.arrayContaining([
          { kind: "missing", digest: layerOf(FIRST), artifacts: [FIRST] },
          { kind: "missing", digest: child.digest, artifacts: [NAME] },
          { kind: "different", digest: shrunk, artifacts: [NAME] },
          {
            kind: "different",
            digest: stage.release.artifacts.get(SECOND)?.root.digest,
            artifacts: [SECOND],
          },
        ]),
      );
      expect(problems).toHaveLength(4);
    },
  );
});

async function exportOf(output: string, artifacts: ReadonlyMap<string, TestContent>): Promise<void> {
  const release = releaseOf(artifacts);
  const online = await putOnline(release);
  stage.running.push(online);
  const bundles = join(stage.work, "bundles.yaml");
  await writeFile(bundles, release.yaml);
  const flags = ["-o", output, "--bundles-override", bundles, ...online.mirrors];
  expect(await runExecutable(["export", "artifacts", ...flags])).toMatchObject({ status: 0 });
}

/** Gives the tag to another manifest of the same blobs. */
async function moveTag(url: string, reference: string): Promise<void> {
  const [manifest] = stage.release.artifacts.get(reference)?.manifests ?? [];
  const document = JSON.parse(new TextDecoder().decode(manifest?.bytes));
  const body = JSON.stringify({ ...document, annotations: { moved: "yes" } });
  const headers = { "content-type": manifest?.mediaType ?? "" };
  expect((await fetch(url, { method: "PUT", body, headers })).status).toBe(201);
}

/** As if the disk had lost it. */
async function removeFrom(directory: string, digest: Digest): Promise<void> {
  const folder = folderOf(directory, digest);
  expect(await readdir(folder)).toEqual(["data"]);
  await rm(folder, { recursive: true });
}

/** Where a docker-registry keeps content. */
function folderOf(directory: string, digest: Digest): string {
  const hex = hexOf(digest);
  return join(directory, "docker/registry/v2/blobs/sha256", hex.slice(0, 2), hex);
}
