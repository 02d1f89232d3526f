import { afterEach, expect, test } from "bun:test";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Digest } from "../../src/oci/digest.ts";
import { Fault } from "../../src/oci/fault.ts";
import type { Root } from "../../src/oci/plan.ts";
import { type Obstacle, preflight } from "../../src/registry/preflight.ts";
import { image, seed } from "../support/content.ts";
import { type DockerRegistryOptions, startDockerRegistry } from "../support/docker-registry.ts";
import { textOf } from "../support/faults.ts";
import { testWith } from "../support/needs.ts";
import { startRegistry, type TestRegistryOptions } from "../support/registry.ts";
import { startTokenServer } from "../support/token-server.ts";
import { connect } from "./connect.ts";
import { asked, ROBOT } from "./fill.ts";
import { stoppedAfterEach } from "./started.ts";

const DIGEST: Digest = `sha256:${"1".repeat(64)}`;
const UPLOADS = "/blobs/uploads/";

const started = stoppedAfterEach();
const start = (options: TestRegistryOptions = {}) => started(startRegistry(options));

const folders: string[] = [];
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
});

function rootAt(registry: string, repository: string, digest: Digest = DIGEST): Root {
  const descriptor = { mediaType: "application/vnd.oci.image.manifest.v1+json", digest, size: 1 };
  return { reference: { registry, repository, tag: "v1" }, descriptor };
}

interface Place {
  url: string;
  host: string;
}

function check(
  { url, host }: Place,
  repositories: readonly string[],
  isLoggedIn = true,
): Promise<Obstacle[]> {
  const registries = connect({
    urls: [url],
    credentials: () => (isLoggedIn ? { kind: "password", ...ROBOT } : undefined),
  });
  return preflight(
    registries,
    repositories.map((repository) => rootAt(host, repository)),
  );
}

/** What stands in the way, as a person reads it. */
function shown(obstacles: readonly Obstacle[]): [string, string, string | undefined][] {
  return obstacles.map(({ what, error }) => [what, textOf(error), error.hint]);
}

function refusing(status: number, code: string, matches = (_: URL) => true): TestRegistryOptions {
  return {
    intercept: (request, url) =>
      request.method === "POST" && url.pathname.endsWith(UPLOADS) && matches(url)
        ? Response.json({ errors: [{ code, message: "no" }] }, { status })
        : undefined,
  };
}

test("of each project one repository is asked, by an upload that is begun and cancelled", async () => {
  const registry = await start();
  expect(await check(registry, ["one/a", "one/b", "two/a"])).toEqual([]);
  expect(asked(registry).sort()).toEqual([
    "DELETE /v2/one/a/blobs/uploads/SESSION",
    "DELETE /v2/two/a/blobs/uploads/SESSION",
    "HEAD /v2/one/a/manifests/v1",
    "HEAD /v2/two/a/manifests/v1",
    "POST /v2/one/a/blobs/uploads/",
    "POST /v2/two/a/blobs/uploads/",
  ]);
});

test("a repository that has all it should is passed over, and a project that has all is not asked", async () => {
  const registry = await start();
  const content = await image({ seed: "there" });
  await seed(registry.store, "one/a", "v1", content);
  const registries = connect({ urls: [registry.url] });
  const there = rootAt(registry.host, "one/a", content.root.digest);
  expect(await preflight(registries, [there, rootAt(registry.host, "one/b")])).toEqual([]);
  expect(asked(registry).filter((line) => line.startsWith("POST"))).toEqual([
    "POST /v2/one/b/blobs/uploads/",
  ]);
  registry.requests.length = 0;
  expect(await preflight(registries, [there])).toEqual([]);
  expect(asked(registry)).toEqual(["HEAD /v2/one/a/manifests/v1"]);
});

test("the registry holds nothing new afterwards", async () => {
  const registry = await start({ auth: { scheme: "bearer", ...ROBOT } });
  expect(await check(registry, ["one/a", "two/b"])).toEqual([]);
  expect(await registry.store.repositories()).toEqual([]);
  expect(await registry.store.tags("one/a")).toBeUndefined();
});

test("a cancel that is refused is no obstacle", async () => {
  const registry = await start({
    intercept: (request) => (request.method === "DELETE" ? new Response(null, { status: 403 }) : undefined),
  });
  expect(await check(registry, ["one/a"])).toEqual([]);
});

