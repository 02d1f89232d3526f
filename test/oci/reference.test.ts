import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type Digest, digestOf } from "../../src/oci/digest.ts";
import {
  compareBytewise,
  formatReference,
  parseReference,
  parseRepositoryName,
  type Reference,
  repositoryName,
  tagForDigest,
} from "../../src/oci/reference.ts";
import { faultOf, textOf } from "../support/faults.ts";

const DIGEST = digestOf(new Uint8Array());

describe("a reference is read", () => {
  test.each<[string, Reference]>([
    ["public.ecr.aws/x:v1", { registry: "public.ecr.aws", repository: "x", tag: "v1" }],
    [
      "public.ecr.aws/eks-distro/kubernetes/pause:v1.31.1-eks-1-31-5",
      {
        registry: "public.ecr.aws",
        repository: "eks-distro/kubernetes/pause",
        tag: "v1.31.1-eks-1-31-5",
      },
    ],
    ["localhost/x:1", { registry: "localhost", repository: "x", tag: "1" }],
    ["localhost:5000/x:1", { registry: "localhost:5000", repository: "x", tag: "1" }],
    ["127.0.0.1:5000/x:1", { registry: "127.0.0.1:5000", repository: "x", tag: "1" }],
    ["[::1]:5000/x:1", { registry: "[::1]:5000", repository: "x", tag: "1" }],
    ["harbor:443/a__b/c-d.e_f:1", { registry: "harbor:443", repository: "a__b/c-d.e_f", tag: "1" }],
    ["Example.COM/a---b:_x", { registry: "Example.COM", repository: "a---b", tag: "_x" }],
    [`a.b/x@${DIGEST}`, { registry: "a.b", repository: "x", digest: DIGEST }],
    [`a.b:1/x:t@${DIGEST}`, { registry: "a.b:1", repository: "x", tag: "t", digest: DIGEST }],
    [`a.b/x:${"t".repeat(128)}`, { registry: "a.b", repository: "x", tag: "t".repeat(128) }],
  ])("%s", (text, reference) => {
    expect(parseReference(text)).toEqual(reference);
  });
});

describe("what is wrong with a reference is said", () => {
  test.each([
    ["", "no registry"],
    ["nginx", "no registry"],
    ["nginx:1.27", "no registry"],
    ["library/nginx:1", "`library` is not a registry host"],
    ["https://a.b/x:1", "is not a registry host"],
    ["user:secret@a.b/x:1", "no registry"],
    ["a.b:99999/x:1", "`a.b:99999` is not a registry host"],
    ["a.b:/x:1", "is not a registry host"],
    ["1.2.3.999/x:1", "`1.2.3.999` is not a registry host"],
    ["-a.b/x:1", "is not a registry host"],
    ["a..b/x:1", "is not a registry host"],
    ["a_b.c/x:1", "is not a registry host"],
    ["[::g]/x:1", "is not a registry host"],
    [`${"a.".repeat(200)}b/x:1`, "is not a registry host"],
    ["a.b/:1", "is not a repository name"],
    ["a.b/X:1", "`X` is not a repository name"],
    ["a.b/x/:1", "is not a repository name"],
    ["a.b//x:1", "is not a repository name"],
    ["a.b/../x:1", "is not a repository name"],
    ["a.b/a..b:1", "is not a repository name"],
    ["a.b/a___b:1", "is not a repository name"],
    ["a.b/-x:1", "is not a repository name"],
    ["a.b/x y:1", "is not a repository name"],
    ["a.b/x%2fy:1", "is not a repository name"],
    [`a.b/${"x".repeat(256)}:1`, "is not a repository name"],
    ["a.b/x:", "`` is not a tag"],
    ["a.b/x:.1", "is not a tag"],
    ["a.b/x:a/b", "is not a tag"],
    ["a.b/x:a:b", "is not a tag"],
    [`a.b/x:${"t".repeat(129)}`, "is not a tag"],
    ["a.b/x:1\n", "is not a tag"],
    ["a.b/x@sha256:abc", "`sha256:abc` is not a digest"],
    [`a.b/x@${DIGEST}@${DIGEST}`, "is not a digest"],
    [`a.b/x@${DIGEST.toUpperCase()}`, "is not a digest"],
    ["a.b/x", "neither a tag nor a digest"],
  ])("%j: %s", async (text, why) => {
    const fault = await faultOf(() => parseReference(text));
    expect(fault.message).toStartWith("cannot read `");
    expect(fault.message).toContain(why);
  });
});

