import { afterEach, beforeEach, expect, test } from "bun:test";
import { join } from "node:path";
import { MANIFEST_MEDIA_TYPES, MEDIA_TYPE } from "../../src/oci/descriptor.ts";
import { digestOf } from "../../src/oci/digest.ts";
import type { TestContent } from "../support/content.ts";
import { manifestContent, rawImage } from "../support/memory.ts";
import {
  expectedArchive,
  exportFrom,
  importInto,
  missingIn,
  openStage,
  type Stage,
  startSource,
  startTarget,
  toldBy,
} from "./quirks-carry.ts";

let stage: Stage;
beforeEach(async () => {
  stage = await openStage();
});
afterEach(() => stage.stop());

const bytesOf = (text: string) => new TextEncoder().encode(text);

/** An artifact whose blobs stand in its descriptors as well: the empty one twice, and one that is another there. */
function inlined(): TestContent {
  const [empty, statement] = [bytesOf("{}"), bytesOf("signed by us")];
  const blob = (mediaType: string, bytes: Uint8Array, inline: string) => {
    const data = Buffer.from(inline).toString("base64");
    return { mediaType, digest: digestOf(bytes), size: bytes.length, data };
  };
  const content = manifestContent(MEDIA_TYPE.ociManifest, {
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.ociManifest,
    artifactType: "application/vnd.example.signature",
    config: blob(MEDIA_TYPE.ociEmpty, empty, "{}"),
    layers: [blob(MEDIA_TYPE.ociEmpty, empty, "{}"), blob("text/plain", statement, "signed by it")],
  });
  const blobs = new Map([empty, statement].map((bytes) => [digestOf(bytes), bytes]));
  return { ...content, blobs };
}

test("a blob that its descriptor holds inline goes like any other, and nobody looks at what is inline", async () => {
  const contents = { "eks-anywhere/signature:v1": inlined() };
  const source = await startSource(stage, {}, contents);
  const archive = join(stage.folder, "artifacts.tar");
  await exportFrom(source, archive, contents);
  const target = await startTarget(stage, { refusesEmptyBlobs: 400 });
  await importInto(target, archive);
  expect(await missingIn(target, contents)).toEqual([]);
  const closed = target.ledger.flatMap(({ method, path }) => {
    const digest = new URL(path, target.url).searchParams.get("digest");
    return method === "PUT" && digest !== null ? digest : [];
  });
  // The digest of `{}`. Spec: image-spec manifest.md, "Guidance for an Empty Descriptor".
  const EMPTY = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
  expect(closed.sort()).toEqual([EMPTY, digestOf(bytesOf("signed by us"))].sort());
});

/** The same manifest in other words. */
function rewritten(content: TestContent, change: (document: Record<string, unknown>) => object): TestContent {
  const [manifest] = content.manifests;
  const document = change(JSON.parse(new TextDecoder().decode(manifest?.bytes)));
  return { ...manifestContent(MEDIA_TYPE.ociManifest, document), blobs: content.blobs };
}

test("a registry that is particular about manifests is told in its own words, and gets all others", async () => {
  const bad = {
    "eks-anywhere/untyped:v1": rewritten(rawImage(["one"]), ({ mediaType: _, ...rest }) => rest),
    "eks-anywhere/annotated:v1": rewritten(rawImage(["two"]), ({ config, ...rest }) => ({
      ...rest,
      config: Object.assign({}, config, { annotations: { "com.example.a": "b" } }),
    })),
  };
  const contents = { ...bad, "eks-anywhere/good:v1": rawImage(["three"]) };
  const archive = await expectedArchive(stage.folder, contents);
  const target = await startTarget(stage, { particularManifests: true });
  const told = await toldBy(importInto(target, archive));
  expect(told).toMatch(/PUT \S+\/eks-anywhere\/(?:untyped|annotated)\/manifests\/v1 answered 405/);
  expect(told).toContain("UNSUPPORTED: Invalid parameter at 'ImageManifest' failed to satisfy constraint");
  const lost = new Set((await missingIn(target, contents)).map((line) => line.split(/:? /)[0]));
  expect([...lost].sort()).toEqual(Object.keys(bad).sort());
});

test("a manifest goes out with its length, as registries want it that answer 411 without", async () => {
  const contents = { "eks-anywhere/app:v1": rawImage(["one"]) };
  const archive = await expectedArchive(stage.folder, contents);
  const target = await startTarget(stage, { needsContentLength: true });
  await importInto(target, archive);
  const put = target.ledger.filter(({ method, path }) => method === "PUT" && path.includes("/manifests/"));
  expect(put.map(({ headers }) => headers.get("content-length"))).toEqual([
    String(contents["eks-anywhere/app:v1"].root.size),
  ]);
});

test("whoever is asked for a manifest is told of every type, or might answer with another one", async () => {
  const contents = { "eks-anywhere/app:v1": rawImage(["one"]) };
  // Its GET is asked as well.
  const quirks = { manifestHeadWithoutDigest: true };
  const [source, target] = [await startSource(stage, quirks, contents), await startTarget(stage, quirks)];
  const archive = join(stage.folder, "artifacts.tar");
  await exportFrom(source, archive, contents);
  await importInto(target, archive);
  await importInto(target, archive);
  const asked = [...source.ledger, ...target.ledger].filter(
    ({ method, path }) => method !== "PUT" && path.includes("/manifests/"),
  );
  expect(new Set(asked.map(({ method }) => method))).toEqual(new Set(["GET", "HEAD"]));
  const wanted = MANIFEST_MEDIA_TYPES.join(", ");
  expect(new Set(asked.map(({ headers }) => headers.get("accept")))).toEqual(new Set([wanted]));
});
