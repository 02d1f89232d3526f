import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { digestOf } from "../../src/oci/digest.ts";
import { Fault } from "../../src/oci/fault.ts";
import type { Content, Node } from "../../src/oci/plan.ts";
import { RegistrySink } from "../../src/registry/sink.ts";
import { pseudoRandomBytes } from "../support/content.ts";
import { DiscardingRegistry } from "../support/discarding-registry.ts";
import { faultOf, textOf } from "../support/faults.ts";
import { type Quirks, startQuirkyRegistry } from "../support/quirks.ts";
import { connect } from "./connect.ts";
import { inPieces, send } from "./send-blob.ts";
import { stoppedAfterEach } from "./started.ts";

const MIB = 1024 * 1024;
/** Two chunks and a half. */
const BYTES = pseudoRandomBytes(40 * MIB, "once");
const DIGEST = digestOf(BYTES);

let folder: string;
const before = process.env.TMPDIR;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eksa-airgap-once-"));
  process.env.TMPDIR = folder;
});
afterAll(async () => {
  if (before === undefined) delete process.env.TMPDIR;
  else process.env.TMPDIR = before;
  await rm(folder, { recursive: true, force: true });
});

const started = stoppedAfterEach();

/** The bytes, once; `at` is told how many are out. */
function onePass(bytes: Uint8Array = BYTES, at: (position: number) => void = () => {}): Content {
  let isTaken = false;
  async function* stream() {
    if (isTaken) throw new Error("the content was read twice");
    isTaken = true;
    let position = 0;
    for await (const piece of inPieces(bytes)) {
      yield piece;
      position += piece.length;
      at(position);
    }
  }
  return { stream, slice: () => undefined, isOnePass: true };
}

async function startQuirky(quirks: Quirks) {
  const registry = await started(startQuirkyRegistry(quirks));
  // Its own files are not ours to count.
  const own = new Set(readdirSync(folder));
  const steps = () =>
    registry.ledger
      .filter(({ path }) => path.includes("/uploads/"))
      .map(({ method, headers }) => `${method} ${headers.get("content-range") ?? ""}`.trim());
  const stored = async () => {
    const blob = await registry.store.blob("a/b", DIGEST);
    return digestOf(await new Response(blob?.read(0, blob.size)).bytes());
  };
  const left = () => readdirSync(folder).filter((name) => !own.has(name));
  const credentials = () => ({ kind: "password", ...registry.login }) as const;
  return { ...registry, steps, stored, left, credentials };
}

function sendOnce(
  registry: Awaited<ReturnType<typeof startQuirky>>,
  content: Content,
  warnings: string[] = [],
) {
  const { url, credentials } = registry;
  const warn = (text: string) => warnings.push(text);
  return send(url, { content, digest: DIGEST, size: BYTES.length, credentials, attempts: 8, warn });
}

test("what can be read only once goes in chunks; only what has not arrived is kept", async () => {
  const registry = await startQuirky({});
  const warnings: string[] = [];
  await sendOnce(registry, onePass(), warnings);
  expect(registry.steps().filter((step) => step !== "POST")).toEqual([
    "PATCH 0-16777215",
    "PATCH 16777216-33554431",
    "GET",
    "PATCH 33554432-41943039",
    "PUT",
  ]);
  expect(await registry.stored()).toBe(DIGEST);
  expect(warnings).toEqual([]);
});

describe("a blob that can be read only once gets in chunks into a registry that", () => {
  const cases: [string, Quirks][] = [
    ["takes chunks of 4 MiB only", { chunkLimit: 4 * MIB }],
    ["stands behind a proxy that takes bodies of 5 MiB", { bodyLimit: 5 * MIB }],
    ["wants chunks of 5 MiB", { minChunk: 5 * MIB }],
    ["hands out another state at each step", { rotatingState: true }],
    ["answers a PATCH without a Location", { patchWithoutLocation: true }],
    ["answers a PATCH with 204", { patchAnswers: 204 }],
    ["has another host for it", { location: "otherHost" }],
    ["redirects each step", { redirectsUploads: "all" }],
    ["breaks off three times", { breaksPatches: 3 }],
    ["loses patience at the end", { gatewayTimeoutAtPut: 2 }],
    ["gives tokens that are soon worth nothing", { tokenGoodFor: 3 }],
    ["ends the token in the middle", { tokenEndsDuringPatch: true }],
  ];
  test.each(cases)("%s", async (_, quirks) => {
    const registry = await startQuirky(quirks);
    const warnings: string[] = [];
    await sendOnce(registry, onePass(), warnings);
    expect(await registry.stored()).toBe(DIGEST);
    expect(warnings).toEqual([]);
  });
});

