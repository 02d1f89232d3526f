import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { isLoopback } from "../../src/http/address.ts";
import { createHttp, type Exchange } from "../../src/http/client.ts";
import { explain } from "../../src/http/explain.ts";
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

describe("bytes arrive as they were sent", () => {
  const compressed = gzipSync("hello");

  test.each([
    ["gzip", compressed],
    ["gzip", Uint8Array.of(1, 2, 3)],
    ["deflate", Uint8Array.of(1, 2, 3)],
    ["br", Uint8Array.of(1, 2, 3)],
    ["zstd", Uint8Array.of(1, 2, 3)],
    ["none of these", Uint8Array.of(1, 2, 3)],
  ])("under Content-Encoding %s", async (encoding, bytes) => {
    const server = started(
      () => new Response(new Uint8Array(bytes), { headers: { "Content-Encoding": encoding } }),
    );
    const response = await plainWire({ method: "GET", url: server.url });
    expect(Buffer.compare(await response.bytes(), bytes)).toBe(0);
  });

  test("and nobody is asked to compress them", async () => {
    const server = started(() => new Response("x"));
    await plainWire({ method: "GET", url: server.url });
    expect(server.requests[0]?.headers.get("accept-encoding")).toBe("identity");
    expect(server.requests[0]?.headers.get("user-agent")).toBe("test/1");
  });
});

test("redirects are left to the layers above", async () => {
  const server = started(() => new Response(null, { status: 307, headers: { location: "/there" } }));
  const response = await plainWire({ method: "GET", url: server.url });
  expect([response.status, response.headers.get("location")]).toEqual([307, "/there"]);
  expect(server.requests).toHaveLength(1);
});

test("a body goes out with its length where that is known", async () => {
  const lengths: (string | null)[] = [];
  const server = started((request) => {
    lengths.push(request.headers.get("content-length"));
    return new Response(null, { status: 201 });
  });
  await plainWire({ method: "PUT", url: server.url, body: () => "12345" });
  await plainWire({
    method: "PUT",
    url: server.url,
    headers: { "content-length": "3" },
    body: () => new Blob(["123"]).stream(),
  });
  await plainWire({ method: "POST", url: server.url });
  expect(lengths).toEqual(["5", "3", "0"]);
});

describe("plain HTTP", () => {
  test.each([
    ["http://registry.example.com/v2/", "PLAIN_HTTP"],
    ["http://192.0.2.1/v2/", "PLAIN_HTTP"],
    ["http://128.0.0.1/", "PLAIN_HTTP"],
    ["http://[::2]/", "PLAIN_HTTP"],
    ["http://localhost.example.com/", "PLAIN_HTTP"],
    ["http://127.0.0.1.example.com/", "PLAIN_HTTP"],
    ["ftp://127.0.0.1/", "SCHEME"],
    ["file:///etc/passwd", "SCHEME"],
  ])("is refused for %s before anybody is looked up or connected to", async (address, code) => {
    const url = new URL(address);
    const error = await plainWire({ method: "GET", url }).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code, retryable: false });
  });

  test("is refused by a name that would lead here, too", async () => {
    const server = started(() => new Response("x"));
    const url = new URL(`http://loopback.test:${server.url.port}/`);
    await expect(plainWire({ method: "GET", url })).rejects.toMatchObject({ code: "PLAIN_HTTP" });
    expect(server.requests).toEqual([]);
  });

  test("is spoken where the user wrote it, and nowhere else", async () => {
    const transport = wire(wireOptions({ plainHosts: new Set(["nowhere.invalid:5000"]) }));
    await expect(
      transport({ method: "GET", url: new URL("http://nowhere.invalid:5000/") }),
    ).rejects.toMatchObject({ code: "ENOTFOUND" });
    await expect(
      transport({ method: "GET", url: new URL("http://nowhere.invalid:5001/") }),
    ).rejects.toMatchObject({ code: "PLAIN_HTTP" });
  });

  test.each([
    ["localhost", true],
    ["127.0.0.1", true],
    ["127.255.0.3", true],
    ["[::1]", true],
    ["128.0.0.1", false],
    ["127.0.0.1.example.com", false],
    ["xlocalhost", false],
    ["localhost.", false],
    ["[::2]", false],
  ])("%s is loopback: %p", (name, expected) => {
    expect(isLoopback(name)).toBe(expected);
  });
});

describe("a failure says what happened and what to do", () => {
  const failureOf = async (url: string, transport = plainWire) =>
    transport({ method: "GET", url: new URL(url) }).catch((reason: unknown) => reason);

  test("nobody listens", async () => {
    const server = serve(() => new Response("x"));
    await server.stop();
    expect(await failureOf(server.url.href)).toMatchObject({
      message: `\`${server.url.host}\` refused the connection`,
      hint: "is it running, and is the port right?",
      retryable: true,
    });
  });

  test("the name is unknown", async () => {
    expect(await failureOf("https://nowhere.invalid/")).toMatchObject({
      message: "`nowhere.invalid` has no address",
      retryable: true,
    });
  });

  test("TLS to a server without it", async () => {
    const server = started(() => new Response("x"));
    expect(await failureOf(`https://${server.url.host}/`)).toMatchObject({
      message: `\`${server.url.host}\` does not complete a TLS handshake`,
      hint: expect.stringContaining("if it speaks plain HTTP, write `http://` before the host"),
      retryable: false,
    });
  });

  test("a connection that ends without an answer", async () => {
    const raw = serveRaw(() => undefined);
    expect(await failureOf(raw.url.href)).toMatchObject({
      message: `\`${raw.url.host}\` closed the connection`,
      retryable: true,
    });
    await raw.stop();
  });

  test("an abort keeps its own reason", async () => {
    const abort = new AbortController();
    const server = started(() => {
      abort.abort(new Error("interrupted"));
      return Bun.sleep(50).then(() => new Response("x"));
    });
    const transport = wire(wireOptions({ signal: abort.signal }));
    expect(await failureOf(server.url.href, transport)).toEqual(new Error("interrupted"));
  });
});

