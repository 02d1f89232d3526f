import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Digest, digestOf } from "../../src/oci/digest.ts";
import type { ByteStream, Content } from "../../src/oci/plan.ts";
import { UploadManner } from "../../src/registry/upload-manner.ts";
import { DiscardingRegistry } from "../support/discarding-registry.ts";
import { faultOf, textOf } from "../support/faults.ts";
import { startQuirkyRegistry } from "../support/quirks.ts";
import { startRegistry, type TestRegistryOptions } from "../support/registry.ts";
import { BYTES, expectStored, inArchive, inPieces, STREAMED, send, uploadSteps } from "./send-blob.ts";
import { stoppedAfterEach } from "./started.ts";

let folder: string;
let sliced: Content;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eksa-airgap-upload-"));
  sliced = await inArchive(folder);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const started = stoppedAfterEach();
const start = (options: TestRegistryOptions = {}) => started(startRegistry(options));

const lengthOf = (request: Request) => Number(request.headers.get("content-length"));
const refused = (status: number) => new Response(null, { status });

/** What a registry takes when it limits a request's body, whole or in chunks. */
function limited(bytes: number, status = 413): TestRegistryOptions {
  return {
    intercept: (request) => {
      if (request.method !== "PATCH" && request.method !== "PUT") return;
      const isChunk = request.headers.has("content-range");
      return lengthOf(request) > bytes ? refused(isChunk ? status : 413) : undefined;
    },
  };
}

const CONTENTS: [string, () => Content][] = [
  ["a stream", () => STREAMED],
  ["a slice", () => sliced],
];

describe("a registry that refuses PATCH", () => {
  const noPatch = (status: number) => ({
    intercept: (request: Request) => (request.method === "PATCH" ? refused(status) : undefined),
  });

  test.each([404, 405, 501])(
    "(%i) gets the blob with the last PUT, and the next one at once",
    async (status) => {
      const registry = await start(noPatch(status));
      const manner = new UploadManner();
      await send(registry.url, { manner, content: sliced });
      expect(uploadSteps(registry)).toEqual(["POST", "PATCH", "POST", "PUT"]);
      await expectStored(registry);
      registry.requests.length = 0;
      await send(registry.url, { manner });
      expect(uploadSteps(registry)).toEqual(["POST", "PUT"]);
    },
  );

  test("and everything else is reported with its first word", async () => {
    const registry = await start({
      intercept: ({ method }) => (method === "PATCH" || method === "PUT" ? refused(405) : undefined),
    });
    const fault = await faultOf(() => send(registry.url));
    expect(textOf(fault)).toMatch(/PATCH .* answered 405/);
  });
});

describe("a registry that takes no large bodies", () => {
  test.each(CONTENTS)(
    "gets %s in chunks that are small enough, and the next blob at once",
    async (_, content) => {
      const registry = await start(limited(200_000));
      const manner = new UploadManner();
      await send(registry.url, { content: content(), manner });
      const chunks = ["0-174999", "175000-349999", "350000-524999", "525000-699999"].map(
        (range) => `PATCH ${range}`,
      );
      expect(uploadSteps(registry)).toEqual(["POST", "PATCH", "POST", ...chunks, "PUT"]);
      await expectStored(registry);
      registry.requests.length = 0;
      await send(registry.url, { content: content(), manner });
      expect(uploadSteps(registry)).toEqual(["POST", ...chunks, "PUT"]);
    },
  );

  test("still gets a small blob whole", async () => {
    const registry = await start(limited(200_000));
    const manner = new UploadManner();
    await send(registry.url, { manner });
    registry.requests.length = 0;
    const small = BYTES.subarray(0, 1000);
    const content = { stream: () => inPieces(small), slice: () => undefined };
    await send(registry.url, { manner, content, digest: digestOf(small), size: small.length });
    expect(uploadSteps(registry)).toEqual(["POST", "PATCH", "PUT"]);
  });

  test.each([413, 416])("and answers %i to a chunk gets smaller ones", async (status) => {
    const registry = await start(limited(50_000, status));
    await send(registry.url);
    const sent = registry.requests.filter(({ headers }) => headers.has("content-range"));
    expect(Number(sent.at(-1)?.headers.get("content-length"))).toBeLessThanOrEqual(50_000);
    await expectStored(registry);
  });

  test("and none of any size is reported with its first word", async () => {
    const registry = await start(limited(1));
    const fault = await faultOf(() => send(registry.url));
    expect(textOf(fault)).toMatch(/PATCH .* answered 413/);
    expect(fault.hint).toContain("body size");
  });

  test("gets no chunk that is smaller than it wants", async () => {
    const registry = await start({
      intercept: async (request, url) => {
        if (request.method !== "POST") return limited(400_000).intercept?.(request, url);
        const upload = await registry.store.startUpload("a/b");
        const location = `/v2/a/b/blobs/uploads/${upload.id}`;
        return new Response(null, { status: 202, headers: { location, "oci-chunk-min-length": "300000" } });
      },
    });
    await send(registry.url);
    expect(uploadSteps(registry).filter((step) => step.startsWith("PATCH "))).toEqual([
      "PATCH 0-299999",
      "PATCH 300000-599999",
      "PATCH 600000-699999",
    ]);
  });
});

