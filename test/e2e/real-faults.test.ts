import { afterAll, afterEach, beforeAll, beforeEach, expect } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeFault } from "../../src/terminal/fault.ts";
import {
  type Contents,
  expectedArchive,
  exportFrom,
  importInto,
  MIRROR,
  someContents,
} from "../registry/quirks-carry.ts";
import { image } from "../support/content.ts";
import {
  type DockerRegistry,
  type DockerRegistryOptions,
  startDockerRegistry,
} from "../support/docker-registry.ts";
import { testWith } from "../support/needs.ts";
import { type Nginx, type NginxOptions, startNginx } from "../support/nginx.ts";

/** Nobody asks for one here. */
const login = { username: "nobody", password: "in particular" };
const LIMIT = 60_000;

let folder: string;
let contents: Contents;
let archive: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eksa-airgap-real-faults-"));
  contents = {
    ...(await someContents()),
    "big/image:v1": await image({ seed: "big", layerSizes: [3_000_000] }),
  };
  archive = await expectedArchive(folder, contents);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

let running: { stop(): Promise<void> }[];
let output: string;
beforeEach(async () => {
  running = [];
  output = join(await mkdtemp(join(folder, "test-")), "out.tar");
});
afterEach(() => Promise.all(running.map((server) => server.stop())));

async function registry(options: DockerRegistryOptions = {}): Promise<DockerRegistry> {
  const started = await startDockerRegistry(options);
  running.push(started);
  return started;
}

async function filled(): Promise<DockerRegistry> {
  const started = await registry();
  await importInto({ ...started, login }, archive);
  return started;
}

async function behindNginx(options: NginxOptions) {
  const started = await startNginx(options);
  running.push(started);
  return { ...started, login };
}

/** How often it has given an answer of this status. */
async function answered({ answers }: Nginx, status: number): Promise<number> {
  return (await answers()).filter((line) => line.endsWith(` ${status}`)).length;
}

/** Reads back what an import has put there; the same bytes come out, or something is missing. */
async function expectAllIn({ host, url }: { host: string; url: string }): Promise<void> {
  await exportFrom({ host, url, login }, output, contents, { path: MIRROR, attempts: 400 });
  expect((await Bun.file(output).bytes()).length).toBe((await Bun.file(archive).bytes()).length);
  expect(Bun.SHA256.hash(await Bun.file(output).bytes(), "hex")).toBe(
    Bun.SHA256.hash(await Bun.file(archive).bytes(), "hex"),
  );
}

const withRegistry = testWith("docker-registry");
const withBoth = testWith("docker-registry", "nginx");

withRegistry(
  "docker-registry in read-only mode is named as what it is, and can still be read",
  async () => {
    const { directory, stop } = await filled();
    running = running.filter((server) => server.stop !== stop);
    try {
      const readOnly = await registry({ mode: { kind: "readOnly" }, directory });
      await expectAllIn(readOnly);
      const empty = await registry({ mode: { kind: "readOnly" } });
      const failure: unknown = await importInto({ ...empty, login }, archive).catch(
        (error: unknown) => error,
      );
      const { message, because } = describeFault(failure);
      expect([message, ...because].join("\n")).toContain("answered 405");
    } finally {
      await stop();
    }
  },
  LIMIT,
);

withRegistry(
  "a pull-through cache gives the same archive, when it is empty and when it is full",
  async () => {
    const upstream = await filled();
    const cache = await registry({ mode: { kind: "cache", of: upstream.url } });
    await expectAllIn(cache);
    await expectAllIn(cache);
  },
  LIMIT,
);

withBoth(
  "behind nginx that answers 429 to most requests, everything goes out and in",
  async () => {
    const upstream = await filled();
    const limit = {
      http: "limit_req_zone $binary_remote_addr zone=all:1m rate=100r/s;\nlimit_req_status 429;",
      location: "limit_req zone=all;",
    };
    const out = await behindNginx({ upstream: upstream.host, ...limit });
    await expectAllIn(out);
    expect(await answered(out, 429)).toBeGreaterThan(0);
    const empty = await registry();
    const into = await behindNginx({ upstream: empty.host, ...limit });
    await importInto(into, archive, { attempts: 400, firstDelay: 5 });
    expect(await answered(into, 429)).toBeGreaterThan(0);
    await expectAllIn(empty);
  },
  LIMIT,
);

withBoth(
  "behind nginx that answers 503 to every third request, everything goes out and in",
  async () => {
    const faults = {
      http: "split_clients $request_id $bad {\n33% 1;\n* 0;\n}",
      location: "if ($bad) { return 503; }",
    };
    const upstream = await filled();
    const out = await behindNginx({ upstream: upstream.host, ...faults });
    await expectAllIn(out);
    expect(await answered(out, 503)).toBeGreaterThan(0);
    const empty = await registry();
    const into = await behindNginx({ upstream: empty.host, ...faults });
    await importInto(into, archive, { attempts: 40 });
    expect(await answered(into, 503)).toBeGreaterThan(0);
    await expectAllIn(empty);
  },
  LIMIT,
);

withBoth(
  "bodies that nginx cuts off in the middle go on from where they were",
  async () => {
    const upstream = await filled();
    const slow = await behindNginx({
      upstream: upstream.host,
      location: "proxy_buffering on;\nlimit_rate 2m;",
    });
    const exporting = expectAllIn(slow);
    for (let times = 0; times < 3; times++) {
      await Bun.sleep(250);
      await slow.restart();
    }
    await exporting;
    expect(await answered(slow, 206)).toBeGreaterThan(0);
    expect((await slow.answers()).filter((line) => line.startsWith("HEAD"))).toEqual([]);
  },
  LIMIT,
);

withBoth(
  "behind nginx that takes only small bodies, large blobs are sent in pieces",
  async () => {
    const empty = await registry();
    const front = await behindNginx({ upstream: empty.host, location: "client_max_body_size 1m;" });
    await importInto(front, archive);
    expect(await answered(front, 413)).toBeGreaterThan(0);
    await expectAllIn(empty);
  },
  LIMIT,
);
