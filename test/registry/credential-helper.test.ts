import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CredentialHelpers } from "../../src/registry/credential-helper.ts";
import { fileCredentials } from "../../src/registry/credentials.ts";
import { startRegistry } from "../support/registry.ts";
import { tags } from "./ask-for-tags.ts";
import { connect } from "./connect.ts";
import { stoppedAfterEach } from "./started.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eksa-airgap-helpers-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const started = stoppedAfterEach();

interface Machine {
  lookUp: ReturnType<typeof fileCredentials>;
  warnings: string[];
  /** What the helpers were asked for, in order. */
  asked(): Promise<string[]>;
}

/** A machine with docker's login file and these helper programs, each the body of a shell script. */
async function machine(config: object, helpers: Record<string, string>): Promise<Machine> {
  const home = await mkdtemp(join(folder, "home-"));
  const log = join(home, "asked");
  await Bun.write(join(home, ".docker/config.json"), JSON.stringify(config));
  for (const [name, body] of Object.entries(helpers)) {
    const path = join(home, "bin", `docker-credential-${name}`);
    await Bun.write(path, `#!/bin/sh\nread server\necho "${name} $1 $server" >> ${log}\n${body}\n`);
    await chmod(path, 0o755);
  }
  const warnings: string[] = [];
  const environment = { HOME: home, PATH: `${join(home, "bin")}:/usr/bin:/bin` };
  return {
    lookUp: fileCredentials(environment, (text) => warnings.push(text)),
    warnings,
    asked: async () => {
      const file = Bun.file(log);
      return (await file.exists()) ? (await file.text()).trimEnd().split("\n") : [];
    },
  };
}

const LOGIN = `echo '{"ServerURL":"x","Username":"robot","Secret":"s3cret"}'`;
const NOT_FOUND = "echo 'credentials not found in native keychain'; exit 1";
const ROBOT = { kind: "password", username: "robot", password: "s3cret" } as const;

test("a helper is asked for the registry by its host, and once for all repositories", async () => {
  const { lookUp, asked } = await machine({ credsStore: "store" }, { store: LOGIN });
  const found = await Promise.all([lookUp("reg.example:5000", "a/b"), lookUp("reg.example:5000", "c")]);
  expect(found).toEqual([ROBOT, ROBOT]);
  expect(await asked()).toEqual(["store get reg.example:5000"]);
});

test("a registry's own helper goes before the one for all", async () => {
  const config = { credHelpers: { "reg.example": "own" }, credsStore: "store" };
  const { lookUp, asked } = await machine(config, { own: LOGIN, store: LOGIN });
  await lookUp("reg.example");
  await lookUp("other.example");
  expect(await asked()).toEqual(["own get reg.example", "store get other.example"]);
});

test("Docker Hub's login is asked for by the name that docker gives it", async () => {
  const { lookUp, asked } = await machine({ credsStore: "store" }, { store: LOGIN });
  expect(await lookUp("registry-1.docker.io")).toEqual(ROBOT);
  expect(await asked()).toEqual(["store get https://index.docker.io/v1/"]);
});

test("the user name `<token>` makes the secret an identity token", async () => {
  const { lookUp } = await machine(
    { credsStore: "store" },
    { store: `echo '{"Username":"<token>","Secret":"refresh"}'` },
  );
  expect(await lookUp("reg.example")).toEqual({ kind: "identityToken", token: "refresh" });
});

test("a helper that has nothing is no news, and the file's own entry counts", async () => {
  const auths = { "reg.example": { username: "saved", password: "word" } };
  const { lookUp, warnings } = await machine({ credsStore: "store", auths }, { store: NOT_FOUND });
  expect(await lookUp("reg.example")).toEqual({ kind: "password", username: "saved", password: "word" });
  expect(await lookUp("other.example")).toBeUndefined();
  expect(warnings).toEqual([]);
});

