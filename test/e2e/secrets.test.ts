import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type RunResult, runExecutable } from "../support/executable.ts";
import { putOnline } from "../support/release.ts";
import { expectFailure, HOST, Stage } from "./stage.ts";

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.set();
});
beforeEach(() => stage.begin());
afterEach(() => stage.end());
afterAll(() => stage.strike());

describe("no secret is ever shown", () => {
  const SECRET = "hunter2-0f-the-robot";
  const ROBOT = { username: "robot", password: SECRET };

  function expectSilence(result: RunResult, ...secrets: string[]): void {
    const shown = result.stdout + result.stderr;
    for (const secret of [SECRET, Buffer.from(`robot:${SECRET}`).toString("base64"), ...secrets]) {
      expect(shown).not.toContain(secret);
    }
  }

  /** Every token that a registry was shown. */
  function tokensOf({ requests }: { requests: { headers: Headers }[] }): string[] {
    const shown = requests.map(
      ({ headers }) => /^Bearer (.+)$/.exec(headers.get("authorization") ?? "")?.[1],
    );
    return [...new Set(shown.filter((token) => token !== undefined))];
  }

  async function dockerConfig(host: string, word: string): Promise<string> {
    const auth = Buffer.from(`robot:${word}`).toString("base64");
    await writeFile(join(stage.work, "config.json"), JSON.stringify({ auths: { [host]: { auth } } }));
    return stage.work;
  }

  test("of a login file and of the tokens it got, while all goes well", async () => {
    const secured = await putOnline(stage.release, { auth: { scheme: "bearer", ...ROBOT } });
    stage.running.push(secured);
    const result = await runExecutable(
      [
        ...stage
          .exportArgs(join(stage.work, "out.tar"), "-v", "4")
          .filter((word) => !stage.online.mirrors.includes(word)),
        ...secured.mirrors,
      ],
      { env: { DOCKER_CONFIG: await dockerConfig(secured.registry.host, SECRET) } },
    );
    expect(result).toMatchObject({ status: 0, stdout: "" });
    expect(result.stderr).toContain("/token?");
    expect(tokensOf(secured.registry).length).toBeGreaterThan(0);
    expectSilence(result, ...tokensOf(secured.registry));
  });

  test("of the environment, whether it is right or wrong", async () => {
    const target = await stage.startTarget({ auth: { scheme: "bearer", ...ROBOT } });
    const line = ["import", "artifacts", "-i", stage.archive, "-r", target.url, "-v", "4"];
    const good = await runExecutable(line, {
      env: { REGISTRY_USERNAME: "robot", REGISTRY_PASSWORD: SECRET },
    });
    expect(good.status).toBe(0);
    expectSilence(good, ...tokensOf(target));
    const wrong = await runExecutable(line, {
      env: { REGISTRY_USERNAME: "robot", REGISTRY_PASSWORD: `${SECRET}!` },
    });
    expectFailure(wrong, 1, "cannot get a token", "hint: check the user name and the password");
    expectSilence(wrong);
  });

  test("of a login file that is broken", async () => {
    await writeFile(join(stage.work, "config.json"), `{"auths":{"reg.example":{"auth":"${SECRET}`);
    const result = await stage.importTo("http://127.0.0.1:1", stage.archive, {
      env: { DOCKER_CONFIG: stage.work },
    });
    expectFailure(result, 1, `cannot read the credentials in ${join(stage.work, "config.json")}`);
    expectSilence(result);
  });

  test.each([
    [
      "a mirror",
      [
        "export",
        "artifacts",
        "-o",
        "x",
        "--bundles-override",
        "y",
        "--mirror",
        `${HOST}=https://robot:${SECRET}@m.example`,
      ],
    ],
    ["the target", ["import", "artifacts", "-i", "x", "-r", `https://robot:${SECRET}@reg.example`]],
    ["the target without a scheme", ["import", "artifacts", "-i", "x", "-r", `robot:${SECRET}@reg.example`]],
  ])("of the address of %s", async (_, line) => {
    const result = await runExecutable([...line, "-v", "4"]);
    expectFailure(result, 2);
    expectSilence(result);
  });

  test("of a Bundles' address", async () => {
    const result = await runExecutable([
      ...["export", "artifacts", "-o", join(stage.work, "x"), "-v", "4", "--bundles-override"],
      `http://robot:${SECRET}@192.0.2.1/bundle.yaml?sig=s1gned-s3cret`,
    ]);
    expectFailure(result, 2, "cannot use a Bundles URL that holds credentials");
    expectSilence(result, "s1gned-s3cret");
  });

  test("of a token answer that cannot be read", async () => {
    const target = await stage.startTarget({
      intercept: (_, url) =>
        url.pathname === "/token"
          ? Response.json({ jwt: SECRET })
          : new Response(null, { status: 401, headers: { "www-authenticate": 'Bearer realm="/token"' } }),
    });
    const result = await runExecutable([
      "import",
      "artifacts",
      "-i",
      stage.archive,
      "-r",
      target.url,
      "-v",
      "4",
    ]);
    expectFailure(result, 1, "it holds no token");
    expectSilence(result);
  });

  test("of a signed address that a registry sends to", async () => {
    const store = await stage.startTarget({ intercept: () => new Response("gone", { status: 403 }) });
    stage.intercept = (_, url) =>
      url.pathname.includes("/first/blobs/")
        ? new Response(null, {
            status: 307,
            headers: { location: `${store.url}/b?X-Amz-Signature=${SECRET}&n=1` },
          })
        : undefined;
    const result = await stage.exportTo(join(stage.work, "out.tar"), "-v", "4");
    expectFailure(result, 1, "answered 403");
    expect(result.stderr).toContain(`${store.url}/b?X-Amz-Signature=REDACTED`);
    expectSilence(result);
  });
});
