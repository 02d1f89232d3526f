import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { digestOf } from "../../src/oci/digest.ts";
import { Fault, faultKind } from "../../src/oci/fault.ts";
import type { ByteStream, Content } from "../../src/oci/plan.ts";
import { faultOf, textOf } from "../support/faults.ts";
import { startRegistry, type TestRegistry } from "../support/registry.ts";
import { breakingProxy } from "./breaking-proxy.ts";
import { BYTES, DIGEST, expectStored, inArchive, inPieces, STREAMED, send, steps } from "./send-blob.ts";
import { stoppedAfterEach } from "./started.ts";
import { startUploadServer, type UploadServerOptions } from "./upload-server.ts";

let folder: string;
let sliced: Content;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eksa-airgap-upload-"));
  sliced = await inArchive(folder);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const started = stoppedAfterEach();
const start = (options: UploadServerOptions = {}) => started(startUploadServer(options));

test.each<["PATCH" | "PUT", number]>([
  ["PATCH", 500],
  ["PATCH", 503],
  ["PUT", 500],
  ["PUT", 502],
])("when a %s is answered %i the whole blob starts over in a session of its own", async (method, status) => {
  let failures = 0;
  const server = await start({
    script: (request) =>
      request.method === method && failures++ === 0 ? new Response("busy", { status }) : undefined,
  });
  await send(server.url);
  // What has arrived is asked for, and after the end whether the blob is there.
  const once = method === "PATCH" ? ["POST", "PATCH", "GET"] : ["POST", "PATCH", "PUT", "GET", "HEAD"];
  expect(steps(server)).toEqual([...once, "POST", "PATCH", "PUT"]);
  const sessions = server.requests.filter(({ method }) => method === "PATCH").map(({ url }) => url.pathname);
  expect(new Set(sessions).size).toBe(2);
  expect(server.blobs.get(DIGEST)).toEqual(BYTES);
});

test.each(["POST", "PATCH", "PUT"])(
  "a %s that is answered 429 was not taken in: it alone is sent again",
  async (method) => {
    let failures = 0;
    const server = await start({
      script: (request) =>
        request.method === method && failures++ < 2 ? new Response("slow down", { status: 429 }) : undefined,
    });
    await send(server.url);
    const expected = ["POST", "PATCH", "PUT"].flatMap((step) =>
      step === method ? [step, step, step] : [step],
    );
    expect(steps(server)).toEqual(expected);
    expect(server.blobs.get(DIGEST)).toEqual(BYTES);
  },
);

test.each<[string, Record<string, string>, number]>([
  ["for an hour", { "retry-after": "3600" }, 1],
  ["for good", {}, 100],
])("a registry that answers a PATCH 429 %s is not asked for another session", async (_, headers, times) => {
  const server = await start({
    script: ({ method }) =>
      method === "PATCH" ? new Response("slow down", { status: 429, headers }) : undefined,
  });
  const fault = await faultOf(() => send(server.url));
  expect(textOf(fault)).toContain("answered 429 (TOOMANYREQUESTS: slow down)");
  expect(steps(server)).toEqual(["POST", ...Array.from({ length: times }, () => "PATCH")]);
});

/** Never answers the first request of a kind. */
async function hangingIn(method: string): Promise<{ registry: TestRegistry; times: () => number }> {
  let times = 0;
  const intercept = (request: Request) =>
    request.method === method && times++ === 0 ? new Promise<never>(() => {}) : undefined;
  return { registry: await started(startRegistry({ intercept })), times: () => times };
}

/** What nobody notices ends by itself, so that it fails in words. */
const impatience = () => ({ stallAfter: 40, signal: AbortSignal.timeout(4000) });

test.each([429, 503])(
  "a wait that a registry asks for in an upload (%i) ends at once when the run is interrupted",
  async (status) => {
    const abort = new AbortController();
    const server = await start({
      script: ({ method }) => {
        if (method !== "PATCH") return;
        setTimeout(() => abort.abort(new Error("interrupted")), 50);
        return new Response(null, { status, headers: { "retry-after": "300" } });
      },
    });
    const failure = send(server.url, { signal: abort.signal }).catch((error: unknown) => error);
    expect(await Promise.race([failure, Bun.sleep(3000)])).toMatchObject({ message: "interrupted" });
    expect(steps(server)).toEqual(["POST", "PATCH"]);
  },
);

test.each(["PATCH", "PUT"])("a registry that hangs in a %s is asked again", async (method) => {
  const { registry, times } = await hangingIn(method);
  await send(registry.url, impatience());
  expect(times()).toBe(2);
  await expectStored(registry);
});

