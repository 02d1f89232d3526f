/** Query parameters that say nothing secret and help to understand a request. */
const HARMLESS = new Set(["scope", "service", "digest", "mount", "from", "n", "last", "tag", "artifactType"]);

/** A URL that may be printed: no userinfo, and of the query only what cannot be a secret. */
export function redactUrl(url: URL | string): string {
  const shown = new URL(url);
  shown.username = "";
  shown.password = "";
  shown.hash = "";
  for (const name of new Set(shown.searchParams.keys())) {
    if (!HARMLESS.has(name)) shown.searchParams.set(name, "REDACTED");
  }
  return shown.href.replaceAll("%3A", ":").replaceAll("%2F", "/").replaceAll("%2C", ",");
}
