import { afterEach, expect, test } from "bun:test";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Digest } from "../../src/oci/digest.ts";
import { Fault } from "../../src/oci/fault.ts";
import type { Root } from "../../src/oci/plan.ts";
import { type Obstacle, preflight } from "../../src/registry/preflight.ts";
import { describeFault } from "../../src/terminal/fault.ts";
import { image, seed } from "../support/content.ts";
import { type DockerRegistryOptions, startDockerRegistry } from "../support/docker-registry.ts";
import { faultOf, textOf } from "../support/faults.ts";
import { testWith } from "../support/needs.ts";
import { startRegistry, type TestRegistryOptions } from "../support/registry.ts";
import { startTokenServer } from "../support/token-server.ts";
import { closing } from "./breaking-proxy.ts";
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
  const uploads = asked(registry).filter((line) => !line.startsWith("HEAD"));
  expect(uploads.sort()).toEqual([
    "DELETE /v2/one/a/blobs/uploads/SESSION",
    "DELETE /v2/two/a/blobs/uploads/SESSION",
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

const denied = () => new Response(null, { status: 403 });
test.each<[string, TestRegistryOptions["intercept"]]>([
  ["registry", ({ method }) => (method === "DELETE" ? denied() : undefined)],
  ["token server", (_, { search }) => (/scope=\S*delete/.test(search) ? denied() : undefined)],
])("a cancel that the %s refuses is no obstacle", async (_, intercept = () => undefined) => {
  const registry = await start({ auth: { scheme: "bearer", ...ROBOT }, intercept });
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

test("a registry that wants its repositories created first is asked for each, and they are named", async () => {
  const registry = await start(
    refusing(404, "NAME_UNKNOWN", ({ pathname }) => !pathname.includes("/one/made/")),
  );
  const obstacles = shown(await check(registry, ["one/a", "one/b", "one/made", "two/c"]));
  expect(obstacles).toHaveLength(1);
  const [[what, text, hint] = []] = obstacles;
  expect(what).toBe(registry.host);
  expect(text).toContain("3 of 4 repositories are missing");
  expect(hint).toContain(`create them in \`${registry.host}\`, or give the account the right to create them`);
  expect(hint?.split("\n").slice(1)).toEqual(["one/a", "one/b", "two/c"]);
  expect(hint).not.toContain("aws");
});

/** The same in a registry of this name. */
async function checkAs(name: string, { url }: Place, repositories: readonly string[]): Promise<Obstacle[]> {
  const mirrors = [{ host: name, origin: new URL(url), path: "" }];
  const roots = repositories.map((repository) => rootAt(name, repository));
  return preflight(connect({ mirrors }), roots);
}

test.each([
  [
    "123456789012.dkr.ecr.eu-west-1.amazonaws.com",
    "aws ecr create-repository --repository-name one/b --region eu-west-1",
  ],
  [
    "123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com:443",
    "aws ecr create-repository --repository-name one/b --region us-gov-west-1",
  ],
  [
    "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn",
    "aws ecr create-repository --repository-name one/b --region cn-north-1",
  ],
  [
    "123456789012.dkr-ecr.eu-west-1.on.aws",
    "aws ecr create-repository --repository-name one/b --region eu-west-1",
  ],
  ["public.ecr.aws", "aws ecr-public create-repository --repository-name b --region us-east-1"],
])("on Amazon ECR (%s) each repository is asked for, and the commands are printed", async (name, command) => {
  const registry = await start(refusing(404, "NAME_UNKNOWN", ({ pathname }) => pathname.includes("/one/b/")));
  const [obstacle] = await checkAs(name, registry, ["one/a", "one/b", "one/c"]);
  expect(obstacle?.error.message).toContain("1 of 3 repositories are missing");
  expect(obstacle?.error.hint?.split("\n").slice(1)).toEqual([command]);
});

test("where Amazon ECR closes the connection, the repository may be missing", async () => {
  const server = await started(closing("/one/b/blobs/uploads/"));
  const ecr = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";
  const obstacles = shown(await checkAs(ecr, server, ["one/a", "one/b"]));
  expect(obstacles).toHaveLength(1);
  const [[, text, hint] = []] = obstacles;
  expect(text).toContain("1 of 2 repositories may be missing");
  expect(text).toContain("closed the connection");
  expect(hint).toContain("Amazon ECR may close the connection where there is none");
  expect(hint).toContain("aws ecr create-repository --repository-name one/b --region eu-west-1");
});

test("elsewhere a closed connection says nothing of repositories", async () => {
  const server = await started(closing("/one/b/blobs/uploads/"));
  const [[what, text] = []] = shown(await checkAs("registry.example", server, ["one/b"]));
  expect(what).toBe("registry.example/one");
  expect(text).not.toContain("missing");
});

test("all that may be asked at once is, never more than eight, and obstacles are told in order", async () => {
  const waits = [70, 10, 40, 30, 60, 20, 50];
  let inFlight = 0;
  let most = 0;
  const registry = await start({
    intercept: async (request, url) => {
      if (url.pathname === "/v2/") return;
      most = Math.max(most, ++inFlight);
      await Bun.sleep(waits[Number(/\d+/.exec(url.pathname.slice(3))) % waits.length] ?? 0);
      inFlight--;
      if (request.method !== "POST") return;
      return Response.json({ errors: [{ code: "DENIED", message: "no" }] }, { status: 403 });
    },
  });
  const repositories = Array.from({ length: 40 }, (_, index) => `p${index % 10}/r${index}`);
  const obstacles = shown(await check(registry, repositories));
  expect(obstacles.map(([what]) => what)).toEqual(
    Array.from({ length: 10 }, (_, index) => `${registry.host}/p${index}`),
  );
  for (const [index, [, text]] of obstacles.entries())
    expect(text).toContain(`/v2/p${index}/r${index}/blobs`);
  expect(most).toBe(8);
});

test("the roots of one project are looked for side by side", async () => {
  const content = await image({ seed: "there" });
  let inFlight = 0;
  let most = 0;
  const registry = await start({
    intercept: async (request) => {
      if (request.method !== "HEAD") return;
      most = Math.max(most, ++inFlight);
      await Bun.sleep(5);
      inFlight--;
      return;
    },
  });
  const repositories = Array.from({ length: 20 }, (_, index) => `one/r${index}`);
  for (const repository of repositories) await seed(registry.store, repository, "v1", content);
  const roots = repositories.map((repository) => rootAt(registry.host, repository, content.root.digest));
  expect(await preflight(connect({ urls: [registry.url] }), roots)).toEqual([]);
  expect(most).toBe(8);
});

test("a run that is stopped meanwhile names no obstacle", async () => {
  const stopping = new AbortController();
  const registry = await start({
    intercept: (request) => {
      if (request.method === "POST") stopping.abort(new Fault("cannot go on: the run was interrupted"));
      return undefined;
    },
  });
  const registries = connect({ urls: [registry.url], signal: stopping.signal });
  const fault = await faultOf(() => preflight(registries, [rootAt(registry.host, "one/a")]));
  expect(fault.message).toBe("cannot go on: the run was interrupted");
});

test.each([
  [200, "see what answers for"],
  [204, "see what answers for"],
  [202, "see what answers for"],
  [400, "ask whoever runs"],
  [415, "ask whoever runs"],
  [404, "create the project if there is none"],
  [405, "give the address that the registry takes pushes at"],
])("of an upload that is answered %i it is said what to do, once", async (status, words) => {
  const registry = await start({
    intercept: ({ method }) => (method === "POST" ? new Response(null, { status }) : undefined),
  });
  const [obstacle] = await check(registry, ["one/a"]);
  const { hints } = describeFault(obstacle?.error);
  expect(hints).toHaveLength(1);
  expect(hints[0]).toStartWith(words);
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
