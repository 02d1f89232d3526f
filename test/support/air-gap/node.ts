import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ContainerRuntime } from "./cri.ts";
import type { Daemon, Hosts } from "./hosts.ts";
import { BASIC, type PrivateRegistry } from "./private-registry.ts";

export const NODE_TOOLS = ["containerd", "runc", "busybox"] as const;

export interface NodeOptions {
  /** Tells nodes apart. */
  name: string;
  /** A folder with one below it a registry, and a `hosts.toml` in each. */
  mirrors: string;
  /** The image that every pod needs. */
  pause: string;
}

/** A node of a cluster as far as images are concerned: a containerd that is spoken to as kubelet does. */
export class Node {
  readonly runtime: ContainerRuntime;
  /** Where the runtime listens. */
  readonly socket: string;
  readonly #daemon: Daemon;

  private constructor(runtime: ContainerRuntime, socket: string, daemon: Daemon) {
    this.runtime = runtime;
    this.socket = socket;
    this.#daemon = daemon;
  }

  static async start(hosts: Hosts, { name, mirrors, pause }: NodeOptions): Promise<Node> {
    const folder = join(hosts.folder, "memory", name);
    const [socket, config] = [join(hosts.folder, `${name}.sock`), join(hosts.folder, `${name}.toml`)];
    await writeFile(
      config,
      `version = 2
root = "${folder}/root"
state = "${folder}/state"
[grpc]
  address = "${socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${pause}"
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "${mirrors}"
`,
    );
    const daemon = await hosts.daemon("air", name, ["containerd", "--config", config]);
    for (let tries = 0; tries < 300; tries++) {
      const runtime = new ContainerRuntime(socket);
      try {
        await runtime.version();
        return new Node(runtime, socket, daemon);
      } catch {
        runtime.close();
        await Bun.sleep(50);
      }
    }
    throw new Error(`containerd does not start: ${(await daemon.log()).slice(-2000)}`);
  }

  async stop(): Promise<void> {
    this.runtime.close();
    await this.#daemon.kill();
  }
}

/**
 * The files by which containerd finds public names in the mirror, as EKS Anywhere writes them on nodes.
 * Source: EKS Anywhere, pkg/clusterapi/config/hosts.toml.
 */
export async function writeMirrors(folder: string, { host, ca, namespaces }: PrivateRegistry): Promise<void> {
  for (const [registry, namespace] of namespaces) {
    const place = `host."https://${host}/v2/${namespace}"`;
    await mkdir(join(folder, registry), { recursive: true });
    await writeFile(
      join(folder, registry, "hosts.toml"),
      `[${place}]
  capabilities = ["pull", "resolve"]
  override_path = true
  ca = "${ca}"
  [${place}.header]
    authorization = "${BASIC}"
`,
    );
  }
}
