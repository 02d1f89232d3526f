/** `HOST` is read from `origin` instead; `path` (no slash at either end) goes before what is asked for. */
export interface Mirror {
  host: string;
  origin: URL;
  path: string;
}

/** `HOST=URL`; undefined when it is not of that form. */
export function parseMirror(text: string): Mirror | undefined {
  const equals = text.indexOf("=");
  const host = text.slice(0, Math.max(equals, 0)).toLowerCase();
  const address = text.slice(equals + 1);
  const full = /^https?:\/\//i.test(address) ? address : `https://${address}`;
  if (host === "" || !URL.canParse(`https://${host}`) || !URL.canParse(full)) return;
  const url = new URL(full);
  if (new URL(`https://${host}`).pathname !== "/" || host.includes("/")) return;
  if (url.username !== "" || url.password !== "" || url.search !== "" || url.hash !== "") return;
  return { host, origin: new URL(url.origin), path: url.pathname.replace(/^\/+|\/+$/g, "") };
}

export function mirrorOf(host: string, mirrors: readonly Mirror[]): Mirror | undefined {
  return mirrors.find((mirror) => mirror.host === host.toLowerCase());
}

/** A file's address on the mirror of its host, or the address as it is. */
export function mirroredUrl(url: URL, mirrors: readonly Mirror[]): URL {
  const mirror = mirrorOf(url.host, mirrors);
  if (mirror === undefined) return url;
  const prefix = mirror.path === "" ? "" : `/${mirror.path}`;
  return new URL(`${prefix}${url.pathname}${url.search}`, mirror.origin);
}