test.each<[string, string, Record<string, string>, string]>([
  ["is not installed", "gone", {}, "`docker-credential-gone`, which keeps logins here, is not on PATH"],
  ["is a path", "../../bin/sh", {}, "that cannot be a program"],
  ["fails", "bad", { bad: "echo 'no session bus'; exit 1" }, "no session bus"],
  ["dies without a word", "bad", { bad: "kill -9 $$" }, "it ended with"],
  ["answers something else", "bad", { bad: "echo s3cret" }, "its answer cannot be read"],
  ["never stops talking", "bad", { bad: "exec yes s3cret" }, "more than 65536 bytes"],
  ["fails with what may be a secret", "bad", { bad: `${LOGIN}; exit 3` }, "it ended with 3"],
])("a helper that %s is one warning, and nobody in particular goes on", async (_, name, helpers, words) => {
  const { lookUp, warnings } = await machine({ credsStore: name }, helpers);
  expect(await lookUp("reg.example", "a")).toBeUndefined();
  expect(await lookUp("reg.example", "b")).toBeUndefined();
  expect(warnings).toHaveLength(1);
  expect(warnings[0]).toContain(words);
  expect(warnings[0]).not.toContain("s3cret");
});

test("a helper that is on PATH and may not be executed is told as that", async () => {
  const home = await mkdtemp(join(folder, "home-"));
  const path = join(home, "docker-credential-store");
  await Bun.write(path, "#!/bin/sh\n");
  await chmod(path, 0o644);
  await Bun.write(join(home, ".docker/config.json"), JSON.stringify({ credsStore: "store" }));
  const warnings: string[] = [];
  const lookUp = fileCredentials({ HOME: home, PATH: home }, (text) => warnings.push(text));
  expect(await lookUp("reg.example")).toBeUndefined();
  expect(warnings).toEqual([
    `${path}, which keeps logins here, may not be executed (\`chmod +x ${path}\`): going on without it`,
  ]);
});

test("a helper whose own child keeps its stdout open is given up in time, and by name", async () => {
  const bin = await mkdtemp(join(folder, "slow-"));
  const path = join(bin, "docker-credential-slow");
  await Bun.write(path, `#!/bin/sh\nsleep 20 &\necho $! > ${bin}/child\nwait\n`);
  await chmod(path, 0o755);
  const warnings: string[] = [];
  const environment = { PATH: `${bin}:/usr/bin:/bin` };
  const limit = { longestWait: 500 };
  const helpers = new CredentialHelpers(environment, (text) => warnings.push(text), limit);
  try {
    expect(await helpers.ask("slow", "reg.example")).toBeUndefined();
    expect(warnings).toEqual([
      "`docker-credential-slow` gives no login for reg.example: no answer within 0.5 seconds",
    ]);
    // What it has started is there still: its end is not what was waited for.
    expect(process.kill(Number(await Bun.file(join(bin, "child")).text()), 0)).toBe(true);
  } finally {
    process.kill(Number(await Bun.file(join(bin, "child")).text()), "SIGKILL");
  }
});

test("of podman's entries for a registry the most specific counts", async () => {
  const entry = (username: string) => ({ username, password: "word" });
  const auths = {
    "reg.example": entry("host"),
    "reg.example/team": entry("team"),
    "reg.example/team/app": entry("app"),
  };
  const { lookUp } = await machine({ auths }, {});
  const who = async (repository?: string) => {
    const found = await lookUp("reg.example", repository);
    return found?.kind === "password" ? found.username : undefined;
  };
  expect(await who("team/app")).toBe("app");
  expect(await who("team/app/tools")).toBe("app");
  expect(await who("team/application")).toBe("team");
  expect(await who("teams/app")).toBe("host");
  expect(await who()).toBe("host");
});

test("a login under a namespace goes to the token server for that namespace's repositories only", async () => {
  const registry = await started(
    startRegistry({ auth: { scheme: "bearer", username: "robot", password: "s3cret", anonymous: "pull" } }),
  );
  const auths = { [`${registry.host}/a`]: { username: "robot", password: "s3cret" } };
  const { lookUp } = await machine({ auths }, {});
  const client = connect({ urls: [registry.url], credentials: lookUp }).client(registry.host);
  await tags(client, [{ repository: "a/b", actions: "pull" }]);
  await client.send({ kind: "listTags", repository: "c/d" }, [{ repository: "c/d", actions: "pull" }]);
  const logins = registry.requests
    .filter(({ path }) => path.startsWith("/token"))
    .map(({ path, headers }) => [
      new URLSearchParams(path.split("?")[1]).get("scope"),
      headers.has("authorization"),
    ]);
  expect(logins).toEqual([
    ["repository:a/b:pull", true],
    ["repository:c/d:pull", false],
  ]);
});
