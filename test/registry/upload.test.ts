import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { digestOf } from "../../src/oci/digest.ts";
import type { Content } from "../../src/oci/plan.ts";
import { faultOf, textOf } from "../support/faults.ts";
import { testWith } from "../support/needs.ts";
import { makeAuthority } from "../support/tls.ts";
import { BYTES, DIGEST, inArchive, inPieces, STREAMED, send, steps } from "./send-blob.ts";
import { stoppedAfterEach } from "./started.ts";
import { startUploadServer, type UploadServer, type UploadServerOptions } from "./upload-server.ts";

const UPLOADS = "/v2/a/b/blobs/uploads/";

let folder: string;
let sliced: Content;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eksa-airgap-upload-"));
  sliced = await inArchive(folder);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const started = stoppedAfterEach();
const start = (options: UploadServerOptions = {}) => started(startUploadServer(options));

test("a blob is sent as every registry takes it: POST, one PATCH with all of it, PUT with the digest", async () => {
  const server = await start();
  await send(server.url);
  expect(steps(server)).toEqual(["POST", "PATCH", "PUT"]);
  expect(server.blobs.get(DIGEST)).toEqual(BYTES);
  const [, post, patch, put] = server.requests;
  expect(post?.url.pathname + (post?.url.search ?? "")).toBe(UPLOADS);
  expect(post?.headers.get("content-length")).toBe("0");
  expect(patch?.headers.get("content-type")).toBe("application/octet-stream");
  expect(patch?.headers.get("content-length")).toBe(String(BYTES.length));
  expect(patch?.headers.has("content-range")).toBe(false);
  expect(patch?.headers.has("transfer-encoding")).toBe(false);
  expect(put?.url.searchParams.get("digest")).toBe(DIGEST);
  expect(put?.headers.get("content-length")).toBe("0");
});

test("over plain HTTP a file's slice is handed to the kernel, and the right bytes of it", async () => {
  const server = await start();
  await send(server.url, { content: sliced });
  expect(server.blobs.get(DIGEST)).toEqual(BYTES);
});

testWith("openssl")("over TLS the blob is streamed: a slice would be read into memory whole", async () => {
  const { ca, certificate, key } = await makeAuthority(folder);
  const server = await start({
    tls: { cert: await Bun.file(certificate).text(), key: await Bun.file(key).text() },
  });
  const slice = () => {
    throw new Error("the slice was taken");
  };
  await send(server.url, { content: { ...STREAMED, slice }, authorities: [await Bun.file(ca).text()] });
  expect(server.blobs.get(DIGEST)).toEqual(BYTES);
});

test.each<[string, (path: string, state: string) => string]>([
  ["relative", (path, state) => `${path.split("/").at(-1)}?_state=${state}`],
  ["without a scheme", (path, state) => `//HOST${path}?_state=${state}`],
  ["a host and a path", (path, state) => `HOST${path}?_state=${state}`],
  ["without the port, which a proxy has dropped", (path, state) => `http://127.0.0.1${path}?_state=${state}`],
  ["absolute", (path, state) => `http://HOST${path}?_state=${state}`],
  ["with a query of its own", (path, state) => `${path}?zone=eu&_state=${state}&upload`],
])("the next step's address may be %s", async (_, location) => {
  const server: UploadServer = await start({
    location: (path, state) => location(path, state).replace("HOST", server.host),
  });
  await send(server.url);
  expect(server.blobs.has(DIGEST)).toBe(true);
});

test("a query in the address is kept to the letter, since it may be signed", async () => {
  const server = await start({ location: (path, state) => `${path}?sig=a%20b~c*d&flag&_state=${state}` });
  await send(server.url);
  expect(server.requests.at(-1)?.url.search).toMatch(
    new RegExp(String.raw`^\?sig=a%20b~c\*d&flag&_state=s\d+&digest=${encodeURIComponent(DIGEST)}$`),
  );
});

