/** `HOST` is read from `origin` instead; `path` (no slash at either end) goes before what is asked for. */
export interface Mirror {
  host: string;
  origin: URL;
  path: string;
}

/** `HOST=URL`, with the scheme; undefined when it is not of that form. */
export function parseMirror(text: string): Mirror | undefined {
  const equals = text.indexOf("=");
  const host = text.slice(0, Math.max(equals, 0)).toLowerCase();
  const address = text.slice(equals + 1);
  if (!/^https?:\/\//i.test(address) || !URL.canParse(address)) return;
  if (!/^[^/\\?#@]+$/.test(host) || !URL.canParse(`https://${host}`)) return;
  const url = new URL(address);
  if (url.username !== "" || url.password !== "" || url.search !== "" || url.hash !== "") return;
  return { host, origin: new URL(url.origin), path: url.pathname.replace(/^\/+|\/+$/g, "") };
}

/**
 * What was given as `HOST=URL` and is none, without what may be secret in it: all before an `@`, what
 * is no port, and a query.
 */
export function redactMirror(text: string): string {
  return text
    .replace(/^([\w.-]+(?::\d+)?=)?([a-z][a-z0-9+.-]*:\/\/)?.*@/is, "$1$2REDACTED@")
    .replace(/((?:=|:\/\/)[^/:[]+:)(?!\d*(?:\/|$)).*/s, "$1REDACTED")
    .replace(/[?#].*$/s, "?REDACTED");
}

export function mirrorOf(host: string, mirrors: readonly Mirror[]): Mirror | undefined {
  return mirrors.find((mirror) => mirror.host === host.toLowerCase());
}

/** A file's address on the mirror of its host, or the address as it is. */
export function mirroredUrl(url: URL, mirrors: readonly Mirror[]): URL {
  const mirror = mirrorOf(url.host, mirrors);
  if (mirror === undefined) return url;
  const mirrored = new URL(mirror.origin);
  // Set, not resolved: a path that starts with two slashes would be taken for another host.
  mirrored.pathname = `${mirror.path === "" ? "" : `/${mirror.path}`}${url.pathname}`;
  mirrored.search = url.search;
  return mirrored;
}
