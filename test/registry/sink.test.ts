import { expect, test } from "bun:test";
import { digestOf } from "../../src/oci/digest.ts";
import type { Node, Outcome } from "../../src/oci/plan.ts";
import { RegistrySink } from "../../src/registry/sink.ts";
import { pseudoRandomBytes } from "../support/content.ts";
import { faultOf, textOf } from "../support/faults.ts";
import { startRegistry, type TestRegistry, type TestRegistryOptions } from "../support/registry.ts";
import { connect } from "./connect.ts";
import { asked, contentOf, named, ROBOT, sinkOf } from "./fill.ts";
import { stoppedAfterEach } from "./started.ts";

const BYTES = pseudoRandomBytes(50_000, "sink");
const DIGEST = digestOf(BYTES);

const started = stoppedAfterEach();
const start = (options: TestRegistryOptions = {}) => started(startRegistry(options));

function blobNode(registry: TestRegistry, ...repositories: string[]): Node {
  const descriptor = { mediaType: "application/octet-stream", digest: DIGEST, size: BYTES.length };
  return { descriptor, kind: "blob", children: [], repositories: named(registry, ...repositories) };
}

function putBlob(sink: RegistrySink, node: Node): Promise<Outcome> {
  return sink.put(node, contentOf(BYTES));
}

const isMount = (request: Request, url: URL) => request.method === "POST" && url.searchParams.has("mount");

test("a blob is asked for first, sent once, and mounted into the other repositories that want it", async () => {
  const registry = await start();
  expect(await putBlob(sinkOf(registry), blobNode(registry, "a", "b", "c"))).toBe("copied");
  expect(asked(registry)).toEqual([
    `HEAD /v2/a/blobs/${DIGEST}`,
    `HEAD /v2/b/blobs/${DIGEST}`,
    `HEAD /v2/c/blobs/${DIGEST}`,
    "POST /v2/a/blobs/uploads/",
    "PATCH /v2/a/blobs/uploads/SESSION",
    `PUT /v2/a/blobs/uploads/SESSION?digest=${DIGEST}`,
    `POST /v2/b/blobs/uploads/?mount=${DIGEST}&from=a`,
    `POST /v2/c/blobs/uploads/?mount=${DIGEST}&from=a`,
  ]);
  for (const repository of ["a", "b", "c"])
    expect(await registry.store.blob(repository, DIGEST)).toBeDefined();
});

test("a blob that one repository holds is mounted from there, and nothing is sent", async () => {
  const registry = await start();
  const sink = sinkOf(registry);
  await putBlob(sink, blobNode(registry, "b"));
  registry.requests.length = 0;
  expect(await putBlob(sinkOf(registry), blobNode(registry, "a", "b"))).toBe("mounted");
  expect(asked(registry)).toEqual([
    `HEAD /v2/a/blobs/${DIGEST}`,
    `HEAD /v2/b/blobs/${DIGEST}`,
    `POST /v2/a/blobs/uploads/?mount=${DIGEST}&from=b`,
  ]);
});

test("a blob that is there is not sent", async () => {
  const registry = await start();
  await putBlob(sinkOf(registry), blobNode(registry, "a"));
  registry.requests.length = 0;
  expect(await putBlob(sinkOf(registry), blobNode(registry, "a"))).toBe("present");
  expect(asked(registry)).toEqual([`HEAD /v2/a/blobs/${DIGEST}`]);
});

test("of each repository it is told how the blob came there", async () => {
  const registry = await start({
    intercept: (request, url) =>
      isMount(request, url) && url.pathname.includes("/far/")
        ? new Response(null, { status: 405 })
        : undefined,
  });
  await putBlob(sinkOf(registry), blobNode(registry, "near/a"));
  const told: Outcome[] = [];
  const node = blobNode(registry, "near/a", "near/b", "near/c", "far/d");
  const outcome = await sinkOf(registry).put(node, contentOf(BYTES), (one) => told.push(one));
  expect({ outcome, told }).toEqual({ outcome: "copied", told: ["present", "mounted", "mounted", "copied"] });
});

test("a mount that is answered with a session has the blob sent into that very session", async () => {
  const registry = await start({
    // Without its source the registry cannot mount.
    intercept: (request, url) => {
      if (!isMount(request, url)) return;
      const bare = new URL(url.pathname, url);
      return fetch(bare, { method: "POST", headers: request.headers });
    },
  });
  expect(await putBlob(sinkOf(registry), blobNode(registry, "a", "b"))).toBe("copied");
  expect(asked(registry).slice(2)).toEqual([
    "POST /v2/a/blobs/uploads/",
    "PATCH /v2/a/blobs/uploads/SESSION",
    `PUT /v2/a/blobs/uploads/SESSION?digest=${DIGEST}`,
    `POST /v2/b/blobs/uploads/?mount=${DIGEST}&from=a`,
    // The script's own.
    "POST /v2/b/blobs/uploads/",
    "PATCH /v2/b/blobs/uploads/SESSION",
    `PUT /v2/b/blobs/uploads/SESSION?digest=${DIGEST}`,
  ]);
  expect(await registry.store.blob("b", DIGEST)).toBeDefined();
});

