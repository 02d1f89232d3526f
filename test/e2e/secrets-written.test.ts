import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test";
import { chmod, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type RunResult, runExecutable } from "../support/executable.ts";
import type { TestRegistry } from "../support/registry.ts";
import { putOnline } from "../support/release.ts";
import { type Intercept, Stage } from "./stage.ts";

/** Secrets are planted wherever a run meets any; then everything that was said and written is searched for them. */
let stage: Stage;
/** Beside the folder that is searched: logins are kept here. */
let logins: string;
beforeAll(async () => {
  stage = await Stage.set();
});
beforeEach(async () => {
  await stage.begin();
  logins = `${stage.work}-logins`;
  await mkdir(logins);
});
afterEach(() => stage.end());
afterAll(() => stage.strike());

const SOURCE = { username: "reader", password: "pl4nted-source-passw0rd" };
const TARGET = { username: "robot", password: "pl4nted-target-passw0rd" };
/** In addresses. */
const QUERY = "pl4nted-query-s1gnature";
const DOCUMENT = "pl4nted-document-s1gnature";
const PLACE = "pl4nted-l0cation-s1gnature";
const SESSION = "pl4nted-upl0ad-state";

function basic({ username, password }: typeof SOURCE): string {
  return Buffer.from(`${username}:${password}`).toString("base64");
}

function tokensShown({ requests }: TestRegistry): string[] {
  const shown = requests.map(({ headers }) => /^Bearer (.+)$/.exec(headers.get("authorization") ?? "")?.[1]);
  return [...new Set(shown.filter((token) => token !== undefined))];
}

/** Every file below a folder, its name first. */
async function filesBelow(folder: string): Promise<[string, Buffer][]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = entries
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name));
  return Promise.all(paths.map(async (path): Promise<[string, Buffer]> => [path, await readFile(path)]));
}

/** A text as it stands, in an address, and in base64 behind any number of bytes. */
function formsOf(secret: string): string[] {
  const inBase64 = ["", "x", "xx"].map((before) => {
    return Buffer.from(before + secret)
      .toString("base64")
      .slice(before === "" ? 0 : 4, -4);
  });
  return [secret, encodeURIComponent(secret), ...inBase64];
}

/** Nothing that was said or written holds a secret, in whatever form. */
async function expectNowhere(results: readonly RunResult[], secrets: readonly string[]): Promise<void> {
  const said = results.flatMap(({ stdout, stderr }) => [stdout, stderr]);
  const searched = [
    ...said.map((text): [string, Buffer] => ["output", Buffer.from(text)]),
    ...(await filesBelow(stage.work)),
  ];
  for (const secret of secrets) {
    expect(secret.length).toBeGreaterThan(15);
    for (const form of formsOf(secret)) {
      const found = searched.filter(([, text]) => text.includes(form));
      expect(found.map(([name]) => name)).toEqual([]);
    }
  }
}

async function login(host: string, entry: object): Promise<Record<string, string>> {
  await writeFile(join(logins, "config.json"), JSON.stringify({ auths: { [host]: entry } }));
  return { DOCKER_CONFIG: logins };
}

/** The Bundles behind a signed address, and in it the signed address of a manifest. */
async function serveBundles(): Promise<string> {
  const yaml = stage.release.yaml.replace("a.yaml", `a.yaml?X-Amz-Signature=${DOCUMENT}`);
  expect(yaml).toContain(DOCUMENT);
  const server = await stage.startTarget({ intercept: () => new Response(yaml) });
  return `${server.url}/bundles.yaml?sig=${QUERY}&se=2030`;
}

/** Blobs lie in a store behind signed addresses; it has lost those that fit. */
async function signedBlobs(isLost: (digest: string) => boolean): Promise<Intercept> {
  const blobs = new Map([...stage.release.artifacts.values()].flatMap((content) => [...content.blobs]));
  const store = await stage.startTarget({
    intercept: (_, { pathname }) => {
      const bytes = [...blobs].find(([digest]) => pathname.endsWith(digest) && !isLost(digest))?.[1];
      if (bytes !== undefined) return new Response(bytes.slice());
      return new Response(`<Error><Token>x-amz-signature=${PLACE}</Token></Error>`, { status: 403 });
    },
  });
  return (_, { pathname }) => {
    const digest = /\/blobs\/(sha256:[0-9a-f]+)$/.exec(pathname)?.[1];
    if (digest === undefined) return;
    const location = `${store.url}/${digest}?X-Amz-Credential=${PLACE}-id&X-Amz-Signature=${PLACE}`;
    return new Response(null, { status: 307, headers: { location } });
  };
}

