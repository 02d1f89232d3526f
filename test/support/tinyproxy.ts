import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface Tinyproxy {
  /** Without credentials. */
  url: string;
  host: string;
  /** What it says of the connections so far. */
  log(): Promise<string>;
  stop(): Promise<void>;
}

export interface TinyproxyOptions {
  /** Letters and digits. */
  credentials?: { username: string; password: string };
  /** Ports that a tunnel may lead to. Default: any. */
  ports?: readonly number[];
}

/** Debian's tinyproxy as a process of its own, on a free port of 127.0.0.1. */
export async function startTinyproxy({ credentials, ports = [] }: TinyproxyOptions = {}): Promise<Tinyproxy> {
  const folder = await mkdtemp(join(tmpdir(), "eksa-airgap-tinyproxy-"));
  const logFile = join(folder, "log");
  const port = freePort();
  const lines = [
    `Port ${port}`,
    "Listen 127.0.0.1",
    "Allow 127.0.0.1",
    "LogLevel Connect",
    `LogFile "${logFile}"`,
    ...(credentials === undefined ? [] : [`BasicAuth ${credentials.username} ${credentials.password}`]),
    ...ports.map((port) => `ConnectPort ${port}`),
  ];
  await writeFile(join(folder, "tinyproxy.conf"), `${lines.join("\n")}\n`);
  const child = Bun.spawn(["tinyproxy", "-d", "-c", join(folder, "tinyproxy.conf")], {
    stdout: "ignore",
    stderr: "ignore",
  });
  const host = `127.0.0.1:${port}`;
  await answering(host, child);
  return {
    url: `http://${host}`,
    host,
    log: () => Bun.file(logFile).text(),
    stop: async () => {
      child.kill("SIGKILL");
      await child.exited;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

function freePort(): number {
  const server = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { port } = server;
  server.stop(true);
  return port;
}

async function answering(host: string, child: Bun.Subprocess): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    if (child.exitCode !== null) throw new Error(`tinyproxy ended with ${child.exitCode}`);
    try {
      await fetch(`http://${host}/`);
      return;
    } catch {
      await Bun.sleep(25);
    }
  }
  throw new Error(`tinyproxy does not answer at ${host}`);
}
