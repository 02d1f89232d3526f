import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Transport } from "../../src/http/transport.ts";
import type { Scope } from "../../src/registry/auth.ts";
import { Registries } from "../../src/registry/client.ts";
import type { Credentials } from "../../src/registry/credentials.ts";
import { describeFault } from "../../src/terminal/fault.ts";
import { faultOf, textOf } from "../support/faults.ts";
import { testWith } from "../support/needs.ts";
import { startRegistry, type TestRegistry, type TestRegistryOptions } from "../support/registry.ts";
import { type Authority, makeAuthority } from "../support/tls.ts";
import { connect } from "./connect.ts";
import { stoppedAfterEach } from "./started.ts";

const PASSWORD: Credentials = { kind: "password", username: "robot", password: "s3cret-w0rd" };
const BASIC = `Basic ${Buffer.from("robot:s3cret-w0rd").toString("base64")}`;
const PULL: Scope[] = [{ repository: "a/b", actions: "pull" }];
const TAGS = { kind: "listTags", repository: "a/b" } as const;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eksa-airgap-client-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const started = stoppedAfterEach();
const start = (options: TestRegistryOptions = {}) => started(startRegistry(options));

/** TLS material for 127.0.0.1, made once. */
let made: Promise<Authority> | undefined;
async function secured(options: TestRegistryOptions = {}): Promise<{ registry: TestRegistry; ca: string }> {
  made ??= makeAuthority(folder);
  const { ca, certificate, key } = await made;
  const tls = { cert: await Bun.file(certificate).text(), key: await Bun.file(key).text() };
  return { registry: await start({ ...options, tls }), ca: await Bun.file(ca).text() };
}

function authorizations({ requests }: TestRegistry): (string | null)[] {
  return requests.map(({ headers }) => headers.get("authorization"));
}

/** Where to, given all at once, as `Location` and as the status that sends one there. */
function sentTo(location: string, status: number): Response {
  return new Response(null, { status, headers: { location } });
}

function asksForBasic(answer: (url: URL) => Response): TestRegistryOptions {
  return {
    intercept: (request, url) =>
      request.headers.get("authorization") === BASIC
        ? answer(url)
        : new Response(null, { status: 401, headers: { "www-authenticate": 'Basic realm="r"' } }),
  };
}

test("each registry of a run is met once, however many ask at the same time", async () => {
  const registry = await start();
  const registries = connect({ urls: [registry.url] });
  await Promise.all([1, 2, 3].map(() => registries.client(registry.host).send(TAGS, PULL)));
  expect(registry.requests.filter(({ path }) => path === "/v2/")).toHaveLength(1);
});

test("a host that is no registry is named as such", async () => {
  const registry = await start({ intercept: () => new Response("<h1>It works!</h1>", { status: 404 }) });
  const client = connect({ urls: [registry.url] }).client(registry.host);
  const fault = await faultOf(() => client.send(TAGS, PULL));
  expect(fault.message).toBe(`cannot reach the registry ${registry.host}`);
  expect(textOf(fault)).toContain(
    `cannot use ${registry.host} as a registry: it does not speak the distribution API`,
  );
  expect(textOf(fault)).toContain(`GET ${registry.url}/v2/ answered 404`);
  expect(registry.requests).toHaveLength(1);
});

test.each(["<!doctype html><title>It works!</title>", "\n  <HTML>It works!</HTML>"])(
  "a host that answers everything with the page %j is no registry, however long that is",
  async (page) => {
    const intercept = () => {
      const body = new ReadableStream<Uint8Array>({
        start: (controller) => controller.enqueue(Buffer.from(page)),
        pull: async (controller) => {
          await Bun.sleep(1);
          controller.enqueue(Buffer.from("<br>".repeat(1000)));
        },
      });
      return new Response(body);
    };
    const registry = await start({ intercept });
    const client = connect({ urls: [registry.url] }).client(registry.host);
    const text = textOf(await faultOf(() => client.ping()));
    expect(text).toContain(
      `cannot use ${registry.host} as a registry: it does not speak the distribution API`,
    );
    expect(text).toContain(`GET ${registry.url}/v2/ answered 200 with a web page`);
  },
);

test.each(["", "{}", "true", "registry", "<registry/>"])(
  "a registry that greets with %j as a page would is one",
  async (body) => {
    const intercept = () => new Response(body, { headers: { "content-type": "text/html" } });
    const registry = await start({ intercept });
    const origin = await connect({ urls: [registry.url] })
      .client(registry.host)
      .ping();
    expect(origin.host).toBe(registry.host);
  },
);