test.each([["text"], ["json"]])(
  "an export that fails, and the one that goes on with it, in %s",
  async (format) => {
    let lost = true;
    const large = [...stage.release.artifacts.values()].flatMap((content) => [...content.blobs]);
    const [gone = ""] = large.toSorted(([, a], [, b]) => b.length - a.length)[0] ?? [];
    const signed = await signedBlobs((digest) => lost && digest === gone);
    let withToken: Intercept | undefined;
    const secured = await putOnline(stage.release, {
      auth: { scheme: "bearer", ...SOURCE },
      intercept: (request, url) =>
        request.headers.has("authorization") ? withToken?.(request, url) : undefined,
    });
    withToken = (request, url) => signed(request, url);
    stage.running.push(secured);
    const env = await login(secured.registry.host, { auth: basic(SOURCE) });
    const line = [
      ...["export", "artifacts", "-o", "out.tar", "--bundles-override", await serveBundles()],
      ...["--report", "report.json", "-v", "4", "--log-format", format, ...secured.mirrors],
    ];
    const options = { cwd: stage.work, env };
    const plan = await runExecutable([...line.slice(0, -6), "--dry-run", ...secured.mirrors], options);
    expect(plan.status, plan.stderr).toBe(0);
    const failed = await runExecutable(line, options);
    expect(failed.status, failed.stderr).toBe(1);
    expect(failed.stderr).toContain("X-Amz-Signature=REDACTED");
    const secrets = [SOURCE.password, basic(SOURCE), QUERY, PLACE, ...tokensShown(secured.registry)];
    expect(secrets.length).toBeGreaterThan(4);
    expect((await filesBelow(stage.work)).map(([path]) => path.replace(/.*out/, "out")).sort()).toContain(
      "out.tar.journal",
    );
    await expectNowhere([plan, failed], secrets);
    lost = false;
    const done = await runExecutable(line, options);
    expect(done.status, done.stderr).toBe(0);
    // What was published is carried as it was published, and nothing of it is told.
    await expectNowhere([plan, failed, done], [...secrets, ...tokensShown(secured.registry)]);
    for (const { stdout, stderr } of [plan, failed, done]) expect(stdout + stderr).not.toContain(DOCUMENT);
    expect(await readFile(join(stage.work, "report.json"), "utf8")).not.toContain(DOCUMENT);
  },
);

test.each([["text"], ["json"]])("an import whose registry echoes what it was sent, in %s", async (format) => {
  const target = await stage.startTarget({
    auth: { scheme: "bearer", ...TARGET },
    intercept: (request, url) => {
      const authorization = request.headers.get("authorization") ?? "none at all";
      if (request.method === "PUT" && url.pathname.includes("/first/manifests/")) {
        const message = `Authorization: ${authorization} may not; token=${authorization.slice(7)} at ${url.origin}/x?X-Amz-Signature=${PLACE}`;
        return Response.json(
          { errors: [{ code: "DENIED", message, detail: { authorization } }] },
          { status: 403 },
        );
      }
      if (request.method !== "POST" || !url.pathname.endsWith("/uploads/")) return;
      if (!url.pathname.includes("/second/") || !authorization.startsWith("Bearer")) return;
      const location = `/v2/gone/blobs/uploads/1?_state=${SESSION}&X-Amz-Signature=${PLACE}`;
      return new Response(null, { status: 202, headers: { location } });
    },
  });
  const env = { REGISTRY_USERNAME: TARGET.username, REGISTRY_PASSWORD: TARGET.password };
  const results: RunResult[] = [];
  for (const flags of [["--dry-run"], ["--keep-going"], []]) {
    const line = ["import", "artifacts", "-i", stage.archive, "-r", target.host, "--report", "report.json"];
    const words = [...line, "-v", "4", "--log-format", format, ...flags];
    results.push(await runExecutable(words, { cwd: stage.work, env }));
  }
  expect(results.map(({ status }) => status)).toEqual([0, 3, 1]);
  expect(results[1]?.stderr).toContain("_state=REDACTED");
  expect(results[1]?.stderr).toContain("DENIED");
  const secrets = [TARGET.password, basic(TARGET), PLACE, SESSION, ...tokensShown(target)];
  await expectNowhere(results, secrets);
});

