import { afterAll, afterEach, beforeAll, describe, expect } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createHttp } from "../../src/http/client.ts";
import { proxyFor } from "../../src/http/proxy.ts";
import { pseudoRandomBytes } from "../support/content.ts";
import { testWith } from "../support/needs.ts";
import { startTinyproxy, type Tinyproxy } from "../support/tinyproxy.ts";
import { makeAuthority } from "../support/tls.ts";
import { serve, type TestServer, wireOptions } from "./server.ts";

const withProxy = testWith("tinyproxy", "openssl");
const BYTES = pseudoRandomBytes(1_000_000, "proxy");
const ROBOT = { username: "robot", password: "s3cret" };

let folder: string | undefined;
let tls: { cert: string; key: string };
let ca: string;
const running: { stop(): Promise<void> }[] = [];

beforeAll(async () => {
  if (Bun.which("openssl") === null) return;
  folder = await mkdtemp(join(tmpdir(), "eksa-airgap-proxy-"));
  const files = await makeAuthority(folder);
  const text = (path: string) => Bun.file(path).text();
  tls = { cert: await text(files.certificate), key: await text(files.key) };
  ca = await text(files.ca);
});
afterEach(async () => {
  for (const started of running.splice(0)) await started.stop();
});
afterAll(async () => {
  if (folder !== undefined) await rm(folder, { recursive: true });
});

async function proxy(options: Parameters<typeof startTinyproxy>[0] = {}): Promise<Tinyproxy> {
  const started = await startTinyproxy(options);
  running.push(started);
  return started;
}

function started(...args: Parameters<typeof serve>): TestServer {
  const server = serve(...args);
  running.push(server);
  return server;
}

/** This machine under an address that is not exempt from proxies, as loopback is. */
function outside({ url }: TestServer): URL {
  return new URL(url.href.replace("127.0.0.1", "0.0.0.0"));
}

/** `insecure`: the address in the certificate is 127.0.0.1, which cannot be asked for through a proxy. */
function asking(environment: Record<string, string>, server: TestServer, secure?: "secure") {
  const { host } = outside(server);
  return createHttp({
    ...wireOptions({ authorities: [ca], plainHosts: new Set([host]) }),
    ...(secure === "secure" ? {} : { insecureHosts: new Set([host]) }),
    proxyFor: (url) => proxyFor(url, environment),
    retry: { attempts: 1, firstDelay: 1, longestDelay: 1 },
  }).transport;
}

const withCredentials = ({ host }: Tinyproxy, { username, password } = ROBOT) =>
  `http://${username}:${password}@${host}`;

const echo = async (request: Request) =>
  request.method === "GET" ? new Response(BYTES) : new Response(await request.bytes(), { status: 201 });