test("a greeting that cannot be read to its end is one", async () => {
  const packed = Bun.gzipSync(Buffer.alloc(100_000, "registry")).subarray(0, 60);
  const intercept = () => new Response(packed, { headers: { "content-encoding": "gzip" } });
  const registry = await start({ intercept });
  const client = connect({ urls: [registry.url] }).client(registry.host);
  expect((await client.ping()).host).toBe(registry.host);
});

test("a host that lets nobody in is told from one that is no registry", async () => {
  const registry = await start({ intercept: () => new Response("<title>Blocked</title>", { status: 403 }) });
  const client = connect({ urls: [registry.url], credentials: () => PASSWORD }).client(registry.host);
  const text = textOf(await faultOf(() => client.ping()));
  expect(text).toContain(`cannot use ${registry.host} as a registry: it refuses this machine`);
  const { hints } = describeFault(await faultOf(() => client.ping()));
  expect(hints).toEqual([expect.stringMatching(/firewall.*HTTPS_PROXY and NO_PROXY/)]);
});

test("a registry that is down is told from a host that is none", async () => {
  const registry = await start({ intercept: () => new Response(null, { status: 503 }) });
  const fault = await faultOf(() =>
    connect({ urls: [registry.url] })
      .client(registry.host)
      .ping(),
  );
  expect(textOf(fault)).toContain(`GET ${registry.url}/v2/ answered 503`);
  expect(textOf(fault)).not.toContain("does not speak the distribution API");
});

test.each([429, 503])("a registry that answers %i for an hour is not taken for none", async (status) => {
  const intercept = () => new Response("slow down", { status, headers: { "retry-after": "3600" } });
  const registry = await start({ intercept });
  const client = connect({ urls: [registry.url] }).client(registry.host);
  const fault = await faultOf(() => client.ping());
  expect(textOf(fault)).toContain(`GET ${registry.url}/v2/ answered ${status} (`);
  expect(textOf(fault)).not.toContain("does not speak the distribution API");
});

test("a registry that recovers while it is being met is met", async () => {
  let answers = 0;
  const registry = await start({
    intercept: () => (++answers < 3 ? new Response(null, { status: 503 }) : undefined),
  });
  expect(
    (
      await connect({ urls: [registry.url] })
        .client(registry.host)
        .ping()
    ).host,
  ).toBe(registry.host);
});

test("on loopback plain HTTP is spoken where TLS is not", async () => {
  const registry = await start();
  const origin = await connect({}).client(registry.host).ping();
  expect(origin.href).toBe(`${registry.url}/`);
});

testWith("openssl")("on loopback TLS is spoken where it is", async () => {
  const { registry, ca } = await secured();
  const origin = await connect({ authorities: [ca] })
    .client(registry.host)
    .ping();
  expect(origin.protocol).toBe("https:");
});

testWith("openssl")("an untrusted certificate does not lead to plain HTTP", async () => {
  const { registry } = await secured();
  const client = connect({ credentials: () => PASSWORD }).client(registry.host);
  const fault = await faultOf(() => client.send(TAGS, PULL));
  expect(textOf(fault)).toContain("shows a certificate that this machine does not trust");
  expect(registry.requests).toEqual([]);
});

test("plain HTTP is not tried where https is written", async () => {
  const registry = await start();
  const client = connect({ urls: [registry.url.replace("http:", "https:")] }).client(registry.host);
  await faultOf(() => client.ping());
  expect(registry.requests).toEqual([]);
});

test("nobody listening is said in words, and the registry named", async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("it has no port");
  const fault = await faultOf(() => connect({}).client(`127.0.0.1:${address.port}`).ping());
  expect(textOf(fault)).toContain(`cannot reach the registry 127.0.0.1:${address.port}`);
  expect(textOf(fault)).toContain("refused the connection");
});

testWith("openssl")("a token server off https never sees who we are", async () => {
  const spy = await start();
  const { registry, ca } = await secured({
    intercept: () =>
      new Response(null, { status: 401, headers: { "www-authenticate": `Bearer realm="${spy.url}/token"` } }),
  });
  const client = connect({ urls: [registry.url], credentials: () => PASSWORD, authorities: [ca] }).client(
    registry.host,
  );
  const fault = await faultOf(() => client.send(TAGS, PULL));
  expect(textOf(fault)).toContain(`cannot log in to ${registry.host}: its token server is not on https`);
  expect(spy.requests).toEqual([]);
});

