import { beforeAll, expect, test } from "bun:test";
import { MEDIA_TYPE } from "../../src/oci/descriptor.ts";
import { isRecord } from "../../src/oci/manifest.ts";
import type { Node, Root } from "../../src/oci/plan.ts";
import { image, referrer, seed, type TestContent } from "../support/content.ts";
import { faultOf, textOf } from "../support/faults.ts";
import { rawIndex } from "../support/memory.ts";
import { startRegistry, type TestRegistry, type TestRegistryOptions } from "../support/registry.ts";
import { asked, contentOf, named, sinkOf } from "./fill.ts";
import { stoppedAfterEach } from "./started.ts";

const ARTIFACT_TYPE = "application/vnd.example.signature";
const WITHOUT = { withoutReferrers: true } as const;

let subject: TestContent;
let listTag: string;
beforeAll(async () => {
  subject = await image({ seed: "subject" });
  listTag = `sha256-${subject.root.digest.slice("sha256:".length)}`;
});

const started = stoppedAfterEach();

/** A registry that holds the subject in `a`. */
async function start(options: TestRegistryOptions = {}): Promise<TestRegistry> {
  const registry = await started(startRegistry(options));
  await seed(registry.store, "a", "v1", subject);
  return registry;
}

function signature(body: string): TestContent {
  const annotations = { "org.example.by": body };
  return referrer({ subject: subject.root, artifactType: ARTIFACT_TYPE, body, annotations });
}

/** Puts a manifest whose blobs are there. */
async function put(
  registry: TestRegistry,
  content: TestContent,
  roots: Root[] = [],
  sink = sinkOf(registry, roots),
) {
  const { blobs, manifests, root } = content;
  await seed(registry.store, "a", undefined, { root, blobs, manifests: [] });
  for (const { digest, mediaType, bytes } of manifests) {
    const descriptor = { mediaType, digest, size: bytes.length };
    const node: Node = {
      descriptor,
      kind: "manifest",
      children: [],
      repositories: named(registry, "a"),
      bytes,
    };
    await sink.put(node, contentOf(bytes));
  }
  for (const root of roots) await sink.tag(root);
}

async function listIn({ url }: TestRegistry): Promise<unknown[] | undefined> {
  const accept = MEDIA_TYPE.ociIndex;
  const response = await fetch(`${url}/v2/a/manifests/${listTag}`, { headers: { accept } });
  if (response.status === 404) return;
  expect(response.headers.get("content-type")).toBe(MEDIA_TYPE.ociIndex);
  const list: unknown = await response.json();
  if (!isRecord(list) || !Array.isArray(list.manifests)) throw new Error("it is no list");
  expect(list).toMatchObject({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex });
  return list.manifests;
}

function entryOf({ root }: TestContent, by: string): object {
  return { ...root, artifactType: ARTIFACT_TYPE, annotations: { "org.example.by": by } };
}

function puts(registry: TestRegistry): string[] {
  return asked(registry).filter((line) => line.startsWith("PUT "));
}

test("a registry that says it keeps the list is left to it", async () => {
  const registry = await start();
  const one = signature("one");
  await put(registry, one);
  expect(puts(registry)).toEqual([`PUT /v2/a/manifests/${one.root.digest}`]);
  expect(asked(registry).some((line) => line.includes("/referrers/"))).toBe(false);
  const found = await registry.store.referrers("a", subject.root.digest);
  expect(found.map(({ digest }) => digest)).toEqual([one.root.digest]);
});

test("a registry that keeps the list without saying so is left to it as well", async () => {
  const registry = await start({
    intercept: async (request) => {
      if (request.method !== "PUT") return;
      const { digest, mediaType, bytes } = signature("one").manifests[0] ?? fail();
      await registry.store.putManifest("a", { digest, mediaType, bytes, subject: subject.root.digest });
      return new Response(null, { status: 201 });
    },
  });
  await put(registry, signature("one"));
  expect(puts(registry)).toHaveLength(1);
  expect(await listIn(registry)).toBeUndefined();
});

test("elsewhere the list is made under the referrers tag, with type, size and annotations", async () => {
  const registry = await start(WITHOUT);
  const one = signature("one");
  await put(registry, one);
  expect(await listIn(registry)).toEqual([entryOf(one, "one")]);
  expect(puts(registry)).toEqual([
    `PUT /v2/a/manifests/${one.root.digest}`,
    `PUT /v2/a/manifests/${listTag}`,
  ]);
});

test("what is in the list already stays, as it stands", async () => {
  const registry = await start(WITHOUT);
  const old = signature("old");
  await seed(registry.store, "a", undefined, old);
  const before = { ...entryOf(old, "old"), data: "e30=", "x-unknown": [1] };
  const bytes = new TextEncoder().encode(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MEDIA_TYPE.ociIndex,
      manifests: [before],
      annotations: { k: "v" },
    }),
  );
  await fetch(`${registry.url}/v2/a/manifests/${listTag}`, {
    method: "PUT",
    body: bytes,
    headers: { "content-type": MEDIA_TYPE.ociIndex },
  });
  const one = signature("one");
  await put(registry, one);
  expect(await listIn(registry)).toEqual([before, entryOf(one, "one")]);
  const kept = await fetch(`${registry.url}/v2/a/manifests/${listTag}`);
  expect(await kept.json()).toMatchObject({ annotations: { k: "v" } });
});

test("an entry whose manifest is gone, for which a registry refuses the list, goes too", async () => {
  const registry = await start(WITHOUT);
  const [gone, kept, added] = [signature("gone"), signature("kept"), signature("added")];
  await seed(registry.store, "a", undefined, kept);
  await seed(registry.store, "a", listTag, {
    ...rawIndex([gone, kept]),
    manifests: rawIndex([gone, kept]).manifests.slice(-1),
  });
  await put(registry, added);
  expect(await listIn(registry)).toEqual([kept.root, entryOf(added, "added")]);
});

