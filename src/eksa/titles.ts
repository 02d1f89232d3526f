import { Fault } from "../oci/fault.ts";

const RENAME = "have it published under another name";

/**
 * A title is the path that a file gets below a folder of the consumer's choice.
 * Refuses what would leave that folder, or is not a path on every system.
 */
export function assertTitle(title: string): void {
  const reason = defectOf(title);
  if (reason === undefined) return;
  throw new Fault(`cannot use \`${printable(title)}\` as a file name: ${reason}`, { hint: RENAME });
}

/** Refuses, besides, titles that would be one file, or a file and a folder, where case does not count. */
export function assertTitles(titles: readonly string[]): void {
  const files = new Map<string, string>();
  for (const title of titles) {
    assertTitle(title);
    const folded = fold(title);
    const other = files.get(folded);
    if (other !== undefined) throw collision(title, other);
    files.set(folded, title);
  }
  for (const [folded, title] of files) {
    for (let slash = folded.indexOf("/"); slash >= 0; slash = folded.indexOf("/", slash + 1)) {
      const other = files.get(folded.slice(0, slash));
      if (other !== undefined) throw collision(title, other);
    }
  }
}

function defectOf(title: string): string | undefined {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  if (/[\u0000-\u001f\u007f]/.test(title)) return "it holds a control character";
  if (title.includes("\\")) return "it holds a backslash";
  if (title.startsWith("/") || /^[A-Za-z]:/.test(title)) return "it is absolute";
  const segments = title.split("/");
  if (segments.includes("..") || segments.includes(".")) return "it climbs";
  if (segments.includes("")) return "a part of it is empty";
  return;
}

function fold(title: string): string {
  return title.normalize("NFC").toLowerCase();
}

function collision(title: string, other: string): Fault {
  return new Fault(`cannot keep both \`${other}\` and \`${title}\`: they would be the same file somewhere`, {
    hint: RENAME,
  });
}

function printable(title: string): string {
  return JSON.stringify(title.slice(0, 200)).slice(1, -1);
}