const host = fc.oneof(
  fc.domain(),
  fc.ipV4(),
  fc.tuple(fc.domain(), fc.integer({ min: 1, max: 65_535 })).map(([name, port]) => `${name}:${port}`),
);
const word = fc.stringMatching(/^[a-z0-9]{1,8}$/);
const component = fc
  .array(fc.tuple(word, fc.constantFrom(".", "_", "__", "-", "--")), { minLength: 1, maxLength: 3 })
  .map((parts) => parts.map(([text, separator], at) => (at === 0 ? text : separator + text)).join(""));
const repository = fc.array(component, { minLength: 1, maxLength: 4 }).map((parts) => parts.join("/"));
const name = fc.tuple(host, repository).map(([registry, path]) => ({ registry, repository: path }));
const tag = fc.stringMatching(/^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,20}$/);
const digest = fc.uint8Array().map((bytes): Digest => digestOf(bytes));
const reference: fc.Arbitrary<Reference> = fc.oneof(
  fc.tuple(name, tag).map(([at, tag]) => ({ ...at, tag })),
  fc.tuple(name, digest).map(([at, digest]) => ({ ...at, digest })),
);

test("a reference that is written reads back the same", () => {
  fc.assert(
    fc.property(reference, (each) => {
      expect(parseReference(formatReference(each))).toEqual(each);
    }),
  );
});

test("the name of what has a tag and a digest is the tag", () => {
  expect(formatReference(parseReference(`a.b/x:t@${DIGEST}`))).toBe("a.b/x:t");
});

test("a repository's name falls into the registry and the path", () => {
  fc.assert(
    fc.property(name, (each) => {
      expect(parseRepositoryName(repositoryName(each))).toEqual(each);
    }),
  );
});

/** Characters that mean something in a reference, in a URL, in a path or to a regular expression. */
const loaded = fc.string({
  unit: fc.constantFrom(..."aA0.-_:/@%\\[]#?\n\0 é", "sha256:", "..", "xn--", "a.", "-a"),
  maxLength: 600,
});

test("a string is a reference with an address, or a fault of bounded length", async () => {
  await fc.assert(
    fc.asyncProperty(fc.oneof(loaded, fc.string({ unit: "binary" })), async (text) => {
      let read: Reference;
      try {
        read = parseReference(text);
      } catch {
        expect(textOf(await faultOf(() => parseReference(text))).length).toBeLessThan(1000);
        return;
      }
      expect(new URL(`https://${read.registry}/`).pathname).toBe("/");
      expect(text.startsWith(repositoryName(read))).toBe(true);
    }),
  );
});

test.each([
  ["a host", `${"a-".repeat(500_000)}/x:1`],
  ["labels", `${"a.".repeat(500_000)}/x:1`],
  ["a path", `a.b/${"a/".repeat(500_000)}:1`],
  ["separators", `a.b/a${"-".repeat(1_000_000)}:1`],
  ["a tag", `a.b/x:${"a".repeat(1_000_000)}`],
  ["a digest", `a.b/x@sha256:${"a".repeat(1_000_000)}`],
])("a megabyte of %s is refused without delay and without quoting it", async (_, text) => {
  const fault = await faultOf(() => parseReference(text));
  expect(textOf(fault).length).toBeLessThan(1000);
});

test("the tag for a digest is a tag, of the longest digests too", () => {
  const sha512 = digestOf(new Uint8Array(), "sha512");
  expect(parseReference(`a.b/x:${tagForDigest(DIGEST)}`).tag).toHaveLength(64);
  expect(parseReference(`a.b/x:${tagForDigest(sha512)}`).tag).toHaveLength(128);
});

test("bytewise order is that of UTF-8, not of the locale and not of UTF-16", () => {
  const sorted = ["B", "a", "b", "é", "\uFF61", "\u{10000}"];
  expect([...sorted].reverse().sort(compareBytewise)).toEqual(sorted);
});
