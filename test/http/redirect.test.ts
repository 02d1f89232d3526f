import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { following } from "../../src/http/redirect.ts";
import type { HttpRequest, Transport } from "../../src/http/transport.ts";
import { wire } from "../../src/http/wire.ts";
import { testWith } from "../support/needs.ts";
import { type Authority, makeAuthority } from "../support/tls.ts";
import { plainWire, serve, serveRaw, type TestServer, wireOptions } from "./server.ts";

const servers: TestServer[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop();
});

function started(...args: Parameters<typeof serve>): TestServer {
  const server = serve(...args);
  servers.push(server);
  return server;
}

const to = (location: string, status = 307) => new Response(null, { status, headers: { location } });
const follow = following(plainWire);

const PRIVATE = {
  authorization: "Bearer secret",
  Cookie: "session=secret",
  "Proxy-Authorization": "Basic secret",
};

/** Every request that a server got, as the headers that a caller can set. */
function received(server: TestServer): Record<string, string | null>[] {
  const names = ["authorization", "cookie", "proxy-authorization", "range", "accept"];
  return server.requests.map(({ headers }) =>
    Object.fromEntries(names.map((name) => [name, headers.get(name)])),
  );
}

const SENT = {
  authorization: "Bearer secret",
  cookie: "session=secret",
  "proxy-authorization": "Basic secret",
  range: "bytes=5-",
  accept: "a/b",
};
const WITHOUT_CREDENTIALS = {
  ...SENT,
  authorization: null,
  cookie: null,
  "proxy-authorization": null,
};

describe("credentials", () => {
  const headers = { ...PRIVATE, Range: "bytes=5-", accept: "a/b" };

  test.each([301, 302, 303, 307, 308])("stay behind when a %p leads to another origin", async (status) => {
    const store = started(() => new Response("bytes"));
    const registry = started(() => to(store.url.href, status));
    const response = await follow({ method: "GET", url: registry.url, headers });
    expect(await response.text()).toBe("bytes");
    expect(received(registry)).toEqual([SENT]);
    expect(received(store)).toEqual([WITHOUT_CREDENTIALS]);
  });

  test("do not come back when another origin leads back", async () => {
    let store: TestServer | undefined;
    const registry = started((request) =>
      request.url.endsWith("/back") ? new Response("bytes") : to(store?.url.href ?? ""),
    );
    store = started(() => to(new URL("back", registry.url).href));
    await follow({ method: "GET", url: registry.url, headers });
    expect(received(registry)).toEqual([SENT, WITHOUT_CREDENTIALS]);
    expect(received(store)).toEqual([WITHOUT_CREDENTIALS]);
  });

  test("go along within the origin, also to a relative address", async () => {
    const registry = started((request) =>
      request.url.endsWith("/there") ? new Response("bytes") : to("./there"),
    );
    const response = await follow({ method: "HEAD", url: new URL("a/b", registry.url), headers });
    expect(response.status).toBe(200);
    expect(received(registry)).toEqual([SENT, SENT]);
    expect(registry.requests.map(({ method, url }) => `${method} ${url.pathname}`)).toEqual([
      "HEAD /a/b",
      "HEAD /a/there",
    ]);
  });
});

test("only the origin that was asked can ask for a login", async () => {
  const challenge = { "www-authenticate": 'Bearer realm="https://elsewhere.example/token"' };
  const store = started(() => new Response(null, { status: 401, headers: challenge }));
  const registry = started((request) =>
    request.url.endsWith("/away")
      ? to(store.url.href)
      : new Response(null, { status: 401, headers: challenge }),
  );
  const away = await follow({ method: "GET", url: new URL("away", registry.url) });
  expect([away.status, away.headers.get("www-authenticate")]).toEqual([401, null]);
  const here = await follow({ method: "GET", url: registry.url });
  expect(here.headers.get("www-authenticate")).toBe(challenge["www-authenticate"]);
});

test("five redirects are followed, the sixth is not, and a loop ends", async () => {
  const server = started((request) => {
    const left = Number(new URL(request.url).searchParams.get("left"));
    return left === 0 ? new Response("bytes") : to(`/?left=${left - 1}`);
  });
  const response = await follow({ method: "GET", url: new URL("?left=5", server.url) });
  expect(await response.text()).toBe("bytes");
  await expect(follow({ method: "GET", url: new URL("?left=6", server.url) })).rejects.toThrow(
    "more than 5 redirects",
  );
  const loop = started(() => to("/"));
  await expect(follow({ method: "GET", url: loop.url })).rejects.toMatchObject({
    retryable: false,
    hint: `check the scheme, the host and the port: \`${loop.url.host}\` sends every request on`,
  });
  expect(loop.requests).toHaveLength(6);
});

