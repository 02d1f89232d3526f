import { describe, expect, test } from "bun:test";
import { formatPlatform, isRunnable, matchesPlatform, parsePlatform } from "../../src/oci/platform.ts";

describe("a platform", () => {
  test.each([
    ["linux/amd64", { os: "linux", architecture: "amd64" }],
    ["linux/arm/v7", { os: "linux", architecture: "arm", variant: "v7" }],
  ])("%s is read and written alike", (text, platform) => {
    expect(parsePlatform(text)).toEqual(platform);
    expect(formatPlatform(platform)).toBe(text);
  });

  test.each(["", "linux", "linux/", "/amd64", "linux/arm/", "linux/arm/v7/x", "Linux/AMD64", "linux amd64"])(
    "%p is none",
    (text) => {
      expect(parsePlatform(text)).toBeUndefined();
    },
  );

  test.each<[string, string, boolean]>([
    ["linux/amd64", "linux/amd64", true],
    ["linux/amd64", "linux/arm64", false],
    ["windows/amd64", "linux/amd64", false],
    // Without a variant all of them are meant, and what has none is what is usual.
    ["linux/arm/v6", "linux/arm", true],
    ["linux/arm64/v8", "linux/arm64", true],
    ["linux/arm64", "linux/arm64/v8", true],
    ["linux/arm64", "linux/arm64/v9", false],
    ["linux/arm/v6", "linux/arm/v7", false],
    ["linux/amd64", "linux/amd64/v3", false],
    ["linux/s390x", "linux/s390x/z1", false],
  ])("%s is one of %s: %p", (text, wanted, expected) => {
    const [platform, asked] = [parsePlatform(text), parsePlatform(wanted)];
    if (platform === undefined || asked === undefined) throw new Error("not a platform");
    expect(matchesPlatform(platform, asked)).toBe(expected);
  });

  test("of attestations and signatures is none to run on", () => {
    const runnable = (os: string, architecture: string) => isRunnable({ os, architecture });
    expect([runnable("linux", "amd64"), runnable("unknown", "unknown"), runnable("", "")]).toEqual([
      true,
      false,
      false,
    ]);
    expect(isRunnable(undefined)).toBe(false);
  });
});