test("signatures that arrive at once are all in the list", async () => {
  const registry = await start(WITHOUT);
  const sink = sinkOf(registry);
  const many = Array.from({ length: 12 }, (_, index) => signature(`${index}`));
  await Promise.all(many.map((one) => put(registry, one, [], sink)));
  const listed = (await listIn(registry))?.map((entry) => isRecord(entry) && entry.digest);
  expect(listed?.sort()).toEqual(many.map(({ root }) => root.digest).sort());
});

test.each([{}, WITHOUT])("a second run puts nothing (%o)", async (options) => {
  const registry = await start(options);
  const [one, two] = [signature("one"), signature("two")];
  for (const content of [one, two]) await put(registry, content);
  const before = puts(registry).length;
  for (const content of [two, one]) await put(registry, content);
  expect(puts(registry)).toHaveLength(before);
});

test("a run that ended between a signature and its entry is completed by the next", async () => {
  const registry = await start(WITHOUT);
  const one = signature("one");
  await seed(registry.store, "a", undefined, one);
  await put(registry, one);
  expect(puts(registry)).toEqual([`PUT /v2/a/manifests/${listTag}`]);
  expect(await listIn(registry)).toEqual([entryOf(one, "one")]);
});

test("a referrer that has a tag of its own is listed as well", async () => {
  const registry = await start(WITHOUT);
  const one = signature("one");
  const reference = { registry: registry.host, repository: "a", tag: "signature", digest: one.root.digest };
  await put(registry, one, [{ reference, descriptor: one.root }]);
  expect(await listIn(registry)).toEqual([entryOf(one, "one")]);
});

test("a tagged referrer that is there and not in the list is entered without being put again", async () => {
  const registry = await start(WITHOUT);
  const one = signature("one");
  await seed(registry.store, "a", "signature", one);
  const reference = { registry: registry.host, repository: "a", tag: "signature", digest: one.root.digest };
  await put(registry, one, [{ reference, descriptor: one.root }]);
  expect(puts(registry)).toEqual([`PUT /v2/a/manifests/${listTag}`]);
  expect(await listIn(registry)).toEqual([entryOf(one, "one")]);
});

test("a referrer by digest alone gets no tag", async () => {
  const registry = await start();
  const one = signature("one");
  const reference = { registry: registry.host, repository: "a", digest: one.root.digest };
  await put(registry, one, [{ reference, descriptor: one.root, nameless: true }]);
  expect(await registry.store.tags("a")).toEqual(["v1"]);
});

test("something else under the referrers tag is not written over", async () => {
  const registry = await start(WITHOUT);
  const other = await image({ seed: "other" });
  await seed(registry.store, "a", listTag, other);
  const fault = await faultOf(() => put(registry, signature("one")));
  expect(fault.message).toContain(`among the referrers of ${subject.root.digest}`);
  expect(textOf(fault)).toContain(`cannot write the tag \`${listTag}\``);
  expect((await registry.store.manifest("a", listTag))?.digest).toBe(other.root.digest);
});

test("a list that cannot be written fails by name, and does not hold up the next", async () => {
  let refuse = true;
  const registry = await start({
    ...WITHOUT,
    intercept: (request, url) =>
      refuse && request.method === "PUT" && url.pathname.endsWith(listTag)
        ? new Response("", { status: 403 })
        : undefined,
  });
  const sink = sinkOf(registry);
  const fault = await faultOf(() => put(registry, signature("one"), [], sink));
  expect(fault.message).toContain(`cannot list ${signature("one").root.digest}`);
  expect(textOf(fault)).toContain("answered 403");
  refuse = false;
  await put(registry, signature("two"), [], sink);
  expect(await listIn(registry)).toHaveLength(1);
});

test("where the list may not be asked for it is kept under the tag", async () => {
  const registry = await start({
    ...WITHOUT,
    intercept: (_, url) =>
      url.pathname.includes("/referrers/") ? new Response("", { status: 403 }) : undefined,
  });
  const one = signature("one");
  await put(registry, one);
  expect(await listIn(registry)).toEqual([entryOf(one, "one")]);
});

test("a list that may not be read is not written over", async () => {
  const registry = await start({
    ...WITHOUT,
    intercept: ({ method }, url) =>
      method === "GET" && /\/manifests\/sha256-/.test(url.pathname)
        ? new Response("", { status: 403 })
        : undefined,
  });
  const fault = await faultOf(() => put(registry, signature("one")));
  expect(textOf(fault)).toContain(`manifests/${listTag} answered 403`);
  expect(puts(registry)).toEqual([`PUT /v2/a/manifests/${signature("one").root.digest}`]);
});

test("an index as a referrer is listed with its own type", async () => {
  const registry = await start(WITHOUT);
  const bytes = new TextEncoder().encode(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MEDIA_TYPE.ociIndex,
      manifests: [],
      subject: subject.root,
    }),
  );
  const { root } = rawIndex([]);
  const digest = `sha256:${new Bun.CryptoHasher("sha256").update(bytes).digest("hex")}` as const;
  const index = {
    root: { ...root, digest, size: bytes.length },
    manifests: [{ digest, mediaType: MEDIA_TYPE.ociIndex, bytes }],
    blobs: new Map(),
  };
  await put(registry, index);
  expect(await listIn(registry)).toEqual([{ mediaType: MEDIA_TYPE.ociIndex, digest, size: bytes.length }]);
});

function fail(): never {
  throw new Error("there is no manifest");
}
