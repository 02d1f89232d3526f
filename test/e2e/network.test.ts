import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { mkdir } from "node:fs/promises";
import { createSecureServer } from "node:http2";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { runExecutable } from "../support/executable.ts";
import { testWith } from "../support/needs.ts";
import type { TestRegistryOptions } from "../support/registry.ts";
import { startTinyproxy } from "../support/tinyproxy.ts";
import { type Authority, makeAuthority, makeClientCertificate } from "../support/tls.ts";
import { expectFailure, Stage } from "./stage.ts";

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.set();
});
beforeEach(() => stage.begin());
afterEach(() => stage.end());
afterAll(() => stage.strike());

async function expectSameArchive(path: string): Promise<void> {
  const [got, wanted] = [await Bun.file(path).bytes(), await Bun.file(stage.archive).bytes()];
  expect(Buffer.compare(got, wanted)).toBe(0);
}

describe("a source", () => {
  test("that asks for patience gets it, and the user is told", async () => {
    let left = 1;
    stage.intercept = () =>
      left-- > 0 ? new Response(null, { status: 429, headers: { "Retry-After": "1" } }) : undefined;
    const output = join(stage.work, "out.tar");
    const result = await stage.exportTo(output, "-v", "1");
    expect(result).toMatchObject({ status: 0, stdout: "" });
    expect(result.stderr).toContain("has asked for patience (429); going on in 1.0 s");
    await expectSameArchive(output);
  });

  test("that compresses blobs unasked gives the same archive", async () => {
    stage.intercept = stage.largeBlobs((bytes) => bytes);
    const plain = stage.intercept;
    stage.intercept = async (request, url) => {
      const answer = await plain(request, url);
      if (answer === undefined) return;
      return new Response(gzipSync(await answer.bytes()), { headers: { "Content-Encoding": "gzip" } });
    };
    const output = join(stage.work, "out.tar");
    expect(await stage.exportTo(output)).toMatchObject({ status: 0, stdout: "" });
    await expectSameArchive(output);
  });
});

describe("a proxy in the environment", () => {
  const SECRET = "hunter2";
  /** Refuses every tunnel, and remembers what it was asked. */
  function startRefusal(status: string) {
    const asked: string[] = [];
    const server = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: {
        data(socket, data) {
          asked.push(data.toString());
          socket.end(`HTTP/1.1 ${status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`);
        },
      },
    });
    stage.running.push({ stop: async () => server.stop(true) });
    return { asked, host: `127.0.0.1:${server.port}` };
  }
  const exportFrom = (bundles: string, env: Record<string, string>) => {
    const args = ["export", "artifacts", "-o", join(stage.work, "out.tar"), "--bundles-override", bundles];
    return runExecutable(args, { env });
  };
  const BUNDLES = "https://bundles.invalid/bundle-release.yaml";

  test("does not stand before this machine", async () => {
    const output = join(stage.work, "out.tar");
    const env = { HTTP_PROXY: "http://127.0.0.1:1", http_proxy: "http://127.0.0.1:1" };
    expect(await runExecutable(stage.exportArgs(output), { env })).toMatchObject({ status: 0, stdout: "" });
  });

  test("is asked with its credentials, which are never shown", async () => {
    const { asked, host } = startRefusal("407 Proxy Authentication Required");
    const result = await exportFrom(BUNDLES, { https_proxy: `http://robot:${SECRET}@${host}` });
    expectFailure(
      result,
      1,
      `the proxy \`${host}\` refused credentials (407)`,
      "write them into the proxy's address, percent-encoded: USER:PASSWORD@ before the host",
    );
    expect(result.stderr).not.toContain(SECRET);
    const [first] = asked;
    expect(first).toStartWith("CONNECT bundles.invalid:443 HTTP/1.1\r\n");
    expect(first).toContain(`Basic ${Buffer.from(`robot:${SECRET}`).toString("base64")}`);
  });

  test("that refuses a host is named, with a way out", async () => {
    const { host } = startRefusal("403 Filtered");
    const result = await exportFrom(BUNDLES, { HTTPS_PROXY: host });
    expectFailure(result, 1, `the proxy \`${host}\` refused a way to \`bundles.invalid\` (403)`, "NO_PROXY");
  });

  test("that is no proxy at all is named without its value", async () => {
    const result = await exportFrom(BUNDLES, { HTTPS_PROXY: `socks5://robot:${SECRET}@127.0.0.1:1` });
    expectFailure(result, 1, "write HTTPS_PROXY as `http://HOST:PORT`");
    expect(result.stderr).not.toContain(SECRET);
  });
});

