import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { wholeCertificates } from "../http/pem.ts";
import { Fault } from "../oci/fault.ts";

/** A file of certificate authorities, in PEM form. */
export function readAuthorities(path: string): string {
  return readPem(path, { what: "the certificate authorities", holds: "CERTIFICATE" });
}

/** A certificate and the key that belongs to it, both in PEM form; neither, or both, have to be named. */
export function readClientCertificate({
  clientCert,
  clientKey,
}: {
  clientCert?: string | undefined;
  clientKey?: string | undefined;
}): { certificate: string; key: string } | undefined {
  if (clientCert === undefined && clientKey === undefined) return;
  if (clientCert === undefined || clientKey === undefined) {
    const [given, missing] =
      clientKey === undefined ? ["--client-cert", "--client-key"] : ["--client-key", "--client-cert"];
    throw new Fault(`cannot use \`${given}\` alone`, {
      hint: `name the other half with \`${missing} FILE\``,
      kind: "usage",
    });
  }
  const certificate = readPem(clientCert, { what: "the client certificate", holds: "CERTIFICATE" });
  const key = readPem(clientKey, { what: "the client key", holds: "PRIVATE KEY" });
  assertBelongs({ certificate, key }, { clientCert, clientKey });
  return { certificate, key };
}

/** The runtime would only say that the host cannot be reached. */
function assertBelongs(
  { certificate, key }: { certificate: string; key: string },
  { clientCert, clientKey }: { clientCert: string; clientKey: string },
): void {
  let doesBelong: boolean;
  try {
    doesBelong = new X509Certificate(certificate).checkPrivateKey(createPrivateKey(key));
  } catch (cause) {
    throw new Fault(`cannot use the client certificate in ${clientCert} with the key in ${clientKey}`, {
      cause,
      hint: "give both in PEM form, the key without a passphrase",
    });
  }
  if (doesBelong) return;
  throw new Fault(
    `cannot use the client certificate in ${clientCert}: the key in ${clientKey} is not its own`,
    {
      hint: "give the key that the certificate was made for",
    },
  );
}

function readPem(path: string, { what, holds }: { what: string; holds: string }): string {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    throw new Fault(`cannot read ${what} in ${path}`, { cause });
  }
  if (new RegExp(`^-----BEGIN (?:[A-Z]+ )?${holds}-----`, "m").test(text)) {
    if (holds === "CERTIFICATE") assertWhole(text, `cannot read ${what} in ${path}`);
    return text;
  }
  const noun = holds === "CERTIFICATE" ? "certificate" : "key";
  throw new Fault(`cannot read ${what} in ${path}: it holds no ${noun} in PEM form`, {
    hint: `give one that has the line \`-----BEGIN ${holds}-----\``,
  });
}

/** The runtime drops those that it cannot read without a word. */
function assertWhole(pem: string, message: string): void {
  const whole = wholeCertificates(pem);
  const damaged = whole.indexOf(false);
  if (damaged < 0) return;
  const which = whole.length === 1 ? "the certificate" : `certificate ${damaged + 1} of ${whole.length}`;
  throw new Fault(`${message}: ${which} in it is damaged or cut short`, {
    hint: "put that certificate in anew, whole, from its line `-----BEGIN CERTIFICATE-----` to `-----END CERTIFICATE-----`",
  });
}
