import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { Fault } from "../oci/fault.ts";
import { CredentialHelpers } from "./credential-helper.ts";

/** How to say who we are; an identity token stands in for a password at the token server. */
export type Credentials =
  | { kind: "password"; username: string; password: string }
  | { kind: "identityToken"; token: string };

/** Credentials for a registry, or for a repository of it, if there are any; a promise where a program is asked. */
export type CredentialLookup = (
  registry: string,
  repository?: string,
) => Credentials | undefined | Promise<Credentials | undefined>;

const Entry = v.object({
  auth: v.optional(v.string()),
  username: v.optional(v.string()),
  password: v.optional(v.string()),
  identitytoken: v.optional(v.string()),
});
const ConfigFile = v.object({
  auths: v.optional(v.record(v.string(), v.nullable(Entry))),
  credsStore: v.optional(v.string()),
  credHelpers: v.optional(v.record(v.string(), v.string())),
});
/** A login file; `path`: for messages. */
type ConfigFile = v.InferOutput<typeof ConfigFile> & { path: string };

const MAX_FILE_BYTES = 4 * 1024 * 1024;
const LOG_IN_AGAIN = "log in again with `docker login` or `podman login`, or remove the file";
/** The key that Docker Hub's login goes by, and the hosts it is for. */
const DOCKER_HUB_KEY = "https://index.docker.io/v1/";
const DOCKER_HUB_HOSTS = new Set(["docker.io", "index.docker.io", "registry-1.docker.io"]);

/** The environment's credentials, which are for the target alone; both or none must be set. */
export function targetCredentials(environment: NodeJS.ProcessEnv): Credentials | undefined {
  const username = environment.REGISTRY_USERNAME ?? "";
  const password = environment.REGISTRY_PASSWORD ?? "";
  if (username === "" && password === "") return;
  if (username === "" || password === "") {
    const missing = username === "" ? "REGISTRY_USERNAME" : "REGISTRY_PASSWORD";
    throw new Fault(`cannot log in to the registry: ${missing} is not set`, {
      hint: "set both REGISTRY_USERNAME and REGISTRY_PASSWORD, or neither",
      kind: "usage",
    });
  }
  return { kind: "password", username, password };
}

/**
 * Reads the login files of docker and podman, in the order in which these tools look.
 * A file that is not there is no error; one that is no login file is, since it would change who we are, and so is
 * one that is asked for by its name. One that this user may not read, as in the home of another, and a helper
 * program that fails are warnings: what everybody may read can be read without them.
 */
export function fileCredentials(
  environment: NodeJS.ProcessEnv,
  warn: (text: string) => void = () => {},
): CredentialLookup {
  const files = candidateFiles(environment).map((candidate) => readConfig(candidate, warn));
  const helpers = new CredentialHelpers(environment, warn);
  return (registry, repository) => {
    const lookUp = (remaining: readonly ConfigFile[]): ReturnType<CredentialLookup> => {
      const [file, ...others] = remaining;
      if (file === undefined) return;
      const saved = () => savedIn(file, registry, repository) ?? lookUp(others);
      const helper = helperFor(file, registry);
      if (helper === undefined) return saved();
      return helpers.ask(helper, serverFor(registry)).then((found) => found ?? saved());
    };
    return lookUp(files);
  };
}

/** The most specific entry counts: podman files logins under a namespace or a repository, too. */
function savedIn(
  { auths = {}, path }: ConfigFile,
  registry: string,
  repository?: string,
): Credentials | undefined {
  for (const key of keysFor(registry, repository)) {
    const entry = auths[key];
    if (entry !== undefined && entry !== null) return credentialsOf(entry, { registry, key, path });
  }
  return;
}

/** A registry's own helper goes before the one for all. docker `cli/config/configfile`. */
function helperFor({ credHelpers = {}, credsStore }: ConfigFile, registry: string): string | undefined {
  const own = keysFor(registry).find((key) => credHelpers[key] !== undefined);
  return (own === undefined ? undefined : credHelpers[own]) || credsStore || undefined;
}

/** What a helper knows a registry by. */
function serverFor(registry: string): string {
  return DOCKER_HUB_HOSTS.has(registry) ? DOCKER_HUB_KEY : registry;
}