describe("a target over TLS", () => {
  const withOpenssl = testWith("openssl");
  let authority: Authority;
  let client: { certificate: string; key: string };
  let tls: { cert: string; key: string };
  /** Beside `tls`: lets in only who shows a certificate of the authority. */
  let mutual: typeof tls;

  beforeAll(async () => {
    if (Bun.which("openssl") === null) return;
    const folder = join(stage.folder, "tls");
    await mkdir(folder);
    authority = await makeAuthority(folder);
    client = await makeClientCertificate(folder);
    const text = (path: string) => Bun.file(path).text();
    tls = { cert: await text(authority.certificate), key: await text(authority.key) };
    const demands = { ca: await text(authority.ca), requestCert: true, rejectUnauthorized: true };
    mutual = { ...tls, ...demands };
  });

  async function importTo(options: TestRegistryOptions, ...flags: string[]) {
    const target = await stage.startTarget(options);
    const args = ["import", "artifacts", "-i", stage.archive, "-r", `https://${target.host}`, ...flags];
    return { target, result: await runExecutable(args) };
  }

  withOpenssl("that wants a client certificate takes ours", async () => {
    const own = ["--client-cert", client.certificate, "--client-key", client.key];
    const { result } = await importTo({ tls: mutual }, "--ca-file", authority.ca, ...own);
    expect(result).toMatchObject({ status: 0 });
  });

  withOpenssl("that wants a client certificate and gets none says how to give one", async () => {
    const { result, target } = await importTo({ tls: mutual }, "--ca-file", authority.ca);
    expectFailure(result, 1, "`--client-cert FILE --client-key FILE`");
    expect(target.requests).toEqual([]);
  });

  withOpenssl("is asked for nothing with a key that is another certificate's, or none at all", async () => {
    const foreign = ["--client-cert", client.certificate, "--client-key", authority.key];
    const { result, target } = await importTo({ tls: mutual }, "--ca-file", authority.ca, ...foreign);
    expectFailure(result, 1, "is not its own", "give the key that the certificate was made for");
    const half = await importTo({ tls }, "--client-key", client.key);
    expectFailure(half.result, 2, "cannot use `--client-key` alone", "`--client-cert FILE`");
    const noKey = ["--client-cert", client.certificate, "--client-key", authority.ca];
    expectFailure((await importTo({ tls }, ...noKey)).result, 1, "it holds no key in PEM form");
    expect([...target.requests, ...half.target.requests]).toEqual([]);
  });

  withOpenssl("that offers HTTP/2 is spoken to in HTTP/1.1, whatever the runtime is told", async () => {
    const versions: string[] = [];
    const server = createSecureServer({ ...tls, allowHTTP1: true }, (request, response) => {
      versions.push(request.httpVersion);
      response.writeHead(404).end();
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    stage.running.push({ stop: async () => server.close() });
    const address = server.address();
    const port = typeof address === "object" ? address?.port : undefined;
    const args = ["import", "artifacts", "-i", stage.archive, "-r", `https://127.0.0.1:${port}`];
    const env = { BUN_FEATURE_FLAG_EXPERIMENTAL_HTTP2_CLIENT: "1" };
    const result = await runExecutable([...args, "--ca-file", authority.ca], { env });
    expectFailure(result, 1, "/v2/ answered 404");
    expect(versions).toEqual(["1.1"]);
  });

  withOpenssl("whose certificate nobody knows is used only on demand, with a warning", async () => {
    expectFailure((await importTo({ tls })).result, 1, "--ca-file FILE");
    const { result, target } = await importTo({ tls }, "--insecure");
    expect(result).toMatchObject({ status: 0 });
    expect(result.stderr).toContain(`the certificate of ${target.host} is not checked (\`--insecure\`)`);
  });

  test("in plain HTTP that sends its password elsewhere in plain HTTP is refused, and it is said who must change", async () => {
    const headers = { "WWW-Authenticate": 'Bearer realm="http://auth.invalid/token"' };
    const target = await stage.startTarget({ intercept: () => new Response(null, { status: 401, headers }) });
    const hint = `let its settings name one on https, or one on \`${target.host}\` itself`;
    const result = await stage.importTo(target.url);
    expectFailure(result, 1, /because: http:\/\/auth.invalid\/token\S* would go over plain HTTP/, hint);
    expect(result.stderr).not.toContain("docker login");
  });

  testWith("tinyproxy", "openssl")(
    "is filled through a proxy that wants credentials, or past it",
    async () => {
      const proxy = await startTinyproxy({ credentials: { username: "robot", password: "hunter2" } });
      stage.running.push(proxy);
      const target = await stage.startTarget({ tls });
      // Loopback by an address that is not exempt from proxies.
      const registry = `https://${target.host.replace("127.0.0.1", "0.0.0.0")}`;
      const args = ["import", "artifacts", "-i", stage.archive, "-r", registry, "--insecure", "-v", "4"];
      const HTTPS_PROXY = `http://robot:hunter2@${proxy.host}`;
      const through = await runExecutable(args, { env: { HTTPS_PROXY } });
      expect(through).toMatchObject({ status: 0 });
      expect(through.stderr).not.toContain("hunter2");
      const tunnels = (log: string) => log.split("CONNECT 0.0.0.0").length - 1;
      const before = tunnels(await proxy.log());
      expect(before).toBeGreaterThan(0);
      const past = await runExecutable(args, { env: { HTTPS_PROXY, NO_PROXY: "0.0.0.0/32" } });
      expect(past).toMatchObject({ status: 0 });
      expect(tunnels(await proxy.log())).toBe(before);
    },
  );

  withOpenssl("may be insecure, its token server elsewhere may not", async () => {
    const tokens = await stage.startTarget({ tls });
    const intercept = () =>
      new Response(null, {
        status: 401,
        headers: { "WWW-Authenticate": `Bearer realm="${tokens.url}/token"` },
      });
    const { result } = await importTo({ tls, intercept }, "--insecure");
    expectFailure(result, 1, `\`${tokens.host}\` shows a certificate that this machine does not trust`);
    expect(tokens.requests).toEqual([]);
  });
});
