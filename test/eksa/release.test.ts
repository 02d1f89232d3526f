import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { chooseRelease, deriveRelease, parseRelease, type Release } from "../../src/eksa/release.ts";
import { faultOf, textOf } from "../support/faults.ts";
import { PUBLISHED } from "../support/published-bundles.ts";
import { type ReleaseFields, releaseManifest } from "../support/release-manifest.ts";

const file = (text: string) => ({ source: "manifest.yaml", bytes: new TextEncoder().encode(text) });

function release(...versions: string[]): Release {
  const entries = versions.map((version, index) => ({
    version,
    bundleManifestUrl: `https://b.example/${index}`,
  }));
  return parseRelease(file(releaseManifest(entries)));
}

const numberOf = (from: Release, version?: string) => chooseRelease(from, version).number;

/** As in EKS Anywhere's pkg/manifests/releases/read_test.go. */
describe("the release of a version", () => {
  test.each<[string, string[], string, number]>([
    ["letter for letter", ["v0.0.1", "v0.0.2"], "v0.0.1", 1],
    ["letter for letter, with a build", ["v0.0.1-alpha+a", "v0.0.1-alpha+b"], "v0.0.1-alpha+b", 2],
    [
      "of `+latest`: the highest build of that prerelease",
      ["v0.0.1-alpha+build.3", "v0.0.1-alpha+build.1", "v0.0.1-alpha+build.10", "v0.0.1-alpha+build.9"],
      "v0.0.1-alpha+latest",
      3,
    ],
    [
      "of `+latest` that is there itself",
      ["v0.0.1-alpha+latest", "v0.0.1-alpha+build.1"],
      "v0.0.1-alpha+latest",
      1,
    ],
    [
      "of `+latest`, never of another prerelease",
      ["v0.0.1", "v0.0.1-a+1", "v0.0.2-a+9"],
      "v0.0.1-a+latest",
      2,
    ],
    ["of `+latest`: of two hashes the last", ["v0.0.1-a+f43fs", "v0.0.1-a+f234f"], "v0.0.1-a+latest", 2],
  ])("is found %s", (_, versions, wanted, expected) => {
    expect(numberOf(release(...versions), wanted)).toBe(expected);
  });

  test("is the latest one where none is wanted", () => {
    const entries = ["v0.1.0", "v0.2.0", "v0.3.0-dev"].map((version) => ({
      version,
      bundleManifestUrl: "b",
    }));
    expect(numberOf(parseRelease(file(releaseManifest(entries, "v0.2.0"))))).toBe(2);
  });

  test.each([
    ["0.26.1", "v0.26.1-dev, v0.26.0, v0.17.0, v1.0.0"],
    ["v0.26.2+latest", "v0.26.1-dev, v0.26.0, v0.17.0, v1.0.0"],
    ["v1.0.1", "v1.0.0, v0.26.1-dev, v0.26.0, v0.17.0"],
  ])("%s is not there: the nearest is named first", async (wanted, listed) => {
    const from = release("v0.17.0", "v0.26.0", "v0.26.1-dev", "v1.0.0");
    const fault = await faultOf(() => chooseRelease(from, wanted));
    expect(fault).toMatchObject({ kind: "usage", hint: "name one of these with `--eksa-version`" });
    expect(textOf(fault)).toContain(
      `cannot find EKS Anywhere ${wanted} in the Release\nit holds ${listed}\n`,
    );
  });

  test("cannot be found by what is no version", async () => {
    expect(await faultOf(() => chooseRelease(release("nightly"), "nightly"))).toMatchObject({
      kind: "usage",
    });
  });

  test("of many, a few are named", async () => {
    const versions = Array.from({ length: 100 }, (_, index) => `v0.${index}.0`);
    const fault = await faultOf(() => chooseRelease(release(...versions), "v0.26.1"));
    expect(textOf(fault)).toContain("it holds v0.26.0, v0.29.0, v0.28.0, v0.27.0, v0.25.0");
    expect(textOf(fault)).toContain("and 92 more");
  });

  test("is the manifest's to say, and it does not say which is the latest", async () => {
    const entries = [{ version: "v0.3.0", bundleManifestUrl: "b" }];
    const silent = parseRelease(file(releaseManifest(entries, "")));
    const fault = await faultOf(() => chooseRelease(silent, undefined));
    expect(fault).toMatchObject({ kind: "failed", hint: "name one with `--eksa-version`" });
    expect(textOf(fault)).toContain("it holds v0.3.0");
    const wrong = parseRelease(file(releaseManifest(entries, "v0.4.0")));
    expect(await faultOf(() => chooseRelease(wrong, undefined))).toMatchObject({ kind: "failed" });
  });

  test("cannot be a prerelease's latest among entries that are no versions", async () => {
    const fault = await faultOf(() => chooseRelease(release("v0.0.1", "vx.x.x"), "1.1.1-dev+latest"));
    expect(fault.message).toContain("`vx.x.x` in the Release is no version");
    expect(numberOf(release("v0.0.1", "vx.x.x"), "v0.0.1")).toBe(1);
  });
});