test("a slice that took too long goes as a stream the next time", async () => {
  const { registry } = await hangingIn("PATCH");
  const bytes = BYTES.subarray(0, 1000);
  // A slice is also asked for to see whether it is still there.
  const opened = new Set<string>();
  const content: Content = {
    stream: (from) => {
      opened.add("stream");
      return inPieces(bytes.subarray(from));
    },
    slice: (from, to) => {
      opened.add("slice");
      return new Blob([bytes.slice(from, to)]);
    },
  };
  const blob = { content, digest: digestOf(bytes), size: bytes.length };
  await send(registry.url, { ...blob, ...impatience() });
  expect([...opened]).toEqual(["slice", "stream"]);
  expect((await registry.store.blob("a/b", blob.digest))?.size).toBe(1000);
});

test("a session that was open already is not used again once it has failed", async () => {
  let failures = 0;
  const server = await start({
    script: ({ method }) =>
      method === "PATCH" && failures++ === 0 ? new Response("busy", { status: 503 }) : undefined,
  });
  const opened = await fetch(`${server.url}/v2/a/b/blobs/uploads/`, { method: "POST" });
  await send(server.url, { session: new URL(opened.headers.get("location") ?? "", server.url) });
  expect(steps(server)).toEqual(["GET", "PATCH", "GET", "POST", "PATCH", "PUT"]);
  expect(server.blobs.get(DIGEST)).toEqual(BYTES);
});

test.each<[string, () => Content]>([
  ["a stream", () => STREAMED],
  ["a slice", () => sliced],
])("when the connection breaks in the middle of %s, the whole blob starts over", async (_, content) => {
  const server = await start();
  const proxy = await started(breakingProxy(server.host, 200_000));
  await send(proxy.url, { content: content() });
  expect(proxy.breaks()).toBe(1);
  expect(server.blobs.get(DIGEST)).toEqual(BYTES);
});

test("a registry that fails for good is given up, with its own last words", async () => {
  const server = await start({
    script: ({ method }) => (method === "PATCH" ? new Response("disk on fire", { status: 500 }) : undefined),
  });
  const error: unknown = await send(server.url).catch((caught: unknown) => caught);
  if (!(error instanceof Error)) throw new Error("it did not fail");
  expect(error.message).toMatch(/PATCH .* answered 500 \(disk on fire\)/);
  expect(steps(server).filter((method) => method !== "GET")).toEqual(
    Array.from({ length: 3 }, () => ["POST", "PATCH"]).flat(),
  );
});

test("what a registry refuses is not sent again", async () => {
  const server = await start({
    script: ({ method }) => (method === "PATCH" ? new Response(null, { status: 403 }) : undefined),
  });
  const fault = await faultOf(() => send(server.url));
  expect(textOf(fault)).toContain("answered 403");
  expect(steps(server)).toEqual(["POST", "PATCH"]);
});

test("a registry that finds another digest makes it a mismatch", async () => {
  const server = await start();
  const fault = await faultOf(() => send(server.url, { digest: digestOf(new Uint8Array(1)) }));
  expect(faultKind(fault)).toBe("mismatch");
  expect(textOf(fault)).toContain("DIGEST_INVALID");
  expect(steps(server)).toEqual(["POST", "PATCH", "PUT"]);
});

test("content that turns out wrong while it is sent is what is reported, not the connection", async () => {
  const server = await start();
  async function* broken(): ByteStream & AsyncGenerator<Uint8Array> {
    yield BYTES.subarray(0, 100_000);
    throw new Fault("cannot verify it: the bytes are others", { kind: "mismatch" });
  }
  const fault = await faultOf(() =>
    send(server.url, { content: { stream: broken, slice: () => undefined } }),
  );
  expect(faultKind(fault)).toBe("mismatch");
  expect(fault.message).toBe("cannot verify it: the bytes are others");
  expect(server.blobs.size).toBe(0);
});

test.each<["PATCH" | "PUT"]>([["PATCH"], ["PUT"]])(
  "a token that ends before %s is replaced, and the same bytes are sent again",
  async (method) => {
    let issued = 0;
    let valid = 1;
    const server = await start({
      script: (request) => {
        if (request.url.pathname === "/token") return Response.json({ token: `t${++issued}` });
        if (request.method === method) valid = 2;
        if (request.headers.get("authorization") === `Bearer t${valid}`) return;
        const headers = { "www-authenticate": 'Bearer realm="/token",service="s"' };
        return new Response(null, { status: 401, headers });
      },
    });
    await send(server.url);
    expect(server.blobs.get(DIGEST)).toEqual(BYTES);
    expect(server.requests.filter(({ url }) => url.pathname === "/token")).toHaveLength(2);
    expect(server.requests.filter(({ method }) => method === "POST")).toHaveLength(1);
    expect(server.requests.filter((request) => request.method === method)).toHaveLength(2);
  },
);