test.each([400, 401, 403, 404, 405, 500])(
  "a mount that is answered with %i has the blob sent",
  async (status) => {
    const registry = await start({
      intercept: (request, url) => (isMount(request, url) ? new Response(null, { status }) : undefined),
    });
    expect(await putBlob(sinkOf(registry), blobNode(registry, "a", "b"))).toBe("copied");
    expect(await registry.store.blob("b", DIGEST)).toBeDefined();
  },
);

test.each([401, 405])(
  "where mounts are answered with %i, a second run sends nothing all the same",
  async (status) => {
    const registry = await start({
      intercept: (request, url) => (isMount(request, url) ? new Response(null, { status }) : undefined),
    });
    await putBlob(sinkOf(registry), blobNode(registry, "a", "b", "c"));
    registry.requests.length = 0;
    expect(await putBlob(sinkOf(registry), blobNode(registry, "a", "b", "c"))).toBe("present");
    expect(asked(registry).filter((line) => /^(?:PATCH|PUT)/.test(line))).toEqual([]);
  },
);

test("a refused mount is remembered for the two projects, and for no others", async () => {
  const registry = await start({
    intercept: (request, url) =>
      isMount(request, url) && url.pathname.startsWith("/v2/two/") && url.searchParams.get("from") === "one/a"
        ? new Response(null, { status: 401 })
        : undefined,
  });
  const sink = sinkOf(registry);
  const repositories = ["one/a", "two/a", "one/b", "two/b"];
  await putBlob(sink, blobNode(registry, ...repositories));
  const mounts = () => asked(registry).filter((line) => line.includes("mount="));
  expect(mounts()).toEqual([
    `POST /v2/two/a/blobs/uploads/?mount=${DIGEST}&from=one/a`,
    `POST /v2/one/b/blobs/uploads/?mount=${DIGEST}&from=one/a`,
    // Once the other project has it, it comes from there.
    `POST /v2/two/b/blobs/uploads/?mount=${DIGEST}&from=two/a`,
  ]);
  for (const repository of repositories) await registry.store.deleteBlob(repository, DIGEST);
  registry.requests.length = 0;
  await putBlob(sink, blobNode(registry, "one/a", "two/a"));
  expect(mounts()).toEqual([]);
  expect(await registry.store.blob("two/a", DIGEST)).toBeDefined();
});

test.each([500, 502, 503, 504])(
  "a mount that meets a passing failure (%i) is sent instead, and the next is asked for as ever",
  async (status) => {
    let failures = 1;
    const registry = await start({
      intercept: (request, url) =>
        isMount(request, url) && failures-- > 0 ? new Response(null, { status }) : undefined,
    });
    await putBlob(sinkOf(registry), blobNode(registry, "one/a", "one/b", "one/c"));
    const mounts = asked(registry).filter((line) => line.includes("mount="));
    expect(mounts.map((line) => line.split("/")[3])).toEqual(["b", "c"]);
    expect(asked(registry).filter((line) => line.startsWith("PATCH"))).toHaveLength(2);
  },
);

test.each([400, 401, 403, 404, 405, 501])(
  "a mount that is refused (%i) is not asked for again in the two projects",
  async (status) => {
    const registry = await start({
      intercept: (request, url) => (isMount(request, url) ? new Response(null, { status }) : undefined),
    });
    await putBlob(sinkOf(registry), blobNode(registry, "one/a", "one/b", "one/c"));
    expect(asked(registry).filter((line) => line.includes("mount="))).toHaveLength(1);
    expect(await registry.store.blob("one/c", DIGEST)).toBeDefined();
  },
);

test("a host that asks for patience has refused no mount", async () => {
  let refusals = 2;
  const registry = await start({
    intercept: (request, url) =>
      isMount(request, url) && refusals-- > 0 ? new Response(null, { status: 429 }) : undefined,
  });
  await putBlob(sinkOf(registry), blobNode(registry, "one/a", "one/b", "one/c"));
  expect(asked(registry).filter((line) => line.startsWith("PATCH"))).toHaveLength(1);
});

