import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { digestOf } from "../../src/oci/digest.ts";
import type { Content } from "../../src/oci/plan.ts";
import { UploadManner } from "../../src/registry/upload-manner.ts";
import { startDockerRegistry } from "../support/docker-registry.ts";
import { testWith } from "../support/needs.ts";
import { startRegistry, type TestRegistry, type TestRegistryOptions } from "../support/registry.ts";
import { breakingProxy } from "./breaking-proxy.ts";
import { DIGEST, expectStored, inArchive, STREAMED, send, uploadSteps } from "./send-blob.ts";
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

const CONTENTS: [string, () => Content][] = [
  ["a stream", () => STREAMED],
  ["a slice", () => sliced],
];

/** Keeps the first `bytes` of the first PATCH, and then fails as `status`. */
function breaking(
  bytes: number,
  registry: () => TestRegistry,
  rest: TestRegistryOptions["intercept"] = () => undefined,
) {
  let failures = 0;
  return {
    intercept: async (request: Request, url: URL) => {
      if (request.method !== "PATCH" || failures++ > 0) return rest(request, url);
      const upload = registry().store.upload("a/b", url.pathname.split("/").at(-1) ?? "");
      const body = await request.bytes();
      await upload?.append(new Blob([body.subarray(0, bytes).slice()]).stream());
      return new Response("gone away", { status: 503 });
    },
  };
}

describe("an upload that breaks", () => {
  test.each(CONTENTS)(
    "goes on with the rest of %s where the registry keeps what it has",
    async (_, content) => {
      const registry: TestRegistry = await start(breaking(300_000, () => registry));
      await send(registry.url, { content: content() });
      expect(uploadSteps(registry)).toEqual(["POST", "PATCH", "GET", "PATCH 300000-699999", "PUT"]);
      await expectStored(registry);
    },
  );

  test("does not give up sooner because its beginning has to be asked for twice as well", async () => {
    const refused = { POST: 2, PATCH: 2, GET: 2 };
    const registry = await start({
      intercept: ({ method }, url) => {
        if (!url.pathname.includes("/uploads/") || !(method in refused)) return;
        const once = method as keyof typeof refused;
        return refused[once]-- > 0 ? new Response(null, { status: 503 }) : undefined;
      },
    });
    await send(registry.url, { attempts: 3 });
    await expectStored(registry);
  });

  test.each([0, 1])("starts over where `0-0` leaves open what has arrived (%i bytes)", async (bytes) => {
    const registry: TestRegistry = await start(breaking(bytes, () => registry));
    await send(registry.url);
    expect(uploadSteps(registry)).toEqual(["POST", "PATCH", "GET", "POST", "PATCH", "PUT"]);
    await expectStored(registry);
  });

  test("starts over, and says so, where a later chunk is dropped as ECR does", async () => {
    const drop: TestRegistryOptions["intercept"] = (request, url) => {
      if (!request.headers.has("content-range")) return;
      return new Response(null, { status: 201, headers: { location: url.pathname, range: "0-299999" } });
    };
    const registry: TestRegistry = await start(breaking(300_000, () => registry, drop));
    const warnings: string[] = [];
    const manner = new UploadManner();
    await send(registry.url, { manner, warn: (text) => warnings.push(text) });
    expect(uploadSteps(registry)).toEqual([
      ...["POST", "PATCH", "GET", "PATCH 300000-699999"],
      ...["POST", "PATCH", "PUT"],
    ]);
    expect(warnings).toEqual([
      `cannot upload to ${registry.host} in chunks: after more were sent it has 300000 bytes; blobs go there in one piece`,
    ]);
    await expectStored(registry);
  });

  test("starts over where chunks are dropped without a word", async () => {
    const drop: TestRegistryOptions["intercept"] = (request, url) => {
      if (!request.headers.has("content-range")) return;
      return new Response(null, { status: 201, headers: { location: url.pathname } });
    };
    const registry: TestRegistry = await start(breaking(300_000, () => registry, drop));
    await send(registry.url);
    await expectStored(registry);
  });

  test("with a token, after a part has been kept, starts over rather than leave it there twice", async () => {
    let tokens = 0;
    const registry: TestRegistry = await start({
      intercept: async (request, url) => {
        if (url.pathname === "/token") return Response.json({ token: `t${++tokens}` });
        if (request.method === "PATCH" && tokens === 1) {
          const upload = registry.store.upload("a/b", url.pathname.split("/").at(-1) ?? "");
          await upload?.append(new Blob([(await request.bytes()).slice(0, 300_000)]).stream());
        } else if (request.headers.has("authorization")) return;
        const headers = { "www-authenticate": `Bearer realm="${url.origin}/token",service="s"` };
        return new Response(null, { status: 401, headers });
      },
    });
    await send(registry.url);
    expect(tokens).toBe(2);
    await expectStored(registry);
  });

  test("at its end, with the blob stored all the same, is done", async () => {
    const registry: TestRegistry = await start({
      intercept: async (request, url) => {
        if (request.method !== "PUT") return;
        await registry.store.upload("a/b", url.pathname.split("/").at(-1) ?? "")?.commit(DIGEST);
        return new Response("the proxy lost patience", { status: 504 });
      },
    });
    await send(registry.url);
    expect(uploadSteps(registry)).toEqual(["POST", "PATCH", "PUT", "GET", "HEAD"]);
  });

  test("at its end, with everything there, is only closed again", async () => {
    let failures = 0;
    const registry = await start({
      intercept: ({ method }) =>
        method === "PUT" && failures++ === 0 ? new Response(null, { status: 502 }) : undefined,
    });
    await send(registry.url);
    expect(uploadSteps(registry)).toEqual(["POST", "PATCH", "PUT", "GET", "PUT"]);
  });
});

describe("Debian's registry", () => {
  const WAYS: [string, UploadManner][] = (["in one PATCH", "with the PUT", "in chunks"] as const).map(
    (way) => {
      const manner = new UploadManner();
      if (way === "with the PUT") manner.refuse("patch");
      if (way === "in chunks") manner.refuseBody(400_000);
      return [way, manner];
    },
  );

  async function expectHeld(url: string): Promise<void> {
    const answer = await fetch(`${url}/v2/a/b/blobs/${DIGEST}`);
    expect(digestOf(await answer.bytes())).toBe(DIGEST);
  }

  testWith("docker-registry")("takes a blob every way", async () => {
    for (const [, manner] of WAYS) {
      for (const [, content] of CONTENTS) {
        const registry = await started(startDockerRegistry());
        await send(registry.url, { content: content(), manner });
        await expectHeld(registry.url);
      }
    }
  });

  testWith("docker-registry")("takes a blob every way over a line that breaks", async () => {
    for (const [, manner] of WAYS) {
      const registry = await started(startDockerRegistry());
      const proxy = await started(breakingProxy(registry.host, 350_000));
      await send(proxy.url, { content: sliced, manner });
      expect(proxy.breaks()).toBe(1);
      await expectHeld(registry.url);
    }
  });
});
