import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { Digest } from "../../src/oci/digest.ts";
import { type Endpoint, formatEndpoint, parseEndpoint } from "../../src/registry/endpoint.ts";

const HEX = "0123456789abcdef".repeat(4);
const digest: Digest = `sha256:${HEX}`;
const encoded = `sha256%3A${HEX}`;
const repository = "eks-anywhere/cluster-controller";

const IN_THE_SPECIFICATION: [string, string, string, Endpoint][] = [
  ["end-1", "GET", "/v2/", { kind: "ping" }],
  ["end-2", "GET", `/v2/${repository}/blobs/${digest}`, { kind: "getBlob", repository, digest }],
  ["end-2", "HEAD", `/v2/${repository}/blobs/${digest}`, { kind: "headBlob", repository, digest }],
  ["end-3", "GET", `/v2/${repository}/manifests/v1`, { kind: "getManifest", repository, reference: "v1" }],
  [
    "end-3",
    "HEAD",
    `/v2/${repository}/manifests/${digest}`,
    { kind: "headManifest", repository, reference: digest },
  ],
  ["end-4a", "POST", `/v2/${repository}/blobs/uploads/`, { kind: "startUpload", repository }],
  [
    "end-4a",
    "POST",
    `/v2/${repository}/blobs/uploads/?digest-algorithm=sha512`,
    { kind: "startUpload", repository, algorithm: "sha512" },
  ],
  [
    "end-4b",
    "POST",
    `/v2/${repository}/blobs/uploads/?digest=${encoded}`,
    { kind: "postBlob", repository, digest },
  ],
  [
    "end-5",
    "PATCH",
    `/v2/${repository}/blobs/uploads/u-1`,
    { kind: "uploadChunk", repository, upload: "u-1" },
  ],
  [
    "end-6",
    "PUT",
    `/v2/${repository}/blobs/uploads/u-1?digest=${encoded}`,
    { kind: "completeUpload", repository, upload: "u-1", digest },
  ],
  ["end-7", "PUT", `/v2/${repository}/manifests/v1`, { kind: "putManifest", repository, reference: "v1" }],
  ["end-8a", "GET", `/v2/${repository}/tags/list`, { kind: "listTags", repository }],
  [
    "end-8b",
    "GET",
    `/v2/${repository}/tags/list?n=10&last=v1`,
    { kind: "listTags", repository, n: 10, last: "v1" },
  ],
  [
    "end-9",
    "DELETE",
    `/v2/${repository}/manifests/v1`,
    { kind: "deleteManifest", repository, reference: "v1" },
  ],
  ["end-10", "DELETE", `/v2/${repository}/blobs/${digest}`, { kind: "deleteBlob", repository, digest }],
  [
    "end-11",
    "POST",
    `/v2/${repository}/blobs/uploads/?mount=${encoded}&from=other%2Fplace`,
    { kind: "mountBlob", repository, digest, from: "other/place" },
  ],
  [
    "end-11",
    "POST",
    `/v2/${repository}/blobs/uploads/?mount=${encoded}`,
    { kind: "mountBlob", repository, digest },
  ],
  ["end-12a", "GET", `/v2/${repository}/referrers/${digest}`, { kind: "listReferrers", repository, digest }],
  [
    "end-12b",
    "GET",
    `/v2/${repository}/referrers/${digest}?artifactType=application%2Fspdx%2Bjson`,
    { kind: "listReferrers", repository, digest, artifactType: "application/spdx+json" },
  ],
  ["end-13", "GET", `/v2/${repository}/blobs/uploads/u-1`, { kind: "getUpload", repository, upload: "u-1" }],
  [
    "end-14",
    "DELETE",
    `/v2/${repository}/blobs/uploads/u-1`,
    { kind: "cancelUpload", repository, upload: "u-1" },
  ],
  ["the catalog", "GET", "/v2/_catalog?n=5&last=a%2Fb", { kind: "listRepositories", n: 5, last: "a/b" }],
];

function parse(method: string, path: string): Endpoint | undefined {
  return parseEndpoint(method, new URL(path, "http://registry.test"));
}

function codeOf(action: () => unknown): unknown {
  try {
    action();
  } catch (error) {
    return error instanceof Error && "code" in error ? error.code : error;
  }
  return "nothing thrown";
}

describe("the specification's table of endpoints", () => {
  test.each(IN_THE_SPECIFICATION)("%s: %s %s", (_number, method, path, endpoint) => {
    expect(formatEndpoint(endpoint)).toEqual({ method: method as "GET", path });
    expect(parse(method, path)).toEqual(endpoint);
  });
});

