import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { Fault } from "../oci/fault.ts";

/** How to say who we are; an identity token stands in for a password at the token server. */
export type Credentials =
  | { kind: "password"; username: string; password: string }
  | { kind: "identityToken"; token: string };

/** Credentials for a registry, or for a repository of it, if there are any. */
export type CredentialLookup = (registry: string) => Credentials | undefined;

const Entry = v.object({
  auth: v.optional(v.string()),
  username: v.optional(v.string()),
  password: v.optional(v.string()),
  identitytoken: v.optional(v.string()),
});
const ConfigFile = v.object({ auths: v.optional(v.record(v.string(), v.nullable(Entry))) });
type Auths = NonNullable<v.InferOutput<typeof ConfigFile>["auths"]>;

const MAX_FILE_BYTES = 4 * 1024 * 1024;
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
 * A file that is not there is no error; one that cannot be read is, since it would change who we are.
 */
export function fileCredentials(environment: NodeJS.ProcessEnv): CredentialLookup {
  const files = candidateFiles(environment).map(readAuths);
  return (registry) => {
    for (const auths of files) {
      const entry = keysFor(registry)
        .map((key) => auths[key])
        .find((found) => found !== undefined && found !== null);
      const credentials = entry === undefined ? undefined : credentialsOf(entry, registry);
      if (credentials !== undefined) return credentials;
    }
    return;
  };
}

function candidateFiles(environment: NodeJS.ProcessEnv): string[] {
  const { REGISTRY_AUTH_FILE, DOCKER_CONFIG, XDG_RUNTIME_DIR, XDG_CONFIG_HOME } = environment;
  const home = environment.HOME ?? environment.USERPROFILE;
  if (REGISTRY_AUTH_FILE) return [REGISTRY_AUTH_FILE];
  const configHome = XDG_CONFIG_HOME || (home && join(home, ".config"));
  const dockerHome = DOCKER_CONFIG || (home && join(home, ".docker"));
  return [
    ...(XDG_RUNTIME_DIR ? [join(XDG_RUNTIME_DIR, "containers", "auth.json")] : []),
    ...(configHome ? [join(configHome, "containers", "auth.json")] : []),
    ...(dockerHome ? [join(dockerHome, "config.json")] : []),
  ];
}

function readAuths(path: string): Auths {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && (cause.code === "ENOENT" || cause.code === "ENOTDIR")) {
      return {};
    }
    throw new Fault(`cannot read the credentials in ${path}`, { cause });
  }
  if (text.length > MAX_FILE_BYTES)
    throw new Fault(`cannot read the credentials in ${path}: it is too large`);
  try {
    return v.parse(ConfigFile, JSON.parse(text)).auths ?? {};
  } catch {
    // The parser's own message could quote a password.
    throw new Fault(`cannot read the credentials in ${path}: it is not a docker or podman login file`, {
      hint: "log in again with `docker login` or `podman login`, or remove the file",
    });
  }
}

/** What a login may be filed under: the host, as docker or its older releases wrote it. */
function keysFor(registry: string): string[] {
  if (DOCKER_HUB_HOSTS.has(registry)) return [DOCKER_HUB_KEY, "docker.io", "index.docker.io"];
  const names = [registry, `https://${registry}`, `http://${registry}`];
  return names.flatMap((name) => [name, `${name}/`, `${name}/v2/`, `${name}/v1/`]);
}

function credentialsOf(entry: v.InferOutput<typeof Entry>, registry: string): Credentials | undefined {
  if (entry.identitytoken) return { kind: "identityToken", token: entry.identitytoken };
  if (entry.username && entry.password !== undefined) {
    return { kind: "password", username: entry.username, password: entry.password };
  }
  if (!entry.auth) return;
  const decoded = Buffer.from(entry.auth, "base64").toString("utf8");
  const colon = decoded.indexOf(":");
  if (colon <= 0) {
    throw new Fault(`cannot read the saved login for ${registry}`, { hint: `log in to ${registry} again` });
  }
  return {
    kind: "password",
    username: decoded.slice(0, colon),
    password: decoded.slice(colon + 1).replace(/\0+$/, ""),
  };
}
