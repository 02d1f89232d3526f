import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MEDIA_TYPE } from "../../src/oci/descriptor.ts";
import { digestOf } from "../../src/oci/digest.ts";
import { faultKind } from "../../src/oci/fault.ts";
import { RegistrySource } from "../../src/registry/source.ts";
import { describeFault } from "../../src/terminal/fault.ts";
import { resolve } from "../../src/transfer/resolve.ts";
import { transfer } from "../../src/transfer/transfer.ts";
import { startRegistry } from "../support/registry.ts";
import { Writing } from "../support/writing.ts";
import { connect } from "./connect.ts";
import { stoppedAfterEach } from "./started.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eksa-airgap-fuzz-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const started = stoppedAfterEach();

/** Bytes under a tag or a digest, as a server that lies would send them. */
type Answers = Record<string, string>;

const LAYER = "the layer";
const CONFIG = "{}";
const OCTETS = "application/octet-stream";

function sha(text: string): string {
  return digestOf(new TextEncoder().encode(text));
}

/** An artifact of one layer whose descriptor says `layer` of it. */
function manifest(layer: object = {}, config: object = {}): string {
  return JSON.stringify({
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.ociManifest,
    config: { mediaType: OCTETS, digest: sha(CONFIG), size: CONFIG.length, ...config },
    layers: [{ mediaType: OCTETS, digest: sha(LAYER), size: LAYER.length, ...layer }],
  });
}

function index(children: readonly object[]): string {
  return JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: children });
}

function child(bytes: string, descriptor: object = {}): object {
  return { mediaType: MEDIA_TYPE.ociManifest, digest: sha(bytes), size: bytes.length, ...descriptor };
}

/** All that a person reads when `v1` of this registry is exported; fails when that goes well. */
async function exported(manifests: Answers): Promise<{ told: string; kind: string; requests: number }> {
  const blobs: Answers = { [sha(LAYER)]: LAYER, [sha(CONFIG)]: CONFIG };
  const registry = await started(
    startRegistry({
      intercept: (_, url) => {
        const last = url.pathname.split("/").at(-1) ?? "";
        const body = url.pathname.includes("/manifests/") ? manifests[last] : blobs[last];
        return body === undefined ? undefined : new Response(body);
      },
    }),
  );
  const failure = await exportAll(registry.url, registry.host).then(
    () => undefined,
    (error: unknown) => error,
  );
  if (failure === undefined) throw new Error("it did not fail");
  const { message, because, hints } = describeFault(failure);
  const told = [message, ...because, ...hints].join("\n");
  return { told, kind: faultKind(failure), requests: registry.requests.length };
}

async function exportAll(url: string, host: string): Promise<void> {
  const source = new RegistrySource(connect({ urls: [url] }));
  const references = [{ registry: host, repository: "a/b", tag: "v1" }];
  const { plan, failures } = await resolve(source, references, { jobs: 4 });
  for (const { error } of failures) throw error;
  const path = join(folder, "out.tar");
  const writing = await Writing.begin(path, plan);
  try {
    const { lost } = await transfer(plan, source, writing.sink, {
      jobs: 4,
      onFailure: "stop",
      listener: () => {},
      signal: new AbortController().signal,
    });
    for (const { error } of lost) throw error;
  } finally {
    await writing.leave();
    for (const end of ["partial", "journal"]) await rm(`${path}.${end}`);
  }
}