describe("a blob that can be read only once goes through a temporary file, and a warning says so, where a registry", () => {
  const cases: [string, Quirks][] = [
    ["drops all chunks but the first, as ECR does", { discardsLaterPatches: true }],
    ["never says what it has", { noUploadRange: true, noUploadStatus: true }],
    ["cannot be asked what it has", { noUploadStatus: true }],
    ["says nothing of ranges", { noUploadRange: true }],
    ["knows no PATCH", { refusesPatch: 405 }],
    ["wants chunks that are too large to keep", { minChunk: 64 * MIB }],
  ];
  test.each(cases)("%s", async (_, quirks) => {
    const registry = await startQuirky(quirks);
    const warnings: string[] = [];
    const seen = new Set<string>();
    const content = onePass(BYTES, () => {
      for (const name of registry.left()) seen.add(name);
    });
    await sendOnce(registry, content, warnings);
    expect(await registry.stored()).toBe(DIGEST);
    expect(warnings).toContain(
      `${registry.host} does not take blobs in chunks: large ones are kept in ${folder} on their way there`,
    );
    // It has no name: whatever ends the run, nothing is left.
    expect([...seen]).toEqual([]);
    expect(registry.left()).toEqual([]);
  });
});

test("no chunk is tried at an ECR, which is known by its name", async () => {
  const registry = await startQuirky({});
  const name = "123456789012.dkr.ecr.us-east-1.amazonaws.com";
  const mirrors = [{ host: name, origin: new URL(registry.url), path: "" }];
  const { credentials } = registry;
  const sink = new RegistrySink(connect({ mirrors, credentials }), []);
  await sink.put(nodeIn(`${name}/a/b`), onePass());
  expect(registry.steps()).not.toContain("PATCH 0-16777215");
  expect(await registry.stored()).toBe(DIGEST);
});

function nodeIn(...repositories: `${string}/${string}`[]): Node {
  const descriptor = { mediaType: "application/octet-stream", digest: DIGEST, size: BYTES.length };
  return { descriptor, kind: "blob", children: [], repositories: new Set(repositories) };
}

test("where mounts are refused the other repositories get it from the first one", async () => {
  const registry = await startQuirky({ mountAnswers: 405 });
  const { host, url, credentials } = registry;
  const sink = new RegistrySink(connect({ urls: [url], credentials }), []);
  expect(await sink.put(nodeIn(`${host}/a/b`, `${host}/a/c`, `${host}/d/e`), onePass())).toBe("copied");
  for (const repository of ["a/b", "a/c", "d/e"]) {
    expect((await registry.store.blob(repository, DIGEST))?.size).toBe(BYTES.length);
  }
});

test("a blob that fits into a chunk is kept whole, and sent every way that there is", async () => {
  const bytes = BYTES.subarray(0, 10 * MIB);
  const registry = await startQuirky({ refusesPatch: 405, breaksPatches: 1 });
  const { url, credentials } = registry;
  await send(url, { content: onePass(bytes), digest: digestOf(bytes), size: bytes.length, credentials });
  expect((await registry.store.blob("a/b", digestOf(bytes)))?.size).toBe(bytes.length);
});

describe("what fails for good:", () => {
  const open: DiscardingRegistry[] = [];
  afterEach(async () => {
    await Promise.all(open.splice(0).map((registry) => registry.stop()));
  });

  test("a session that is forgotten when its first bytes have gone by, with what to do", async () => {
    const registry = await DiscardingRegistry.start({ forgetsAt: 35 * MIB });
    open.push(registry);
    const fault = await faultOf(() =>
      send(registry.url, { content: onePass(), digest: DIGEST, size: BYTES.length }),
    );
    expect(fault.message).toContain(`cannot send ${DIGEST} again`);
    expect(textOf(fault)).toContain("404");
    expect(fault.hint).toContain("save the archive in a file");
  });

  test("content that fails on its way, with its own reason and no second try", async () => {
    const registry = await startQuirky({});
    async function* stream() {
      yield* inPieces(BYTES.subarray(0, 20 * MIB));
      throw new Fault("cannot read on: it is cut short", { kind: "mismatch" });
    }
    const content: Content = { stream, slice: () => undefined, isOnePass: true };
    const fault = await faultOf(() => sendOnce(registry, content));
    expect(fault.message).toBe("cannot read on: it is cut short");
    expect(registry.steps()).not.toContain("PUT");
  });

  test("content of other bytes than were announced", async () => {
    const registry = await startQuirky({});
    for (const bytes of [BYTES.subarray(1), pseudoRandomBytes(BYTES.length + 1, "more")]) {
      await faultOf(() => sendOnce(registry, onePass(bytes)));
    }
    expect(registry.steps()).not.toContain("PUT");
  });
});
