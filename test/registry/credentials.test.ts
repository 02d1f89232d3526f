import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmod, mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Credentials, fileCredentials, targetCredentials } from "../../src/registry/credentials.ts";
import { faultOf, textOf } from "../support/faults.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eksa-airgap-credentials-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** A folder of its own, with these login files in it. */
async function home(files: Record<string, unknown>): Promise<string> {
  const directory = await mkdtemp(join(folder, "home-"));
  for (const [path, content] of Object.entries(files)) {
    await Bun.write(join(directory, path), typeof content === "string" ? content : JSON.stringify(content));
  }
  return directory;
}

function login(username: string, password: string) {
  return { auth: Buffer.from(`${username}:${password}`).toString("base64") };
}

function password(username: string, word: string): Credentials {
  return { kind: "password", username, password: word };
}

test("a login that docker saved is found for its registry, and for no other", async () => {
  const HOME = await home({
    ".docker/config.json": { auths: { "reg.example:5000": login("robot", "pa:ss") } },
  });
  const lookup = fileCredentials({ HOME });
  expect(lookup("reg.example:5000")).toEqual(password("robot", "pa:ss"));
  expect(lookup("reg.example")).toBeUndefined();
  expect(lookup("evil-reg.example:5000")).toBeUndefined();
});

test.each([
  "reg.example",
  "https://reg.example",
  "http://reg.example",
  "https://reg.example/v1/",
  "https://reg.example/v2/",
  "reg.example/",
])("a login under the key %s is for reg.example", async (key) => {
  const HOME = await home({ ".docker/config.json": { auths: { [key]: login("robot", "secret") } } });
  expect(fileCredentials({ HOME })("reg.example")).toEqual(password("robot", "secret"));
});

test.each([
  ["reg.example", "reg.example:443", true],
  ["reg.example:443", "reg.example", true],
  ["https://[::1]:443", "[::1]", true],
  ["reg.example:443", "reg.example:80", false],
  ["reg.example:4433", "reg.example", false],
])("the port of https goes without saying: the login of %s and %s", async (key, registry, isFound) => {
  const HOME = await home({ ".docker/config.json": { auths: { [key]: login("robot", "secret") } } });
  expect(fileCredentials({ HOME })(registry)).toEqual(isFound ? password("robot", "secret") : undefined);
});

test.each(["docker.io", "registry-1.docker.io", "index.docker.io"])(
  "Docker Hub's login, under its own key, is used for %s",
  async (registry) => {
    const auths = { "https://index.docker.io/v1/": login("robot", "secret") };
    const lookup = fileCredentials({ HOME: await home({ ".docker/config.json": { auths } }) });
    expect(lookup(registry)).toEqual(password("robot", "secret"));
    expect(lookup("reg.example")).toBeUndefined();
  },
);

test("an identity token goes before the password beside it", async () => {
  const entry = { ...login("00000000-0000-0000-0000-000000000000", ""), identitytoken: "refresh" };
  const HOME = await home({ ".docker/config.json": { auths: { "reg.example": entry } } });
  expect(fileCredentials({ HOME })("reg.example")).toEqual({ kind: "identityToken", token: "refresh" });
});

test("a user name and a password may stand in the clear", async () => {
  const auths = { "reg.example": { username: "robot", password: "secret" } };
  const HOME = await home({ ".docker/config.json": { auths } });
  expect(fileCredentials({ HOME })("reg.example")).toEqual(password("robot", "secret"));
});

test("the zeros that old docker clients padded a password with are no part of it", async () => {
  const HOME = await home({
    ".docker/config.json": { auths: { "reg.example": login("robot", "secret\0\0") } },
  });
  expect(fileCredentials({ HOME })("reg.example")).toEqual(password("robot", "secret"));
});

test("podman's files go before docker's, the running session's first", async () => {
  const named = (name: string) => ({ auths: { "reg.example": login(name, "secret") } });
  const directory = await home({
    "run/containers/auth.json": named("run"),
    ".config/containers/auth.json": named("config"),
    ".docker/config.json": named("docker"),
    "elsewhere/containers/auth.json": named("elsewhere"),
    "login/config.json": named("login"),
    "file.json": named("file"),
  });
  const who = async (environment: Record<string, string>) => {
    const found = await fileCredentials({ HOME: directory, ...environment })("reg.example");
    return found?.kind === "password" ? found.username : undefined;
  };
  expect(await who({ XDG_RUNTIME_DIR: join(directory, "run") })).toBe("run");
  expect(await who({})).toBe("config");
  expect(await who({ XDG_CONFIG_HOME: join(directory, "elsewhere") })).toBe("elsewhere");
  expect(await who({ XDG_CONFIG_HOME: join(directory, "nowhere") })).toBe("docker");
  expect(
    await who({ XDG_CONFIG_HOME: join(directory, "nowhere"), DOCKER_CONFIG: join(directory, "login") }),
  ).toBe("login");
  expect(
    await who({ XDG_RUNTIME_DIR: join(directory, "run"), REGISTRY_AUTH_FILE: join(directory, "file.json") }),
  ).toBe("file");
  // Set but empty is not set.
  expect(await who({ XDG_CONFIG_HOME: "", XDG_RUNTIME_DIR: "", REGISTRY_AUTH_FILE: "" })).toBe("config");
});

test("an empty DOCKER_CONFIG is as good as none", async () => {
  const HOME = await home({ ".docker/config.json": { auths: { "reg.example": login("robot", "secret") } } });
  expect(fileCredentials({ HOME, DOCKER_CONFIG: "" })("reg.example")).toEqual(password("robot", "secret"));
});

