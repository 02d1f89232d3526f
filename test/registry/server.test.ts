import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { MEDIA_TYPE } from "../../src/oci/descriptor.ts";
import { digestOf } from "../../src/oci/digest.ts";
import { readOnlyHandler } from "../../src/registry/server.ts";
import { image, pseudoRandomBytes, referrer, seed } from "../support/content.ts";
import type { TestRegistry } from "../support/registry.ts";
import { type Asking, codeOf, startAsking } from "./ask.ts";

let registry: TestRegistry;
let ask: Asking["ask"];
let push: Asking["push"];
beforeAll(async () => {
  ({ registry, ask, push } = await startAsking());
});
afterAll(() => registry.stop());

test("the ping says that this is a registry", async () => {
  const response = await ask("GET", "/v2/");
  expect(response.status).toBe(200);
  expect(response.headers.get("Docker-Distribution-Api-Version")).toBe("registry/2.0");
  expect((await ask("GET", "/v1/")).status).toBe(404);
});

describe("pulling a blob", () => {
  const bytes = pseudoRandomBytes(100_000, "pull");
  let path: string;
  beforeAll(async () => {
    path = `/v2/pull/blobs/${await push("pull", bytes)}`;
  });

  test("GET gives its bytes, HEAD its size", async () => {
    const got = await ask("GET", path);
    expect(got.status).toBe(200);
    expect(got.headers.get("Content-Length")).toBe("100000");
    expect(await got.bytes()).toEqual(bytes);
    const head = await ask("HEAD", path);
    expect(head.status).toBe(200);
    expect(head.headers.get("Content-Length")).toBe("100000");
    expect(head.headers.get("Docker-Content-Digest")).toBe(digestOf(bytes));
  });

  test.each([
    ["bytes=10-19", 10, 20],
    ["bytes=99990-", 99_990, 100_000],
    ["bytes=99990-200000", 99_990, 100_000],
    ["bytes=-5", 99_995, 100_000],
    ["bytes=0-0", 0, 1],
  ])("%s is answered with 206 and that part", async (range, start, end) => {
    const response = await ask("GET", path, { headers: { Range: range } });
    expect(response.status).toBe(206);
    expect(response.headers.get("Content-Range")).toBe(`bytes ${start}-${end - 1}/100000`);
    expect(response.headers.get("Content-Length")).toBe(String(end - start));
    expect(await response.bytes()).toEqual(bytes.subarray(start, end));
  });

  test.each(["bytes=100000-", "bytes=-0"])("%s cannot be satisfied", async (range) => {
    const response = await ask("GET", path, { headers: { Range: range } });
    expect(response.status).toBe(416);
    expect(response.headers.get("Content-Range")).toBe("bytes */100000");
  });

  test.each(["bytes=5-2", "bytes=0-1,3-4", "lines=1-2", "bytes=-"])("%s is ignored", async (range) => {
    const response = await ask("GET", path, { headers: { Range: range } });
    expect(response.status).toBe(200);
    expect((await response.bytes()).length).toBe(100_000);
  });

  test("what is not there is BLOB_UNKNOWN, also when another repository has it", async () => {
    const absent = await ask("GET", `/v2/pull/blobs/${digestOf(new Uint8Array(1))}`);
    expect(absent.status).toBe(404);
    expect(await codeOf(absent)).toBe("BLOB_UNKNOWN");
    expect((await ask("HEAD", path.replace("/pull/", "/elsewhere/"))).status).toBe(404);
  });
});

