import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathOf } from "../../src/archive/path.ts";
import { tarOf } from "../archive/damage.ts";
import { toYaml } from "../support/bundles-author.ts";
import { chart, image, multiArchImage, type TestContent } from "../support/content.ts";
import { type RunResult, runExecutable } from "../support/executable.ts";
import { rawImage } from "../support/memory.ts";
import { type OnlineRelease, putOnline, releaseOf } from "../support/release.ts";

const HOST = "public.ecr.aws/eks-anywhere";
const MULTI = `${HOST}/multi:v1`;
const BARE = `${HOST}/bare:v2`;
const CHART = `${HOST}/chart:0.1.0`;

let folder: string;
let online: OnlineRelease;
let artifacts: Map<string, TestContent>;
let bundles: string;
let archive: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eksa-airgap-list-"));
  artifacts = new Map([
    [MULTI, await multiArchImage({ seed: "multi", attested: true })],
    [BARE, await image({ seed: "bare", dialect: "docker" })],
    [CHART, await chart("chart", "0.1.0")],
  ]);
  const release = releaseOf(artifacts, new Map([["https://files.example/a.yaml", "kind: List\n"]]));
  online = await putOnline(release);
  bundles = join(folder, "bundles.yaml");
  archive = join(folder, "artifacts.tar");
  await writeFile(bundles, toYaml(document()));
  const flags = ["-o", archive, ...selection()];
  expect(await runExecutable(["export", "artifacts", ...flags])).toMatchObject({ status: 0 });
});

afterAll(async () => {
  await online.stop();
  await rm(folder, { recursive: true, force: true });
});

/** The chart where a chart belongs, and one image without its digest. */
function document(): object {
  const parts = {
    chart: { helmChart: { uri: CHART, imageDigest: rootOf(CHART) } },
    images: [{ uri: MULTI, imageDigest: rootOf(MULTI) }, { uri: BARE }],
    files: [{ uri: "https://files.example/a.yaml" }],
  };
  return {
    apiVersion: "anywhere.eks.amazonaws.com/v1alpha1",
    kind: "Bundles",
    spec: { number: 1, versionsBundles: [{ kubeVersion: "1.31", parts }] },
  };
}

function rootOf(reference: string): string {
  return artifacts.get(reference)?.root.digest ?? "";
}

function selection(): string[] {
  return ["--bundles-override", bundles, ...online.mirrors];
}

function list(what: "artifacts" | "images", ...flags: string[]): Promise<RunResult> {
  return runExecutable(["list", what, ...flags]);
}

describe("artifacts", () => {
  const sources: [string, () => string[]][] = [
    ["an archive", () => ["-i", archive]],
    ["a Bundles", selection],
  ];

  test.each(sources)("of %s, a line each", async (_, flags) => {
    const { status, stdout } = await list("artifacts", ...flags());
    expect(status).toBe(0);
    const lines = stdout.trimEnd().split("\n");
    expect(lines).toEqual([
      expect.stringMatching(
        /^public\.ecr\.aws\/eks-anywhere\/bundles:bundles-1 {2}sha256:\w{64} {2}\S+ K?i?B {2}manifest$/,
      ),
      expect.stringMatching(new RegExp(`^${BARE}  ${rootOf(BARE)}  \\S+ KiB  image$`)),
      expect.stringMatching(new RegExp(`^${CHART}  ${rootOf(CHART)}  \\S+ (Ki)?B  chart$`)),
      expect.stringMatching(new RegExp(`^${MULTI}  ${rootOf(MULTI)}  \\S+ KiB  image$`)),
    ]);
  });

  test.each(sources)("of %s, as JSON", async (_, flags) => {
    const { status, stdout } = await list("artifacts", ...flags(), "-o", "json");
    const { artifacts: listed, totals } = JSON.parse(stdout);
    expect({ status, listed, totals }).toMatchObject({
      status: 0,
      listed: [
        { kind: "manifest", platforms: [] },
        { reference: BARE, digest: rootOf(BARE), kind: "image", platforms: ["linux/amd64"] },
        { reference: CHART, kind: "chart", platforms: [] },
        { reference: MULTI, kind: "image", platforms: ["linux/amd64", "linux/arm64"] },
      ],
      totals: { artifacts: 4, manifests: 8 },
    });
  });

  test("of a selection, one left out", async () => {
    const { stdout } = await list("artifacts", ...selection(), "--exclude", MULTI);
    expect(stdout).toContain(BARE);
    expect(stdout).not.toContain(MULTI);
  });
});

describe("images", () => {
  const expected = () => [`${BARE}@${rootOf(BARE)}`, `${MULTI}@${rootOf(MULTI)}`, ""].join("\n");

  test("of an archive: sorted, and nothing else", async () => {
    const { status, stdout } = await list("images", "-i", archive);
    expect({ status, stdout }).toEqual({ status: 0, stdout: expected() });
  });

  test("of a Bundles: only the digest that it does not give is asked for", async () => {
    online.registry.requests.length = 0;
    const { status, stdout } = await list("images", ...selection());
    expect({ status, stdout }).toEqual({ status: 0, stdout: expected() });
    const asked = online.registry.requests.map(({ path }) => path).filter((path) => path !== "/v2/");
    expect(asked).toEqual(["/v2/eks-anywhere/bare/manifests/v2"]);
  });

  test("as JSON", async () => {
    const { stdout } = await list("images", "-i", archive, "-o", "json");
    expect(JSON.parse(stdout)).toEqual({
      images: [
        { uri: BARE, digest: rootOf(BARE) },
        { uri: MULTI, digest: rootOf(MULTI) },
      ],
    });
  });

  test("whose digest cannot be had are named", async () => {
    const other = join(folder, "other.yaml");
    await writeFile(other, toYaml(document()).replaceAll(BARE, `${HOST}/nowhere:v1`));
    const { status, stdout, stderr } = await list("images", "--bundles-override", other, ...online.mirrors);
    expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
    expect(stderr).toContain(`${HOST}/nowhere:v1`);
  });
});

describe("a list is of an archive or of a selection", () => {
  test.each<[string, string[], string]>([
    ["both", ["-i", "a.tar", "--bundles-override", "b.yaml"], "`--input` and `--bundles-override` together"],
    [
      "a selection's flag with an archive",
      ["-i", "a.tar", "--exclude", "x"],
      "`--input` and `--exclude` together",
    ],
  ])("%s is a mistake", async (_, flags, says) => {
    const { status, stdout, stderr } = await list("artifacts", ...flags);
    expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
    expect(stderr).toContain(says);
  });
});

test("an archive of a hundred thousand entries lists in seconds", async () => {
  const path = join(folder, "many.tar");
  await writeFile(path, manyRoots(33_400));
  const { status, stdout } = await list("images", "-i", path);
  expect(status).toBe(0);
  expect(stdout.split("\n")).toHaveLength(33_401);
}, 30_000);

/** Images of a config, a layer and a manifest each. */
function manyRoots(count: number): Uint8Array {
  const encode = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
  const files = new Map<string, Uint8Array>();
  const manifests: object[] = [];
  for (let index = 0; index < count; index++) {
    const { root, manifests: own, blobs } = rawImage([`layer ${index}`]);
    for (const { digest, bytes } of own) files.set(pathOf(digest), bytes);
    for (const [digest, bytes] of blobs) files.set(pathOf(digest), bytes);
    const name = `${HOST}/many-${String(index).padStart(6, "0")}:v1`;
    manifests.push({ ...root, annotations: { "io.containerd.image.name": name } });
  }
  return tarOf([["oci-layout", encode({})], ["index.json", encode({ manifests })], ...files]);
}
