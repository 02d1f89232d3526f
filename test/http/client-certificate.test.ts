import { afterAll, afterEach, beforeAll, expect } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { following } from "../../src/http/redirect.ts";
import { type ClientCertificate, wire } from "../../src/http/wire.ts";
import { testWith } from "../support/needs.ts";
import { type Authority, makeAuthority, makeClientCertificate } from "../support/tls.ts";
import { serve, type TestServer, wireOptions } from "./server.ts";

const withOpenssl = testWith("openssl");
const text = (path: string) => Bun.file(path).text();
const servers: TestServer[] = [];
let folder: string | undefined;
let authority: Authority;
let own: Omit<ClientCertificate, "host">;

beforeAll(async () => {
  if (Bun.which("openssl") === null) return;
  folder = await mkdtemp(join(tmpdir(), "eksa-airgap-client-certificate-"));
  authority = await makeAuthority(folder);
  const files = await makeClientCertificate(folder);
  own = { certificate: await text(files.certificate), key: await text(files.key) };
});
afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop();
});
afterAll(async () => {
  if (folder !== undefined) await rm(folder, { recursive: true });
});

/** Lets in only who shows a certificate of the authority. */
async function mutual(answer: () => Response = () => new Response("welcome")): Promise<TestServer> {
  const [cert, key, ca] = await Promise.all([authority.certificate, authority.key, authority.ca].map(text));
  const server = serve(answer, { cert, key, ca, requestCert: true, rejectUnauthorized: true });
  servers.push(server);
  return server;
}

async function asking(host?: string, certificate = own) {
  const clientCertificate = host === undefined ? undefined : { host, ...certificate };
  return following(wire(wireOptions({ authorities: [await text(authority.ca)], clientCertificate })));
}

withOpenssl("who shows the right certificate is let in", async () => {
  const server = await mutual();
  const transport = await asking(server.url.host);
  for (const method of ["GET", "POST"] as const) {
    expect(await (await transport({ method, url: server.url })).text()).toBe("welcome");
  }
});

withOpenssl("who shows none is told that one may be wanted", async () => {
  const server = await mutual();
  await expect((await asking())({ method: "GET", url: server.url })).rejects.toMatchObject({
    message: `\`${server.url.host}\` does not complete a TLS handshake`,
    hint: expect.stringContaining("give one with `--client-cert FILE --client-key FILE`"),
    retryable: false,
  });
  expect(server.requests).toEqual([]);
});

withOpenssl("who shows one of another authority is told that it is not accepted", async () => {
  const server = await mutual();
  const foreign = await mkdtemp(join(folder ?? tmpdir(), "foreign-"));
  await makeAuthority(foreign);
  const files = await makeClientCertificate(foreign);
  const certificate = { certificate: await text(files.certificate), key: await text(files.key) };
  const transport = await asking(server.url.host, certificate);
  await expect(transport({ method: "GET", url: server.url })).rejects.toMatchObject({
    hint: "it may not accept the client certificate",
  });
});

withOpenssl("it is shown to the one host only, not to where that host leads", async () => {
  const store = await mutual();
  const registry = await mutual(
    () => new Response(null, { status: 307, headers: { location: store.url.href } }),
  );
  const transport = await asking(registry.url.host);
  await expect(transport({ method: "GET", url: registry.url })).rejects.toMatchObject({
    message: `\`${store.url.host}\` does not complete a TLS handshake`,
  });
  expect(store.requests).toEqual([]);
});
