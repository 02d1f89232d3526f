import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Hosts } from "./hosts.ts";
import { LOGIN, type PrivateRegistry } from "./private-registry.ts";

export const PODMAN_TOOLS = ["podman", "conmon", "runc", "catatonit"] as const;

/** podman in the air gap, logged in to its registry. Where it looks for others is in `/etc/containers`. */
export class Podman {
  readonly #hosts: Hosts;

  private constructor(hosts: Hosts) {
    this.#hosts = hosts;
  }

  /** `pause`: the image that every pod needs. */
  static async logIn(hosts: Hosts, registry: PrivateRegistry, pause: string): Promise<Podman> {
    const storage = join(hosts.folder, "memory", "podman");
    const files = {
      "policy.json": '{"default": [{"type": "insecureAcceptAnything"}]}',
      "storage.conf": `[storage]\ndriver = "overlay"\ngraphroot = "${storage}/root"\nrunroot = "${storage}/run"\n`,
      "containers.conf": `[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
infra_image = "${pause}"
infra_command = "/bin/sleep 1000000"
`,
    };
    for (const [name, content] of Object.entries(files))
      await writeFile(join(settings(hosts), name), content);
    const podman = new Podman(hosts);
    const { username, password } = LOGIN;
    await podman.run("login", "--username", username, "--password", password, registry.host);
    // `kube play` would pull it without the login.
    await podman.run("pull", "--quiet", pause);
    return podman;
  }

  run(...args: string[]): Promise<string> {
    return this.#hosts.output("air", ["podman", ...args]);
  }

  /** What each container of a pod on the host's network has in its file `path`; a container an image. */
  async play(images: readonly string[], path: string): Promise<string[]> {
    const containers = images.map((image, index) => ({ name: `c${index}`, image }));
    const pod = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "p" },
      spec: { hostNetwork: true, containers },
    };
    const file = join(this.#hosts.folder, "air", "pod.yaml");
    await writeFile(file, JSON.stringify(pod));
    await this.run("kube", "play", "--quiet", file);
    const contents: string[] = [];
    for (const { name } of containers) contents.push(await this.run("exec", `p-${name}`, "/bin/cat", path));
    await this.run("kube", "down", file);
    return contents;
  }
}

/** Stands for `/etc/containers`. */
export function settings({ folder }: Hosts): string {
  return join(folder, "air", "containers");
}

/** The files by which podman finds public names in the mirror. Spec: containers-registries.conf(5). */
export async function writeRegistries(
  folder: string,
  { host, ca, namespaces }: PrivateRegistry,
): Promise<void> {
  const tables = [...namespaces].map(
    ([registry, namespace]) =>
      `[[registry]]\nlocation = "${registry}"\n[[registry.mirror]]\nlocation = "${host}/${namespace}"\n`,
  );
  const authority = join(folder, "certs.d", host, "ca.crt");
  await mkdir(join(folder, "registries.conf.d"), { recursive: true });
  await mkdir(dirname(authority), { recursive: true });
  await writeFile(join(folder, "registries.conf.d", "mirror.conf"), tables.join("\n"));
  await Bun.write(authority, Bun.file(ca));
}