test("a mount asks for a token to push first, and to pull from the other repository", async () => {
  const registry = await start({ auth: { scheme: "bearer", ...ROBOT } });
  expect(await putBlob(sinkOf(registry), blobNode(registry, "a", "b"))).toBe("copied");
  const tokens = registry.requests.filter(({ path }) => path.startsWith("/token"));
  const [last = ""] = tokens.map(({ path }) => path.split("?")[1]).slice(-1);
  expect(new URLSearchParams(last).getAll("scope")).toEqual(["repository:b:pull,push", "repository:a:pull"]);
});

test("where no token is had for both repositories, one for the target alone may do", async () => {
  const registry = await start({
    intercept: (request, url) => {
      const scopes = url.searchParams.getAll("scope");
      if (url.pathname === "/token") {
        return scopes.length > 1 ? new Response("denied", { status: 401 }) : Response.json({ token: "t" });
      }
      if (request.headers.get("authorization") === "Bearer t") return;
      const headers = { "www-authenticate": `Bearer realm="${url.origin}/token",service="s"` };
      return new Response(null, { status: 401, headers });
    },
  });
  expect(await putBlob(sinkOf(registry), blobNode(registry, "a", "b"))).toBe("copied");
  expect(asked(registry).at(-1)).toBe(`POST /v2/b/blobs/uploads/?mount=${DIGEST}&from=a`);
  expect(await registry.store.blob("b", DIGEST)).toBeDefined();
});

test("a token server that is down for a while has refused no mount", async () => {
  let failures = 3;
  const registry = await start({
    intercept: (request, url) => {
      const scopes = url.searchParams.getAll("scope");
      if (url.pathname === "/token") {
        if (scopes.length > 1 && failures-- > 0) return new Response(null, { status: 503 });
        return Response.json({ token: scopes.length > 1 ? "both" : "one" });
      }
      const authorization = request.headers.get("authorization");
      if (authorization === "Bearer both") return;
      if (authorization === "Bearer one" && !isMount(request, url)) return;
      const headers = { "www-authenticate": `Bearer realm="${url.origin}/token",service="s"` };
      return new Response(null, { status: 401, headers });
    },
  });
  await putBlob(sinkOf(registry), blobNode(registry, "one/a", "one/b", "one/c"));
  expect(asked(registry).at(-1)).toBe(`POST /v2/one/c/blobs/uploads/?mount=${DIGEST}&from=one/a`);
});

test("what one registry refuses to mount, another may mount", async () => {
  const refusing = await start({
    intercept: (request, url) => (isMount(request, url) ? new Response(null, { status: 405 }) : undefined),
  });
  const mounting = await start();
  const sink = new RegistrySink(connect({ urls: [refusing.url, mounting.url] }), []);
  await putBlob(sink, blobNode(refusing, "one/a", "one/b"));
  await putBlob(sink, blobNode(mounting, "one/a", "one/b"));
  expect(asked(mounting).at(-1)).toBe(`POST /v2/one/b/blobs/uploads/?mount=${DIGEST}&from=one/a`);
});

test("a mount that is accepted without an address has the blob sent", async () => {
  const registry = await start({
    intercept: (request, url) => (isMount(request, url) ? new Response(null, { status: 202 }) : undefined),
  });
  expect(await putBlob(sinkOf(registry), blobNode(registry, "a", "b"))).toBe("copied");
  expect(await registry.store.blob("b", DIGEST)).toBeDefined();
});

test("a token server that refuses two repositories at once, as Docker Hub's may, has the blob sent", async () => {
  const registry = await start({
    auth: { scheme: "bearer", ...ROBOT },
    intercept: (_, url) =>
      url.searchParams.getAll("scope").length > 1 ? new Response("denied", { status: 401 }) : undefined,
  });
  expect(await putBlob(sinkOf(registry), blobNode(registry, "a", "b"))).toBe("copied");
  expect(await registry.store.blob("b", DIGEST)).toBeDefined();
});

test("a registry that may not be asked is not sent anything", async () => {
  const registry = await start({
    intercept: (request) => (request.method === "HEAD" ? new Response(null, { status: 403 }) : undefined),
  });
  const fault = await faultOf(() => putBlob(sinkOf(registry), blobNode(registry, "a")));
  expect(textOf(fault)).toContain(`HEAD ${registry.url}/v2/a/blobs/${DIGEST} answered 403`);
  expect(asked(registry)).toHaveLength(1);
});

test("a host that says yes to everything is not believed", async () => {
  const registry = await start({
    intercept: (request) => new Response(null, { status: request.method === "HEAD" ? 404 : 200 }),
  });
  const fault = await faultOf(() => putBlob(sinkOf(registry), blobNode(registry, "a")));
  expect(textOf(fault)).toContain("POST");
  expect(textOf(fault)).toContain("answered 200");
});
