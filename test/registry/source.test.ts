import { beforeAll, expect, test } from "bun:test";
import { MEDIA_TYPE } from "../../src/oci/descriptor.ts";
import { type Digest, digestOf } from "../../src/oci/digest.ts";
import { faultKind } from "../../src/oci/fault.ts";
import type { Node } from "../../src/oci/plan.ts";
import type { RepositoryName } from "../../src/oci/reference.ts";
import { RegistrySource } from "../../src/registry/source.ts";
import { serveRaw } from "../http/server.ts";
import { image, multiArchImage, seed, type TestContent } from "../support/content.ts";
import { faultOf, textOf } from "../support/faults.ts";
import { startRegistry, type TestRegistry, type TestRegistryOptions } from "../support/registry.ts";
import { connect } from "./connect.ts";
import { stoppedAfterEach } from "./started.ts";

let content: TestContent;
let index: TestContent;
beforeAll(async () => {
  content = await image({ seed: "source", layerSizes: [300_000] });
  index = await multiArchImage({ seed: "source" });
});

const started = stoppedAfterEach();
const start = (options: TestRegistryOptions = {}) => started(startRegistry(options));

function sourceOf({ url }: TestRegistry): RegistrySource {
  return new RegistrySource(connect({ urls: [url] }));
}

function reference({ host }: TestRegistry, repository = "a/b") {
  return { registry: host, repository, tag: "v1" };
}

/** The image's only layer, wanted by these repositories. */
function layerNode({ host }: TestRegistry, ...repositories: string[]): Node {
  const [digest, bytes] = [...content.blobs].at(-1) ?? [];
  if (digest === undefined || bytes === undefined) throw new Error("the image has no layer");
  const names = repositories.map((repository): RepositoryName => `${host}/${repository}`);
  const descriptor = { mediaType: "application/octet-stream", digest, size: bytes.length };
  return { descriptor, kind: "blob", children: [], repositories: new Set(names) };
}

async function read(source: RegistrySource, node: Node): Promise<Digest> {
  return digestOf(Buffer.concat(await Array.fromAsync(await source.open(node))));
}

test("a manifest's bytes come as they are, with the type that they say themselves", async () => {
  const registry = await start();
  await seed(registry.store, "a/b", "v1", index);
  const { descriptor, bytes } = await sourceOf(registry).manifest(reference(registry));
  expect(descriptor).toEqual({
    mediaType: MEDIA_TYPE.ociIndex,
    digest: index.root.digest,
    size: index.root.size,
  });
  expect(digestOf(bytes)).toBe(index.root.digest);
  expect(registry.requests.at(-1)?.headers.get("accept")?.split(", ").sort()).toEqual([
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
  ]);
});

test("what is pinned is asked for by its digest, whatever the tag stands for today", async () => {
  const registry = await start();
  await seed(registry.store, "a/b", "v1", index);
  await seed(registry.store, "a/b", "v1", content);
  const pinned = { ...reference(registry), digest: index.root.digest };
  expect((await sourceOf(registry).manifest(pinned)).descriptor.digest).toBe(index.root.digest);
  expect(registry.requests.at(-1)?.path).toBe(`/v2/a/b/manifests/${index.root.digest}`);
});

/** Answers every manifest with `body`. */
function answering(body: string | Uint8Array, headers: Record<string, string> = {}): TestRegistryOptions {
  return {
    intercept: (_, url) =>
      url.pathname.includes("/manifests/")
        ? new Response(typeof body === "string" ? body : body.slice(), { headers })
        : undefined,
  };
}

test("other bytes than the digest names are a mismatch, however well the answer's header looks", async () => {
  const other = index.manifests[0]?.bytes ?? new Uint8Array();
  const registry = await start(answering(other, { "docker-content-digest": index.root.digest }));
  const fault = await faultOf(() =>
    sourceOf(registry).manifest({ ...reference(registry), digest: index.root.digest }),
  );
  expect(faultKind(fault)).toBe("mismatch");
  expect(textOf(fault)).toContain(`cannot verify ${index.root.digest}`);
});

test("behind a tag, a header that lies about the bytes is a mismatch", async () => {
  const other = index.manifests[0]?.bytes ?? new Uint8Array();
  const registry = await start(answering(other, { "docker-content-digest": index.root.digest }));
  const fault = await faultOf(() => sourceOf(registry).manifest(reference(registry)));
  expect(faultKind(fault)).toBe("mismatch");
  expect(fault.message).toBe(`cannot read ${registry.host}/a/b:v1`);
});

