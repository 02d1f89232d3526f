import { accessSync, constants, statSync } from "node:fs";
import { delimiter, isAbsolute, join } from "node:path";

/** A file of a program's name in a folder of `searchPath` that may not be executed, where there is one. */
export function unexecutable(program: string, searchPath: string): string | undefined {
  const folders = searchPath.split(delimiter).filter(isAbsolute);
  return folders.map((folder) => join(folder, program)).find(isUnexecutable);
}

/** Whether there is a file, and nobody may execute it, or not this user. */
export function isUnexecutable(path: string): boolean {
  if (!isFile(path)) return false;
  try {
    accessSync(path, constants.X_OK);
    return false;
  } catch {
    return true;
  }
}

/** A folder that this user may not enter holds nothing for it, nor does what is no folder. */
function isFile(path: string): boolean {
  try {
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
