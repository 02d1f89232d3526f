/** The longest path that any system takes. */
const LONGEST = 4096;

/**
 * The one form of a name in a tar: no `./`, no doubled or closing slash; empty for the root folder.
 * Undefined for a name that is absolute, climbs or is too long: such names are refused, never mended.
 */
export function normalName(name: string): string | undefined {
  const parts = name.split("/");
  if (name.length > LONGEST || name.startsWith("/") || name.includes("\0") || parts.includes("..")) return;
  return parts.filter((part) => part !== "" && part !== ".").join("/");
}

/** What a symbolic link in the file `from` points to; undefined when that is outside of the archive. */
export function linkTarget(from: string, link: string): string | undefined {
  if (link.length > LONGEST || link.startsWith("/") || link.includes("\0")) return;
  const path = from.split("/").slice(0, -1);
  for (const part of link.split("/")) {
    if (part === "..") {
      if (path.pop() === undefined) return;
    } else if (part !== "" && part !== ".") path.push(part);
  }
  return path.join("/");
}

/** For a message: names come from strangers and may be long. */
export function quoted(name: string): string {
  return `\`${name.length > 100 ? `${name.slice(0, 100)}…` : name}\``;
}
