import { describe, expect, test } from "bun:test";
import {
  compareVersions,
  isLaterBuild,
  isSamePrerelease,
  parseVersion,
  readVersion,
  tagOfVersion,
  versionOfTag,
} from "../../src/eksa/version.ts";
import { faultOf } from "../support/faults.ts";

describe("a version", () => {
  test.each(["v0.26.1", "0.0.0", "v0.19.0-dev+latest", "v1.2.3-rc.1+build.10.abc"])("may be %s", (text) => {
    expect(readVersion(text)).toBeDefined();
  });

  test.each(["", "v0.26", "v01.2.3", "latest", "v0.26.1 ", "v0.26.1+", "v0.26.1-", "v0.26.1_x", "v1.2.3-01"])(
    "may not be `%s`",
    async (text) => {
      expect(readVersion(text)).toBeUndefined();
      expect(await faultOf(() => parseVersion(text))).toMatchObject({ kind: "usage" });
    },
  );

  test("is a tag without its plus sign, and back", () => {
    expect(tagOfVersion("v0.19.0-dev+build.10")).toBe("v0.19.0-dev_build.10");
    expect(versionOfTag("v0.19.0-dev_build.10")).toBe("v0.19.0-dev+build.10");
    expect(versionOfTag(tagOfVersion("v0.26.1"))).toBe("v0.26.1");
  });
});

/** As in EKS Anywhere's pkg/semver/semver_test.go, where 2 (cannot be told) is above as well. */
describe("of two builds the later one", () => {
  test.each([
    ["build.10", "build.9", true],
    ["build.9", "build.10", false],
    ["build.9", "build.9", false],
    ["build.9.1", "build.9", true],
    ["build.9", "build.9.1", false],
    ["1", "a", false],
    ["a", "1", true],
    ["f43fs", "f234f", true],
    ["f234f", "f43fs", true],
    // Too long for a number.
    ["99999999999999999999", "9", true],
    ["99999999999999999998", "99999999999999999999", true],
  ])("of %s and %s: the first %p", (a, b, expected) => {
    expect(isLaterBuild(parseVersion(`v0.1.0-dev+${a}`), parseVersion(`v0.1.0-dev+${b}`))).toBe(expected);
  });

  test.each([
    ["v0.1.0-dev+1", "v0.1.0-dev+2", true],
    ["v0.1.0-dev", "v0.1.0-dev+2", true],
    ["v0.1.0-dev", "v0.1.0", false],
    ["v0.1.0-dev", "v0.1.1-dev", false],
  ])("is looked for where %s and %s are one prerelease: %p", (a, b, expected) => {
    expect(isSamePrerelease(parseVersion(a), parseVersion(b))).toBe(expected);
  });
});

test("versions have one order, whichever two are compared", () => {
  const sorted = [
    "v0.9.9",
    "v0.19.0-alpha",
    "v0.19.0-alpha.1",
    "v0.19.0-alpha.beta",
    "v0.19.0-dev",
    "v0.19.0-dev+1",
    "v0.19.0-dev+build.9",
    "v0.19.0-dev+build.10",
    "v0.19.0-dev+build.10.a",
    "v0.19.0-dev+f234f",
    "v0.19.0-dev+f43fs",
    "v0.19.0",
    "v0.19.1",
    "v0.26.1",
    "v1.0.0-rc.1",
    "v1.0.0",
  ];
  for (const [i, a] of sorted.entries()) {
    for (const [j, b] of sorted.entries()) {
      expect(Math.sign(compareVersions(parseVersion(a), parseVersion(b))), `${a} ${b}`).toBe(
        Math.sign(i - j),
      );
    }
  }
});
