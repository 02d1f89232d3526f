import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { runExecutable } from "../support/executable.ts";
import type { TestRegistryOptions } from "../support/registry.ts";
import { expectFailure, flipped, Stage } from "./stage.ts";

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.set();
});
beforeEach(() => stage.begin());
afterEach(() => stage.end());
afterAll(() => stage.strike());

test.each([
  [{}, "no login is known for `HOST`: log in with `docker login HOST`, or set REGISTRY_USERNAME and"],
  [
    { REGISTRY_USERNAME: "robot", REGISTRY_PASSWORD: "wrong" },
    "check the user name and the password in REGISTRY_USERNAME and REGISTRY_PASSWORD, which `HOST` refuses",
  ],
])("a target that wants a login says whether it got one: %p", async (env, hint) => {
  const { host, url } = await stage.startTarget({
    auth: { scheme: "basic", username: "robot", password: "right" },
  });
  const result = await stage.importTo(url, stage.archive, { env });
  expectFailure(result, 1, "answered 401", `hint: ${hint.replaceAll("HOST", host)}`);
});

test("a source that wants a login is none that the variables of the target are for", async () => {
  stage.intercept = () =>
    new Response(null, { status: 401, headers: { "www-authenticate": "Basic realm=r" } });
  const result = await stage.exportTo(join(stage.work, "out.tar"));
  expectFailure(result, 1, "answered 401", "hint: no login is known for");
  expect(result.stderr).not.toContain("REGISTRY_");
});

