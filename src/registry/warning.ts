const MOST_WARNINGS = 8;
const LONGEST_TEXT = 500;
const WARNING = /(?:^|,)\s*299\s+\S+\s+"((?:[^"\\]|\\.)*)"/g;

/** Passes on what a registry wants its user to know. Spec: distribution-spec, "Warnings"; RFC 7234, 5.5. */
export function warnOf(response: Response, url: URL, warn: (message: string) => void): void {
  const header = response.headers.get("warning")?.slice(0, MOST_WARNINGS * 2 * LONGEST_TEXT) ?? "";
  for (const [, text = ""] of [...header.matchAll(WARNING)].slice(0, MOST_WARNINGS)) {
    warn(`${url.host}: ${text.replace(/\\(.)/g, "$1").slice(0, LONGEST_TEXT)}`);
  }
}
