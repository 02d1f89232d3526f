import { beforeAll, expect, test } from "bun:test";
import { digestOf } from "../../src/oci/digest.ts";
import { faultKind } from "../../src/oci/fault.ts";
import { parseManifest } from "../../src/oci/manifest.ts";
import type { Node, Outcome, Root } from "../../src/oci/plan.ts";
import { tagForDigest } from "../../src/oci/reference.ts";
import { image, layer, multiArchImage, seed, type TestContent } from "../support/content.ts";
import { faultOf, textOf } from "../support/faults.ts";
import { startRegistry, type TestRegistry, type TestRegistryOptions } from "../support/registry.ts";
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

async function pushAll(registry: TestRegistry, content: TestContent, roots: Root[]): Promise<Outcome[]> {
  const sink = sinkOf(registry, roots);
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
  expect(asked(registry).at(-1)).toBe("PUT /v2/a/manifests/v1");
  // Under its tag it is stored by its digest as well.
  const stored = await fetch(`${registry.url}/v2/a/manifests/${index.root.digest}`);
  expect(digestOf(await stored.bytes())).toBe(index.root.digest);
});

test("a manifest is sent with its own type and its own bytes", async () => {
  const docker = await image({ seed: "docker", dialect: "docker" });
  const registry = await start();
  await pushAll(registry, docker, [rootOf(registry, docker, "v1")]);
  const put = registry.requests.at(-1);
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

test("a registry that does not say what a tag stands for is sent the manifest", async () => {
  const registry = await start({
    intercept: (request) => (request.method === "HEAD" ? new Response(null, { status: 200 }) : undefined),
  });
  const sink = sinkOf(registry, []);
  const bare = await image({ seed: "bare" });
  await seed(registry.store, "a", undefined, bare);
  for (const node of nodesOf(registry, bare).filter(({ kind }) => kind === "manifest")) {
    await sink.put(node, contentOf(new Uint8Array()));
  }
  expect(asked(registry).at(-1)).toBe(`PUT /v2/a/manifests/${bare.root.digest}`);
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
