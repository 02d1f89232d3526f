import { resolve } from "node:path";
import { parseClusterMirror } from "../eksa/cluster.ts";
import { readLocal } from "../eksa/reader.ts";
import { parseTarget, type Target } from "../eksa/target.ts";
import { Fault } from "../oci/fault.ts";
import { fileCredentials, targetCredentials } from "../registry/credentials.ts";
import type { Log } from "../terminal/log.ts";
import type { Surroundings } from "./command.ts";

/** Where content goes or is looked for, as the command line says. */
export interface Destination {
  target: Target;
  /** For messages: as the user named it, or the cluster. */
  name: string;
  /** Certificate authorities in PEM form, to be trusted with every registry. */
  authorities?: string;
  /** Why the target's certificate is not checked, where it is not: the setting that says so. */
  unchecked?: string;
}

interface Request extends Pick<Surroundings, "directory" | "environment"> {
  values: { registry: string | undefined; filename: string | undefined };
  log: Log;
}

/** What `--registry` or `--filename` names. Fails where both are given, or neither is. */
export async function readTarget({ values, ...request }: Request): Promise<Destination> {
  const { registry, filename } = values;
  if (filename === undefined) return { target: parseTarget(registry ?? ""), name: registry ?? "" };
  if (registry === undefined) return clusterTarget(filename, request);
  throw new Fault("cannot use `--registry` and `--filename` together", {
    hint: "give one of them",
    kind: "usage",
  });
}

async function clusterTarget(filename: string, request: Omit<Request, "values">): Promise<Destination> {
  const bytes = await readCluster(resolve(request.directory, filename), filename);
  const { target, authorities, authenticate, insecureSkipVerify } = parseClusterMirror({
    source: filename,
    bytes,
  });
  if (authenticate) await assertLogin(target, filename, request);
  return {
    target,
    name: target.registry,
    ...(authorities === undefined ? {} : { authorities }),
    ...(insecureSkipVerify ? { unchecked: `\`insecureSkipVerify\` in ${filename}` } : {}),
  };
}

async function readCluster(path: string, name: string): Promise<Uint8Array> {
  try {
    return await readLocal(path);
  } catch (cause) {
    throw new Fault(`cannot read the cluster in ${name}`, { cause });
  }
}

/** Fails where the cluster says that the registry asks for a login, and there is none to give. */
async function assertLogin(
  { registry, ociNamespaces }: Target,
  filename: string,
  { environment, log }: Omit<Request, "values">,
): Promise<void> {
  if (targetCredentials(environment) !== undefined) return;
  const lookUp = fileCredentials(environment, (text) => log.warn(text));
  // A login may be saved for a namespace alone.
  for (const namespace of new Set(["", ...(ociNamespaces?.values() ?? [])])) {
    if ((await lookUp(registry, namespace)) !== undefined) return;
  }
  throw new Fault(`cannot log in to ${registry}: there are no credentials for it`, {
    cause: new Error(`the cluster in ${filename} says \`authenticate: true\``),
    hint: `set REGISTRY_USERNAME and REGISTRY_PASSWORD, or save a login with \`docker login ${registry}\``,
    kind: "usage",
  });
}
