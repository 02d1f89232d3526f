import { closeSync, fsyncSync, openSync } from "node:fs";
import { lstat, mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { type Lock, lockOutput } from "../archive/lock.ts";
import { assertTitles } from "../eksa/titles.ts";
import type { TitledFile } from "../eksa/wrap.ts";
import { Fault } from "../oci/fault.ts";

export interface FolderOptions {
  /**
   * One of the titles: while this file is there all of them are, and whole. A folder that has everything already
   * is not touched, as it may be in use.
   */
  mark?: string;
  /** Of the files. Default: 0o644. */
  mode?: number;
  signal: AbortSignal;
}

/** Milliseconds between looking whether another run has done its writing, and how often that is done. */
const MOMENT = 100;
const MOST_MOMENTS = 300;

/**
 * Writes files below a folder in place of those that have their names, each of them whole or not at all. What
 * else is there stays. No link below the folder is followed.
 */
export async function writeFolder(
  directory: string,
  files: readonly TitledFile[],
  { mark, mode = 0o644, signal }: FolderOptions,
): Promise<void> {
  assertTitles(files.map(({ title }) => title));
  const marked = files.filter(({ title }) => title === mark);
  const others = files.filter(({ title }) => title !== mark);
  let lock: Lock | undefined;
  try {
    await mkdir(directory, { recursive: true });
    if (mark !== undefined) {
      if (await holdsAll(directory, files)) return;
      lock = await lockOrWait(join(directory, mark), signal);
      if (await holdsAll(directory, files)) return;
      await rm(join(directory, mark), { force: true });
    }
    const folders = new Set([directory]);
    for (const { title, bytes } of others) {
      signal.throwIfAborted();
      for (const folder of await makeFolders(directory, title)) folders.add(folder);
      await replaceFile(join(directory, title), bytes, mode);
    }
    for (const folder of folders) syncFolder(folder);
    for (const { title, bytes } of marked) await replaceFile(join(directory, title), bytes, mode);
  } catch (cause) {
    signal.throwIfAborted();
    throw cannotWriteInto(directory, cause);
  } finally {
    lock?.release();
  }
}

/** Two runs at once would mix their files. */
async function lockOrWait(path: string, signal: AbortSignal): Promise<Lock> {
  for (let moments = 0; ; moments += 1) {
    try {
      return lockOutput(path);
    } catch (error) {
      if (!(error instanceof Fault) || moments >= MOST_MOMENTS) throw error;
    }
    await Bun.sleep(MOMENT);
    signal.throwIfAborted();
  }
}

async function holdsAll(directory: string, files: readonly TitledFile[]): Promise<boolean> {
  for (const { title, bytes } of files) {
    const folders = await Promise.all(foldersOf(directory, title).map(kindOf));
    if (folders.some((kind) => kind !== "folder")) return false;
    const path = join(directory, title);
    if ((await kindOf(path)) !== "file") return false;
    if (!(await readFile(path)).equals(bytes)) return false;
  }
  return true;
}

/** Those between `directory` and the file, made where they are missing. */
async function makeFolders(directory: string, title: string): Promise<string[]> {
  const folders = foldersOf(directory, title);
  for (const folder of folders) {
    const kind = await kindOf(folder);
    if (kind === undefined) await mkdir(folder);
    else if (kind !== "folder") throw new Fault(`cannot use ${folder} as a folder: it is a ${kind}`);
  }
  return folders;
}

function foldersOf(directory: string, title: string): string[] {
  const names = title.split("/").slice(0, -1);
  return names.map((_, index) => join(directory, ...names.slice(0, index + 1)));
}

/** Of what is at a path itself, a link not followed; undefined where there is nothing. */
async function kindOf(path: string): Promise<"file" | "folder" | "link" | "special file" | undefined> {
  try {
    const found = await lstat(path);
    if (found.isSymbolicLink()) return "link";
    if (found.isDirectory()) return "folder";
    return found.isFile() ? "file" : "special file";
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return;
    throw error;
  }
}

/** A link of that name is replaced, not followed. */
async function replaceFile(path: string, bytes: Uint8Array, mode: number): Promise<void> {
  const unfinished = join(dirname(path), `.${crypto.randomUUID()}.partial`);
  try {
    const file = await open(unfinished, "wx", mode);
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(unfinished, path);
  } catch (error) {
    await rm(unfinished, { force: true });
    throw error;
  }
}

/** What was renamed in it stays so when the power fails. */
function syncFolder(path: string): void {
  if (process.platform === "win32") return;
  const folder = openSync(path, "r");
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}

export function cannotWriteInto(directory: string, cause: unknown): Fault {
  return new Fault(`cannot write into ${directory}`, {
    cause,
    hint: "choose a folder that may be written to, with room, and with nothing else in the way",
  });
}