describe("a tunnel", () => {
  withProxy("carries bytes both ways as they are, one request after the other", async () => {
    const server = started(echo, tls);
    const between = await proxy({ credentials: ROBOT });
    const transport = asking({ HTTPS_PROXY: withCredentials(between) }, server);
    const url = outside(server);
    for (let times = 0; times < 3; times++) {
      const got = await (await transport({ method: "GET", url })).bytes();
      expect(Buffer.compare(got, BYTES)).toBe(0);
      const body = () => new Blob([BYTES]).stream();
      const headers = { "content-length": String(BYTES.length) };
      const sent = await transport({ method: "PUT", url, headers, body });
      expect(Buffer.compare(await sent.bytes(), BYTES)).toBe(0);
    }
    expect(await between.log()).toContain(`CONNECT ${url.host} HTTP/1.1`);
  });

  withProxy("shows the proxy's credentials to the proxy alone", async () => {
    const server = started(echo, tls);
    const between = await proxy({ credentials: ROBOT });
    await asking({ HTTPS_PROXY: withCredentials(between) }, server)({ method: "GET", url: outside(server) });
    expect(server.requests[0]?.headers.get("proxy-authorization")).toBeNull();
    expect(server.requests[0]?.headers.get("authorization")).toBeNull();
  });

  withProxy("does not hide whose certificate it is", async () => {
    const server = started(echo, tls);
    const between = await proxy();
    const transport = asking({ HTTPS_PROXY: between.url }, server, "secure");
    await expect(transport({ method: "GET", url: outside(server) })).rejects.toMatchObject({
      code: "CERTIFICATE",
      message: expect.stringContaining(`\`${outside(server).host}\``),
      hint: `it is for another name: reach the host by the name that is in it; the connection goes through the proxy \`${between.host}\`: name the host in NO_PROXY if it can be reached without`,
    });
    expect(server.requests).toEqual([]);
  });

  withProxy("is not dug for a host in NO_PROXY", async () => {
    const server = started(echo, tls);
    const between = await proxy();
    const environment = { HTTPS_PROXY: between.url, NO_PROXY: "example.com,0.0.0.0/8" };
    const response = await asking(environment, server)({ method: "GET", url: outside(server) });
    expect(Buffer.compare(await response.bytes(), BYTES)).toBe(0);
    expect(await between.log()).not.toContain("CONNECT 0.0.0.0");
  });

  withProxy("through a proxy that wants credentials fails with what to do, and without them", async () => {
    const server = started(echo, tls);
    const between = await proxy({ credentials: ROBOT });
    const ask = (value: string) =>
      asking({ HTTPS_PROXY: value }, server)({ method: "GET", url: outside(server) });
    const hint = "write them into the proxy's address, percent-encoded: USER:PASSWORD@ before the host";
    await expect(ask(between.url)).rejects.toMatchObject({
      message: `the proxy \`${between.host}\` asks for credentials (407)`,
      hint,
      retryable: false,
    });
    const wrong = await ask(withCredentials(between, { username: "robot", password: "hidden" })).catch(
      (error: unknown) => error,
    );
    expect(String(wrong)).not.toContain("hidden");
    // As others do with 407.
    const message = `the proxy \`${between.host}\` refused credentials (401)`;
    expect(wrong).toMatchObject({ name: "NetworkError", message, hint, retryable: false });
    expect(server.requests).toEqual([]);
  });

  withProxy("that the proxy does not allow fails with its answer", async () => {
    const server = started(echo, tls);
    const between = await proxy({ ports: [443] });
    const transport = asking({ HTTPS_PROXY: between.url }, server);
    await expect(transport({ method: "GET", url: outside(server) })).rejects.toMatchObject({
      message: `the proxy \`${between.host}\` refused a way to \`${outside(server).host}\` (403)`,
      retryable: false,
    });
  });
});

describe("plain HTTP", () => {
  withProxy("goes through its own proxy", async () => {
    const server = started(echo);
    const between = await proxy({ credentials: ROBOT });
    const environment = { HTTP_PROXY: withCredentials(between), HTTPS_PROXY: "http://127.0.0.1:1" };
    const response = await asking(environment, server)({ method: "GET", url: outside(server) });
    expect(Buffer.compare(await response.bytes(), BYTES)).toBe(0);
    expect(await between.log()).toContain(`GET ${outside(server).href} HTTP/1.1`);
  });

  withProxy("is refused in the same words", async () => {
    const server = started(echo);
    const between = await proxy({ credentials: ROBOT });
    const transport = asking({ HTTP_PROXY: between.url }, server);
    await expect(transport({ method: "GET", url: outside(server) })).rejects.toMatchObject({
      code: "PROXY_CREDENTIALS",
    });
  });

  withProxy("with a wrong password is refused by the proxy, not by the host", async () => {
    const server = started(() => new Response("the host's own word", { status: 401 }));
    const between = await proxy({ credentials: ROBOT });
    const wrong = withCredentials(between).replace(ROBOT.password, "wrong");
    const request = { method: "GET", url: outside(server) } as const;
    await expect(asking({ HTTP_PROXY: wrong }, server)(request)).rejects.toMatchObject({
      message: `the proxy \`${between.host}\` refused credentials (401)`,
    });
    const response = await asking({ HTTP_PROXY: withCredentials(between) }, server)(request);
    expect(await response.text()).toBe("the host's own word");
  });
});

for (const [scheme, tools] of [
  ["http", []],
  ["https", ["openssl"]],
] as const) {
  testWith(...tools)(`of a proxy that is down the ${scheme} request tells, not of the host`, async () => {
    const server = started(echo);
    const down = serve(() => new Response());
    await down.stop();
    const environment = { HTTP_PROXY: down.url.href, HTTPS_PROXY: down.url.href };
    const url = new URL(outside(server).href.replace("http", scheme));
    await expect(asking(environment, server)({ method: "GET", url })).rejects.toMatchObject({
      message: `the proxy \`${down.url.host}\` refused the connection`,
      hint: "check HTTP_PROXY and HTTPS_PROXY; a host that needs no proxy belongs into NO_PROXY",
      retryable: true,
    });
  });
}