describe("a registry that", () => {
  type Answer = NonNullable<TestRegistryOptions["intercept"]>;
  const error = (status: number, code: string) => () =>
    Response.json({ errors: [{ code, message: "not here" }] }, { status });
  /** Greets as a registry does, and answers anything else so. */
  const behind = (answer: () => Response): Answer => {
    return (_, url) => (url.pathname === "/v2/" ? undefined : answer());
  };

  test.each<[string, Answer, number, ...string[]]>([
    [
      "is none",
      () => new Response("<html>hello</html>", { status: 404 }),
      1,
      "as a registry: it does not speak the distribution API",
      "because: GET http",
      "hint: check the host and the port",
    ],
    [
      "serves pages",
      () => new Response("<!DOCTYPE html>hello"),
      1,
      "as a registry: it does not speak the distribution API",
      "/v2/ answered 200 with a web page",
      "hint: check the host and the port",
    ],
    [
      "wants a login",
      behind(error(401, "UNAUTHORIZED")),
      1,
      "error: cannot push to",
      "answered 401 (UNAUTHORIZED: ",
      "hint: create the project if there is none, or let the account push into it",
    ],
    [
      "denies",
      behind(error(403, "DENIED")),
      1,
      "error: cannot push to",
      "answered 403 (DENIED: ",
      "hint: create the project if there is none, or let the account push into it",
    ],
    [
      "only hands out",
      behind(error(405, "UNSUPPORTED")),
      1,
      "error: cannot push to",
      "answered 405 (UNSUPPORTED: ",
      "hint: give the address that the registry takes pushes at",
    ],
    [
      "does not understand",
      behind(error(400, "NAME_INVALID")),
      1,
      "error: cannot push to",
      "answered 400 (",
      "hint: once that is put right, run the same command again",
    ],
    [
      "sends round in circles",
      (_, url) => Response.redirect(url.href, 307),
      1,
      "error: cannot reach the registry",
      "more than",
      "hint: check the scheme, the host and the port",
    ],
    [
      "names a token server without tokens",
      (_, { pathname, origin }) =>
        pathname === "/token"
          ? Response.json({})
          : new Response(null, {
              status: 401,
              headers: { "www-authenticate": `Bearer realm="${origin}/token"` },
            }),
      1,
      "because: cannot get a token for",
      "it holds no token",
      "hint: see what answers for",
    ],
    [
      "names a token server that is not there",
      (_, { pathname, origin }) =>
        pathname === "/token"
          ? new Response("nothing", { status: 404 })
          : new Response(null, {
              status: 401,
              headers: { "www-authenticate": `Bearer realm="${origin}/token"` },
            }),
      1,
      "because: cannot get a token for",
      "answered 404 (nothing)",
      "hint: check the address",
    ],
  ])("%s", async (_, intercept, code, ...says) => {
    const target = await stage.startTarget({ intercept });
    expectFailure(await stage.importTo(target.host), code, ...says);
  });

  test.each([400, 403, 404])("answers %i to everything is told what and why", async (status) => {
    const target = await stage.startTarget({ intercept: behind(error(status, "ODD")) });
    const delta = join(stage.work, "delta.tar");
    expect(await stage.exportTo(delta, "--since", stage.archive)).toMatchObject({ status: 0 });
    const registry = ["-r", target.host];
    const copy = ["copy", "artifacts", "--bundles-override", stage.bundles, ...stage.online.mirrors];
    for (const line of [
      ["pull", "manifests", ...registry],
      ["pull", "manifests", "--eksa-version", "v0.26.1", ...registry],
      ["import", "artifacts", "-i", stage.archive, ...registry],
      ["import", "artifacts", "-i", delta, ...registry],
      ["import", "artifacts", "-i", stage.archive, "--keep-going", ...registry],
      [...copy, ...registry],
      ["export", "artifacts", "-o", "x.tar", "--release-manifest", `oci://${target.host}/a/b:c`],
      ["list", "images", "--bundles-override", `oci://${target.host}/a/b:c`],
      ["list", "images", "--bundles-override", `${target.url}/b.yaml`],
      [...copy.map((word) => word.replace(/^public.*/, `public.ecr.aws=${target.url}`)), "-r", "127.0.0.1:1"],
    ]) {
      // That a registry lacks something is no failure to read it.
      const says = status === 404 ? [] : [`answered ${status} (`];
      expectFailure(await runExecutable(line, { cwd: stage.work }), 1, ...says);
    }
    const verified = await runExecutable(["verify", "artifacts", "-i", stage.archive, ...registry]);
    expectFailure({ ...verified, stdout: "" }, status === 404 ? 4 : 1, "cannot verify");
    expect(verified.stdout).toContain(status === 404 ? "missing: " : "unchecked: ");
    // What may not be read counts as not there: nothing is written.
    const foretold = await runExecutable([
      "import",
      "artifacts",
      "-i",
      stage.archive,
      "--dry-run",
      ...registry,
    ]);
    expect(foretold.status, foretold.stderr).toBe(0);
  });

  /** Refuses all that is asked of it, for hours. */
  const closed = () => new Response(null, { status: 429, headers: { "retry-after": "7200" } });

  test("is closed for hours tells how long, whatever is asked of it", async () => {
    const target = await stage.startTarget({ intercept: behind(closed) });
    const wait = /for (another )?2 h[ :]|for (another )?2 h$/m;
    for (const more of [[], ["--keep-going"], ["--jobs", "1"]]) {
      const line = ["import", "artifacts", "-i", stage.archive, "-r", target.host, ...more];
      const imported = await runExecutable(line);
      expectFailure(imported, 1, "run the same command again after that time");
      expect(imported.stderr).toMatch(wait);
    }
    stage.intercept = behind(closed);
    const exported = await stage.exportTo(join(stage.work, "out.tar"));
    expectFailure(exported, 1, "images and charts cannot be read", "nothing says that they are missing");
    expect(exported.stderr).toMatch(wait);
    expect(exported.stderr).not.toContain("cannot be found");
  });

  test("sends other bytes than were named", async () => {
    stage.intercept = stage.largeBlobs((bytes) => flipped(bytes, 10));
    expectFailure(
      await stage.exportTo(join(stage.work, "out.tar")),
      4,
      "error: cannot export public.ecr.aws/eks-anywhere/first:v1",
      "because: cannot verify sha256:",
      "hint: what could be fetched is in",
    );
  });
});
