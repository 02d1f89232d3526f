import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { connect } from "node:net";
import { MEDIA_TYPE } from "../../src/oci/descriptor.ts";
import { type Digest, digestOf } from "../../src/oci/digest.ts";
import { chart, image, multiArchImage, pseudoRandomBytes, seed } from "../support/content.ts";
import type { TestRegistry } from "../support/registry.ts";
import { type Asking, codeOf, startAsking } from "./ask.ts";

let registry: TestRegistry;
let ask: Asking["ask"];
let push: Asking["push"];
beforeAll(async () => {
  ({ registry, ask, push } = await startAsking());
});
afterAll(() => registry.stop());

async function startedUpload(repository: string): Promise<string> {
  const response = await ask("POST", `/v2/${repository}/blobs/uploads/`);
  expect(response.status).toBe(202);
  return response.headers.get("Location") ?? "";
}

describe("pushing a blob", () => {
  const bytes = pseudoRandomBytes(50_000, "push");
  const digest = digestOf(bytes);

  test("in one PATCH without a range, then PUT", async () => {
    const location = await startedUpload("push/stream");
    expect(location).toStartWith("/v2/push/stream/blobs/uploads/");
    const patch = await ask("PATCH", location, { body: bytes.slice() });
    expect(patch.status).toBe(202);
    expect(patch.headers.get("Range")).toBe("0-49999");
    const put = await ask("PUT", `${patch.headers.get("Location")}?digest=${digest}`);
    expect(put.status).toBe(201);
    expect(put.headers.get("Location")).toBe(`/v2/push/stream/blobs/${digest}`);
    expect(await (await ask("GET", `/v2/push/stream/blobs/${digest}`)).bytes()).toEqual(bytes);
  });

  test("in one PUT with the body", async () => {
    const location = await startedUpload("push/put");
    const put = await ask("PUT", `${location}?digest=${digest}`, { body: bytes.slice() });
    expect(put.status).toBe(201);
    expect((await ask("HEAD", `/v2/push/put/blobs/${digest}`)).status).toBe(200);
  });

  test("in chunks, the last one with the PUT", async () => {
    const location = await startedUpload("push/chunks");
    const first = await ask("PATCH", location, {
      body: bytes.slice(0, 20_000),
      headers: { "Content-Range": "0-19999" },
    });
    expect(first.status).toBe(202);
    const status = await ask("GET", location);
    expect(status.status).toBe(204);
    expect(status.headers.get("Range")).toBe("0-19999");
    const last = await ask("PUT", `${location}?digest=${digest}`, {
      body: bytes.slice(20_000),
      headers: { "Content-Range": "20000-49999" },
    });
    expect(last.status).toBe(201);
  });

  test.each([
    ["out of order", "10-19", 416, "BLOB_UPLOAD_INVALID"],
    ["written as a download's range", "bytes 0-9/10", 416, "BLOB_UPLOAD_INVALID"],
    ["longer than it says", "0-5", 400, "SIZE_INVALID"],
  ])("a chunk %s is refused and leaves the upload as it was", async (_what, range, status, code) => {
    const location = await startedUpload("push/order");
    const response = await ask("PATCH", location, {
      body: bytes.slice(0, 10),
      headers: { "Content-Range": range },
    });
    expect(response.status).toBe(status);
    expect(await codeOf(response)).toBe(code);
    expect((await ask("GET", location)).headers.get("Range")).toBe("0-0");
  });

  test("a connection that breaks leaves what had arrived, and the upload goes on from there", async () => {
    const location = await startedUpload("push/broken");
    const { hostname, port } = new URL(registry.url);
    const socket = connect(Number(port), hostname);
    socket.write(`PATCH ${location} HTTP/1.1\r\nHost: ${registry.host}\r\nContent-Length: 50000\r\n\r\n`);
    socket.write(bytes.subarray(0, 20_000));
    while ((await ask("GET", location)).headers.get("Range") !== "0-19999") await Bun.sleep(5);
    socket.destroy();
    await Bun.sleep(20);
    const rest = await ask("PUT", `${location}?digest=${digest}`, { body: bytes.slice(20_000) });
    expect(rest.status).toBe(201);
  });

  test("with the wrong digest it is DIGEST_INVALID, and nothing is there", async () => {
    const wrong = digestOf(new Uint8Array(3));
    const location = await startedUpload("push/wrong");
    const response = await ask("PUT", `${location}?digest=${wrong}`, { body: bytes.slice() });
    expect(response.status).toBe(400);
    expect(await codeOf(response)).toBe("DIGEST_INVALID");
    expect((await ask("HEAD", `/v2/push/wrong/blobs/${wrong}`)).status).toBe(404);
    expect((await ask("GET", location)).status).toBe(404);
  });

  test("of no bytes at all", async () => {
    const empty = await push("push/empty", new Uint8Array(0));
    const got = await ask("GET", `/v2/push/empty/blobs/${empty}`);
    expect(got.status).toBe(200);
    expect((await got.bytes()).length).toBe(0);
  });

  test("by its sha512", async () => {
    const long = digestOf(bytes, "sha512");
    const start = await ask("POST", "/v2/push/long/blobs/uploads/?digest-algorithm=sha512");
    const location = start.headers.get("Location");
    expect((await ask("PUT", `${location}?digest=${long}`, { body: bytes.slice() })).status).toBe(201);
    expect((await ask("HEAD", `/v2/push/long/blobs/${long}`)).status).toBe(200);
  });

  test("a cancelled upload is gone, and one belongs to its repository only", async () => {
    const location = await startedUpload("push/cancel");
    const stranger = await ask("GET", location.replace("/push/cancel/", "/push/stranger/"));
    expect(stranger.status).toBe(404);
    expect(await codeOf(stranger)).toBe("BLOB_UPLOAD_UNKNOWN");
    expect((await ask("DELETE", location)).status).toBe(204);
    expect((await ask("PATCH", location, { body: "x" })).status).toBe(404);
  });

  test("a mount gives a repository what another one has", async () => {
    await push("mount/source", bytes);
    const mounted = await ask("POST", `/v2/mount/target/blobs/uploads/?mount=${digest}&from=mount/source`);
    expect(mounted.status).toBe(201);
    expect(mounted.headers.get("Location")).toBe(`/v2/mount/target/blobs/${digest}`);
    expect((await ask("HEAD", `/v2/mount/target/blobs/${digest}`)).status).toBe(200);
  });

  test.each(["&from=mount/nothing", ""])("a mount that cannot be (%s) begins an upload", async (from) => {
    const response = await ask("POST", `/v2/mount/other/blobs/uploads/?mount=${digest}${from}`);
    expect(response.status).toBe(202);
    const put = await ask("PUT", `${response.headers.get("Location")}?digest=${digest}`, {
      body: bytes.slice(),
    });
    expect(put.status).toBe(201);
    expect((await ask("DELETE", `/v2/mount/other/blobs/${digest}`)).status).toBe(202);
    expect((await ask("HEAD", `/v2/mount/other/blobs/${digest}`)).status).toBe(404);
  });
});

