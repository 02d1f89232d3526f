import { join } from "node:path";

/** Files in PEM form. */
export interface Authority {
  ca: string;
  /** Signed by the authority. */
  certificate: string;
  key: string;
}

/** A private certificate authority, and a server's certificate from it for `names`. Needs openssl. */
export async function makeAuthority(
  folder: string,
  names: readonly string[] = ["DNS:localhost", "IP:127.0.0.1"],
): Promise<Authority> {
  const [ca, caKey] = [join(folder, "ca.crt"), join(folder, "ca.key")];
  const [certificate, key, request] = [
    join(folder, "srv.crt"),
    join(folder, "srv.key"),
    join(folder, "srv.csr"),
  ];
  const extensions = join(folder, "srv.ext");
  await Bun.write(extensions, `subjectAltName=${names.join(",")}\nextendedKeyUsage=serverAuth\n`);
  const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  await Bun.$`openssl req -x509 ${newKey} -keyout ${caKey} -out ${ca} -days 30 -subj /CN=test-ca`.quiet();
  await Bun.$`openssl req ${newKey} -keyout ${key} -out ${request} -subj /CN=localhost`.quiet();
  await Bun.$`openssl x509 -req -in ${request} -CA ${ca} -CAkey ${caKey} -CAcreateserial -out ${certificate} -days 30 -extfile ${extensions}`.quiet();
  return { ca, certificate, key };
}

/** A client's certificate from the authority that was made in `folder`: files in PEM form. Needs openssl. */
export async function makeClientCertificate(folder: string): Promise<{ certificate: string; key: string }> {
  const file = (name: string) => join(folder, `client.${name}`);
  const [certificate, key, request, extensions] = [file("crt"), file("key"), file("csr"), file("ext")];
  const authority = ["-CA", join(folder, "ca.crt"), "-CAkey", join(folder, "ca.key"), "-CAcreateserial"];
  const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  await Bun.write(extensions, "extendedKeyUsage=clientAuth\n");
  await Bun.$`openssl req ${newKey} -keyout ${key} -out ${request} -subj /CN=client`.quiet();
  await Bun.$`openssl x509 -req -in ${request} ${authority} -out ${certificate} -days 30 -extfile ${extensions}`.quiet();
  return { certificate, key };
}
