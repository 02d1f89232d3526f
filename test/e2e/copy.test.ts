import { afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { digestOf } from "../../src/oci/digest.ts";
import { leaks } from "../registry/quirks-carry.ts";
import { image, layer, multiArchImage, referrer, seed, type TestContent } from "../support/content.ts";
import { startDockerRegistry } from "../support/docker-registry.ts";
import { type RunOptions, type RunResult, runExecutable } from "../support/executable.ts";
import { testWith } from "../support/needs.ts";
import { type Quirks, type QuirkyRegistry, startQuirkyRegistry } from "../support/quirks.ts";
import { partsOf, type Release, releaseOf } from "../support/release.ts";
import { PLAIN, push, skopeo } from "./skopeo.ts";
import { expectFailure } from "./stage.ts";

const HOST = "public.ecr.aws";
const FIRST = `${HOST}/eks-anywhere/first:v1`;
const SECOND = `${HOST}/eks-distro/second:v2`;
const BUNDLES = "eks-anywhere/bundles";

let release: Release;
beforeAll(async () => {
  const base = [await layer("base", 50_000)];
  const artifacts = new Map<string, TestContent>([
    [FIRST, await multiArchImage({ seed: "first", base, layerSizes: [300_000] })],
    [SECOND, await image({ seed: "second", base, layerSizes: [2000] })],
  ]);
  release = releaseOf(artifacts);
});

let folder: string;
let bundles: string;
const running: { stop(): Promise<unknown> }[] = [];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "eksa-airgap-copy-"));
  bundles = join(folder, "bundles.yaml");
  await writeFile(bundles, release.yaml);
});
afterEach(async () => {
  await Promise.all(running.splice(0).map((server) => server.stop()));
  await rm(folder, { recursive: true, force: true });
});

async function start(name: string, quirks: Quirks = {}): Promise<QuirkyRegistry> {
  const registry = await startQuirkyRegistry(quirks, name);
  running.push(registry);
  return registry;
}

/** A registry that has the release. */
async function startSource(quirks: Quirks = {}): Promise<QuirkyRegistry> {
  const source = await start("source", quirks);
  for (const [reference, content] of release.artifacts) {
    const { repository, tag } = partsOf(reference);
    await seed(source.store, repository, tag, content);
  }
  return source;
}

function args(source: { url: string }, target: { url: string }, ...flags: string[]): string[] {
  const from = ["--bundles-override", bundles, "--mirror", `${HOST}=${source.url}`];
  return ["copy", "artifacts", ...from, "-r", `${target.url}/eksa`, ...flags];
}

/** With the source's login in a file, and the target's in the environment. */
async function copy(source: QuirkyRegistry, target: QuirkyRegistry, ...flags: string[]): Promise<RunResult> {
  const auth = btoa(`${source.login.username}:${source.login.password}`);
  const auths = { [source.host]: { auth } };
  await writeFile(join(folder, "config.json"), JSON.stringify({ auths }));
  const { username, password } = target.login;
  const options: RunOptions = {
    cwd: folder,
    env: { DOCKER_CONFIG: folder, REGISTRY_USERNAME: username, REGISTRY_PASSWORD: password },
  };
  return runExecutable(args(source, target, ...flags), options);
}

/** What is not in the registry as it ought to be. */
async function missingIn({ store }: QuirkyRegistry): Promise<string[]> {
  const missing: string[] = [];
  for (const [reference, { root, manifests, blobs }] of release.artifacts) {
    const { repository, tag = "" } = partsOf(reference);
    const place = `eksa/${repository}`;
    if ((await store.manifest(place, tag))?.digest !== root.digest) missing.push(reference);
    for (const { digest } of manifests) {
      if ((await store.manifest(place, digest)) === undefined) missing.push(`${reference} ${digest}`);
    }
    for (const digest of blobs.keys()) {
      const blob = await store.blob(place, digest);
      const bytes = blob && (await new Response(blob.read(0, blob.size)).bytes());
      if (bytes === undefined || digestOf(bytes) !== digest) missing.push(`${reference} ${digest}`);
    }
  }
  if ((await store.manifest(`eksa/${BUNDLES}`, "bundles-1")) === undefined) missing.push(BUNDLES);
  return missing;
}

function blobsRead({ ledger }: QuirkyRegistry): string[] {
  const reads = ledger.filter(({ method, path }) => method === "GET" && path.includes("/blobs/"));
  return reads.map(({ path }) => path);
}