describe("a manifest is refused in words when its layer", () => {
  test.each<[string, object, string]>([
    ["is smaller than it says", { size: LAYER.length + 1 }, "there were no more"],
    ["is larger than it says", { size: LAYER.length - 1 }, `more than ${LAYER.length - 1} bytes came`],
    ["is nothing, it says", { size: 0 }, "more than 0 bytes came"],
    ["has a negative size", { size: -1 }, "is not a number of bytes"],
    ["has a size of 2^60", { size: 2 ** 60 }, "is not a number of bytes"],
    ["has a size that no disk holds", { size: 2 ** 52 }, "cannot"],
    ["has half a byte", { size: 1.5 }, "is not a number of bytes"],
    ["has a size in words", { size: "9" }, "is not a number of bytes"],
    ["has another digest", { digest: sha("other"), size: 5 }, "answered 404"],
    ["has a digest of MD5", { digest: `md5:${"a".repeat(32)}` }, "not one that can be checked"],
    ["has a short digest", { digest: `sha256:${"a".repeat(63)}` }, "not one that can be checked"],
    ["has a long digest", { digest: `sha256:${"a".repeat(65)}` }, "not one that can be checked"],
    ["has a digest in capitals", { digest: sha(LAYER).toUpperCase() }, "not one that can be checked"],
    ["has a path for a digest", { digest: "sha256:../../../etc/passwd" }, "not one that can be checked"],
    ["has no type", { mediaType: 7 }, "has no mediaType"],
  ])("%s", async (_, layer, words) => {
    expect((await exported({ v1: manifest(layer) })).told).toContain(words);
  });
});

test("one blob with two sizes is a mismatch before anything is downloaded", async () => {
  const text = manifest({ digest: sha(CONFIG), size: 7 });
  const { told, kind } = await exported({ v1: text });
  expect([kind, told.includes("another 7") || told.includes("7 bytes")]).toEqual(["mismatch", true]);
});

test("an index that contains itself is a lie about a digest, and found out as one", async () => {
  const inner = index([]);
  const outer = index([child(inner, { mediaType: MEDIA_TYPE.ociIndex })]);
  const { kind, requests } = await exported({ v1: outer, [sha(inner)]: outer });
  expect(kind).toBe("mismatch");
  expect(requests).toBeLessThan(6);
});

test("indexes in indexes are followed to a depth, and no deeper", async () => {
  const answers: Answers = {};
  let inner = manifest();
  for (let depth = 0; depth < 40; depth++) {
    answers[sha(inner)] = inner;
    inner = index([child(inner, depth === 0 ? {} : { mediaType: MEDIA_TYPE.ociIndex })]);
  }
  const { told, requests } = await exported({ ...answers, v1: inner });
  expect(told).toContain("nested more than");
  expect(requests).toBeLessThan(20);
});

test("an index of a hundred thousand children is refused for its size", async () => {
  const children = Array.from({ length: 100_000 }, (_, number) => child(String(number)));
  const { told, requests } = await exported({ v1: index(children) });
  expect(told).toContain("more than 4194304 bytes");
  expect(requests).toBeLessThan(4);
});

test("an index of as many children as fit is given up at the first that is not there", async () => {
  const children = Array.from({ length: 20_000 }, (_, number) => child(String(number)));
  const { told, requests } = await exported({ v1: index(children) });
  expect(told).toContain("answered 404");
  expect(requests).toBeLessThan(30);
});

test("an index that names one child twenty thousand times asks for it once", async () => {
  const one = manifest({ size: LAYER.length + 1 });
  const children = Array.from({ length: 20_000 }, () => child(one));
  const { told, requests } = await exported({ v1: index(children), [sha(one)]: one });
  expect(told).toContain("there were no more");
  expect(requests).toBeLessThan(8);
});

test.each([
  ["smaller", -1],
  ["larger", 1],
])("a child that is %s than its index says is a mismatch", async (_, more) => {
  const one = manifest();
  const { kind } = await exported({ v1: index([child(one, { size: one.length + more })]), [sha(one)]: one });
  expect(kind).toBe("mismatch");
});

test("an image whose config claims a gigabyte is not read to learn its platform", async () => {
  const config = { mediaType: MEDIA_TYPE.ociConfig, size: 2 ** 30 };
  const { told } = await exported({ v1: manifest({}, config) });
  expect(told).toContain("cannot read an image config of 1073741824 bytes");
});