/** A place where a login file may be. */
interface Candidate {
  path: string;
  /** A variable is for naming it, and does. */
  isNamed: boolean;
}

function candidateFiles(environment: NodeJS.ProcessEnv): Candidate[] {
  const { REGISTRY_AUTH_FILE, DOCKER_CONFIG, XDG_RUNTIME_DIR, XDG_CONFIG_HOME } = environment;
  const home = environment.HOME ?? environment.USERPROFILE;
  if (REGISTRY_AUTH_FILE) return [{ path: REGISTRY_AUTH_FILE, isNamed: true }];
  const configHome = XDG_CONFIG_HOME || (home && join(home, ".config"));
  const dockerHome = DOCKER_CONFIG || (home && join(home, ".docker"));
  const podman = [XDG_RUNTIME_DIR, configHome].flatMap((folder) =>
    folder ? [{ path: join(folder, "containers", "auth.json"), isNamed: false }] : [],
  );
  const docker = { path: join(dockerHome ?? "", "config.json"), isNamed: Boolean(DOCKER_CONFIG) };
  return dockerHome ? [...podman, docker] : podman;
}

function readConfig({ path, isNamed }: Candidate, warn: (text: string) => void): ConfigFile {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
    if (code === "ENOENT" || code === "ENOTDIR") return { path };
    if (!isNamed && (code === "EACCES" || code === "EPERM")) {
      warn(`this user may not read the logins in ${path}: going on without them`);
      return { path };
    }
    throw new Fault(`cannot read the credentials in ${path}`, { cause });
  }
  if (text.length > MAX_FILE_BYTES)
    throw new Fault(`cannot read the credentials in ${path}: it is too large`, { hint: LOG_IN_AGAIN });
  try {
    return { ...v.parse(ConfigFile, JSON.parse(text)), path };
  } catch {
    // The parser's own message could quote a password.
    throw new Fault(`cannot read the credentials in ${path}: it is not a docker or podman login file`, {
      hint: LOG_IN_AGAIN,
    });
  }
}

/** What a login may be filed under: repository, namespaces, the host, as docker or its older releases wrote it. */
function keysFor(registry: string, repository = ""): string[] {
  const parts = repository === "" ? [] : repository.split("/");
  const places = parts.map((_, index) => parts.slice(0, parts.length - index).join("/"));
  if (DOCKER_HUB_HOSTS.has(registry)) {
    return [...places.map((place) => `docker.io/${place}`), DOCKER_HUB_KEY, "docker.io", "index.docker.io"];
  }
  const addresses = [registry, ...sameAddress(registry)];
  const names = addresses.flatMap((address) => [address, `https://${address}`, `http://${address}`]);
  const hosts = names.flatMap((name) => [name, `${name}/`, `${name}/v2/`, `${name}/v1/`]);
  return [...places.map((place) => `${registry}/${place}`), ...hosts];
}

/** The port of https goes without saying. */
function sameAddress(registry: string): string[] {
  if (registry.endsWith(":443")) return [registry.slice(0, -":443".length)];
  return /:[0-9]+$/.test(registry) ? [] : [`${registry}:443`];
}

function credentialsOf(
  entry: v.InferOutput<typeof Entry>,
  { registry, key, path }: { registry: string; key: string; path: string },
): Credentials | undefined {
  if (entry.identitytoken) return { kind: "identityToken", token: entry.identitytoken };
  if (entry.username && entry.password !== undefined) {
    return { kind: "password", username: entry.username, password: entry.password };
  }
  if (!entry.auth) return;
  const isBase64 = /^[\w+/\s-]+={0,2}\s*$/.test(entry.auth);
  const decoded = isBase64 ? Buffer.from(entry.auth, "base64").toString("utf8") : "";
  const colon = decoded.indexOf(":");
  if (colon <= 0) {
    throw new Fault(`cannot read the saved login for ${registry}`, {
      cause: new Error(`in ${path}, \`auth\` of \`${key}\` is no base64 of user:password`),
      hint: `log in to ${registry} again`,
    });
  }
  return {
    kind: "password",
    username: decoded.slice(0, colon),
    password: decoded.slice(colon + 1).replace(/\0+$/, ""),
  };
}
