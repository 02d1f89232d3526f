import { afterAll, afterEach, beforeAll, expect } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { type AddressInfo, connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer } from "node:tls";
import type { Transport } from "../../src/http/transport.ts";
import { wire } from "../../src/http/wire.ts";
import { pseudoRandomBytes } from "../support/content.ts";
import { testWith } from "../support/needs.ts";
import { makeAuthority } from "../support/tls.ts";
import { serve, type TestServer, wireOptions } from "./server.ts";

interface Material {
  cert: string;
  key: string;
  ca: string;
}

const withOpenssl = testWith("openssl");
const BYTES = pseudoRandomBytes(1_000_000, "proxy");
const folders: string[] = [];
let own: Material;
let foreign: Material;
const running: { stop(): Promise<void> }[] = [];

beforeAll(async () => {
  if (Bun.which("openssl") !== null) [own, foreign] = [await material(), await material()];
});
afterEach(async () => {
  for (const started of running.splice(0)) await started.stop();
});
afterAll(async () => {
  for (const folder of folders) await rm(folder, { recursive: true });
});

async function material(): Promise<Material> {
  const folder = await mkdtemp(join(tmpdir(), "eksa-airgap-https-proxy-"));
  folders.push(folder);
  const { certificate, key, ca } = await makeAuthority(folder);
  const [cert, ...others] = await Promise.all([certificate, key, ca].map((path) => Bun.file(path).text()));
  const [keyText = "", caText = ""] = others;
  return { cert: cert ?? "", key: keyText, ca: caText };
}

/** A proxy that itself speaks TLS; `asked` is the first line of each connection, and its credentials. */
async function startProxy({ cert, key }: Material): Promise<{ url: URL; asked: string[] }> {
  const asked: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer({ cert, key }, (client) => {
    sockets.add(client);
    client.on("error", () => client.destroy());
    client.once("data", (bytes) => {
      const text = bytes.toString("latin1");
      const [line = ""] = text.split("\r\n");
      asked.push([line, ...(/^proxy-authorization: .*$/im.exec(text) ?? [])].join(" "));
      const [method, target = ""] = line.split(" ");
      const { hostname, port } = new URL(method === "CONNECT" ? `http://${target}` : target);
      const upstream = connect(Number(port), hostname, () => {
        if (method === "CONNECT") client.write("HTTP/1.1 200 OK\r\n\r\n");
        else upstream.write(bytes);
        upstream.pipe(client);
        client.pipe(upstream);
      });
      sockets.add(upstream);
      upstream.on("error", () => client.destroy());
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  running.push({
    stop: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  });
  return { url: new URL(`https://127.0.0.1:${(server.address() as AddressInfo).port}/`), asked };
}

function startEcho(tls?: Material): TestServer {
  const answer = async (request: Request) =>
    request.method === "GET" ? new Response(BYTES) : new Response(await request.bytes(), { status: 201 });
  const server = serve(answer, tls);
  running.push(server);
  return server;
}

function through(proxy: URL, trusted: Material, insecure: TestServer[] = []): Transport {
  const insecureHosts = new Set(insecure.map(({ url }) => url.host));
  return wire(wireOptions({ authorities: [trusted.ca], insecureHosts, proxyFor: () => proxy }));
}

withOpenssl("bytes go both ways as they are, to a host on https and to one on http", async () => {
  const proxy = await startProxy(own);
  const address = new URL(proxy.url);
  [address.username, address.password] = ["robot", "s3cret"];
  for (const server of [startEcho(own), startEcho()]) {
    const { url } = server;
    const transport = through(address, own);
    const got = await (await transport({ method: "GET", url })).bytes();
    expect(Buffer.compare(got, BYTES)).toBe(0);
    const body = () => new Blob([BYTES]).stream();
    const headers = { "content-length": String(BYTES.length) };
    const sent = await transport({ method: "PUT", url, headers, body });
    expect(Buffer.compare(await sent.bytes(), BYTES)).toBe(0);
    const line = url.protocol === "https:" ? `CONNECT ${url.host} HTTP/1.1` : `GET ${url} HTTP/1.1`;
    const credentials = `Basic ${Buffer.from("robot:s3cret").toString("base64")}`;
    expect(proxy.asked.filter((asked) => asked.startsWith(line))[0]).toEndWith(credentials);
    expect(server.requests.map(({ headers }) => headers.get("authorization"))).toEqual([null, null]);
  }
});

withOpenssl("a proxy that is not trusted is not used, and is named", async () => {
  const proxy = await startProxy(foreign);
  const [secure, plain] = [startEcho(own), startEcho()];
  const said = "shows a certificate that this machine does not trust (UNABLE_TO_VERIFY_LEAF_SIGNATURE)";
  await expect(through(proxy.url, own)({ method: "GET", url: secure.url })).rejects.toMatchObject({
    code: "CERTIFICATE",
    message: `the proxy \`${proxy.url.host}\`, or \`${secure.url.host}\` behind it, ${said}`,
  });
  await expect(through(proxy.url, own)({ method: "GET", url: plain.url })).rejects.toMatchObject({
    code: "CERTIFICATE",
    message: `the proxy \`${proxy.url.host}\` ${said}`,
  });
  expect(proxy.asked).toEqual([]);
});

withOpenssl("a host whose certificate is not looked at does not take the proxy's along", async () => {
  const proxy = await startProxy(foreign);
  const [secure, plain] = [startEcho(foreign), startEcho()];
  const transport = through(proxy.url, own, [secure, plain]);
  await expect(transport({ method: "GET", url: secure.url })).rejects.toMatchObject({
    code: "PROXY_INSECURE",
    retryable: false,
    hint: expect.stringContaining("instead of `--insecure`"),
  });
  await expect(transport({ method: "GET", url: plain.url })).rejects.toMatchObject({ code: "CERTIFICATE" });
  expect(proxy.asked).toEqual([]);
});

withOpenssl("a proxy that speaks plain HTTP after all is told as such", async () => {
  const [proxy, server] = [startEcho(), startEcho(own)];
  const address = new URL(proxy.url.href.replace("http:", "https:"));
  await expect(through(address, own)({ method: "GET", url: server.url })).rejects.toMatchObject({
    message: expect.stringContaining(`the proxy \`${proxy.url.host}\`, or`),
    hint: "if the proxy speaks plain HTTP, write its address with `http://`",
    retryable: false,
  });
});