describe("discovery", () => {
  test("tags come in bytewise order, page by page", async () => {
    const content = await image({ seed: "tags" });
    for (const tag of ["v2", "v1", "V3", "v10"]) await seed(registry.store, "d/tags", tag, content);
    const all = await ask("GET", "/v2/d/tags/tags/list");
    expect(all.headers.get("Link")).toBeNull();
    expect(await all.json()).toEqual({ name: "d/tags", tags: ["V3", "v1", "v10", "v2"] });
    const first = await ask("GET", "/v2/d/tags/tags/list?n=3");
    expect(first.headers.get("Link")).toBe('</v2/d/tags/tags/list?n=3&last=v10>; rel="next"');
    const second = await ask("GET", "/v2/d/tags/tags/list?n=3&last=v10");
    expect(second.headers.get("Link")).toBeNull();
    expect(await second.json()).toEqual({ name: "d/tags", tags: ["v2"] });
    const none = await ask("GET", "/v2/d/tags/tags/list?n=0");
    expect(await none.json()).toEqual({ name: "d/tags", tags: [] });
    expect(none.headers.get("Link")).toBeNull();
  });

  test("an unknown repository is NAME_UNKNOWN", async () => {
    const response = await ask("GET", "/v2/d/unknown/tags/list");
    expect(response.status).toBe(404);
    expect(await codeOf(response)).toBe("NAME_UNKNOWN");
  });

  test("the catalog names every repository that has a manifest", async () => {
    const content = await image({ seed: "catalog" });
    await seed(registry.store, "d/catalog", "v1", content);
    await seed(registry.store, "d/catalog/below", "v1", content);
    await push("d/catalog-without", new Uint8Array(1));
    const page = await ask("GET", "/v2/_catalog?n=2&last=d/c");
    expect(await page.json()).toEqual({ repositories: ["d/catalog", "d/catalog/below"] });
    expect(page.headers.get("Link")).toContain("last=d%2Fcatalog%2Fbelow");
  });

  test("a manifest with a subject is listed as its referrer", async () => {
    const subject = await image({ seed: "referrers" });
    await seed(registry.store, "d/referrers", "v1", subject);
    const artifactType = "application/spdx+json";
    const contents = [
      referrer({ subject: subject.root, artifactType, body: "{}" }),
      referrer({ subject: subject.root, artifactType: "application/vnd.example", body: "x" }),
    ];
    for (const { blobs, manifests, root } of contents) {
      for (const bytes of blobs.values()) await push("d/referrers", bytes);
      const response = await ask("PUT", `/v2/d/referrers/manifests/${root.digest}`, {
        body: manifests[0]?.bytes.slice() ?? "",
        headers: { "Content-Type": root.mediaType },
      });
      expect(response.headers.get("OCI-Subject")).toBe(subject.root.digest);
    }
    const all = await ask("GET", `/v2/d/referrers/referrers/${subject.root.digest}`);
    expect(all.headers.get("Content-Type")).toBe(MEDIA_TYPE.ociIndex);
    expect(((await all.json()) as { manifests: unknown[] }).manifests.length).toBe(2);
    const one = await ask(
      "GET",
      `/v2/d/referrers/referrers/${subject.root.digest}?artifactType=${encodeURIComponent(artifactType)}`,
    );
    expect(one.headers.get("OCI-Filters-Applied")).toBe("artifactType");
    const { manifests } = (await one.json()) as { manifests: unknown[] };
    expect(manifests).toEqual([{ ...contents[0]?.root, artifactType }]);
  });

  test("what nobody refers to has an empty list", async () => {
    const response = await ask("GET", `/v2/d/none/referrers/${digestOf(new Uint8Array(1))}`);
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({
      schemaVersion: 2,
      mediaType: MEDIA_TYPE.ociIndex,
      manifests: [],
    });
  });
});

test("a read-only registry answers pulls and refuses pushes", async () => {
  const content = await image({ seed: "read-only" });
  await seed(registry.store, "readonly", "v1", content);
  const handle = readOnlyHandler(registry.store);
  expect((await handle(new Request("http://registry.test/v2/readonly/manifests/v1"))).status).toBe(200);
  const push = await handle(
    new Request("http://registry.test/v2/readonly/blobs/uploads/", { method: "POST" }),
  );
  expect(push.status).toBe(405);
  expect(await codeOf(push)).toBe("UNSUPPORTED");
});