function writes({ ledger }: QuirkyRegistry): string[] {
  const changing = ledger.filter(({ method, role }) => role === "registry" && !/^(?:GET|HEAD)$/.test(method));
  return changing.map(({ method, path }) => `${method} ${path}`);
}

describe("a copy from one registry to another", () => {
  test("puts everything in its place, and shows each its own login alone", async () => {
    const source = await startSource();
    const target = await start("target");
    const result = await copy(source, target);
    expect(result.status, result.stderr).toBe(0);
    const [endpoint, port] = target.host.split(":");
    expect(result.stdout).toBe(
      `registryMirrorConfiguration:\n  endpoint: ${endpoint}\n  port: "${port}"\n  ociNamespaces:\n    - registry: ${HOST}\n      namespace: eksa\n  authenticate: true\n`,
    );
    expect(result.stderr).toContain("copied 3 artifacts");
    expect(await missingIn(target)).toEqual([]);
    expect(leaks(source, target)).toEqual([]);
    for (const { ledger, login } of [source, target]) {
      const known = `Basic ${btoa(`${login.username}:${login.password}`)}`;
      expect(ledger.some(({ headers }) => headers.get("authorization") === known)).toBe(true);
    }
  });

  test("fetches a blob once, mounts it elsewhere, and sends nothing the second time", async () => {
    const source = await startSource();
    const target = await start("target");
    expect((await copy(source, target)).status).toBe(0);
    const read = blobsRead(source).map((path) => path.split("/").at(-1));
    expect(read).toHaveLength(new Set(read).size);
    expect(writes(target).some((line) => /^POST .*[?&]mount=/.test(line))).toBe(true);
    for (const { ledger } of [source, target]) ledger.length = 0;
    expect(await copy(source, target)).toMatchObject({ status: 0 });
    expect(writes(target)).toEqual([]);
    // Only the config that says what a bare image runs on is read again.
    expect(blobsRead(source)).toHaveLength(1);
  });

  test("says beforehand what would go where, and writes nothing", async () => {
    const source = await startSource();
    const target = await start("target");
    const before = await copy(source, target, "--dry-run");
    expect(before.status, before.stderr).toBe(0);
    const digest = release.artifacts.get(FIRST)?.root.digest;
    const line = `${FIRST}@${digest} -> ${target.host}/eksa/eks-anywhere/first:v1`;
    const rowOf = ({ stdout }: RunResult) => stdout.split("\n").find((row) => row.startsWith(`${line}  `));
    expect(rowOf(before)).toEndWith("  to be sent");
    expect(before.stderr).toContain("was not tried");
    expect(writes(target)).toEqual([]);
    expect(blobsRead(source)).toHaveLength(1);
    expect((await copy(source, target)).status).toBe(0);
    const after = await copy(source, target, "--dry-run");
    expect(rowOf(after)).toEndWith("  already there");
    expect(after.stdout).toContain("; 3 are already there");
  });

  test("of what lies at the target's own host, behind a mirror, needs no other login", async () => {
    const both = await startSource();
    const result = await copy(both, both);
    expect(result.status, result.stderr).toBe(0);
    expect(await missingIn(both)).toEqual([]);
    expect(leaks(both, undefined).filter((line) => !line.startsWith("registry HEAD"))).toEqual([]);
  });

  test("takes signatures along", async () => {
    const source = await startSource();
    const target = await start("target");
    const { root } = release.artifacts.get(SECOND) ?? expect.unreachable();
    const signature = referrer({ subject: root, artifactType: "application/vnd.test", body: "signed" });
    await seed(source.store, partsOf(SECOND).repository, undefined, signature);
    const result = await copy(source, target, "--include-signatures");
    expect(result.status, result.stderr).toBe(0);
    const stored = await target.store.manifest("eksa/eks-distro/second", signature.root.digest);
    expect(stored?.digest).toBe(signature.root.digest);
  });
});