test.each([401, 403, 404])(
  "projects that may not be pushed to (%i) are all named, with both reasons",
  async (status) => {
    const registry = await start(refusing(status, "DENIED", ({ pathname }) => !pathname.includes("/free/")));
    const obstacles = shown(await check(registry, ["one/a", "free/a", "two/a"]));
    expect(obstacles.map(([what]) => what)).toEqual([`${registry.host}/one`, `${registry.host}/two`]);
    const [[, text, hint] = []] = obstacles;
    expect(text).toContain(`cannot push to ${registry.host}/one`);
    expect(text).toContain(`answered ${status} (DENIED: no)`);
    expect(hint).toContain("create the project if there is none, or let the account push into it");
  },
);

test("a wrong password is named", async () => {
  const registry = await start({ auth: { scheme: "bearer", username: "robot", password: "other" } });
  const [obstacle] = await check(registry, ["one/a"]);
  expect(textOf(obstacle?.error ?? new Fault("none"))).toContain("cannot get a token");
});

test("a registry that wants its repositories created first is asked for each, and the commands are printed", async () => {
  const registry = await start(
    refusing(404, "NAME_UNKNOWN", ({ pathname }) => !pathname.includes("/one/made/")),
  );
  const obstacles = shown(await check(registry, ["one/a", "one/b", "one/made", "two/c"]));
  expect(obstacles).toHaveLength(1);
  const [[what, text, hint] = []] = obstacles;
  expect(what).toBe(registry.host);
  expect(text).toContain("3 of 4 repositories are missing");
  expect(hint?.split("\n").slice(1)).toEqual([
    "aws ecr create-repository --repository-name one/a",
    "aws ecr create-repository --repository-name one/b",
    "aws ecr create-repository --repository-name two/c",
  ]);
});

test("on Amazon ECR each repository is asked for, and the commands name its region", async () => {
  const ecr = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";
  const registry = await start(refusing(404, "NAME_UNKNOWN", ({ pathname }) => pathname.includes("/one/b/")));
  const mirrors = [{ host: ecr, origin: new URL(registry.url), path: "" }];
  const roots = ["one/a", "one/b", "one/c"].map((repository) => rootAt(ecr, repository));
  const [obstacle] = await preflight(connect({ mirrors }), roots);
  expect(obstacle?.error.hint?.split("\n").slice(1)).toEqual([
    "aws ecr create-repository --repository-name one/b --region eu-west-1",
  ]);
});

test("a registry that takes nothing at all says so once", async () => {
  const registry = await start(refusing(405, "UNSUPPORTED"));
  const obstacles = shown(await check(registry, ["one/a", "two/a"]));
  expect(obstacles).toHaveLength(1);
  expect(obstacles[0]?.[0]).toBe(registry.host);
  expect(obstacles[0]?.[2]).toContain("the address that the registry takes pushes at");
});

test("a registry that is full says so in its own words", async () => {
  const registry = await start(refusing(413, "QUOTA_EXCEEDED"));
  const [obstacle] = await check(registry, ["one/a"]);
  expect(textOf(obstacle?.error ?? new Fault("none"))).toContain("answered 413 (QUOTA_EXCEEDED: no)");
});

/** Files of its storage that are not of an upload session. */
async function keptIn(folder: string): Promise<string[]> {
  const files = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  const paths = files.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name));
  return paths.filter((path) => !path.includes("/_uploads/"));
}

const startDocker = (options: DockerRegistryOptions = {}) => started(startDockerRegistry(options));

testWith("docker-registry")("Debian's registry holds nothing new afterwards", async () => {
  const registry = await startDocker();
  expect(await check(registry, ["one/a", "two/b"])).toEqual([]);
  const catalog = await fetch(`${registry.url}/v2/_catalog`);
  expect(await catalog.json()).toEqual({ repositories: [] });
  expect((await fetch(`${registry.url}/v2/one/a/tags/list`)).status).toBe(404);
  expect(await keptIn(registry.directory)).toEqual([]);
});

testWith("docker-registry", "openssl")(
  "where tokens give no right to cancel, a session is all that stays there",
  async () => {
    const folder = await mkdtemp(join(tmpdir(), "eksa-airgap-preflight-"));
    folders.push(folder);
    const tokens = await started(startTokenServer({ folder, ...ROBOT }));
    const { realm, service, issuer, certificate } = tokens;
    const registry = await startDocker({ auth: { kind: "token", realm, service, issuer, certificate } });
    expect(await check(registry, ["one/a"])).toEqual([]);
    expect(await keptIn(registry.directory)).toEqual([]);
  },
);
