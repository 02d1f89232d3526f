import { beforeAll, expect, test } from "bun:test";
import { ContentLost } from "../../src/oci/content-lost.ts";
import { digestOf } from "../../src/oci/digest.ts";
import { faultKind } from "../../src/oci/fault.ts";
import { parseManifest } from "../../src/oci/manifest.ts";
import type { Node, Outcome, Root } from "../../src/oci/plan.ts";
import { tagForDigest } from "../../src/oci/reference.ts";
import { storedDigest } from "../../src/registry/sink-manifests.ts";
import { describeFault } from "../../src/terminal/fault.ts";
import { image, layer, multiArchImage, seed, type TestContent } from "../support/content.ts";
import { faultOf, textOf } from "../support/faults.ts";
import { startRegistry, type TestRegistry, type TestRegistryOptions } from "../support/registry.ts";
import { brokenAnswer } from "./breaking-proxy.ts";
import { connect } from "./connect.ts";
import { asked, contentOf, named, sinkOf } from "./fill.ts";
import { stoppedAfterEach } from "./started.ts";

let index: TestContent;
beforeAll(async () => {
  index = await multiArchImage({ seed: "sink", base: [await layer("shared")] });
});

const started = stoppedAfterEach();
const start = (options: TestRegistryOptions = {}) => started(startRegistry(options));

/** A test's content as a plan has it, in one repository and under these tags. */
function nodesOf(registry: TestRegistry, { manifests, blobs }: TestContent): Node[] {
  const repositories = named(registry, "a");
  const blobNodes = [...blobs].map(([digest, bytes]): Node => {
    const descriptor = { mediaType: "application/octet-stream", digest, size: bytes.length };
    return { descriptor, kind: "blob", children: [], repositories };
  });
  const manifestNodes = manifests.map(({ digest, mediaType, bytes }): Node => {
    const descriptor = { mediaType, digest, size: bytes.length };
    return { descriptor, kind: "manifest", children: [], repositories, bytes };
  });
  return [...blobNodes, ...manifestNodes];
}

function rootOf({ host }: TestRegistry, { root }: TestContent, tag: string): Root {
  return { reference: { registry: host, repository: "a", tag, digest: root.digest }, descriptor: root };
}

async function pushAll(
  registry: TestRegistry,
  content: TestContent,
  roots: Root[],
  warn?: (text: string) => void,
): Promise<Outcome[]> {
  const sink = sinkOf(registry, roots, warn);
  const outcomes: Outcome[] = [];
  for (const node of nodesOf(registry, content)) {
    const bytes = content.blobs.get(node.descriptor.digest) ?? node.bytes ?? new Uint8Array();
    outcomes.push(await sink.put(node, contentOf(bytes)));
  }
  for (const root of roots) await sink.tag(root);
  return outcomes;
}

