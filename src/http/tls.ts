import { existsSync, readFileSync } from "node:fs";

/** Where Linux distributions and macOS keep the bundle that administrators add their own CAs to. */
const SYSTEM_BUNDLES = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
  "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
  "/etc/ssl/cert.pem",
];

/**
 * The certificate authorities to trust, in PEM: the system's, and `extra` beside them. The runtime takes
 * a list as a replacement for its own, so its built-in roots are used where the system has no bundle.
 */
export function trustedAuthorities(extra: readonly string[], environment: NodeJS.ProcessEnv): string[] {
  const named = environment.SSL_CERT_FILE;
  const bundle = [...(named ? [named] : []), ...SYSTEM_BUNDLES].find((path) => existsSync(path));
  // Loaded where it is needed: it would double the time that every start takes.
  const builtIn = () => process.getBuiltinModule("node:tls").rootCertificates;
  const system = bundle === undefined ? builtIn() : [readFileSync(bundle, "utf8")];
  return [...system, ...extra];
}