test("a read that is redirected elsewhere goes there without credentials", async () => {
  const elsewhere = await start({ intercept: () => new Response("there") });
  const registry = await start(asksForBasic(() => sentTo(`${elsewhere.url}/cdn?signature=x`, 307)));
  const client = connect({ urls: [registry.url], credentials: () => PASSWORD }).client(registry.host);
  expect(await (await client.send(TAGS, PULL)).text()).toBe("there");
  expect(authorizations(registry).at(-1)).toBe(BASIC);
  expect(authorizations(elsewhere)).toEqual([null]);
});

test("a read that is redirected within the registry keeps its credentials", async () => {
  const registry = await start(
    asksForBasic(({ pathname }) =>
      pathname.endsWith("/list") ? sentTo("/here", 307) : new Response("here"),
    ),
  );
  const client = connect({ urls: [registry.url], credentials: () => PASSWORD }).client(registry.host);
  expect(await (await client.send(TAGS, PULL)).text()).toBe("here");
});

test("credentials that were dropped on the way out do not come back on the way home", async () => {
  const registry = await start(
    asksForBasic(({ pathname }) => sentTo(pathname === "/home" ? "/" : `${elsewhere.url}/`, 307)),
  );
  const elsewhere: TestRegistry = await start({ intercept: () => sentTo(`${registry.url}/home`, 307) });
  const client = connect({ urls: [registry.url], credentials: () => PASSWORD }).client(registry.host);
  await client.send(TAGS, PULL);
  expect(
    registry.requests
      .filter(({ path }) => path === "/home")
      .map(({ headers }) => headers.get("authorization")),
  ).not.toContain(BASIC);
});

test("an upload address on another host gets the bytes, and no credentials", async () => {
  const elsewhere = await start({ intercept: () => new Response(null, { status: 202 }) });
  const registry = await start(asksForBasic(() => new Response("{}")));
  const client = connect({ urls: [registry.url], credentials: () => PASSWORD }).client(registry.host);
  await client.send(TAGS, PULL);
  await client.exchange(
    { method: "PATCH", url: new URL(`${elsewhere.url}/upload`), body: () => "bytes" },
    PULL,
  );
  expect(elsewhere.requests.map(({ method }) => method)).toEqual(["PATCH"]);
  expect(authorizations(elsewhere)).toEqual([null]);
});

test("another host's challenge is not answered with this registry's credentials", async () => {
  const elsewhere = await start(asksForBasic(() => new Response("welcome")));
  const registry = await start(asksForBasic(() => sentTo(`${elsewhere.url}/v2/a/b/tags/list`, 307)));
  const client = connect({ urls: [registry.url], credentials: () => PASSWORD }).client(registry.host);
  await client.send(TAGS, PULL);
  await client.exchange({ method: "PUT", url: new URL(`${elsewhere.url}/upload`) }, PULL);
  expect(new Set(authorizations(elsewhere))).toEqual(new Set([null]));
});

test("a mirror is asked below its path, in scopes too, and as whom its own login says", async () => {
  const robot = { username: "robot", password: "s3cret-w0rd" };
  const mirror = await start({ auth: { scheme: "bearer", ...robot } });
  const asked: string[] = [];
  const registries = connect({
    mirrors: [{ host: "public.ecr.aws", origin: new URL(mirror.url), path: "cache/ecr" }],
    credentials: (registry) => {
      asked.push(registry);
      return registry === mirror.host ? PASSWORD : undefined;
    },
  });
  const response = await registries.client("public.ecr.aws").send(TAGS, PULL);
  expect(response.status).toBe(404);
  expect(asked).toEqual([mirror.host]);
  expect(mirror.requests.map(({ path }) => decodeURIComponent(path))).toEqual([
    "/v2/",
    "/token?service=test+registry&scope=repository:cache/ecr/a/b:pull",
    "/v2/cache/ecr/a/b/tags/list",
  ]);
});

test("Docker Hub is asked where its API is, and for its own images where they are", async () => {
  const asked: string[] = [];
  const transport: Transport = async ({ url }) => {
    asked.push(url.href);
    return Response.json({});
  };
  const policy = { attempts: 1, firstDelay: 1, longestDelay: 1, signal: new AbortController().signal };
  const registries = new Registries({ http: { transport, policy }, credentials: () => undefined });
  for (const [host, repository] of [
    ["docker.io", "nginx"],
    ["docker.io", "a/nginx"],
    ["quay.io", "nginx"],
  ] as const) {
    await registries.client(host).send({ kind: "listTags", repository }, PULL);
  }
  expect(asked).toEqual([
    "https://registry-1.docker.io/v2/",
    "https://registry-1.docker.io/v2/library/nginx/tags/list",
    "https://registry-1.docker.io/v2/a/nginx/tags/list",
    "https://quay.io/v2/",
    "https://quay.io/v2/nginx/tags/list",
  ]);
});