test.each([
  ["no digest", {}],
  ["a digest that is none", { "docker-content-digest": "sha256:beef" }],
])("behind a tag, an answer with %s in its header is taken for what its bytes are", async (_, headers) => {
  const [manifest] = index.manifests;
  if (manifest === undefined) throw new Error("the index has no manifest");
  const registry = await start(answering(manifest.bytes, headers));
  const { descriptor } = await sourceOf(registry).manifest(reference(registry));
  expect(descriptor.digest).toBe(manifest.digest);
});

test("a login page in place of a manifest is refused, and not shown", async () => {
  const page = "<!doctype html><title>Please log in</title><input value=s3cret>";
  const registry = await start(answering(page, { "content-type": "text/html" }));
  const fault = await faultOf(() => sourceOf(registry).manifest(reference(registry)));
  expect(textOf(fault)).toContain("it is not JSON");
  expect(textOf(fault)).not.toContain("s3cret");
});

test("a manifest without measure is not read to its end", async () => {
  const registry = await start(answering("x".repeat(5 << 20)));
  const fault = await faultOf(() => sourceOf(registry).manifest(reference(registry)));
  expect(textOf(fault)).toContain("answered with more than 4194304 bytes");
});

test("a manifest that is not there is reported with the registry's own words", async () => {
  const registry = await start();
  const fault = await faultOf(() => sourceOf(registry).manifest(reference(registry)));
  expect(fault.message).toBe(`cannot read ${registry.host}/a/b:v1`);
  expect(textOf(fault)).toContain(`GET ${registry.url}/v2/a/b/manifests/v1 answered 404 (MANIFEST_UNKNOWN`);
  expect(fault.hint).toContain("published there");
});

/** Denies the blobs of these repositories. */
function denying(status: number, ...repositories: string[]): TestRegistryOptions {
  return {
    intercept: (_, url) =>
      repositories.some((repository) => url.pathname.startsWith(`/v2/${repository}/blobs/`))
        ? Response.json({ errors: [{ code: "DENIED", message: "not yours" }] }, { status })
        : undefined,
  };
}

test("a blob is never asked for with HEAD: some registries answer 401 to that and not to GET", async () => {
  const registry = await start({
    intercept: (request) => (request.method === "HEAD" ? new Response(null, { status: 401 }) : undefined),
  });
  await seed(registry.store, "a/b", "v1", content);
  const node = layerNode(registry, "a/b");
  expect(await read(sourceOf(registry), node)).toBe(node.descriptor.digest);
  expect(registry.requests.map(({ method }) => method)).toEqual(["GET", "GET"]);
});

test("a blob that the first repository lacks is read from the next that has it", async () => {
  const registry = await start();
  await seed(registry.store, "c/d", "v1", content);
  const node = layerNode(registry, "a/b", "never/pushed", "c/d", "e/f");
  expect(await read(sourceOf(registry), node)).toBe(node.descriptor.digest);
  const asked = registry.requests.map(({ path }) => path.split("/blobs/")[0]);
  expect(asked).toEqual(["/v2/", "/v2/a/b", "/v2/never/pushed", "/v2/c/d"]);
});

test.each([401, 403])(
  "a blob that may not be read in one repository (%i) is read from the next",
  async (status) => {
    const registry = await start(denying(status, "a/b"));
    await seed(registry.store, "c/d", "v1", content);
    const node = layerNode(registry, "a/b", "c/d");
    expect(await read(sourceOf(registry), node)).toBe(node.descriptor.digest);
  },
);

test("a blob whose repository gets no token is read from the next", async () => {
  const registry = await start({
    intercept: (request, url) => {
      if (url.pathname === "/token") {
        const isDenied = url.searchParams.get("scope")?.includes("a/b") === true;
        return isDenied ? new Response(null, { status: 403 }) : Response.json({ token: "t" });
      }
      if (request.headers.get("authorization") === "Bearer t") return;
      const headers = { "www-authenticate": `Bearer realm="${url.origin}/token",service="s"` };
      return new Response(null, { status: 401, headers });
    },
  });
  await seed(registry.store, "c/d", "v1", content);
  const node = layerNode(registry, "a/b", "c/d");
  expect(await read(sourceOf(registry), node)).toBe(node.descriptor.digest);
});

