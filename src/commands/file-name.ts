import { sep } from "node:path";

/** Whether what a user names can only be a folder, there or not. */
export function namesFolder(name: string): boolean {
  return name.endsWith("/") || name.endsWith(sep);
}
