import { expect, test } from "bun:test";
import fc from "fast-check";
import { algorithmOf, digestOf, hexOf, isDigest, parseDigest } from "../../src/oci/digest.ts";
import { faultOf, textOf } from "../support/faults.ts";

const ABC = new TextEncoder().encode("abc");
const HEX = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
/** Test vectors: FIPS 180-2, appendices B.1 and C.1. */
const ABC_SHA256 = `sha256:${HEX}`;
const ABC_SHA512 =
  "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a" +
  "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";

test("content hashes to the digests that the standard gives", () => {
  expect(digestOf(ABC)).toBe(ABC_SHA256 as `sha256:${string}`);
  expect(digestOf(ABC, "sha512")).toBe(ABC_SHA512 as `sha512:${string}`);
});

test("a digest falls into its algorithm and its hexadecimal part", () => {
  expect(algorithmOf(parseDigest(ABC_SHA256))).toBe("sha256");
  expect(algorithmOf(parseDigest(ABC_SHA512))).toBe("sha512");
  expect(hexOf(parseDigest(ABC_SHA256))).toBe(HEX);
  expect(hexOf(parseDigest(ABC_SHA512))).toHaveLength(128);
});

test.each([
  ["nothing", ""],
  ["an algorithm alone", "sha256:"],
  ["no algorithm", HEX],
  ["upper-case digits", `sha256:${HEX.toUpperCase()}`],
  ["an upper-case algorithm", `SHA256:${HEX}`],
  ["a digit short", `sha256:${HEX.slice(1)}`],
  ["a digit more", `sha256:${HEX}0`],
  ["sha512 with the length of sha256", `sha512:${HEX}`],
  ["another separator", `sha256-${HEX}`],
  ["an algorithm nobody can check", `sha1:${HEX.slice(0, 40)}`],
  ["space around it", ` ${ABC_SHA256}`],
  ["a line feed at the end", `${ABC_SHA256}\n`],
  ["a path in the digits", `sha256:${"../".repeat(21)}a`],
])("%s is no digest", async (_, text) => {
  expect(isDigest(text)).toBe(false);
  const fault = await faultOf(() => parseDigest(text));
  expect(fault.kind).toBe("mismatch");
});

test("a message quotes only the start of a hostile digest", async () => {
  const fault = await faultOf(() => parseDigest("sha256:".padEnd(1_000_000, "f")));
  expect(textOf(fault).length).toBeLessThan(300);
});

test("whatever is hashed, its digest reads back", () => {
  fc.assert(
    fc.property(
      fc.uint8Array(),
      fc.constantFrom("sha256" as const, "sha512" as const),
      (bytes, algorithm) => {
        const digest = digestOf(bytes, algorithm);
        return parseDigest(digest) === digest && algorithmOf(digest) === algorithm;
      },
    ),
  );
});
