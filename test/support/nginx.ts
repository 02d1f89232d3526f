import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "./free-port.ts";

export interface Nginx {
  /** `127.0.0.1:PORT` */
  host: string;
  url: string;
  /** `METHOD PATH STATUS` of every request that came to an end. */
  answers(): Promise<string[]>;
  /** Ends all connections where they are, and begins anew. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

export interface NginxOptions {
  /** `HOST:PORT` of what is behind it, on plain http. */
  upstream: string;
  /** Parameters of its own address, e.g. `ssl`. */
  listen?: string;
  /** Directives for all servers. */
  http?: string;
  /** Directives for the way to the upstream. */
  location?: string;
}

/** A reverse proxy as a process of its own, on a free port. */
export async function startNginx(options: NginxOptions): Promise<Nginx> {
  const { upstream, listen = "", http = "", location = "" } = options;
  const folder = await mkdtemp(join(tmpdir(), "eksa-airgap-nginx-"));
  const host = `127.0.0.1:${await freePort()}`;
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((name) => `${name}_temp_path ${folder}/${name};`)
    .join("\n");
  const config = `
daemon off;
master_process off;
pid ${folder}/pid;
error_log ${folder}/error.log;
events {}
http {
${temporary}
log_format answers '$request_method $uri $status';
access_log ${folder}/answers.log answers;
client_max_body_size 0;
${http}
server {
listen ${host} ${listen};
location / {
proxy_pass http://${upstream};
proxy_http_version 1.1;
proxy_set_header Host $http_host;
${location}
}
}
}
`;
  await writeFile(join(folder, "nginx.conf"), config);
  const begin = () => run(folder, host);
  let child = await begin();
  const end = async () => {
    child.kill("SIGKILL");
    await child.exited;
  };
  return {
    host,
    url: `http://${host}`,
    answers: async () => (await Bun.file(join(folder, "answers.log")).text()).trimEnd().split("\n"),
    restart: async () => {
      await end();
      child = await begin();
    },
    stop: async () => {
      await end();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function run(folder: string, host: string): Promise<Bun.Subprocess> {
  const command = ["nginx", "-p", folder, "-c", join(folder, "nginx.conf"), "-e", join(folder, "error.log")];
  const child = Bun.spawn(command, { stdin: "ignore", stdout: "ignore", stderr: "ignore" });
  for (let tries = 0; tries < 200 && child.exitCode === null; tries++) {
    try {
      // On a port for TLS this has an answer, too.
      await fetch(`http://${host}/`);
      return child;
    } catch {
      await Bun.sleep(25);
    }
  }
  child.kill("SIGKILL");
  throw new Error(`nginx does not answer: ${await Bun.file(join(folder, "error.log")).text()}`);
}
