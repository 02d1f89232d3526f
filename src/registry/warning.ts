const MOST_WARNINGS = 8;
const LONGEST_TEXT = 500;
const WARNING = /(?:^|,)\s*(\d{3})\s+\S+\s+"((?:[^"\\]|\\.)*)"/g;

/** Passes on what a registry wants its user to know. Spec: distribution-spec, "Warnings"; RFC 7234, 5.5. */
export function warnOf(response: Response, url: URL, warn: (message: string) => void): void {
  const header = response.headers.get("warning")?.slice(0, MOST_WARNINGS * 2 * LONGEST_TEXT) ?? "";
  // All are read and one kind is taken: the text of another may look like one.
  const ours = [...header.matchAll(WARNING)].filter(([, code]) => code === "299");
  for (const [, , text = ""] of ours.slice(0, MOST_WARNINGS)) {
    warn(`${url.host}: ${text.replace(/\\(.)/g, "$1").slice(0, LONGEST_TEXT)}`);
  }
}
