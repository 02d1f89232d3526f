import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { executable, type Running, type RunOptions } from "../executable.ts";
import { PRIVATE_PACKAGES } from "../packages.ts";
import { type Authority, makeAuthority } from "../tls.ts";
import { Hosts, MIRROR, PROXY } from "./hosts.ts";
import type { Inventory, Listed } from "./inventory.ts";
import { NAMES, ROBOT } from "./origin.ts";
import { BASIC, type Namespaces, PrivateRegistry, REGISTRY_LOGIN } from "./private-registry.ts";

/** What the server in place of the Internet can be told; see `Traffic`. */
type Order = "hold" | "release" | "reset" | "refuse" | "sent";

/** What a registry has of a release. */
interface Audit {
  requests: number;
  /** Different ones, each read to its end. */
  blobs: number;
  wrong: string[];
}

/** The Internet, a host that reaches it through a proxy, and one that does not. */
export class AirGap {
  readonly hosts: Hosts;
  readonly #inventory: Inventory;
  readonly #authority: Authority;
  readonly #jump: Record<string, string>;
  #port = 5000;

  private constructor(
    hosts: Hosts,
    parts: { inventory: Inventory; authority: Authority; jump: Record<string, string> },
  ) {
    this.hosts = hosts;
    this.#inventory = parts.inventory;
    this.#authority = parts.authority;
    this.#jump = parts.jump;
  }

  static async start(): Promise<AirGap> {
    const hosts = await Hosts.start({ names: NAMES });
    try {
      const [inet, air] = [join(hosts.folder, "inet"), join(hosts.folder, "air")];
      const known = await makeAuthority(
        inet,
        NAMES.map((name) => `DNS:${name}`),
      );
      await startInternet(hosts, known);
      await startProxy(hosts);
      const inventory = JSON.parse(await readFile(inventoryOf(hosts), "utf8"));
      const authority = await makeAuthority(air, [`DNS:${MIRROR}`]);
      return new AirGap(hosts, { inventory, authority, jump: await jumpEnvironment(hosts, known) });
    } catch (error) {
      await hosts.end();
      throw error;
    }
  }

  /** The program on the jump host, by the proxy that there is. */
  online(args: readonly string[], options: RunOptions = {}): Promise<Running> {
    return this.hosts.start("jump", args, { ...options, env: this.#jump });
  }

  /** An export of everything, on the jump host. */
  export(output: string, flags: readonly string[], options: RunOptions = {}): Promise<Running> {
    const args = ["export", "artifacts", "--output", output, "--include-packages", "--no-progress", ...flags];
    return this.online(args, options);
  }

  /** The same as bytes, for a pipe that leads out of the jump host. */
  async exportStream(flags: readonly string[]): Promise<ReadableStream<Uint8Array>> {
    const args = ["export", "artifacts", "--output", "-", "--include-packages", "--quiet", ...flags];
    const child = Bun.spawn([...this.hosts.on("jump"), await executable(), ...args], {
      env: { PATH: process.env.PATH ?? "", HOME: join(this.hosts.folder, "jump"), ...this.#jump },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "inherit",
    });
    return child.stdout;
  }

  /** In the air gap, for the cluster in a file. */
  import(inputs: readonly string[], cluster: string, options: RunOptions = {}): Promise<Running> {
    const from = inputs.flatMap((input) => ["--input", input]);
    const args = ["import", "artifacts", "--filename", cluster, "--no-progress", ...from];
    return this.hosts.start("air", args, { ...options, env: REGISTRY_LOGIN });
  }

  /** Compares a registry with a release, not by the program's own means. */
  async audit(version: string, { host, ca, namespaces }: PrivateRegistry): Promise<Audit> {
    const program = [process.execPath, join(import.meta.dir, "programs", "audit.ts")];
    const args = [inventoryOf(this.hosts), version, `https://${host}`, ca, JSON.stringify([...namespaces])];
    return JSON.parse(await this.hosts.output("air", [...program, ...args], { AUTHORIZATION: BASIC }));
  }

  startRegistry(namespaces?: Namespaces): Promise<PrivateRegistry> {
    return PrivateRegistry.start(this.hosts, { port: this.#port++, authority: this.#authority, namespaces });
  }

  /** What a release consists of. */
  release(version: string): Listed[] {
    const listed = this.#inventory.releases[version];
    if (listed === undefined) throw new Error(`there is no ${version}`);
    return listed;
  }

  /** Bytes of all its blobs, but for those that another release has. */
  size(version: string, without?: string): number {
    const blobsOf = (each: string) => new Set(this.release(each).flatMap(({ blobs }) => blobs));
    const blobs = without === undefined ? blobsOf(version) : blobsOf(version).difference(blobsOf(without));
    return [...blobs].reduce((sum, digest) => sum + (this.#inventory.sizes[digest] ?? 0), 0);
  }

  async tell(order: Order, what?: number | number[]): Promise<number> {
    const response = await fetch(`http://internet/${order}`, {
      unix: socketOf(this.hosts),
      ...(what === undefined ? {} : { method: "POST", body: String(what) }),
    });
    return Number((await response.text()) || 0);
  }

  end(): Promise<void> {
    return this.hosts.end();
  }
}

const socketOf = ({ folder }: Hosts) => join(folder, "inet", "socket");
const inventoryOf = ({ folder }: Hosts) => join(folder, "inet", "inventory.json");

async function startInternet(hosts: Hosts, { certificate, key }: Authority): Promise<void> {
  const program = join(import.meta.dir, "programs", "internet.ts");
  const files = [certificate, key, socketOf(hosts), inventoryOf(hosts)];
  const daemon = await hosts.daemon("inet", "internet", [process.execPath, program, ...files]);
  for (let tries = 0; tries < 1200; tries++) {
    const said = await daemon.log();
    if (said.includes("ready")) return;
    if (/error/i.test(said)) throw new Error(`there is no Internet: ${said}`);
    await Bun.sleep(25);
  }
  throw new Error("there is no Internet");
}

async function startProxy(hosts: Hosts): Promise<void> {
  const config = join(hosts.folder, "inet", "tinyproxy.conf");
  const lines = [`Port ${PROXY.port}`, `Listen ${PROXY.host}`, "ConnectPort 443", "LogLevel Connect"];
  await writeFile(config, `${lines.join("\n")}\n`);
  await hosts.daemon("inet", "tinyproxy", ["tinyproxy", "-d", "-c", config]);
  for (let tries = 0; tries < 200; tries++) {
    const { status } = await hosts.tool("jump", ["curl", "--silent", `http://${PROXY.host}:${PROXY.port}/`]);
    if (status === 0) return;
    await Bun.sleep(25);
  }
  throw new Error("tinyproxy does not start");
}

/** What somebody at the jump host has set: the proxy, the authorities of the world, a login for packages. */
async function jumpEnvironment({ folder }: Hosts, { ca }: Authority): Promise<Record<string, string>> {
  const docker = join(folder, "jump", "docker");
  await mkdir(docker);
  const auth = Buffer.from(`${ROBOT.username}:${ROBOT.password}`).toString("base64");
  await writeFile(join(docker, "config.json"), JSON.stringify({ auths: { [PRIVATE_PACKAGES]: { auth } } }));
  return { HTTPS_PROXY: `http://${PROXY.host}:${PROXY.port}`, SSL_CERT_FILE: ca, DOCKER_CONFIG: docker };
}