test("a registry that the first file does not know is looked up in the next", async () => {
  const HOME = await home({
    ".config/containers/auth.json": { auths: { "other.example": login("podman", "a"), "reg.example": {} } },
    ".docker/config.json": { auths: { "reg.example": login("docker", "b") } },
  });
  expect(fileCredentials({ HOME })("reg.example")).toEqual(password("docker", "b"));
});

test.each<[string, unknown]>([
  ["no file at all", undefined],
  ["a file without logins", {}],
  ["logins kept in a helper", { auths: { "reg.example": {} }, credsStore: "desktop" }],
  ["a registry without an entry", { auths: { "reg.example": null } }],
])("%s means: nobody in particular", async (_, content) => {
  const HOME = await home(content === undefined ? {} : { ".docker/config.json": content });
  expect(await fileCredentials({ HOME })("reg.example")).toBeUndefined();
});

const SECRET = "hunter2hunter2";

test.each([
  ["is cut short", `{"auths":{"reg.example":{"auth":"${SECRET}`],
  ["is no JSON", `${SECRET} = yes`],
  ["holds something else", `"${SECRET}"`],
  ["holds a login that is none", `{"auths":{"reg.example":"${SECRET}"}}`],
  ["holds a number for a password", `{"auths":{"reg.example":{"auth":1,"password":"${SECRET}"}}}`],
])("a login file that %s is named, and nothing in it is quoted", async (_, content) => {
  const HOME = await home({ ".docker/config.json": content });
  const fault = await faultOf(() => fileCredentials({ HOME }));
  expect(fault.message).toContain(join(HOME, ".docker/config.json"));
  expect(fault.hint).toContain("docker login");
  expect(textOf(fault)).not.toContain("hunter");
  expect(String(fault.stack)).not.toContain("hunter");
});

test.each([
  ["has no colon", Buffer.from(SECRET).toString("base64")],
  ["is no base64", `${SECRET}!?`],
  ["is no base64 though it holds some", `!${Buffer.from(`robot:${SECRET}`).toString("base64")}`],
])("a saved login that %s is named by its registry and its file, and not quoted", async (_, auth) => {
  const HOME = await home({ ".docker/config.json": { auths: { "reg.example": { auth } } } });
  const lookup = fileCredentials({ HOME });
  expect(lookup("other.example")).toBeUndefined();
  const fault = await faultOf(() => lookup("reg.example"));
  expect(fault.message).toBe("cannot read the saved login for reg.example");
  expect(textOf(fault)).toContain(
    `in ${join(HOME, ".docker/config.json")}, \`auth\` of \`reg.example\` is no base64 of user:password`,
  );
  expect(textOf(fault)).not.toContain("hunter");
  expect(textOf(fault)).not.toContain(auth);
});

/** Does it as somebody who may not read what is closed: root may read all. */
function asAnother<T>(work: () => T): T {
  const { geteuid, seteuid } = process;
  if (geteuid?.() !== 0 || seteuid === undefined) return work();
  seteuid(65534);
  try {
    return work();
  } finally {
    seteuid(0);
  }
}

test("login files that this user may not read are warned of, and others are read all the same", async () => {
  const HOME = await home({
    ".config/containers/auth.json": { auths: { "reg.example": login("podman", "a") } },
    ".docker/config.json": { auths: { "reg.example": login("docker", "b") } },
  });
  const closed = join(HOME, ".config/containers/auth.json");
  await chmod(folder, 0o755);
  await chmod(HOME, 0o755);
  await chmod(closed, 0);
  const warnings: string[] = [];
  const lookup = asAnother(() => fileCredentials({ HOME }, (text) => warnings.push(text)));
  expect(lookup("reg.example")).toEqual(password("docker", "b"));
  expect(warnings).toEqual([`this user may not read the logins in ${closed}: going on without them`]);
});

test.each([
  ["REGISTRY_AUTH_FILE", "config.json"],
  ["DOCKER_CONFIG", ""],
])("the login file that %s names must be one that this user may read", async (variable, name) => {
  const HOME = await home({ "config.json": { auths: {} } });
  await chmod(join(HOME, "config.json"), 0);
  const fault = await faultOf(() => asAnother(() => fileCredentials({ HOME, [variable]: join(HOME, name) })));
  expect(fault.message).toBe(`cannot read the credentials in ${join(HOME, "config.json")}`);
});

test("a login file that is there but cannot be read is an error: it would change who we are", async () => {
  const HOME = await home({});
  await mkdir(join(HOME, ".docker/config.json"), { recursive: true });
  const fault = await faultOf(() => fileCredentials({ HOME }));
  expect(fault.message).toBe(`cannot read the credentials in ${join(HOME, ".docker/config.json")}`);
});

test("the environment's credentials are both set or both left out", async () => {
  expect(targetCredentials({})).toBeUndefined();
  expect(targetCredentials({ REGISTRY_USERNAME: "", REGISTRY_PASSWORD: "" })).toBeUndefined();
  expect(targetCredentials({ REGISTRY_USERNAME: "robot", REGISTRY_PASSWORD: "a:b" })).toEqual(
    password("robot", "a:b"),
  );
  const alone = await faultOf(() => targetCredentials({ REGISTRY_USERNAME: "robot" }));
  expect([alone.kind, alone.message]).toEqual([
    "usage",
    "cannot log in to the registry: REGISTRY_PASSWORD is not set",
  ]);
  const nameless = await faultOf(() => targetCredentials({ REGISTRY_PASSWORD: SECRET }));
  expect(nameless.kind).toBe("usage");
  expect(textOf(nameless)).toContain("REGISTRY_USERNAME is not set");
  expect(textOf(nameless)).not.toContain(SECRET);
});
