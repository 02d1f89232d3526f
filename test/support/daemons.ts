import { test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { testWith } from "./needs.ts";

/** A container runtime of its own, away from the machine's. */
export interface Daemon {
  /** Its client's command, up to the words that say what to do. */
  client: readonly string[];
  stop(): Promise<void>;
}

/** As `testWith`, for tools that only root can run; skipped likewise for everybody else. */
export function testAsRootWith(...tools: readonly string[]): typeof test {
  if (process.getuid?.() === 0 || process.env.CI !== undefined) return testWith(...tools);
  return test.skip as typeof test;
}

export async function startContainerd(): Promise<Daemon> {
  const folder = await mkdtemp(join(tmpdir(), "eksa-airgap-containerd-"));
  const [config, socket] = [join(folder, "config.toml"), join(folder, "s.sock")];
  const lines = [
    "version = 2",
    `root = "${folder}/root"`,
    `state = "${folder}/state"`,
    'disabled_plugins = ["io.containerd.grpc.v1.cri"]',
    "[grpc]",
    `address = "${socket}"`,
  ];
  await writeFile(config, `${lines.join("\n")}\n`);
  return start(folder, ["containerd", "--config", config], ["ctr", "--address", socket]);
}

export async function startDockerd(): Promise<Daemon> {
  const folder = await mkdtemp(join(tmpdir(), "eksa-airgap-dockerd-"));
  const host = `unix://${folder}/s.sock`;
  const places = [
    "--data-root",
    `${folder}/data`,
    "--exec-root",
    `${folder}/exec`,
    "--pidfile",
    `${folder}/pid`,
  ];
  const isolated = ["--iptables=false", "--bridge=none", "--storage-driver=vfs"];
  return start(folder, ["dockerd", "--host", host, ...places, ...isolated], ["docker", "--host", host]);
}

/** `podman` with a storage of its own in `folder`; it has no daemon. */
export async function podmanIn(folder: string): Promise<readonly string[]> {
  await mkdir(folder, { recursive: true });
  const config = join(folder, "containers.conf");
  await writeFile(config, '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "none"\n');
  const places = ["--root", `${folder}/root`, "--runroot", `${folder}/run`, "--tmpdir", `${folder}/tmp`];
  return ["env", `CONTAINERS_CONF=${config}`, "podman", ...places, "--storage-driver", "vfs"];
}

/** Runs a tool to its end; fails with what it said when that is not a good one. */
export async function runTool(...command: readonly string[]): Promise<string> {
  const child = Bun.spawn([...command], {
    env: toolEnvironment(),
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  if ((await child.exited) !== 0) throw new Error(`\`${command.join(" ")}\` failed: ${stderr}`);
  return stdout;
}

/** Nothing of the tester's own registries, proxies and certificates. */
function toolEnvironment(): Record<string, string> {
  return { PATH: process.env.PATH ?? "", HOME: process.env.HOME ?? "/", TMPDIR: tmpdir() };
}

async function start(folder: string, command: string[], client: readonly string[]): Promise<Daemon> {
  const log = Bun.file(join(folder, "log"));
  const child = Bun.spawn(command, { env: toolEnvironment(), stdin: "ignore", stdout: log, stderr: log });
  const stop = async () => {
    child.kill("SIGTERM");
    await Promise.race([child.exited, Bun.sleep(10_000)]);
    child.kill("SIGKILL");
    await child.exited;
    killOrphan(join(folder, "exec/containerd/containerd.pid"));
    await unmountBelow(folder);
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await answering(client, child);
  } catch (error) {
    const said = existsSync(join(folder, "log")) ? await log.text() : "";
    await stop();
    throw new Error(`${command[0]} does not start: ${said.slice(-2000)}`, { cause: error });
  }
  return { client, stop };
}

/** Waits up to 30 seconds for an answer. */
async function answering(client: readonly string[], child: Bun.Subprocess): Promise<void> {
  let failure: unknown;
  for (let tries = 0; tries < 300 && child.exitCode === null; tries++) {
    try {
      await runTool(...client, "version");
      return;
    } catch (error) {
      failure = error;
      await Bun.sleep(100);
    }
  }
  throw failure ?? new Error("it ended at once");
}

/** A dockerd that had to be killed leaves its containerd behind. */
function killOrphan(pidFile: string): void {
  if (!existsSync(pidFile)) return;
  const pid = Number(readFileSync(pidFile, "utf8"));
  try {
    if (Number.isInteger(pid) && pid > 1) process.kill(pid, "SIGKILL");
  } catch {
    // It has ended by itself.
  }
}

async function unmountBelow(folder: string): Promise<void> {
  const mounts = await readFile("/proc/self/mounts", "utf8");
  const points = mounts.split("\n").flatMap((line) => line.split(" ")[1] ?? []);
  const inner = points.filter((point) => point.startsWith(`${folder}/`)).reverse();
  for (const point of inner) await runTool("umount", "--lazy", point);
}