describe("a Release manifest", () => {
  test.each<[string, (text: string) => string, string]>([
    ["another kind", (text) => text.replace("kind: Release", "kind: Bundles"), "it is `Bundles`"],
    [
      "no releases",
      (text) => text.replace(/releases:.*status/s, "releases: []\nstatus"),
      "at least one release",
    ],
    ["no version", (text) => text.replace(/^ +version: .*\n/m, ""), "spec.releases[0].version: is missing"],
    [
      "no URL",
      (text) => text.replace(/bundleManifestUrl/, "bundles"),
      "spec.releases[0].bundleManifestUrl: is missing",
    ],
    [
      "a number in words",
      (text) => text.replace("number: 1", "number: one"),
      "spec.releases[0].number: expected a whole number, found `one`",
    ],
    [
      "an archive that is none",
      (text) => text.replace("number: 1", "number: 1\n      airgapArtifacts: a.tar"),
      "spec.releases[0].airgapArtifacts: expected a mapping with a `uri`, found `a.tar`",
    ],
    [
      "no latest version",
      (text) => text.replace(/latestVersion: .*/, "latest: x"),
      "spec.latestVersion: is missing",
    ],
  ])("with %s is refused, naming the place", async (_, damage, says) => {
    const text = releaseManifest([{ version: "v0.1.0", bundleManifestUrl: "https://b.example/1" }]);
    const damaged = damage(text);
    expect(damaged).not.toBe(text);
    const fault = await faultOf(() => parseRelease(file(damaged)));
    expect(textOf(fault)).toContain("manifest.yaml");
    expect(textOf(fault)).toContain(says);
  });

  test("names the archive of everything, and fields that nobody knows", () => {
    const airgapArtifacts = {
      uri: "https://a.example/a.tar",
      sha256: "00",
      sha512: "11",
      arch: ["amd64"],
      description: "d",
    };
    const entry = {
      version: "v0.1.0",
      bundleManifestUrl: "b",
      airgapArtifacts,
      extraField: { on: true, of: 1.5 },
    };
    const [found] = parseRelease(file(releaseManifest([entry]))).releases;
    expect(found).toMatchObject({
      version: "v0.1.0",
      number: 1,
      raw: { number: 1, extraField: { on: true, of: 1.5 } },
    });
    const { description: _, ...known } = airgapArtifacts;
    expect(found?.airgapArtifacts).toEqual(known);
  });

  test.skipIf(!existsSync(PUBLISHED) && process.env.CI === undefined)("as published is read", async () => {
    const text = await Bun.file(join(PUBLISHED, "release-manifest-old-beta.yaml")).text();
    const published = parseRelease(file(text));
    expect(chooseRelease(published, "v0.4.0").bundleManifestUrl).toContain("/0.4.0/bundle-release.yaml");
    expect(published.releases).toHaveLength(4);
  });
});

describe("the Release that is derived from one entry", () => {
  const entry: ReleaseFields = {
    version: "v0.26.1",
    bundleManifestUrl: "https://b.example/61",
    airgapArtifacts: { uri: "https://a.example/a.tar" },
    flag: true,
    nothing: null,
    word: "yes",
    digits: "0123",
  };
  const derive = (text: string, version = "v0.26.1") => {
    const bytes = deriveRelease(chooseRelease(parseRelease(file(text)), version));
    return new TextDecoder().decode(bytes);
  };

  test("is this, byte for byte", () => {
    expect(derive(releaseManifest([{ version: "v0.26.0", bundleManifestUrl: "x" }, entry]))).toBe(
      [
        "apiVersion: anywhere.eks.amazonaws.com/v1alpha1",
        "kind: Release",
        "metadata:",
        "  name: eks-anywhere",
        "spec:",
        "  latestVersion: v0.26.1",
        "  releases:",
        "    - bundleManifestUrl: https://b.example/61",
        "      date: 2026-08-18 20:23:07.563921551 +0000 UTC",
        '      digits: "0123"',
        "      eksABinary:",
        "        linux:",
        "          arch:",
        "            - amd64",
        "          uri: https://assets.example/eksctl-anywhere.tar.gz",
        "      flag: true",
        "      gitCommit: aebd9a062",
        "      gitTag: v0.26.1",
        "      nothing: null",
        "      number: 2",
        "      version: v0.26.1",
        '      word: "yes"',
        "",
      ].join("\n"),
    );
  });

  test("is the same once the manifest has grown, and once its archive is named", () => {
    const { airgapArtifacts: _, ...bare } = entry;
    const first = derive(releaseManifest([bare]));
    const later = [entry, { version: "v0.27.0", bundleManifestUrl: "y", number: 9 }];
    expect(derive(releaseManifest(later))).toBe(first);
  });

  test("is the same in whatever order the fields stand, and derived once more", () => {
    const text = releaseManifest([entry]);
    const turned = text.replace("number: 1\n      version: v0.26.1", 'version: "v0.26.1"\n      number: 1');
    expect(turned).not.toBe(text);
    expect(derive(turned)).toBe(derive(text));
    expect(derive(derive(text))).toBe(derive(text));
  });
});