describe("a copy that cannot be done", () => {
  test("to where there is no right to push has fetched no blob", async () => {
    const source = await startSource();
    const target = await start("target", { repositoryMustExist: 401 });
    const result = await copy(source, target, "--report", "report.json");
    expectFailure(
      result,
      1,
      `cannot copy to ${target.url}/eksa: nothing has been sent`,
      "create the project",
    );
    expect(blobsRead(source)).toHaveLength(1);
    const { artifacts } = JSON.parse(await readFile(join(folder, "report.json"), "utf8"));
    const names = artifacts.map(({ reference, state }: Record<string, string>) => `${reference} ${state}`);
    expect(names).toContain(`${target.host}/eksa/eks-anywhere/first:v1 failed`);
    expect(names).toHaveLength(3);
  });

  test("in part goes on if asked to, and names what is missing", async () => {
    const source = await startSource();
    const target = await start("target");
    const { blobs } = release.artifacts.get(SECOND) ?? expect.unreachable();
    const [first] = [...blobs].filter(([, bytes]) => bytes.length > 1000 && bytes.length < 10_000);
    const lost = first?.[0] ?? expect.unreachable();
    const proxy = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: async (request) => {
        const { pathname, search } = new URL(request.url);
        if (pathname.endsWith(`/blobs/${lost}`)) return new Response(null, { status: 404 });
        return fetch(`${source.url}${pathname}${search}`, { headers: { ...request.headers.toJSON() } });
      },
    });
    running.push({ stop: async () => proxy.stop(true) });
    const open = { ...source, host: `127.0.0.1:${proxy.port}`, url: `http://127.0.0.1:${proxy.port}` };
    const result = await copy(open, target, "--keep-going", "--report", "report.json");
    expectFailure(result, 3, "cannot copy: 1 of 3 artifacts are missing", "404");
    expect(new Set((await missingIn(target)).map((line) => line.split(" ")[0]))).toEqual(new Set([SECOND]));
    const { artifacts } = JSON.parse(await readFile(join(folder, "report.json"), "utf8"));
    const states = new Map(
      artifacts.map(({ reference, state }: Record<string, string>) => [reference, state]),
    );
    expect(states.get(`${target.host}/eksa/eks-distro/second:v2`)).toBe("failed");
    expect(states.get(`${target.host}/eksa/eks-anywhere/first:v1`)).toBe("done");
    // The rest goes when it can be had.
    expect((await copy(source, target)).status).toBe(0);
    expect(await missingIn(target)).toEqual([]);
  });

  test("because the source lies ends with 4, and sets no tag", async () => {
    const source = await startSource({ challenge: "open" });
    const target = await start("target");
    const { blobs } = release.artifacts.get(SECOND) ?? expect.unreachable();
    const [wrong] = [...blobs.keys()].filter((digest) => (blobs.get(digest)?.length ?? 0) > 1000);
    const proxy = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: async (request) => {
        const { pathname, search } = new URL(request.url);
        const answer = await fetch(`${source.url}${pathname}${search}`);
        if (!pathname.endsWith(`/blobs/${wrong}`)) return answer;
        const bytes = await answer.bytes();
        bytes[0] = (bytes[0] ?? 0) ^ 1;
        return new Response(bytes);
      },
    });
    running.push({ stop: async () => proxy.stop(true) });
    const liar = { ...source, host: `127.0.0.1:${proxy.port}`, url: `http://127.0.0.1:${proxy.port}` };
    const result = await copy(liar, target, "--keep-going");
    expectFailure(result, 4, `cannot verify ${wrong}`);
    expect(await target.store.manifest("eksa/eks-distro/second", "v2")).toBeUndefined();
  });

  test("to a registry that is to be read from a mirror is refused", async () => {
    const [source, target] = [await start("source"), await start("target")];
    const result = await copy(source, target, "--mirror", `${target.host}=${source.url}`);
    expectFailure(result, 2, `cannot send to ${target.host} and read it from a mirror`);
  });
});

testWith("docker-registry", "skopeo")("between real registries keeps every digest", async () => {
  const [source, target] = await Promise.all([startDockerRegistry(), startDockerRegistry()]);
  running.push(source, target);
  for (const [reference, content] of release.artifacts) await push(source, reference, content);
  const result = await runExecutable(args(source, target));
  expect(result.status, result.stderr).toBe(0);
  for (const [reference, { manifests }] of release.artifacts) {
    const { repository, tag } = partsOf(reference);
    const [from, to] = [`${source.host}/${repository}`, `${target.host}/eksa/${repository}`];
    const raws = await Promise.all(
      [from, to].map((name) => skopeo("inspect", "--raw", ...PLAIN, `docker://${name}:${tag}`)),
    );
    expect(raws[1]).toEqual(raws[0] ?? expect.unreachable());
    for (const { digest } of manifests) {
      expect(digestOf(await skopeo("inspect", "--raw", ...PLAIN, `docker://${to}@${digest}`))).toBe(digest);
    }
    // Every blob, hashed by another program on its way.
    await skopeo("copy", "--all", "--src-tls-verify=false", `docker://${to}:${tag}`, `dir:${folder}/${tag}`);
  }
});
