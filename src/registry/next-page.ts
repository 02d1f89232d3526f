import { Fault } from "../oci/fault.ts";

/** A target, and all of its parameters. */
const LINK = /<([^<>]*)>((?:[^",]|"(?:[^"\\]|\\.)*")*)/g;
const PARAMETER = /;\s*([^\s=;"]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))/g;

/**
 * Where a list goes on that was read at `url`; undefined at its end. Fails when that is on another host:
 * whatever is there is not this registry's list. Spec: RFC 8288, 3.
 */
export function nextPage({ headers }: Response, url: URL): URL | undefined {
  const links = [...(headers.get("link") ?? "").matchAll(LINK)];
  const target = links.find(([, , parameters = ""]) => relations(parameters).includes("next"))?.[1];
  if (target === undefined) return;
  const next = URL.canParse(target, url.href) ? new URL(target, url) : undefined;
  if (next?.origin === url.origin) return next;
  throw new Fault(`cannot read a list to its end: ${url.host} says that it goes on somewhere else`, {
    hint: `see what answers for \`${url.host}\`: a registry, or a proxy or page before it`,
  });
}

/** Of several `rel` the first counts. */
function relations(parameters: string): string[] {
  for (const [, name = "", quoted, plain = ""] of parameters.matchAll(PARAMETER)) {
    if (name.toLowerCase() === "rel") return (quoted ?? plain).toLowerCase().split(/\s+/);
  }
  return [];
}