test("a helper that says more than it should, and a token server that does not believe it", async () => {
  const target = await stage.startTarget({
    intercept: (_, { pathname, origin }) =>
      pathname === "/token"
        ? Response.json(
            { error: "invalid_grant", refresh_token: QUERY, details: `token=${PLACE}` },
            { status: 401 },
          )
        : new Response(null, {
            status: 401,
            headers: { "www-authenticate": `Bearer realm="${origin}/token?account=a&secret=${SESSION}"` },
          }),
  });
  const results: RunResult[] = [];
  for (const script of [
    `echo '{"Username":"robot","Secret":"${TARGET.password}"}'; echo ${TARGET.password} >&2`,
    `echo '{"Username":"<token>","Secret":"${TARGET.password}"}'`,
    `echo '{"Username":"robot","Secret":"${TARGET.password}"'`,
    `echo '{"Secret":"${TARGET.password}"}'; exit 1`,
    `echo 'token=${TARGET.password} has expired'; exit 1`,
  ]) {
    const helper = join(logins, "docker-credential-test");
    await writeFile(helper, `#!/bin/sh\n${script}\n`);
    await chmod(helper, 0o755);
    await writeFile(join(logins, "config.json"), JSON.stringify({ credsStore: "test" }));
    const env = { DOCKER_CONFIG: logins, PATH: `${logins}:${process.env.PATH}` };
    for (const form of [[], ["--log-format", "json"]]) {
      const line = ["pull", "manifests", "-r", target.host, "-v", "4", ...form];
      results.push(await runExecutable(line, { cwd: stage.work, env }));
    }
  }
  expect(new Set(results.map(({ status }) => status))).toEqual(new Set([1]));
  await expectNowhere(results, [TARGET.password, basic(TARGET), QUERY, PLACE, SESSION]);
});

test("a copy that goes well, and what is generated after it", async () => {
  const secured = await putOnline(stage.release, { auth: { scheme: "basic", ...SOURCE } });
  stage.running.push(secured);
  const target = await stage.startTarget({ auth: { scheme: "bearer", ...TARGET } });
  const env = {
    ...(await login(secured.registry.host, { username: SOURCE.username, password: SOURCE.password })),
    REGISTRY_USERNAME: TARGET.username,
    REGISTRY_PASSWORD: TARGET.password,
    HTTPS_PROXY: `http://robot:${QUERY}@127.0.0.1:1`,
  };
  const from = ["--bundles-override", await serveBundles(), ...secured.mirrors];
  const results: RunResult[] = [];
  for (const line of [
    ["copy", "artifacts", "-r", target.host, "--report", "report.json", ...from],
    ["verify", "artifacts", "-i", stage.archive, "-r", target.host, "-o", "json"],
    ["list", "artifacts", "-o", "json", ...from],
    ["pull", "manifests", "-r", target.host],
    ["generate", "mirror-config", "-r", target.host],
    ["generate", "mirror-config", "-r", target.host, "--format", "containerd"],
    ["generate", "mirror-config", "-r", target.host, "--format", "crio", "-d", "crio"],
  ]) {
    results.push(await runExecutable([...line, "-v", "4"], { cwd: stage.work, env }));
  }
  expect(results.map(({ status, stderr }) => [status, status === 0 ? "" : stderr])).toEqual(
    results.map((_, index) => [index === 1 ? 4 : 0, index === 1 ? expect.any(String) : ""]),
  );
  const secrets = [SOURCE.password, basic(SOURCE), TARGET.password, basic(TARGET), QUERY];
  await expectNowhere(results, [...secrets, ...tokensShown(target)]);
});

test("what is typed in the wrong place", async () => {
  const address = `robot:${TARGET.password}@reg.example/a`;
  const results: RunResult[] = [];
  for (const line of [
    ["import", "artifacts", address],
    ["import", "artifacts", "-i", "a.tar", "-r", address],
    ["import", "artifacts", "-i", "a.tar", "-r", `ftp://${address}`],
    ["import", "artifacts", "-i", address, "-r", "reg.example"],
    ["export", "artifacts", "-o", "x.tar", "--bundles-override", address],
    ["export", "artifacts", "-o", "x.tar", "--bundles-override", `oci://${address}:v1`],
    ["export", "artifacts", "-o", "x.tar", "--release-manifest", `s3://${address}?sig=${QUERY}`],
    ["export", "artifacts", "-o", "x.tar", "--mirror", `public.ecr.aws=https://${address}`],
    ["list", "images", "--bundles-override", stage.bundles, ...stage.online.mirrors, "--exclude", address],
    [
      "release",
      "artifacts",
      "-i",
      "a",
      "--eksa-version",
      "v1.2.3",
      "--release-manifest",
      "m",
      "--uri",
      `https://${address}`,
    ],
    [`--password=${TARGET.password}`, "version"],
    ["version", `--password=${TARGET.password}`],
    ["version", "--verbosity", address],
    [address, "version"],
  ]) {
    for (const form of [[], ["--log-format=json"]]) {
      results.push(
        await runExecutable([...line, "-v", "4", ...form], { cwd: stage.work, env: { PATH: "" } }),
      );
    }
  }
  for (const { status } of results) expect(status).toBeOneOf([1, 2]);
  await expectNowhere(results, [TARGET.password, QUERY]);
});
