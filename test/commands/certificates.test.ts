import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readAuthorities, readClientCertificate } from "../../src/commands/certificates.ts";
import { faultOf } from "../support/faults.ts";
import { testWith } from "../support/needs.ts";
import { makeAuthority, makeClientCertificate } from "../support/tls.ts";

const withOpenssl = testWith("openssl");
let folder: string;
let files: { certificate: string; key: string };
/** Of another certificate. */
let foreignKey: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eksa-airgap-certificates-"));
  if (Bun.which("openssl") === null) return;
  foreignKey = (await makeAuthority(folder)).key;
  files = await makeClientCertificate(folder);
});
afterAll(() => rm(folder, { recursive: true }));

const read = (clientCert?: string, clientKey?: string) => readClientCertificate({ clientCert, clientKey });

test("without the flags there is no client certificate", () => {
  expect(read()).toBeUndefined();
});

test("one half alone is a mistake in the command line", async () => {
  expect(await faultOf(() => read("c.crt"))).toMatchObject({
    kind: "usage",
    message: "cannot use `--client-cert` alone",
    hint: "name the other half with `--client-key FILE`",
  });
  expect(await faultOf(() => read(undefined, "c.key"))).toMatchObject({
    kind: "usage",
    message: "cannot use `--client-key` alone",
    hint: "name the other half with `--client-cert FILE`",
  });
});

withOpenssl("a pair is handed on as it is in the files, whatever stands around it", async () => {
  const [certificate, key] = [await Bun.file(files.certificate).text(), await Bun.file(files.key).text()];
  expect(read(files.certificate, files.key)).toEqual({ certificate, key });
  const both = join(folder, "both.pem");
  await Bun.write(both, `# ours\n${key}${certificate}`);
  expect(read(both, both)).toBeDefined();
});

withOpenssl("a key that belongs to another certificate is found out at once", async () => {
  expect(await faultOf(() => read(files.certificate, foreignKey))).toMatchObject({
    message: `cannot use the client certificate in ${files.certificate}: the key in ${foreignKey} is not its own`,
  });
});

withOpenssl("a key under a passphrase is refused with what to do", async () => {
  const locked = join(folder, "locked.key");
  await Bun.$`openssl pkcs8 -topk8 -in ${files.key} -out ${locked} -passout pass:secret`.quiet();
  expect(await faultOf(() => read(files.certificate, locked))).toMatchObject({
    hint: "give both in PEM form, the key without a passphrase",
  });
});

withOpenssl("what is not there, or holds something else, is named", async () => {
  const missing = join(folder, "missing.pem");
  expect((await faultOf(() => read(missing, files.key))).message).toBe(
    `cannot read the client certificate in ${missing}`,
  );
  expect((await faultOf(() => read(files.key, files.key))).message).toEndWith(
    "it holds no certificate in PEM form",
  );
  expect((await faultOf(() => read(files.certificate, files.certificate))).message).toEndWith(
    "it holds no key in PEM form",
  );
  expect((await faultOf(() => readAuthorities(files.key))).message).toBe(
    `cannot read the certificate authorities in ${files.key}: it holds no certificate in PEM form`,
  );
});

withOpenssl(
  "a certificate that is damaged or cut short is named by its place, whatever stands before it",
  async () => {
    const whole = await Bun.file(files.certificate).text();
    const cases: [string, string][] = [
      ["-----BEGIN CERTIFICATE-----\ngarbage\n-----END CERTIFICATE-----\n", "the certificate"],
      ["-----BEGIN CERTIFICATE-----\ngarbage\n", "the certificate"],
      [whole.slice(0, whole.length / 2), "the certificate"],
      [`${whole}-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n`, "certificate 2 of 2"],
      [`# ours\n${whole.slice(0, whole.length / 2)}${whole}${whole}`, "certificate 1 of 3"],
    ];
    const path = join(folder, "damaged.pem");
    for (const [text, which] of cases) {
      await Bun.write(path, text);
      expect(await faultOf(() => readAuthorities(path))).toMatchObject({
        message: `cannot read the certificate authorities in ${path}: ${which} in it is damaged or cut short`,
        hint: "put that certificate in anew, whole, from its line `-----BEGIN CERTIFICATE-----` to `-----END CERTIFICATE-----`",
      });
    }
    await Bun.write(path, `${whole}\n# another\n${whole}`);
    expect(readAuthorities(path)).toContain("# another");
  },
);

withOpenssl("authorities that are commented out, or nameless, are no damage", async () => {
  const path = join(folder, "odd.pem");
  const key = join(folder, "odd.key");
  const name = ["-subj", "/", "-addext", "subjectAltName=URI:spiffe://example.com/x"];
  const { exitCode } = Bun.spawnSync([
    "openssl",
    ..."req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -keyout".split(" "),
    ...[key, "-out", path, ...name],
  ]);
  expect(exitCode).toBe(0);
  const nameless = await Bun.file(path).text();
  const retired = nameless.replaceAll(/^/gm, "# ").replace("MII", "oops");
  await Bun.write(path, `${retired}\n${nameless}`);
  expect(readAuthorities(path)).toContain(nameless);
});
