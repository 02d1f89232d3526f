import { Fault } from "../oci/fault.ts";
import { isRegistry, isRepository } from "../oci/reference.ts";

/** A registry, or one project of it, that content goes to. */
export interface Target {
  /** Absent where none was written. */
  scheme?: "http" | "https";
  /** `HOST[:PORT]` */
  registry: string;
  /** Put before every repository; empty for none. */
  namespace: string;
  /**
   * Registry, in lower case → what is put before its repositories instead: where a cluster's nodes look. What
   * comes from another registry has no place then.
   */
  ociNamespaces?: ReadonlyMap<string, string>;
}

const FORM = "`[http://|https://]HOST[:PORT][/NAMESPACE]`";

/** Reads what `--registry` takes. Neither userinfo nor a query is ever shown: either may be a secret. */
export function parseTarget(text: string): Target {
  if (text.includes("@")) {
    throw malformed("it holds credentials", "put them into `REGISTRY_USERNAME` and `REGISTRY_PASSWORD`");
  }
  if (/[?#]/.test(text)) throw malformed("it holds a query");
  const [, scheme, rest = ""] = /^(?:([^/]*):\/\/)?(.*)$/s.exec(text) ?? [];
  const lower = scheme?.toLowerCase();
  if (lower !== undefined && lower !== "http" && lower !== "https") {
    throw malformed(`\`${clip(lower)}\` is not http or https`);
  }
  const slash = rest.indexOf("/");
  const registry = slash < 0 ? rest : rest.slice(0, slash);
  const namespace = slash < 0 ? "" : rest.slice(slash + 1).replace(/\/$/, "");
  if (!isRegistry(registry) || !isPort(portOf(registry) ?? "443")) {
    throw malformed(`\`${clip(registry)}\` is not a host and port`);
  }
  if (namespace !== "" && !isRepository(namespace)) {
    throw malformed(
      `\`${clip(namespace)}\` is not a namespace`,
      "a namespace is lower case: letters, digits, single `.`, `_` or `-` between them, `/` between its parts",
    );
  }
  return lower === undefined ? { registry, namespace } : { scheme: lower, registry, namespace };
}

/** The host as a URL's authority has it: an IPv6 address in brackets. */
export function hostOf(registry: string): string {
  const port = portOf(registry);
  return port === undefined ? registry : registry.slice(0, -port.length - 1);
}

export function portOf(registry: string): string | undefined {
  return /:([0-9]+)$/.exec(registry)?.[1];
}

function isPort(text: string): boolean {
  return Number(text) >= 1 && Number(text) <= 65535;
}

function malformed(why: string, hint = `write the registry as ${FORM}`): Fault {
  return new Fault(`cannot read the target registry: ${why}`, { hint, kind: "usage" });
}

function clip(text: string): string {
  return text.length > 100 ? `${text.slice(0, 100)}…` : text;
}