test("of a blob that is nowhere to be had, the first is reported that did not just lack it", async () => {
  const registry = await start(denying(403, "c/d", "e/f"));
  const fault = await faultOf(() =>
    read(sourceOf(registry), layerNode(registry, "a/b", "c/d", "e/f", "g/h")),
  );
  expect(textOf(fault)).toContain("/v2/c/d/blobs/");
  expect(textOf(fault)).toContain("answered 403 (DENIED: not yours)");
  const asked = registry.requests.map(({ path }) => path.split("/blobs/")[0]);
  expect(asked).toEqual(["/v2/", "/v2/a/b", "/v2/c/d", "/v2/e/f", "/v2/g/h"]);
});

test("a blob that no repository has is reported as the registry says it", async () => {
  const registry = await start();
  const fault = await faultOf(() => read(sourceOf(registry), layerNode(registry, "a/b", "c/d")));
  expect(textOf(fault)).toContain("answered 404 (BLOB_UNKNOWN");
});

test("a blob behind a redirect comes from there, and the credentials do not go there", async () => {
  // As object stores do: a second way to log in beside the signed URL is an error.
  const store = await start({
    intercept: (request) =>
      request.headers.has("authorization")
        ? new Response("<Error><Message>Only one auth mechanism allowed</Message></Error>", { status: 400 })
        : new Response([...content.blobs.values()].at(-1)?.slice()),
  });
  const robot = { username: "robot", password: "secret" };
  const registry = await start({
    auth: { scheme: "basic", ...robot },
    intercept: (request, url) =>
      url.pathname.includes("/blobs/") && request.headers.has("authorization")
        ? new Response(null, { status: 307, headers: { location: `${store.url}/b?X-Amz-Signature=abc` } })
        : undefined,
  });
  const credentials = () => ({ kind: "password", ...robot }) as const;
  const source = new RegistrySource(connect({ urls: [registry.url], credentials }));
  const node = layerNode(registry, "a/b");
  expect(await read(source, node)).toBe(node.descriptor.digest);
  expect(store.requests.map(({ headers }) => headers.get("authorization"))).toEqual([null]);
});

test("who is told of a wait is told which blob it is for: after a busy answer, and after a body that broke off", async () => {
  const [digest, bytes] = [...content.blobs].at(-1) ?? [];
  if (digest === undefined || bytes === undefined) throw new Error("the image has no layer");
  const store = serveRaw(() => ({ status: 200, body: bytes.subarray(0, 1000), length: bytes.length }));
  const answers = [
    new Response(null, { status: 503 }),
    new Response(null, { status: 307, headers: { location: store.url.href } }),
  ];
  const registry = await start({
    intercept: (_, url) => (url.pathname.includes("/blobs/") ? answers.shift() : undefined),
  });
  await seed(registry.store, "a/b", "v1", content);
  const told: string[] = [];
  const onRetry = ({ why, about }: { why: string; about?: string }) => told.push(`${about} ${why}`);
  const source = new RegistrySource(connect({ urls: [registry.url], onRetry }));
  expect(await read(source, layerNode(registry, "a/b")).finally(() => store.stop())).toBe(digest);
  expect(told).toEqual([
    `${digest} it answered 503`,
    expect.stringMatching(new RegExp(`^${digest} .* closed the connection$`)),
  ]);
});

test("a blob that stays out of reach is reported with its address and the last answer", async () => {
  const registry = await start({
    intercept: (_, url) =>
      url.pathname.includes("/blobs/") ? new Response("maintenance", { status: 503 }) : undefined,
  });
  const node = layerNode(registry, "a/b");
  const fault = await faultOf(() => read(sourceOf(registry), node));
  const url = `${registry.url}/v2/a/b/blobs/${node.descriptor.digest}`;
  expect(fault.message).toBe(`GET ${url} answered 503 (maintenance)`);
  // The ping, and as many tries as the policy grants: not that many times each.
  expect(registry.requests).toHaveLength(4);
});

test("a blob that may not be read is reported at once", async () => {
  const registry = await start(denying(403, "a/b"));
  const fault = await faultOf(() => read(sourceOf(registry), layerNode(registry, "a/b")));
  expect(textOf(fault)).toContain("answered 403 (DENIED: not yours)");
  expect(registry.requests).toHaveLength(2);
});