test("what a registry wants at least still holds after a chunk that was too large", async () => {
  const quirks = { challenge: "open", bodyLimit: 100_000, minChunk: 60_000 } as const;
  const registry = await started(startQuirkyRegistry(quirks));
  await send(registry.url);
  const ranges = registry.ledger.flatMap(({ headers }) => headers.get("content-range") ?? []);
  expect(ranges.slice(0, 3)).toEqual(["0-174999", "0-59999", "60000-119999"]);
});

function digestOfZeros(length: number): Digest {
  const hash = new Bun.CryptoHasher("sha256");
  const zeros = new Uint8Array(1 << 20);
  for (let left = length; left > 0; left -= zeros.length) hash.update(zeros.subarray(0, left));
  return `sha256:${hash.digest("hex")}`;
}

describe("a registry that asks for chunks of a hundred terabytes", () => {
  const MINIMUM = 10 ** 14;

  test("gets ones of half a gibibyte", async () => {
    const size = (512 << 20) + 5;
    const path = join(folder, "zeros");
    await Bun.write(path, "");
    await truncate(path, size);
    const digest = digestOfZeros(size);
    const registry = await started(DiscardingRegistry.start({ minChunk: MINIMUM }));
    const manner = new UploadManner();
    manner.refuse("patch", "put");
    const slice = (from = 0, to = size) => Bun.file(path).slice(from, to);
    await send(registry.url, { content: { ...STREAMED, slice }, manner, digest, size });
    expect(registry.steps).toEqual(["POST", "PATCH 0-536870911", "PATCH 536870912-536870916", "PUT"]);
  });

  test("and stands behind a proxy that lets none through is given up, with the proxy's word", async () => {
    const quirks = { challenge: "open", bodyLimit: 100_000, minChunk: MINIMUM } as const;
    const registry = await started(startQuirkyRegistry(quirks));
    const fault = await faultOf(() => send(registry.url));
    expect(textOf(fault)).toMatch(/PATCH .* answered 413/);
    expect(fault.hint).toContain("raise the body size that the proxy");
  });
});

test("chunks that follow each other are one reading of the content", async () => {
  let readings = 0;
  const stream = (from?: number) => {
    readings++;
    return STREAMED.stream(from);
  };
  const manner = new UploadManner();
  manner.refuseBody(400_000);
  const registry = await start();
  await send(registry.url, { content: { ...STREAMED, stream }, manner });
  expect(uploadSteps(registry)).toHaveLength(1 + 7 + 1);
  expect(readings).toBe(1);
});

test("content that proves wrong at its end is never sent in full", async () => {
  async function* wrong(): ByteStream & AsyncGenerator<Uint8Array> {
    yield BYTES;
    throw new Error("these are other bytes");
  }
  const bodies: number[] = [];
  const registry = await start({
    intercept: async (request) => {
      if (request.method === "PATCH")
        bodies.push((await request.bytes().catch(() => new Uint8Array())).length);
      return;
    },
  });
  const content = { stream: wrong, slice: () => undefined };
  await expect(send(registry.url, { content })).rejects.toThrow("these are other bytes");
  expect(bodies.every((length) => length < BYTES.length)).toBe(true);
});

test.each(["POST", "PATCH", "PUT"])("a 307 on %s is followed with all of the body", async (method) => {
  const registry = await start({
    intercept: (request, url) => {
      if (request.method !== method || url.searchParams.has("moved")) return;
      url.searchParams.set("moved", "yes");
      return new Response(null, { status: 307, headers: { location: url.pathname + url.search } });
    },
  });
  const manner = new UploadManner();
  if (method === "PUT") manner.refuse("patch");
  await send(registry.url, { content: sliced, manner });
  await expectStored(registry);
});

test("redirects that never end are given up", async () => {
  const registry = await start({
    intercept: ({ method }, url) =>
      method === "PATCH"
        ? new Response(null, { status: 307, headers: { location: url.pathname } })
        : undefined,
  });
  expect(textOf(await faultOf(() => send(registry.url)))).toContain("answered 307");
});

test("a registry that refuses an empty blob is named, with what to do", async () => {
  const registry = await start({
    intercept: ({ method }) => (method === "PUT" ? new Response("empty", { status: 400 }) : undefined),
  });
  const content = { stream: () => inPieces(new Uint8Array()), slice: () => undefined };
  const fault = await faultOf(() =>
    send(registry.url, { content, digest: digestOf(new Uint8Array()), size: 0 }),
  );
  expect(fault.message).toBe(`cannot store a blob of no bytes in ${registry.host}`);
  expect(fault.hint).toContain("ECR");
  expect(textOf(fault)).toContain("answered 400");
});
