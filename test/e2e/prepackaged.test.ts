import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { volumeName } from "../../src/archive/volumes.ts";
import { executable, runExecutable } from "../support/executable.ts";
import { PrepackagedStage, TARBALL } from "./prepackaged-stage.ts";

let stage: PrepackagedStage;
beforeAll(async () => {
  stage = await PrepackagedStage.set();
});
beforeEach(() => stage.begin());
afterAll(() => stage.strike());

describe("an export of all of a release that offers its archive", () => {
  test("downloads that, in parts, and gives what a build gives, though the Release has grown since", async () => {
    const result = await stage.take("taken.tar", "--report", "report.json");
    expect(result, result.stderr).toMatchObject({ status: 0, stdout: "" });
    await stage.expectBuilt("taken.tar");
    expect(stage.askedOfRegistries).toBe(0);
    expect(stage.asked.length).toBeGreaterThan(5);
    expect(stage.most).toBeGreaterThan(1);
    // After its size and its graph, each byte is asked for once at most.
    const parts = stage.asked.slice(2).map((part) => part ?? expect.unreachable());
    parts.sort((a, b) => a.from - b.from);
    for (const [index, { to }] of parts.entries())
      expect(to).toBeLessThanOrEqual(parts[index + 1]?.from ?? to);
    expect(result.stderr).toContain(`taking the ready-made archive ${TARBALL}`);
    expect(result.stderr).toContain(`downloaded ${TARBALL}: its sha256 and sha512 are those of the Release`);
    const report = JSON.parse(new TextDecoder().decode(await stage.bytes("report.json")));
    expect(report.prepackaged).toBe(TARBALL);
    expect(new Set(report.artifacts.map(({ state }: { state: string }) => state))).toEqual(new Set(["done"]));
  });

  test("finds an output right that a build has written", async () => {
    await stage.write("same.tar", stage.built);
    const result = await stage.take("same.tar");
    expect(result, result.stderr).toMatchObject({ status: 0, stdout: "" });
    expect(result.stderr).toContain("is already what this export would write");
    // The size, the graph, and the config of each bare image.
    expect(stage.asked.length).toBeLessThan(6);
  });

  test("cuts it into volumes", async () => {
    const result = await stage.take("cut.tar", "--split-size", "200000");
    expect(result, result.stderr).toMatchObject({ status: 0, stdout: "" });
    expect(stage.askedOfRegistries).toBe(0);
    const volumes = await Promise.all(
      Array.from({ length: Math.ceil(stage.built.length / 200_000) }, (_, index) =>
        stage.bytes(volumeName("cut.tar", index)),
      ),
    );
    expect(Buffer.compare(Buffer.concat(volumes), stage.built)).toBe(0);
  });

  test("foretells it", async () => {
    const result = await stage.take("foretold.tar", "--dry-run");
    expect(result.status, result.stderr).toBe(0);
    expect(result.stdout).toContain(`archive: ${stage.built.length} bytes`);
    expect(result.stderr).toContain("taking the ready-made archive");
    expect(stage.askedOfRegistries).toBe(0);
  });
});

describe("it is built all the same", () => {
  test("where that is asked for: byte for byte what was downloaded", async () => {
    const result = await stage.take("own.tar", "--no-prepackaged");
    expect(result, result.stderr).toMatchObject({ status: 0, stdout: "" });
    expect(stage.asked).toEqual([]);
    await stage.expectBuilt("own.tar");
  });

  test.each<[string, string[]]>([
    ["without one artifact", ["--exclude", "public.ecr.aws/eks-anywhere/chart:0.1.0"]],
    ["with signatures", ["--include-signatures"]],
    ["a delta", ["--since", "built.tar"]],
  ])("where it is not all that is wanted: %s", async (_, flags) => {
    const result = await stage.take("part.tar", "--force", "-v", "1", ...flags);
    expect(result, result.stderr).toMatchObject({ status: 0, stdout: "" });
    expect(stage.asked).toEqual([]);
    expect(result.stderr).toContain("is not used: not all of the release is wanted");
    await rm(join(stage.folder, "part.tar"));
  });

  test("where it goes into a pipe", async () => {
    const args = stage.args("-", "offered.yaml", []).map((word) => `'${word}'`);
    const program = await executable();
    await Bun.$`sh -c ${`'${program}' ${args.join(" ")} > piped.tar`}`.cwd(stage.folder).quiet();
    expect(stage.asked).toEqual([]);
    await stage.expectBuilt("piped.tar");
  });
});

test("help speaks of it", async () => {
  const { stdout } = await runExecutable(["export", "artifacts", "--help"]);
  expect(stdout).toContain("--no-prepackaged");
});
