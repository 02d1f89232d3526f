import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Descriptor } from "../../src/oci/descriptor.ts";
import type { TestContent } from "../support/content.ts";
import { runExecutable } from "../support/executable.ts";
import { putOnline, releaseOfRealShape } from "../support/release.ts";
import { FIRST, Stage } from "./stage.ts";

test("a dry run reads manifests and the configs of bare images alone, and foretells the archive", async () => {
  const release = await releaseOfRealShape({ versions: ["1.31"] });
  const online = await putOnline(release);
  const folder = await mkdtemp(join(tmpdir(), "eksa-airgap-dry-run-"));
  try {
    await writeFile(join(folder, "bundles.yaml"), release.yaml);
    const args = ["export", "artifacts", "--output", "artifacts.tar", "--bundles-override", "bundles.yaml"];
    const dry = await runExecutable([...args, ...online.mirrors, "--dry-run"], { cwd: folder });
    expect(dry).toMatchObject({ status: 0 });
    expect(await readdir(folder)).toEqual(["bundles.yaml"]);

    const asked = online.registry.requests.filter(({ path }) => path !== "/v2/");
    expect(new Set(asked.map(({ method }) => method))).toEqual(new Set(["GET"]));
    const blobs = asked.filter(({ path }) => path.includes("/blobs/")).map(({ path }) => path);
    expect(blobs.map((path) => path.split("/").at(-1) ?? "").sort()).toEqual(bareConfigs(release.artifacts));
    expect(asked.filter(({ path }) => /\/(manifests|blobs)\//.test(path))).toHaveLength(asked.length);

    const lines = dry.stdout.split("\n");
    for (const [reference, { root }] of release.artifacts) {
      expect(lines.filter((line) => line.startsWith(`${reference}@${root.digest} `))).toHaveLength(1);
    }
    expect(lines).toContainEqual(
      expect.stringMatching(new RegExp(`^${release.artifacts.size + 1} artifacts, `)),
    );
    const split = await runExecutable([...args, ...online.mirrors, "--dry-run", "--split-size", "100KB"], {
      cwd: folder,
    });
    const real = await runExecutable([...args, ...online.mirrors], { cwd: folder });
    expect(real).toMatchObject({ status: 0 });
    const { size } = await stat(join(folder, "artifacts.tar"));
    expect(lines).toContainEqual(expect.stringMatching(new RegExp(`^archive: ${size} bytes \\([^)]+\\)$`)));
    const volumes = Math.ceil(size / 100_000);
    expect(volumes).toBeGreaterThan(1);
    expect(split.stdout).toContain(` in ${volumes} volumes of 100000 bytes at most\n`);
  } finally {
    await online.stop();
    await rm(folder, { recursive: true, force: true });
  }
});

describe("a dry run of an import says what would go where, and writes nothing", () => {
  let stage: Stage;
  beforeAll(async () => {
    stage = await Stage.set();
  });
  beforeEach(() => stage.begin());
  afterEach(() => stage.end());
  afterAll(() => stage.strike());

  test.each(["a file", "a pipe"])("from %s", async (from) => {
    const target = await stage.startTarget();
    const input = from === "a pipe" ? "-" : stage.archive;
    const stdin = from === "a pipe" ? { stdin: Bun.file(stage.archive) } : {};
    const dry = () =>
      runExecutable(["import", "artifacts", "-i", input, "-r", `${target.url}/eksa`, "--dry-run"], stdin);
    const line = `${FIRST}@${stage.release.artifacts.get(FIRST)?.root.digest} -> ${target.host}/eksa/eks-anywhere/first:v1  `;
    const rowOf = (stdout: string) => stdout.split("\n").find((row) => row.startsWith(line));
    const before = await dry();
    expect(before.status, before.stderr).toBe(0);
    expect(rowOf(before.stdout)).toEndWith("  to be sent");
    expect(before.stdout).toContain("; 0 are already there");
    expect(target.requests.filter(({ method }) => method !== "GET" && method !== "HEAD")).toEqual([]);
    expect((await stage.importTo(`${target.url}/eksa`)).status).toBe(0);
    expect(rowOf((await dry()).stdout)).toEndWith("  already there");
  });

  test("of a registry that does not say what it holds too", async () => {
    const target = await stage.startTarget({
      intercept: (_, { pathname }) =>
        pathname.includes("/manifests/") ? new Response(null, { status: 403 }) : undefined,
    });
    const args = ["import", "artifacts", "-i", stage.archive, "-r", target.url, "--dry-run"];
    const result = await runExecutable(args);
    expect(result.status, result.stderr).toBe(0);
    expect(result.stdout).toContain("the target does not say whether it is there");
  });
});

/** Digests of the configs that say what an image outside any index runs on. */
function bareConfigs(artifacts: ReadonlyMap<string, TestContent>): string[] {
  const configs = [...artifacts.values()].flatMap(({ root, manifests }) => {
    const bytes = manifests.find(({ digest }) => digest === root.digest)?.bytes;
    const { config }: { config?: Descriptor } = JSON.parse(new TextDecoder().decode(bytes));
    return config === undefined || config.mediaType.includes("helm") ? [] : [config.digest];
  });
  return configs.sort();
}