test("manifests go by digest, children first, and the root once, under its tag, at the end", async () => {
  const registry = await start();
  const roots = [rootOf(registry, index, "v1")];
  await pushAll(registry, index, roots);
  const puts = asked(registry).filter((line) => /^PUT .*\/manifests\//.test(line));
  const { manifests } = parseManifest(index.manifests.at(-1)?.bytes ?? new Uint8Array());
  expect(puts).toEqual([
    ...manifests.map(({ digest }) => `PUT /v2/a/manifests/${digest}`),
    "PUT /v2/a/manifests/v1",
  ]);
  expect(asked(registry).slice(-2)).toEqual(["PUT /v2/a/manifests/v1", "HEAD /v2/a/manifests/v1"]);
  // Under its tag it is stored by its digest as well.
  const stored = await fetch(`${registry.url}/v2/a/manifests/${index.root.digest}`);
  expect(digestOf(await stored.bytes())).toBe(index.root.digest);
});

test("a manifest is sent with its own type and its own bytes", async () => {
  const docker = await image({ seed: "docker", dialect: "docker" });
  const registry = await start();
  await pushAll(registry, docker, [rootOf(registry, docker, "v1")]);
  const put = registry.requests.findLast(({ method }) => method === "PUT");
  expect(put?.headers.get("content-type")).toBe("application/vnd.docker.distribution.manifest.v2+json");
  expect(put?.headers.get("content-length")).toBe(String(docker.root.size));
});

test("several tags of one content are all given", async () => {
  const registry = await start();
  const tags = ["v1", "v2", tagForDigest(index.root.digest)];
  await pushAll(
    registry,
    index,
    tags.map((tag) => rootOf(registry, index, tag)),
  );
  for (const tag of tags) {
    const answer = await fetch(`${registry.url}/v2/a/manifests/${tag}`, { method: "HEAD" });
    expect(answer.headers.get("docker-content-digest")).toBe(index.root.digest);
  }
});

test("a second run sends nothing", async () => {
  const registry = await start();
  const roots = [rootOf(registry, index, "v1")];
  await pushAll(registry, index, roots);
  registry.requests.length = 0;
  const outcomes = await pushAll(registry, index, roots);
  expect(new Set(outcomes)).toEqual(new Set(["present"]));
  expect(new Set(registry.requests.map(({ method }) => method))).toEqual(new Set(["GET", "HEAD"]));
});

test("a tag that stands for other content is moved", async () => {
  const registry = await start();
  await seed(registry.store, "a", "v1", await image({ seed: "older" }));
  await pushAll(registry, index, [rootOf(registry, index, "v1")]);
  const answer = await fetch(`${registry.url}/v2/a/manifests/v1`, { method: "HEAD" });
  expect(answer.headers.get("docker-content-digest")).toBe(index.root.digest);
});

/** HEAD does not say what it is that is there. */
const silentHead = (request: Request) =>
  request.method === "HEAD" ? new Response(null, { status: 200 }) : undefined;

test("where HEAD does not say what is there, GET does", async () => {
  const registry = await start({ intercept: silentHead });
  const bare = await image({ seed: "bare" });
  await seed(registry.store, "a", "v1", bare);
  const root = rootOf(registry, bare, "v1");
  const sink = sinkOf(registry, [root]);
  for (const node of nodesOf(registry, bare).filter(({ kind }) => kind === "manifest")) {
    await sink.put(node, contentOf(new Uint8Array()));
  }
  await sink.tag(root);
  expect(asked(registry)).toEqual(["HEAD /v2/a/manifests/v1", "GET /v2/a/manifests/v1"]);
});

test("an answer that breaks off while it says what is there is asked for again", async () => {
  const registry = await start({ intercept: silentHead });
  await seed(registry.store, "a", "v1", index);
  const { url, host } = await started(brokenAnswer(registry.url, "/manifests/v1"));
  const scopes = [{ repository: "a", actions: "pull" }] as const;
  const place = { client: connect({ urls: [url] }).client(host), repository: "a", scopes };
  expect(await storedDigest(place, "v1")).toBe(index.root.digest);
  expect(asked(registry)).toEqual([
    "HEAD /v2/a/manifests/v1",
    "GET /v2/a/manifests/v1",
    "GET /v2/a/manifests/v1",
  ]);
});

test("a host that answers 200 to everything is not believed", async () => {
  const registry = await start({
    intercept: (request, url) =>
      url.pathname.includes("/manifests/") ? new Response("<html>welcome</html>") : silentHead(request),
  });
  const fault = await faultOf(() => pushAll(registry, index, [rootOf(registry, index, "v1")]));
  expect(textOf(fault)).toMatch(
    /cannot keep sha256:\w+: 127\.0\.0\.1:\d+ took it, and holds sha256:\w+ in its place/,
  );
  expect(fault.hint).toContain("proxy");
});

test.each([200, 202])("a PUT that is answered %i is believed once the manifest is there", async (status) => {
  let forwarding = false;
  const registry = await start({
    intercept: async (request, url) => {
      if (forwarding || request.method !== "PUT" || !url.pathname.includes("/manifests/")) return;
      forwarding = true;
      await fetch(url, { method: "PUT", headers: request.headers, body: await request.bytes() });
      forwarding = false;
      return new Response(null, { status });
    },
  });
  await pushAll(registry, index, [rootOf(registry, index, "v1")]);
  expect((await registry.store.manifest("a", "v1"))?.digest).toBe(index.root.digest);
});

test("a tag that another run has moved by then has not been given either", async () => {
  const registry = await start({
    intercept: (request, url) =>
      request.method === "PUT" && url.pathname.endsWith("/manifests/v1")
        ? new Response(null, { status: 201 })
        : undefined,
  });
  const other = await image({ seed: "other" });
  await seed(registry.store, "a", "v1", other);
  const fault = await faultOf(() => pushAll(registry, index, [rootOf(registry, index, "v1")]));
  expect(textOf(fault)).toContain(`took it, and holds ${other.root.digest} in its place`);
  expect(fault.hint).toContain("or whether another run set this tag, too");
});

test("a tag that is gone when all is done has not been given", async () => {
  const registry = await start({
    intercept: (request, url) =>
      request.method === "PUT" && url.pathname.endsWith("/manifests/v1")
        ? new Response(null, { status: 201 })
        : undefined,
  });
  const fault = await faultOf(() => pushAll(registry, index, [rootOf(registry, index, "v1")]));
  expect(textOf(fault)).toContain(`${registry.host} took it, and holds nothing in its place`);
});

test("a manifest's PUT may be sent elsewhere", async () => {
  const registry = await start({
    intercept: (request, url) => {
      if (request.method !== "PUT" || !url.pathname.includes("/manifests/") || url.search !== "") return;
      return new Response(null, { status: 307, headers: { location: `${url.pathname}?moved=yes` } });
    },
  });
  await pushAll(registry, index, [rootOf(registry, index, "v1")]);
  expect((await registry.store.manifest("a", "v1"))?.digest).toBe(index.root.digest);
});

test("a manifest whose blob a garbage collector has taken says which", async () => {
  const lost = digestOf(new Uint8Array(3));
  const error = {
    code: "MANIFEST_BLOB_UNKNOWN",
    message: "blob unknown to registry",
    detail: { digest: lost },
  };
  const registry = await start({
    intercept: ({ method }, url) =>
      method === "PUT" && url.pathname.includes("/manifests/")
        ? Response.json({ errors: [error] }, { status: 404 })
        : undefined,
  });
  const fault = await faultOf(() => pushAll(registry, index, [rootOf(registry, index, "v1")]));
  expect(fault).toBeInstanceOf(ContentLost);
  expect(fault instanceof ContentLost && fault.digests).toEqual([lost]);
});

/** What is under a tag stays there. */
const immutable = (status: number, code = "TAG_INVALID") => ({
  intercept: (request: Request, url: URL) =>
    request.method === "PUT" && /\/manifests\/(?!sha256:)/.test(url.pathname)
      ? Response.json({ errors: [{ code, message: "it is immutable" }] }, { status })
      : undefined,
});

test.each([
  [400, "TAG_INVALID"],
  [409, "TAG_INVALID"],
  [412, "TAG_INVALID"],
  [403, "DENIED"],
] as const)("an immutable tag with other content is a conflict by name (%i)", async (status, code) => {
  const registry = await start(immutable(status, code));
  const older = await image({ seed: "older" });
  await seed(registry.store, "a", "v1", older);
  const fault = await faultOf(() => pushAll(registry, index, [rootOf(registry, index, "v1")]));
  expect(fault.message).toBe(
    `cannot move the tag ${registry.host}/a:v1: it is immutable, and stands for ${older.root.digest}, not ${index.root.digest}`,
  );
  expect(describeFault(fault).hints).toEqual([expect.stringContaining("delete the tag")]);
});

test("an immutable tag with the same content is fine", async () => {
  const registry = await start(immutable(400));
  await seed(registry.store, "a", "v1", index);
  expect(new Set(await pushAll(registry, index, [rootOf(registry, index, "v1")]))).toEqual(
    new Set(["present"]),
  );
});

test.each(["latest", "v1-31-latest"])(
  "an immutable floating tag (%s) is a warning, its content there all the same",
  async (tag) => {
    const registry = await start(immutable(412));
    const older = await image({ seed: "older" });
    await seed(registry.store, "a", tag, older);
    const warnings: string[] = [];
    await pushAll(registry, index, [rootOf(registry, index, tag)], (text) => warnings.push(text));
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain(`${registry.host}/a:${tag}`);
    expect((await registry.store.manifest("a", tag))?.digest).toBe(older.root.digest);
    expect(await registry.store.manifest("a", index.root.digest)).toBeDefined();
  },
);

test("a manifest that is refused for itself is no conflict of tags", async () => {
  const registry = await start({
    intercept: (request, url) =>
      request.method === "PUT" && url.pathname.endsWith("/v1")
        ? Response.json({ errors: [{ code: "MANIFEST_INVALID", message: "bad" }] }, { status: 400 })
        : undefined,
  });
  await seed(registry.store, "a", "v1", await image({ seed: "older" }));
  const fault = await faultOf(() => pushAll(registry, index, [rootOf(registry, index, "v1")]));
  expect(fault.message).toContain("answered 400 (MANIFEST_INVALID: bad)");
});

test("what a registry warns of is passed on", async () => {
  const registry = await start({
    intercept: (request, url) =>
      request.method === "PUT" && url.pathname.endsWith("/v1")
        ? new Response(null, {
            status: 201,
            headers: { warning: '299 - "this tag \\"v1\\" goes soon", 299 - "and more"' },
          })
        : undefined,
  });
  const warnings: string[] = [];
  const root = rootOf(registry, index, "v1");
  await faultOf(() => pushAll(registry, index, [root], (text) => warnings.push(text)));
  expect(warnings).toEqual([`${registry.host}: this tag "v1" goes soon`, `${registry.host}: and more`]);
});

test("a registry that stores a manifest as something else makes it a mismatch", async () => {
  const other = digestOf(new Uint8Array(1));
  const registry = await start({
    intercept: (request, url) =>
      request.method === "PUT" && url.pathname.endsWith("/manifests/v1")
        ? new Response(null, { status: 201, headers: { "docker-content-digest": other } })
        : undefined,
  });
  const fault = await faultOf(() => pushAll(registry, index, [rootOf(registry, index, "v1")]));
  expect(faultKind(fault)).toBe("mismatch");
  expect(textOf(fault)).toContain(`cannot keep ${index.root.digest}: ${registry.host} stored it as ${other}`);
});
