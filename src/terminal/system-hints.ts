/** What to do about the system's own errors, where nobody who knows more has said so. By their codes. */
const HINTS = new Map([
  ["ENOENT", "check the path: there is nothing of that name"],
  ["ENOTDIR", "check the path: a part of it is a file"],
  ["EISDIR", "name a file: that is a folder"],
  ["ELOOP", "check the path: its links lead in a circle"],
  ["ENAMETOOLONG", "choose a shorter name"],
  ["EACCES", "give this user the right to it"],
  ["EPERM", "give this user the right to it"],
  ["EROFS", "choose a place that may be written to"],
  ["ENOSPC", "make room there"],
  ["EDQUOT", "make room there, or have the quota raised"],
  ["EMFILE", "raise the number of files that may be open: `ulimit -n`"],
  ["ENFILE", "close other programs: too many files are open on this machine"],
  ["EIO", "check the disk: the system's log says more"],
]);

/** Undefined for anything but an error of the system that is known here. */
export function systemHint(error: unknown): string | undefined {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return typeof code === "string" ? HINTS.get(code) : undefined;
}
