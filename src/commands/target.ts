import { resolve } from "node:path";
import { parseClusterMirror } from "../eksa/cluster.ts";
import { readLocal } from "../eksa/reader.ts";
import { hostOf, parseTarget, type Target } from "../eksa/target.ts";
import { NetworkError } from "../http/transport.ts";
import { causes, Fault } from "../oci/fault.ts";
import type { Registries } from "../registry/client.ts";
import { fileCredentials, targetCredentials } from "../registry/credentials.ts";
import type { Log } from "../terminal/log.ts";
import type { Surroundings } from "./command.ts";

/** Where content goes or is looked for, as the command line says. */
export interface Destination {
  target: Target;
  /** For messages: as the user named it, or the cluster. */
  name: string;
  /** The flag that names it: `--filename cluster.yaml`. */
  flag: string;
  /** The release of EKS Anywhere that the cluster is of, where there is one and it says so. */
  eksaVersion?: string;
  /** Certificate authorities in PEM form, to be trusted with every registry. */
  authorities?: string;
  /** Nobody may read without a login: the cluster says so. */
  authenticate?: true;
  /** Why the target's certificate is not checked, where it is not: the setting that says so. */
  unchecked?: string;
}

interface Request extends Pick<Surroundings, "directory" | "environment"> {
  values: { registry: string | undefined; filename: string | undefined };
  log: Log;
}

/** What `--registry` or `--filename` names, to be reached. Fails also where it needs a login and there is none. */
export async function readTarget(request: Request): Promise<Destination> {
  const destination = await nameTarget(request);
  if (destination.authenticate) await assertLogin(destination, request);
  return destination;
}

/** The same, to be written down only. Fails where both are given, or neither is. */
export async function nameTarget({ values, directory }: Omit<Request, "log">): Promise<Destination> {
  const { registry, filename } = values;
  if (filename === undefined) {
    const name = registry ?? "";
    return { target: parseTarget(name), name, flag: `--registry ${name}` };
  }
  if (registry === undefined) return clusterTarget(filename, directory);
  throw new Fault("cannot use `--registry` and `--filename` together", {
    hint: "give one of them",
    kind: "usage",
  });
}

async function clusterTarget(filename: string, directory: string): Promise<Destination> {
  const bytes = await readCluster(directory, filename);
  const { target, authorities, authenticate, insecureSkipVerify, eksaVersion } = parseClusterMirror({
    source: filename,
    bytes,
  });
  return {
    target,
    name: target.registry,
    flag: `--filename ${filename}`,
    ...(eksaVersion === undefined ? {} : { eksaVersion }),
    ...(authorities === undefined ? {} : { authorities }),
    ...(authenticate ? { authenticate } : {}),
    ...(insecureSkipVerify ? { unchecked: `\`insecureSkipVerify\` in ${filename}` } : {}),
  };
}

/** Fails where nobody at the target speaks the protocol; of a cluster's mirror also as EKS Anywhere would say it. */
export async function greet(
  registries: Registries,
  { target, flag, authorities }: Destination,
): Promise<void> {
  try {
    await registries.client(target.registry).ping();
  } catch (cause) {
    const isOfCluster = flag.startsWith("--filename") && authorities === undefined;
    if (!isOfCluster || !causes(cause).some(isOfUnknownAuthority)) throw cause;
    throw new Fault(`cannot use the mirror ${target.registry}`, {
      // Source: pkg/validations/cluster.go `ValidateCertForRegistryMirror`.
      cause: new Error(
        `registry ${hostOf(target.registry)} is using self-signed certs, please provide the certificate using caCertContent field. Or use insecureSkipVerify field to skip registry certificate verification`,
        { cause },
      ),
    });
  }
}

function isOfUnknownAuthority(error: unknown): boolean {
  return (
    error instanceof NetworkError &&
    error.code === "CERTIFICATE" &&
    /SELF_SIGNED|ISSUER|LEAF_SIGNATURE/.test(error.message)
  );
}

/** The file that `--filename` names. */
export async function readCluster(directory: string, filename: string): Promise<Uint8Array> {
  try {
    return await readLocal(resolve(directory, filename));
  } catch (cause) {
    throw new Fault(`cannot read the cluster in ${filename}`, { cause });
  }
}

/** Fails where the cluster says that the registry asks for a login, and there is none to give. */
async function assertLogin(destination: Destination, request: Request): Promise<void> {
  // Told again by whoever then reaches the registry.
  const warnings: string[] = [];
  const login = await loginOf(destination, request.environment, (text) => warnings.push(text));
  if (login !== undefined) return;
  for (const warning of warnings) request.log.warn(warning);
  const { registry } = destination.target;
  throw new Fault(`cannot log in to ${registry}: there are no credentials for it`, {
    cause: new Error(`the cluster in ${request.values.filename} says \`authenticate: true\``),
    hint: `set REGISTRY_USERNAME and REGISTRY_PASSWORD, or save a login with \`docker login ${registry}\``,
    kind: "usage",
  });
}

/** Where a login is from. */
export type Login = "environment" | "file";

/** Where the login for the target is from; undefined where there is none. */
export async function loginOf(
  { target: { registry, namespace, ociNamespaces } }: Destination,
  environment: Surroundings["environment"],
  warn: (text: string) => void = () => {},
): Promise<Login | undefined> {
  if (targetCredentials(environment) !== undefined) return "environment";
  const lookUp = fileCredentials(environment, warn);
  // A login may be saved for a namespace alone.
  for (const path of new Set(["", namespace, ...(ociNamespaces?.values() ?? [])])) {
    if ((await lookUp(registry, path)) !== undefined) return "file";
  }
  return;
}