test.each(["POST", "PUT", "PATCH", "DELETE"] as const)("a %s is not followed", async (method) => {
  const target = started(() => new Response("reached"));
  const server = started(() => to(target.url.href));
  const request: HttpRequest = { method, url: server.url };
  if (method !== "DELETE") request.body = () => "body";
  const response = await follow(request);
  expect([response.status, response.headers.get("location")]).toEqual([307, target.url.href]);
  expect(target.requests).toEqual([]);
});

test("a redirect to a file is told as no address to go to", async () => {
  const server = started(() => to("file:///etc/passwd"));
  await expect(follow({ method: "GET", url: server.url })).rejects.toMatchObject({
    message: `\`${server.url.host}\` leads to file:///etc/passwd, an address that is neither on http nor on https`,
    hint: expect.stringContaining(`see what answers for \`${server.url.host}\``),
  });
});

test("a redirect is followed though its own body breaks", async () => {
  const target = started(() => new Response("bytes"));
  const headers = { Location: target.url.href };
  const broken = serveRaw(() => ({ status: 307, headers, body: "x", length: 1000 }));
  servers.push(broken);
  const response = await follow({ method: "GET", url: broken.url });
  expect(await response.text()).toBe("bytes");
});

test("an answer without a Location, and a Location without a redirect, are answers", async () => {
  const bare = started(() => new Response(null, { status: 302 }));
  expect((await follow({ method: "GET", url: bare.url })).status).toBe(302);
  const created = started(() => new Response("x", { status: 201, headers: { location: "/elsewhere" } }));
  expect((await follow({ method: "GET", url: created.url })).status).toBe(201);
  expect(created.requests).toHaveLength(1);
});

test.each(["http://", "https://a b/", "//[", "http://:99999/"])(
  "a redirect to %j is refused",
  async (location) => {
    const server = started(() => to(location));
    await expect(follow({ method: "GET", url: server.url })).rejects.toThrow("its redirect is not a URL");
  },
);

test.each([
  ["file:///etc/passwd", "SCHEME"],
  ["data:text/plain,x", "SCHEME"],
  ["http://registry.example.com/x", "PLAIN_HTTP"],
])("a redirect to %s is not fetched", async (location, code) => {
  const server = started(() => to(location));
  await expect(follow({ method: "GET", url: server.url })).rejects.toMatchObject({ code });
});

test("a refusal shows no secret of either address", async () => {
  const secure: Transport = async () => to("http://user:hidden@127.0.0.1/?sig=hidden");
  const request = { method: "GET", url: new URL("https://a.b/?sig=hidden") } as const;
  const error = await following(secure)(request).catch((reason: unknown) => reason);
  expect(String(error)).toContain("leaves https for http://127.0.0.1/?sig=REDACTED");
  expect(String(error)).not.toContain("hidden");
});

describe("over TLS", () => {
  const withOpenssl = testWith("openssl");
  let folder: string | undefined;
  let authority: Authority;
  let tls: Transport;

  beforeAll(async () => {
    if (Bun.which("openssl") === null) return;
    folder = await mkdtemp(join(tmpdir(), "eksa-airgap-redirect-"));
    authority = await makeAuthority(folder);
    tls = following(wire(wireOptions({ authorities: [await Bun.file(authority.ca).text()] })));
  });

  afterAll(async () => {
    if (folder !== undefined) await rm(folder, { recursive: true });
  });

  const certified = async () => ({
    cert: await Bun.file(authority.certificate).text(),
    key: await Bun.file(authority.key).text(),
  });

  withOpenssl("a redirect to plain HTTP is refused before anybody is asked, loopback included", async () => {
    const plain = started(() => new Response("bytes"));
    const server = started(() => to(plain.url.href), await certified());
    await expect(tls({ method: "GET", url: server.url, headers: PRIVATE })).rejects.toThrow("leaves https");
    expect(plain.requests).toEqual([]);
  });

  withOpenssl("a redirect from plain HTTP to TLS is followed without credentials", async () => {
    const server = started(() => new Response("bytes"), await certified());
    const plain = started(() => to(server.url.href));
    const response = await tls({ method: "GET", url: plain.url, headers: PRIVATE });
    expect(await response.text()).toBe("bytes");
    expect(server.requests[0]?.headers.get("authorization")).toBeNull();
    expect(server.requests[0]?.headers.get("cookie")).toBeNull();
  });
});
