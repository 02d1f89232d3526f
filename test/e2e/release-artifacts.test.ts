import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdir, symlink } from "node:fs/promises";
import { join } from "node:path";
import { parseRelease } from "../../src/eksa/release.ts";
import { checksum } from "../support/tar.ts";
import { NEWER, PrepackagedStage, TARBALL, VERSION } from "./prepackaged-stage.ts";
import { expectFailure, flipped } from "./stage.ts";

let stage: PrepackagedStage;
beforeAll(async () => {
  stage = await PrepackagedStage.set();
});
afterAll(() => stage.strike());

async function textOf(name: string): Promise<string> {
  return new TextDecoder().decode(await stage.bytes(name));
}

const COMMAND = ["release", "artifacts", "--eksa-version", VERSION, "--uri", TARBALL];

describe("a release offers its archive", () => {
  test("by what is true of it, and nothing else in the manifest is changed", async () => {
    const [before, after] = [await textOf("later.yaml"), await textOf("offered.yaml")];
    const lines = after.split("\n");
    const start = lines.findIndex((line) => line.includes("airgapArtifacts:"));
    const end = lines.findIndex(
      (line, index) => index > start && line.startsWith("      bundleManifestUrl:"),
    );
    const rest = [
      ...lines.slice(0, start),
      (lines[end] ?? "").replace("      ", "    - "),
      ...lines.slice(end + 1),
    ];
    expect(rest.join("\n")).toBe(before);
    const { releases } = parseRelease({ source: "offered.yaml", bytes: await stage.bytes("offered.yaml") });
    expect(releases.map(({ version, airgapArtifacts }) => [version, airgapArtifacts])).toEqual([
      [NEWER, undefined],
      [
        VERSION,
        {
          name: "artifacts.tar",
          os: "linux",
          arch: ["amd64", "arm64"],
          uri: TARBALL,
          sha256: await checksum(join(stage.folder, "built.tar"), "sha256"),
          sha512: await checksum(join(stage.folder, "built.tar"), "sha512"),
        },
      ],
    ]);
    expect(releases[1]?.raw.airgapArtifacts).toHaveProperty("description");
  });

  test("in the manifest itself, where a link leads to it, and once is as good as twice", async () => {
    await stage.write("own.yaml", await textOf("later.yaml"));
    await symlink("own.yaml", join(stage.folder, "link.yaml"));
    for (let time = 0; time < 2; time++) {
      const result = await stage.run(...COMMAND, "--input", "built.tar", "--release-manifest", "link.yaml");
      expect(result, result.stderr).toMatchObject({ status: 0, stdout: "" });
      expect(await textOf("own.yaml")).toBe(await textOf("offered.yaml"));
    }
    expect((await readdir(stage.folder)).filter((name) => name.endsWith(".partial"))).toEqual([]);
  });

  test("of several volumes as what they are together", async () => {
    expect((await stage.export("cut.tar", "--split-size", "300000")).status).toBe(0);
    const result = await stage.offer("cut.tar.000", "later.yaml", "of-volumes.yaml");
    expect(result, result.stderr).toMatchObject({ status: 0 });
    expect(await textOf("of-volumes.yaml")).toBe(await textOf("offered.yaml"));
  });
});

describe("an archive is not offered", () => {
  const chart = "public.ecr.aws/eks-anywhere/chart:0.1.0";

  test("that lacks what the Bundles names", async () => {
    expect((await stage.export("less.tar", "--exclude", chart)).status).toBe(0);
    const result = await stage.offer("less.tar", "later.yaml", "none.yaml");
    expectFailure(result, 4, `cannot accept ${chart}`, "the archive does not hold it", "make it anew with");
  });

  test("that was made of another Release", async () => {
    // The release has another commit by now: what is derived from it is another artifact.
    await stage.write("changed.yaml", (await textOf("later.yaml")).replaceAll("aebd9a062", "0123abc"));
    const result = await stage.offer("built.tar", "changed.yaml", "none.yaml");
    const name = `public.ecr.aws/eks-anywhere/release-manifest:${VERSION}`;
    expectFailure(result, 4, `cannot accept ${name}`, "the Bundles makes it sha256:");
  });

  test("that is damaged", async () => {
    await stage.write("damaged.tar", flipped(stage.built, stage.built.length - 5000));
    const result = await stage.offer("damaged.tar", "later.yaml", "none.yaml");
    expectFailure(result, 4, "cannot offer damaged.tar", "verify artifacts --input damaged.tar");
  });

  test("that was made for no release", async () => {
    const mirrors = stage.args("", "", []).slice(8);
    const bundles = ["--bundles-override", "https://assets.example/bundles/1/manifest.yaml"];
    expect((await stage.run("export", "artifacts", "-o", "bare.tar", ...bundles, ...mirrors)).status).toBe(0);
    const result = await stage.offer("bare.tar", "later.yaml", "none.yaml");
    expectFailure(result, 1, `it holds no public.ecr.aws/eks-anywhere/bundles:${VERSION}`);
  });

  afterAll(async () => {
    expect(await readdir(stage.folder)).not.toContain("none.yaml");
  });
});

describe("a mistake in the line ends with 2", () => {
  test.each<[string, string[], string]>([
    ["another version", ["--eksa-version", "v0.1.0"], VERSION],
    ["no URL", ["--uri", "artifacts.tar"], "an `https://` URL"],
    ["plain HTTP", ["--uri", "http://a.example/artifacts.tar"], "an `https://` URL"],
    ["a login in the URL", ["--uri", "https://robot:s3cret@a.example/a.tar"], "without a login"],
    ["a signed URL", ["--uri", "https://a.example/a.tar?X-Amz-Signature=s3cret"], "without a query"],
    ["no file in the URL", ["--uri", "https://a.example/"], "URL of a file"],
    ["the archive as the output", ["--output", "built.tar"], "name a file of its own"],
    ["a folder as the output", ["--output", "."], "name a file of its own"],
    ["stdout as the output", ["--output", "-"], "name a file of its own"],
  ])("%s", async (_, words, says) => {
    const usual = {
      "--uri": TARBALL,
      "--eksa-version": VERSION,
      "--output": "none.yaml",
      "--input": "built.tar",
    };
    const [name = "", value = ""] = words;
    const flags = Object.entries({ ...usual, "--release-manifest": "later.yaml", [name]: value }).flat();
    const result = await stage.run("release", "artifacts", ...flags);
    expectFailure(result, 2, says);
    expect(result.stderr).not.toContain("s3cret");
  });

  test("a manifest that is not a file is named", async () => {
    const result = await stage.offer("built.tar", "https://a.example/manifest.yaml", "none.yaml");
    expectFailure(result, 1, "cannot read the Release manifest", "download it first");
  });
});
