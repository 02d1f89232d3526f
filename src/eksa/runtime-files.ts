import { type MirrorSecurity, mirroredRegistries } from "./mirror.ts";
import { hostOf, portOf, type Target } from "./target.ts";

/** CRI-O and podman read the same files. */
export type Runtime = "containerd" | "crio" | "podman";

export interface RuntimeFiles {
  /** Where the runtime looks for them. */
  folder: string;
  /** Path below that folder → text. */
  files: Map<string, string>;
}

export interface RuntimeMirror extends Omit<MirrorSecurity, "authenticate"> {
  target: Target;
  /** Those whose content is in the mirror; a target that a cluster named knows them by itself. */
  registries: Iterable<string>;
  /** The value of an `Authorization` header. Not for CRI-O and podman, which have a file of logins. */
  authorization?: string;
}

/** A runtime's own files, by which it looks for public names in the mirror. */
export function runtimeFiles(runtime: Runtime, mirror: RuntimeMirror): RuntimeFiles {
  return runtime === "containerd"
    ? { folder: "/etc/containerd", files: containerdFiles(mirror) }
    : { folder: "/etc/containers", files: containersFiles(mirror) };
}

/**
 * As EKS Anywhere writes them on nodes, but for the path of the authority's file: it is relative, so that the
 * folder may be anywhere. Source: EKS Anywhere, pkg/clusterapi/config/hosts.toml.
 */
function containerdFiles(mirror: RuntimeMirror): Map<string, string> {
  const { target, registries, authorities } = mirror;
  // The port is always there, as in the names that EKS Anywhere makes.
  const base = `${hostOf(target.registry)}:${portOf(target.registry) ?? (target.scheme === "http" ? "80" : "443")}`;
  const files = new Map([[`certs.d/${base}/hosts.toml`, hostsToml(mirror, { base, registry: base })]]);
  if (authorities !== undefined) files.set(`certs.d/${base}/ca.crt`, authorities);
  for (const { registry, namespace } of mirroredRegistries(target, registries)) {
    files.set(`certs.d/${registry}/hosts.toml`, hostsToml(mirror, { base, registry, namespace }));
  }
  return files;
}

function hostsToml(
  { target, authorities, skipVerify, authorization }: RuntimeMirror,
  { base, registry, namespace = "" }: { base: string; registry: string; namespace?: string },
): string {
  const path = namespace === "" ? "v2" : `v2/${namespace}`;
  const host = `host."${target.scheme ?? "https"}://${base}/${path}"`;
  const lines = [
    `server = "https://${registry}"`,
    "",
    `[${host}]`,
    '  capabilities = ["pull", "resolve"]',
    "  override_path = true",
    ...(authorities === undefined ? [] : [`  ca = "../${base}/ca.crt"`]),
    ...(skipVerify ? ["  skip_verify = true"] : []),
    ...(authorization === undefined ? [] : [`  [${host}.header]`, `    authorization = "${authorization}"`]),
  ];
  return `${lines.join("\n")}\n`;
}

/** Spec: containers-registries.conf(5), containers-certs.d(5). */
function containersFiles({
  target,
  registries,
  authorities,
  skipVerify,
}: RuntimeMirror): Map<string, string> {
  const isInsecure = skipVerify === true || target.scheme === "http";
  const tables = mirroredRegistries(target, registries).map(({ registry, namespace }) => {
    const location = [target.registry, namespace].filter((part) => part !== "").join("/");
    return [
      "[[registry]]",
      `location = "${registry}"`,
      "[[registry.mirror]]",
      `location = "${location}"`,
      ...(isInsecure ? ["insecure = true"] : []),
      "",
    ].join("\n");
  });
  const files = new Map([["registries.conf.d/50-eks-anywhere-mirror.conf", tables.join("\n")]]);
  if (authorities !== undefined) files.set(`certs.d/${target.registry}/ca.crt`, authorities);
  return files;
}