describe("manifests", () => {
  function put(path: string, mediaType: string, bytes: Uint8Array): Promise<Response> {
    return ask("PUT", path, { body: bytes.slice(), headers: { "Content-Type": mediaType } });
  }

  test("an index goes in after its children and comes out byte for byte", async () => {
    const { blobs, manifests, root } = await multiArchImage({ seed: "index", dialect: "docker" });
    for (const bytes of blobs.values()) await push("m/index", bytes);
    for (const { digest, mediaType, bytes } of manifests) {
      const response = await put(`/v2/m/index/manifests/${digest}`, mediaType, bytes);
      expect(response.status).toBe(201);
      expect(response.headers.get("Docker-Content-Digest")).toBe(digest);
    }
    const index = manifests.at(-1)?.bytes ?? new Uint8Array();
    expect((await put("/v2/m/index/manifests/v1", root.mediaType, index)).status).toBe(201);
    for (const reference of ["v1", root.digest]) {
      const got = await ask("GET", `/v2/m/index/manifests/${reference}`);
      expect(got.headers.get("Content-Type")).toBe(MEDIA_TYPE.dockerList);
      expect(got.headers.get("Docker-Content-Digest")).toBe(root.digest);
      expect(await got.bytes()).toEqual(index);
      const head = await ask("HEAD", `/v2/m/index/manifests/${reference}`);
      expect(head.headers.get("Content-Length")).toBe(String(root.size));
    }
  });

  test("one whose blobs are in another repository only is refused by their digest", async () => {
    const { blobs, manifests } = await image({ seed: "isolation" });
    for (const bytes of blobs.values()) await push("m/has", bytes);
    const bytes = manifests[0]?.bytes ?? new Uint8Array();
    const response = await put("/v2/m/has-not/manifests/v1", MEDIA_TYPE.ociManifest, bytes);
    expect(response.status).toBe(400);
    const { errors } = (await response.json()) as { errors: { code: string; detail: string }[] };
    expect(errors[0]?.code).toBe("MANIFEST_BLOB_UNKNOWN");
    expect(blobs.has(errors[0]?.detail as Digest)).toBe(true);
    expect((await ask("GET", "/v2/m/has-not/tags/list")).status).toBe(404);
  });

  test.each([
    ["of another digest", `sha256:${"0".repeat(64)}`, MEDIA_TYPE.ociManifest, 400, "DIGEST_INVALID"],
    ["under another type", "v1", MEDIA_TYPE.ociIndex, 400, "MANIFEST_INVALID"],
  ])("one sent %s is refused", async (_what, reference, mediaType, status, code) => {
    const { blobs, manifests } = await image({ seed: "refused" });
    for (const bytes of blobs.values()) await push("m/refused", bytes);
    const bytes = manifests[0]?.bytes ?? new Uint8Array();
    const response = await put(`/v2/m/refused/manifests/${reference}`, mediaType, bytes);
    expect(response.status).toBe(status);
    expect(await codeOf(response)).toBe(code);
  });

  test.each([
    ["no JSON", new TextEncoder().encode("manifest"), 400, "MANIFEST_INVALID"],
    ["more than 4 MiB", new Uint8Array(4 * 1024 * 1024 + 1), 413, "SIZE_INVALID"],
  ])("%s is no manifest", async (_what, bytes, status, code) => {
    const response = await put("/v2/m/none/manifests/v1", MEDIA_TYPE.ociManifest, bytes);
    expect(response.status).toBe(status);
    expect(await codeOf(response)).toBe(code);
  });

  test("deleting a tag leaves the manifest, deleting the manifest takes its tags along", async () => {
    const content = await chart("harbor", "1.0.0");
    await seed(registry.store, "m/deleted", "1.0.0", content);
    await seed(registry.store, "m/deleted", "latest", content);
    expect((await ask("DELETE", "/v2/m/deleted/manifests/latest")).status).toBe(202);
    expect((await ask("HEAD", "/v2/m/deleted/manifests/latest")).status).toBe(404);
    expect((await ask("HEAD", `/v2/m/deleted/manifests/${content.root.digest}`)).status).toBe(200);
    expect((await ask("DELETE", `/v2/m/deleted/manifests/${content.root.digest}`)).status).toBe(202);
    const gone = await ask("GET", "/v2/m/deleted/manifests/1.0.0");
    expect(gone.status).toBe(404);
    expect(await codeOf(gone)).toBe("MANIFEST_UNKNOWN");
  });
});
