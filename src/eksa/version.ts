import { Fault } from "../oci/fault.ts";
import { compareBytewise, isTag } from "../oci/reference.ts";

/** A version of EKS Anywhere, `v0.19.0-dev+build.10`. */
export interface Version {
  major: bigint;
  minor: bigint;
  patch: bigint;
  prerelease: string;
  build: string;
}

/** Source: EKS Anywhere, pkg/semver/semver.go. */
const FORM =
  /^v?(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?(?:\+([0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?$/;
const LONGEST = 128;

/** Undefined where the text is no version. */
export function readVersion(text: string): Version | undefined {
  const parts = text.length > LONGEST ? null : FORM.exec(text);
  if (parts === null) return;
  const [, major = "", minor = "", patch = "", prerelease = "", build = ""] = parts;
  return { major: BigInt(major), minor: BigInt(minor), patch: BigInt(patch), prerelease, build };
}

export function parseVersion(text: string): Version {
  const version = readVersion(text);
  if (version !== undefined) return version;
  throw new Fault(`cannot use \`${text.slice(0, LONGEST)}\` as a version of EKS Anywhere`, {
    hint: "a version looks like `v0.26.1`",
    kind: "usage",
  });
}

/** Whether two versions differ in nothing but their build metadata. */
export function isSamePrerelease(a: Version, b: Version): boolean {
  return compareNumbers(a, b) === 0 && a.prerelease === b.prerelease;
}

/**
 * Whether `a` is of a later build than `b`, as EKS Anywhere has it: a number is below a string, the longer one
 * above its own prefix, and of two strings that differ (hashes) each is above the other.
 * Source: pkg/semver/identifiers.go.
 */
export function isLaterBuild(a: Version, b: Version): boolean {
  return compareIdentifiers(a.build.split("."), b.build.split("."), () => 1) > 0;
}

/**
 * The order of releases: negative where `a` comes first. Precedence is semver's; where that is equal the build
 * metadata decides, strings among them bytewise, so that of any two versions one is the later.
 */
export function compareVersions(a: Version, b: Version): number {
  return (
    compareNumbers(a, b) ||
    Number(a.prerelease === "") - Number(b.prerelease === "") ||
    compareIdentifiers(a.prerelease.split("."), b.prerelease.split("."), compareBytewise) ||
    Number(a.build !== "") - Number(b.build !== "") ||
    compareIdentifiers(a.build.split("."), b.build.split("."), compareBytewise)
  );
}

/** A version as a tag, which has no `+`. */
export function tagOfVersion(version: string): string {
  const tag = version.replaceAll("+", "_");
  if (isTag(tag)) return tag;
  throw new Fault(`cannot use the version \`${version.slice(0, 200)}\` as a tag`, {
    hint: "a version looks like `v0.26.1`",
    kind: "usage",
  });
}

/** The version that `tagOfVersion` made a tag of. */
export function versionOfTag(tag: string): string {
  return tag.replace("_", "+");
}

function compareNumbers(a: Version, b: Version): number {
  for (const part of ["major", "minor", "patch"] as const) {
    if (a[part] !== b[part]) return a[part] < b[part] ? -1 : 1;
  }
  return 0;
}

/** `unequal` is asked about two strings that differ. */
function compareIdentifiers(
  a: readonly string[],
  b: readonly string[],
  unequal: (a: string, b: string) => number,
): number {
  for (const [index, one] of a.entries()) {
    const other = b[index];
    if (other === undefined) return 1;
    const [number, otherNumber] = [numberOf(one), numberOf(other)];
    if (number !== undefined && otherNumber !== undefined) {
      if (number !== otherNumber) return number < otherNumber ? -1 : 1;
    } else if (number !== undefined || otherNumber !== undefined) {
      return number === undefined ? 1 : -1;
    } else if (one !== other) return unequal(one, other);
  }
  return a.length < b.length ? -1 : 0;
}

/** Of 64 bits at most, as EKS Anywhere reads it; longer digits are a string. */
function numberOf(identifier: string): bigint | undefined {
  if (!/^[0-9]+$/.test(identifier)) return;
  const number = BigInt(identifier);
  return number < 2n ** 64n ? number : undefined;
}