test("an answer to PATCH without an address means the one before", async () => {
  let session = "";
  const server = await start({
    script: ({ method, url }) => {
      if (method === "PATCH") session = url.pathname + url.search;
      return method === "PATCH" ? new Response(null, { status: 202 }) : undefined;
    },
  });
  await faultOf(() => send(server.url));
  const put = server.requests.at(-1)?.url;
  expect(`${put?.pathname}${put?.search}`).toBe(`${session}&digest=${encodeURIComponent(DIGEST)}`);
});

test.each([201, 202, 204])("PATCH may be answered with %i, as ECR and others do", async (patchStatus) => {
  const server = await start({ patchStatus });
  await send(server.url);
  expect(steps(server)).toEqual(["POST", "PATCH", "PUT"]);
});

test.each([201, 204])("the last PUT may be answered with %i", async (putStatus) => {
  await send((await start({ putStatus })).url);
});

test("a registry that says yes without creating anything is not believed", async () => {
  const fault = await faultOf(async () => send((await start({ putStatus: 200 })).url));
  expect(textOf(fault)).toContain("answered 200");
});

test("an open session is filled instead of a new one", async () => {
  const server = await start();
  const opened = await fetch(server.url + UPLOADS, { method: "POST" });
  await send(server.url, { session: new URL(opened.headers.get("location") ?? "", server.url) });
  expect(server.requests.map(({ method }) => method)).toEqual(["POST", "GET", "PATCH", "PUT"]);
  expect(server.blobs.has(DIGEST)).toBe(true);
});

test("an empty blob is sent without a PATCH", async () => {
  const server = await start();
  const digest = digestOf(new Uint8Array());
  await send(server.url, {
    content: { stream: () => inPieces(new Uint8Array()), slice: () => undefined },
    digest,
    size: 0,
  });
  expect(steps(server)).toEqual(["POST", "PUT"]);
  expect(server.blobs.get(digest)).toEqual(new Uint8Array());
});

test("a sha512 blob is announced as such", async () => {
  const digest = digestOf(BYTES, "sha512");
  const server = await start({
    script: ({ method }) => (method === "PUT" ? new Response(null, { status: 201 }) : undefined),
  });
  await send(server.url, { digest });
  expect(server.requests[1]?.url.search).toBe("?digest-algorithm=sha512");
  expect(server.requests.at(-1)?.url.searchParams.get("digest")).toBe(digest);
});

test("bytes that are sent to another host go without credentials", async () => {
  const elsewhere = await start({ script: () => new Response(null, { status: 201 }) });
  const server = await start({
    location: (path) => `${elsewhere.url}${path}`,
    script: ({ headers }) =>
      headers.has("authorization")
        ? undefined
        : new Response(null, { status: 401, headers: { "www-authenticate": 'Basic realm="r"' } }),
  });
  await send(server.url, {
    credentials: () => ({ kind: "password", username: "robot", password: "secret" }),
  });
  expect(elsewhere.requests.map(({ method }) => method)).toEqual(["PATCH", "PUT"]);
  expect(elsewhere.requests.map(({ headers }) => headers.get("authorization"))).toEqual([null, null]);
});

test("a registry that does not say where to send the bytes is refused", async () => {
  const server = await start({
    script: ({ method }) => (method === "POST" ? new Response(null, { status: 202 }) : undefined),
  });
  const fault = await faultOf(() => send(server.url));
  expect(fault.message).toBe(`cannot upload to ${server.host}: it does not say where`);
});

testWith("openssl")("a registry on https does not get to send the bytes into the clear", async () => {
  const { ca, certificate, key } = await makeAuthority(folder);
  const spy = await start();
  const server = await start({
    tls: { cert: await Bun.file(certificate).text(), key: await Bun.file(key).text() },
    location: (path) => `${spy.url}${path}`,
  });
  const fault = await faultOf(async () => send(server.url, { authorities: [await Bun.file(ca).text()] }));
  expect(fault.message).toContain("it sends us from https to http");
  expect(fault.hint).toContain("`X-Forwarded-Proto: https`");
  expect(spy.requests).toEqual([]);
});