test("whatever can be formatted parses back to itself", () => {
  const name = fc.stringMatching(/^[a-z0-9]{1,8}((\.|_|__|-)[a-z0-9]{1,8}){0,2}$/);
  const path = fc
    .array(
      fc.oneof(name, fc.constantFrom("blobs", "uploads", "manifests", "tags", "list", "referrers", "v2")),
      {
        minLength: 1,
        maxLength: 5,
      },
    )
    .map((components) => components.join("/"));
  const sha = fc.stringMatching(/^[0-9a-f]{64}$/).map((hex): Digest => `sha256:${hex}`);
  const tag = fc.stringMatching(/^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,40}$/);
  const text = fc.string({ unit: "grapheme", minLength: 1, maxLength: 20 });
  const page = fc.record({ n: fc.nat(1e6), last: text }, { requiredKeys: [] });
  const endpoint: fc.Arbitrary<Endpoint> = fc.oneof(
    fc.record({
      kind: fc.constantFrom("getBlob", "headBlob", "deleteBlob", "postBlob"),
      repository: path,
      digest: sha,
    }),
    fc.record({
      kind: fc.constantFrom("getManifest", "headManifest", "putManifest", "deleteManifest"),
      repository: path,
      reference: fc.oneof(tag, sha),
    }),
    fc.record({
      kind: fc.constantFrom("uploadChunk", "getUpload", "cancelUpload"),
      repository: path,
      upload: fc.uuid(),
    }),
    fc.record({ kind: fc.constant("completeUpload"), repository: path, upload: fc.uuid(), digest: sha }),
    fc.record(
      { kind: fc.constant("mountBlob"), repository: path, digest: sha, from: path },
      { requiredKeys: ["kind", "repository", "digest"] },
    ),
    fc.record(
      { kind: fc.constant("listReferrers"), repository: path, digest: sha, artifactType: text },
      { requiredKeys: ["kind", "repository", "digest"] },
    ),
    fc.tuple(path, page).map(([repository, page]): Endpoint => ({ kind: "listTags", repository, ...page })),
    page.map((page): Endpoint => ({ kind: "listRepositories", ...page })),
  );
  fc.assert(
    fc.property(endpoint, (endpoint) => {
      const { method, path } = formatEndpoint(endpoint);
      expect(parse(method, path)).toEqual(endpoint);
    }),
  );
});

test.each([
  ["GET", "/v2/UPPER/tags/list", "NAME_INVALID"],
  ["GET", "/v2/a/%2e%2e%2fb/tags/list", "NAME_INVALID"],
  ["GET", "/v2//blobs/sha256:00", "NAME_INVALID"],
  ["GET", "/v2/a/blobs/sha256:00", "DIGEST_INVALID"],
  ["PUT", "/v2/a/blobs/uploads/u-1", "DIGEST_INVALID"],
  ["POST", `/v2/a/blobs/uploads/?mount=${digest}&from=../b`, "NAME_INVALID"],
  ["POST", "/v2/a/blobs/uploads/?digest-algorithm=md5", "DIGEST_INVALID"],
  ["GET", "/v2/a/manifests/.hidden", "MANIFEST_UNKNOWN"],
  ["PUT", "/v2/a/manifests/.hidden", "MANIFEST_INVALID"],
  ["GET", "/v2/a/tags/list?n=-1", "PAGINATION_NUMBER_INVALID"],
  ["POST", "/v2/a/tags/list", "UNSUPPORTED"],
  ["PATCH", `/v2/a/blobs/${digest}`, "UNSUPPORTED"],
  ["GET", "/v2/a/blobs/uploads/", "UNSUPPORTED"],
])("%s %s is refused with %s", (method, path, code) => {
  expect(codeOf(() => parse(method, path))).toBe(code);
});

test.each(["/", "/v1/", "/v2/a", "/v2/a/b/c", "/v2/a/tags/other", "/v2/%zz/tags/list"])(
  "%s is no path of the API",
  (path) => {
    expect(parse("GET", path)).toBeUndefined();
  },
);

test("an encoded colon in a digest is read as a colon", () => {
  expect(parse("GET", `/v2/a/blobs/${encoded}`)).toEqual({ kind: "getBlob", repository: "a", digest });
});

test.each<[Endpoint, string]>([
  [{ kind: "listTags", repository: "../../other" }, "NAME_INVALID"],
  [{ kind: "getManifest", repository: "a", reference: "../../../x" }, "MANIFEST_INVALID"],
  [{ kind: "getBlob", repository: "a", digest: "sha256:../x" }, "DIGEST_INVALID"],
])("no name can climb out of its path: %j", (endpoint, code) => {
  expect(codeOf(() => formatEndpoint(endpoint))).toBe(code);
});
