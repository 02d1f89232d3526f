const SCHEME = /^([a-z][a-z0-9+.-]*):\/\//i;

/** The scheme in lower case; undefined for a path and for an image reference. */
export function schemeOf(uri: string): string | undefined {
  return SCHEME.exec(uri)?.[1]?.toLowerCase();
}

export function isHttp(uri: string): boolean {
  const scheme = schemeOf(uri);
  return scheme === "http" || scheme === "https";
}

/** The last segment of the path, without query and fragment; may be empty or unsafe: the caller checks. */
export function basenameOf(uri: string): string {
  const path = withoutQuery(uri);
  return path.slice(path.lastIndexOf("/") + 1);
}

export function namesYaml(uri: string): boolean {
  return /\.ya?ml$/i.test(basenameOf(uri));
}

/** For messages and reports: neither userinfo nor a query, which may be a signature. */
export function displayUri(uri: string): string {
  if (schemeOf(uri) === undefined) return uri;
  return withoutQuery(uri).replace(/^([^/]*:\/\/)[^/]*@/, "$1");
}

function withoutQuery(uri: string): string {
  return schemeOf(uri) === undefined ? uri : uri.replace(/[?#].*$/s, "");
}
