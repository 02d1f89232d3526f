import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "./free-port.ts";

/** Who may come in. `token`: asks at `realm`, trusts what `certificate` (a file) has signed. */
type DockerAuth =
  | { kind: "htpasswd"; username: string; password: string }
  | { kind: "token"; realm: string; service: string; issuer: string; certificate: string };

export interface DockerRegistryOptions {
  /** Files in PEM form; `clientcas`: lets in only who shows a certificate of theirs. */
  tls?: { certificate: string; key: string; clientcas?: readonly string[] };
  auth?: DockerAuth;
  /** `readOnly`: as during garbage collection. `of`: a pull-through cache of the registry at this URL. */
  mode?: { kind: "readOnly" } | { kind: "cache"; of: string };
  /** What another registry has left in its storage, to begin with. */
  directory?: string;
  /** Where its storage is made, and removed at the end. Default: the temporary folder. */
  parent?: string;
}

export interface DockerRegistry {
  /** `127.0.0.1:PORT` */
  host: string;
  url: string;
  /** Its storage. */
  directory: string;
  stop(): Promise<void>;
}

/** A folder for what need not outlive the run: in memory where that is possible. */
export function fastFolder(): string {
  return existsSync("/dev/shm") ? "/dev/shm" : tmpdir();
}

/** Debian's docker-registry (distribution 2.8) as a process of its own, on a free port. */
export async function startDockerRegistry(options: DockerRegistryOptions = {}): Promise<DockerRegistry> {
  const folder = await mkdtemp(join(options.parent ?? tmpdir(), "eksa-airgap-docker-registry-"));
  const directory = options.directory ?? join(folder, "data");
  const host = `127.0.0.1:${await freePort()}`;
  const url = `${options.tls === undefined ? "http" : "https"}://${host}`;
  const config = {
    version: "0.1",
    log: { level: "error", accesslog: { disabled: true } },
    storage: {
      filesystem: { rootdirectory: directory },
      delete: { enabled: true },
      ...(options.mode?.kind === "readOnly" && { maintenance: { readonly: { enabled: true } } }),
    },
    ...(options.mode?.kind === "cache" && { proxy: { remoteurl: options.mode.of } }),
    http: { addr: host, ...(options.tls && { tls: options.tls }) },
    ...(options.auth && { auth: await authConfig(options.auth, folder) }),
  };
  const file = join(folder, "config.yml");
  await writeFile(file, JSON.stringify(config));
  const child = Bun.spawn(["docker-registry", "serve", file], { stdout: "ignore", stderr: "ignore" });
  await answering(host, child.exited);
  return {
    host,
    url,
    directory,
    stop: async () => {
      child.kill("SIGKILL");
      await child.exited;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function authConfig(auth: DockerAuth, folder: string): Promise<object> {
  if (auth.kind === "token") {
    const { realm, service, issuer, certificate } = auth;
    return { token: { realm, service, issuer, rootcertbundle: certificate } };
  }
  const path = join(folder, "htpasswd");
  // The registry takes bcrypt only.
  const hash = await Bun.password.hash(auth.password, { algorithm: "bcrypt", cost: 4 });
  await writeFile(path, `${auth.username}:${hash}\n`);
  return { htpasswd: { realm: "test", path } };
}

async function answering(host: string, exited: Promise<number>): Promise<void> {
  let status: number | undefined;
  void exited.then((code) => {
    status = code;
  });
  for (let tries = 0; tries < 200; tries++) {
    if (status !== undefined) throw new Error(`docker-registry ended with ${status}`);
    try {
      // On a port for TLS this has an answer, too.
      await fetch(`http://${host}/v2/`);
      return;
    } catch {
      await Bun.sleep(25);
    }
  }
  throw new Error(`docker-registry does not answer at ${host}`);
}
