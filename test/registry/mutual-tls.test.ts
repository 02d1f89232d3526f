import { afterAll, beforeAll, expect } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeFault } from "../../src/terminal/fault.ts";
import { startDockerRegistry } from "../support/docker-registry.ts";
import { faultOf } from "../support/faults.ts";
import { testWith } from "../support/needs.ts";
import { startNginx } from "../support/nginx.ts";
import { type Authority, makeAuthority } from "../support/tls.ts";
import { connect } from "./connect.ts";
import { stoppedAfterEach } from "./started.ts";

let folder: string;
let authority: Authority;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eksa-airgap-mutual-tls-"));
  if (Bun.which("openssl") !== null) authority = await makeAuthority(folder);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const started = stoppedAfterEach();
const dockerRegistry = () =>
  started(startDockerRegistry({ tls: { ...authority, clientcas: [authority.ca] } }));
const nginx = () => {
  const { certificate, key, ca } = authority;
  const own = `ssl_certificate ${certificate}; ssl_certificate_key ${key};`;
  const http = `${own} ssl_client_certificate ${ca}; ssl_verify_client on;`;
  return started(startNginx({ upstream: "127.0.0.1:1", listen: "ssl", http }));
};

/** What is said of a registry that wants a client certificate, and gets none. `urls`: the scheme is written. */
async function refusalOf(host: string, ...urls: string[]): Promise<string> {
  const authorities = [await Bun.file(authority.ca).text()];
  const fault = await faultOf(() => connect({ authorities, urls, attempts: 1 }).client(host).ping());
  const { because, hints } = describeFault(fault);
  return [...because, ...hints].join("\n");
}

const ADVICE = "--client-cert FILE --client-key FILE";
const OTHER_ADVICE = "check the host and the port";

testWith("docker-registry", "openssl")(
  "Debian's registry on loopback: that plain HTTP is refused, too, does not hide what it wants",
  async () => {
    const { host } = await dockerRegistry();
    const refusal = await refusalOf(host);
    expect(refusal).toContain(`\`${host}\` does not complete a TLS handshake`);
    expect(refusal).toContain(ADVICE);
    expect(refusal).not.toContain(OTHER_ADVICE);
  },
);

testWith("nginx", "openssl")("nginx: what it answers after the handshake is understood", async () => {
  const { host } = await nginx();
  for (const urls of [[], [`https://${host}`]]) {
    const refusal = await refusalOf(host, ...urls);
    expect(refusal).toContain("No required SSL certificate was sent");
    expect(refusal).toContain(ADVICE);
    expect(refusal).not.toContain(OTHER_ADVICE);
  }
});

testWith(
  "docker-registry",
  "nginx",
  "openssl",
)("of a port for TLS that is asked on plain HTTP, the scheme is what is wrong", async () => {
  for (const { host } of [await dockerRegistry(), await nginx()]) {
    const refusal = await refusalOf(host, `http://${host}`);
    expect(refusal).toContain("if it speaks TLS, write `https://` before the host");
  }
});