describe("certificates", () => {
  const withOpenssl = testWith("openssl");
  let folder: string | undefined;
  let authority: Authority;
  let other: Authority;

  beforeAll(async () => {
    if (Bun.which("openssl") === null) return;
    folder = await mkdtemp(join(tmpdir(), "eksa-airgap-wire-"));
    const second = await mkdtemp(join(folder, "other-"));
    [authority, other] = [await makeAuthority(folder), await makeAuthority(second)];
  });

  afterAll(async () => {
    if (folder !== undefined) await rm(folder, { recursive: true });
  });

  const text = (path: string) => Bun.file(path).text();
  const secure = async () =>
    started(() => new Response("secure"), {
      cert: await text(authority.certificate),
      key: await text(authority.key),
    });

  withOpenssl("one that our authority signed is good", async () => {
    const server = await secure();
    const transport = wire(wireOptions({ authorities: [await text(other.ca), await text(authority.ca)] }));
    expect(await (await transport({ method: "GET", url: server.url })).text()).toBe("secure");
  });

  withOpenssl("one that nobody here knows is refused before a byte of the request is out", async () => {
    const server = await secure();
    const transport = wire(wireOptions({ authorities: [await text(other.ca)] }));
    const headers = { authorization: "Basic secret" };
    await expect(transport({ method: "GET", url: server.url, headers })).rejects.toMatchObject({
      message: expect.stringContaining("shows a certificate that this machine does not trust"),
      hint: "give the authority that signed it with `--ca-file FILE`; of a cluster's mirror it belongs into `caCertContent`",
      code: "CERTIFICATE",
      retryable: false,
    });
    expect(server.requests).toEqual([]);
  });

  withOpenssl("one for another name is told as that", async () => {
    const elsewhere = await makeAuthority(await mkdtemp(join(folder ?? "", "name-")), ["DNS:harbor.corp"]);
    const [cert, key] = await Promise.all([text(elsewhere.certificate), text(elsewhere.key)]);
    const server = await started(() => new Response("secure"), { cert, key });
    const transport = wire(wireOptions({ authorities: [await text(elsewhere.ca)] }));
    await expect(transport({ method: "GET", url: server.url })).rejects.toMatchObject({
      hint: "it is for another name: reach the host by the name that is in it",
    });
  });

  withOpenssl("an insecure host is not looked at, all others are", async () => {
    const [chosen, another] = [await secure(), await secure()];
    const transport = wire(wireOptions({ insecureHosts: new Set([chosen.url.host]) }));
    expect(await (await transport({ method: "GET", url: chosen.url })).text()).toBe("secure");
    await expect(transport({ method: "GET", url: another.url })).rejects.toMatchObject({
      code: "CERTIFICATE",
    });
  });

  withOpenssl("plain HTTP to a TLS port is explained", async () => {
    const server = await secure();
    await expect(
      plainWire({ method: "GET", url: new URL(`http://${server.url.host}/`) }),
    ).rejects.toMatchObject({
      message: `\`${server.url.host}\` closed the connection`,
      hint: "if it speaks TLS, write `https://` before the host",
    });
  });
});

test("what does not speak HTTP is told as that, without the address's secrets", async () => {
  const socket = {
    open: (client: Bun.Socket) => void client.write("SSH-2.0-OpenSSH_9.6\r\n"),
    data: () => {},
  };
  const server = Bun.listen({ hostname: "127.0.0.1", port: 0, socket });
  const host = `127.0.0.1:${server.port}`;
  try {
    await expect(
      plainWire({ method: "GET", url: new URL(`http://${host}/v2/?sig=SECRET`) }),
    ).rejects.toMatchObject({
      message: `\`${host}\` does not speak HTTP`,
      hint: "check the host and the port",
      retryable: true,
    });
  } finally {
    server.stop(true);
  }
});

test("an error of the runtime that is not known is passed on without the address in it", () => {
  const url = new URL("https://h.corp/v2/?sig=SECRET");
  const error = Object.assign(new Error(`Odd fetching "${url.href}". Try again`), { code: "Odd" });
  expect(explain(error, url)).toMatchObject({
    message: '`h.corp` broke the connection (Odd: Odd fetching "URL". Try again)',
    retryable: true,
  });
});

test("each exchange is told with its method, redacted address and status, failures included", async () => {
  const told: Exchange[] = [];
  const server = started((_, count) => new Response("x", { status: count === 1 ? 503 : 200 }));
  const retry = { attempts: 2, firstDelay: 1, longestDelay: 1 };
  const http = createHttp({ ...wireOptions(), retry, onExchange: (exchange) => told.push(exchange) });
  await http.transport({ method: "GET", url: new URL("x?sig=secret", server.url) });
  await http.transport({ method: "HEAD", url: new URL("http://a.b/") }).catch(() => {});
  expect(told.map(({ method, url, status }) => `${method} ${url} ${status}`)).toEqual([
    `GET ${server.url}x?sig=REDACTED 503`,
    `GET ${server.url}x?sig=REDACTED 200`,
    "HEAD http://a.b/ undefined",
  ]);
});
