import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Running, type RunOptions, type RunResult, startExecutable } from "../executable.ts";

/**
 * `inet`: all of the Internet. `jump`: reaches it through a proxy, and no other way.
 * `air`: reaches nobody, and what it sends out all the same is counted.
 */
type HostName = "inet" | "jump" | "air";

const TOOLS = ["unshare", "nsenter", "setpriv", "catatonit", "ip", "iptables", "curl"] as const;

/** What it takes to have the hosts. Root in a container need not have that right. */
export const HOST_TOOLS = mayUnshare() ? TOOLS : ([...TOOLS, "the right to make namespaces"] as const);

function mayUnshare(): boolean {
  const command = ["unshare", "--net", "--mount", "--pid", "--fork", "true"];
  return (
    process.platform === "linux" &&
    process.getuid?.() === 0 &&
    Bun.which("unshare") !== null &&
    Bun.spawnSync(command, { stdout: "ignore", stderr: "ignore" }).success
  );
}

/** Where the Internet is, on its own host. */
export const INTERNET = "198.51.100.10";
export const PROXY = { host: "192.0.2.2", port: 3128 } as const;
/** The private registry's name, on `air`. */
export const MIRROR = "registry.test";

export interface HostsOptions {
  /** Names of hosts in the Internet. */
  names: readonly string[];
}

/** Something that goes on running on a host. */
export interface Daemon {
  /** What it has said so far. */
  log(): Promise<string>;
  /** At once. */
  kill(): Promise<void>;
}

/** Three hosts in namespaces; they end with this process, however it ends. */
export class Hosts {
  /** On all hosts; what is below `memory` is only there, and on no disk. */
  readonly folder: string;
  readonly #holder: Bun.Subprocess<"pipe", "pipe", "inherit">;
  /** In the namespaces' own numbering. */
  readonly #processes: Readonly<Record<HostName, number>>;

  private constructor(
    folder: string,
    holder: Bun.Subprocess<"pipe", "pipe", "inherit">,
    processes: Readonly<Record<HostName, number>>,
  ) {
    this.folder = folder;
    this.#holder = holder;
    this.#processes = processes;
  }

  static async start({ names }: HostsOptions): Promise<Hosts> {
    const folder = await mkdtemp(join(tmpdir(), "eksa-airgap-hosts-"));
    await mkdir(join(folder, "memory"));
    const resolvers = { inet: "127.0.0.1", jump: "127.0.0.1", air: "198.51.100.53" };
    const known = { inet: `${INTERNET} ${names.join(" ")}`, jump: "", air: `192.0.2.10 ${MIRROR}` };
    for (const name of ["inet", "jump", "air"] as const) {
      await mkdir(join(folder, name, "containers"), { recursive: true });
      await writeFile(join(folder, name, "hosts"), `127.0.0.1 localhost\n${known[name]}\n`);
      const resolver = `nameserver ${resolvers[name]}\noptions attempts:1 timeout:1\n`;
      await writeFile(join(folder, name, "resolv.conf"), resolver);
    }
    const apart = ["--net", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"];
    const script = ["sh", join(import.meta.dir, "hosts.sh"), folder];
    const holder = Bun.spawn(["unshare", ...apart, "--mount-proc", "catatonit", "--", ...script], {
      env: toolEnvironment(),
      stdin: "pipe",
      stdout: "pipe",
      stderr: "inherit",
    });
    const { value } = await holder.stdout.getReader().read();
    if (value === undefined) throw new Error("cannot set up the hosts");
    const [inet = 0, jump = 0, air = 0] = new TextDecoder().decode(value).trim().split(" ").map(Number);
    return new Hosts(folder, holder, { inet, jump, air });
  }

  /** The words before a command that make it run on a host, in the folder `cwd`. Killed, it takes the command along. */
  on(host: HostName, cwd = join(this.folder, host)): string[] {
    const { pid } = this.#holder;
    const spaces = [
      `--mount=/proc/${pid}/root/proc/${this.#processes[host]}/ns/mnt`,
      `--net=/proc/${pid}/root/run/netns/${host}`,
      `--pid=/proc/${pid}/ns/pid_for_children`,
    ];
    return ["nsenter", ...spaces, "--", "setpriv", "--pdeathsig", "KILL", "env", `--chdir=${cwd}`];
  }

  /** Runs a tool to its end, whatever that is. */
  async tool(
    host: HostName,
    command: readonly string[],
    env: Record<string, string> = {},
  ): Promise<RunResult> {
    const child = Bun.spawn([...this.on(host), ...command], {
      env: { ...toolEnvironment(), ...env },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const [stdout, stderr] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
    ]);
    return { status: await child.exited, stdout, stderr };
  }

  /** What a tool prints; fails with what it said when its end is not a good one. */
  async output(
    host: HostName,
    command: readonly string[],
    env: Record<string, string> = {},
  ): Promise<string> {
    const { status, stdout, stderr } = await this.tool(host, command, env);
    if (status !== 0) throw new Error(`\`${command.join(" ")}\` on ${host} ended with ${status}: ${stderr}`);
    return stdout;
  }

  /** Starts the compiled program on a host. */
  start(host: HostName, args: readonly string[], options: RunOptions = {}): Promise<Running> {
    return startExecutable(args, { ...options, through: this.on(host, options.cwd) });
  }

  async daemon(host: HostName, name: string, command: readonly string[]): Promise<Daemon> {
    const log = Bun.file(join(this.folder, host, `${name}.log`));
    await Bun.write(log, "");
    const options = { env: toolEnvironment(), stdin: "ignore", stdout: log, stderr: log } as const;
    const child = Bun.spawn([...this.on(host), ...command], options);
    return {
      log: () => log.text(),
      kill: async () => {
        child.kill("SIGKILL");
        await child.exited;
      },
    };
  }

  /** The wire between `jump` and its proxy. */
  async link(state: "up" | "down"): Promise<void> {
    await this.output("jump", ["ip", "link", "set", "inet", state]);
  }

  /** Packets that tried to leave `air` since the last time; names that had to be looked up are among them. */
  async leaks(): Promise<number> {
    const listed = await this.output("air", ["iptables", "-w", "-nvx", "-L", "OUTPUT", "-Z"]);
    const packets = /^\s*(\d+)\s+\d+\s+REJECT\b/m.exec(listed)?.[1];
    if (packets === undefined) throw new Error(`cannot read the counter: ${listed}`);
    return Number(packets);
  }

  async end(): Promise<void> {
    this.#holder.stdin.end();
    await this.#holder.exited;
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** Nothing of the tester's own registries, proxies and certificates. */
function toolEnvironment(): Record<string, string> {
  return { PATH: process.env.PATH ?? "", HOME: "/nonexistent", TMPDIR: tmpdir() };
}
