import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { PRIVATE_PACKAGES } from "../packages.ts";
import type { Authority } from "../tls.ts";
import { type Daemon, type Hosts, MIRROR } from "./hosts.ts";
import { PUBLIC } from "./origin.ts";

export const LOGIN = { username: "robot", password: "s3cret-of-air" } as const;
/** For the program, and EKS Anywhere's. */
export const REGISTRY_LOGIN = {
  REGISTRY_USERNAME: LOGIN.username,
  REGISTRY_PASSWORD: LOGIN.password,
} as const;
export const BASIC = `Basic ${Buffer.from(`${LOGIN.username}:${LOGIN.password}`).toString("base64")}`;

/** Host in the Internet → where its repositories are in the private registry. */
export type Namespaces = ReadonlyMap<string, string>;

const NAMESPACES: Namespaces = new Map([
  [PUBLIC, "mirror"],
  [PRIVATE_PACKAGES, "curated"],
]);

export interface PrivateRegistryOptions {
  port: number;
  /** For `MIRROR`. */
  authority: Authority;
  /** Default: one for each host. */
  namespaces?: Namespaces | undefined;
}

/** Debian's docker-registry in the air gap: TLS by an authority of its own, and a password. */
export class PrivateRegistry {
  /** `HOST:PORT` */
  readonly host: string;
  /** The authority that signed for it; a file. */
  readonly ca: string;
  /** Its storage. */
  readonly directory: string;
  readonly namespaces: Namespaces;
  readonly #hosts: Hosts;
  readonly #config: string;
  #daemon: Daemon | undefined;

  private constructor(hosts: Hosts, { port, authority, namespaces = NAMESPACES }: PrivateRegistryOptions) {
    this.host = `${MIRROR}:${port}`;
    this.ca = authority.ca;
    this.directory = join(hosts.folder, "memory", `registry-${port}`);
    this.namespaces = namespaces;
    this.#hosts = hosts;
    this.#config = join(hosts.folder, "air", `registry-${port}.yml`);
  }

  static async start(hosts: Hosts, options: PrivateRegistryOptions): Promise<PrivateRegistry> {
    const { port, authority } = options;
    const registry = new PrivateRegistry(hosts, options);
    const path = join(hosts.folder, "air", "htpasswd");
    // The registry takes bcrypt only.
    const hash = await Bun.password.hash(LOGIN.password, { algorithm: "bcrypt", cost: 4 });
    await writeFile(path, `${LOGIN.username}:${hash}\n`);
    const config = {
      version: "0.1",
      log: { level: "error", accesslog: { disabled: true } },
      storage: { filesystem: { rootdirectory: registry.directory }, delete: { enabled: true } },
      http: { addr: `:${port}`, tls: { certificate: authority.certificate, key: authority.key } },
      auth: { htpasswd: { realm: "air", path } },
    };
    await writeFile(registry.#config, JSON.stringify(config));
    await registry.rise();
    return registry;
  }

  /** Starts it on what it holds. */
  async rise(): Promise<void> {
    this.#daemon = await this.#hosts.daemon("air", "registry", ["docker-registry", "serve", this.#config]);
    for (let tries = 0; tries < 200; tries++) {
      if ((await this.request("GET", "")).includes("HTTP/")) return;
      await Bun.sleep(25);
    }
    throw new Error(`docker-registry does not start: ${await this.#daemon.log()}`);
  }

  async kill(): Promise<void> {
    await this.#daemon?.kill();
  }

  /** Bytes of what it keeps. */
  async size(): Promise<number> {
    const { status, stdout } = await this.#hosts.tool("air", ["du", "-sb", this.directory]);
    return status === 0 ? Number.parseInt(stdout, 10) : 0;
  }

  /** The head of an answer; empty when there is none. `path` goes below `/v2/`. */
  async request(method: string, path: string, ...headers: string[]): Promise<string> {
    const options = ["--silent", "--cacert", this.ca, "--request", method, "--dump-header", "-"];
    const sent = [`Authorization: ${BASIC}`, ...headers].flatMap((header) => ["--header", header]);
    const url = `https://${this.host}/v2/${path}`;
    return (await this.#hosts.tool("air", ["curl", ...options, "--output", "/dev/null", ...sent, url]))
      .stdout;
  }

  /** A cluster's file that names this registry as its mirror. */
  async clusterFile(eksaVersion: string): Promise<string> {
    const [endpoint, port] = this.host.split(":");
    const ca = (await Bun.file(this.ca).text()).trim().replaceAll(/^/gm, "      ");
    const namespaces = [...this.namespaces].map(
      ([registry, namespace]) => `      - registry: ${registry}\n        namespace: ${namespace}\n`,
    );
    const text = `apiVersion: anywhere.eks.amazonaws.com/v1alpha1
kind: Cluster
metadata:
  name: mgmt
spec:
  kubernetesVersion: "1.31"
  eksaVersion: ${eksaVersion}
  registryMirrorConfiguration:
    endpoint: ${endpoint}
    port: "${port}"
    authenticate: true
    ociNamespaces:
${namespaces.join("")}    caCertContent: |
${ca}
---
apiVersion: anywhere.eks.amazonaws.com/v1alpha1
kind: DockerDatacenterConfig
metadata:
  name: mgmt
`;
    const folder = join(this.#hosts.folder, "air", `${port}-${eksaVersion}`);
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, "cluster.yaml"), text);
    return join(folder, "cluster.yaml");
  }
}
