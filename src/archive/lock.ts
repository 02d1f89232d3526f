import { existsSync, lstatSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { Fault } from "../oci/fault.ts";

/** Milliseconds in which whoever made a lock has written its name into it. */
const MOMENT = 50;

/** Keeps a second run away from an output; `release` may be called twice. */
export interface Lock {
  release(): void;
}

/**
 * Takes `OUTPUT.lock`, or fails when another run that is still at work holds it. What a killed run left is
 * taken over: its process is gone. On a shared disk the other machine's processes cannot be seen, so its
 * lock counts as held.
 */
export function lockOutput(output: string): Lock {
  const path = `${output}.lock`;
  if (!take(path)) {
    assertIsFile(path, output);
    const holder = settledHolderOf(path);
    if (holder !== undefined && isAtWork(holder)) {
      throw new Fault(`cannot write ${output}: another run is writing it`, {
        cause: new Fault(`${path} is held by process ${holder.pid} on ${holder.host}`),
        hint: `wait for it, or choose another output; if no such run exists, remove ${path}`,
      });
    }
    takeAway(path, holder);
    return lockOutput(output);
  }
  let held = true;
  return {
    release: () => {
      if (held) rmSync(path, { force: true });
      held = false;
    },
  };
}

/** What is no file is none of ours to take away. */
function assertIsFile(path: string, output: string): void {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined || found.isFile() || found.isSymbolicLink()) return;
  throw new Fault(`cannot write ${output}: ${path} is in the way, and is not a file`, {
    hint: `remove \`${path}\`, or choose another output`,
  });
}

interface Holder {
  pid: number;
  host: string;
  /** Undefined where it is not known. */
  boot: string | undefined;
}

/** False when there is one. */
function take(path: string): boolean {
  try {
    writeFileSync(path, `${process.pid}@${hostname()} ${bootId()}\n`, { flag: "wx" });
    return true;
  } catch (error) {
    if (codeOf(error) === "EEXIST") return false;
    throw error;
  }
}

/** One that was made a moment ago may not say yet whose it is. */
function settledHolderOf(path: string): Holder | undefined {
  const holder = holderOf(path);
  if (holder !== undefined || !existsSync(path)) return holder;
  Bun.sleepSync(MOMENT);
  return holderOf(path);
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : undefined;
}

/** Of several that find the same lock left behind, only one moves it; what has come in its place goes back. */
function takeAway(path: string, left: Holder | undefined): void {
  const aside = `${path}.left`;
  try {
    renameSync(path, aside);
  } catch (error) {
    if (codeOf(error) === "ENOENT") return;
    throw error;
  }
  if (Bun.deepEquals(holderOf(aside), left)) rmSync(aside, { force: true });
  else renameSync(aside, path);
}

/** Undefined when the file is gone by now, or holds nothing that we wrote. */
function holderOf(path: string): Holder | undefined {
  try {
    const text = readFileSync(path, "utf8").slice(0, 1000);
    const [, pid, host, boot] = /^(\d+)@(\S+)(?: (\S*))?\n$/.exec(text) ?? [];
    return pid === undefined || host === undefined
      ? undefined
      : { pid: Number(pid), host, boot: boot || undefined };
  } catch {
    return;
  }
}

function isAtWork({ pid, host, boot }: Holder): boolean {
  if (host !== hostname()) return true;
  // After a power cut another process may have the number.
  const current = bootId();
  if (boot !== undefined && current !== "" && boot !== current) return false;
  if (pid === process.pid) return false;
  try {
    process.kill(pid, 0);
    return !isZombie(pid);
  } catch (error) {
    // Another user's process may be there without our being allowed to signal it.
    return codeOf(error) === "EPERM";
  }
}

/** Ended, and only not yet waited for: a container's first process may never do it. False where none can be told. */
function isZombie(pid: number): boolean {
  try {
    // `PID (NAME) STATE …`, and a name may hold anything. Source: proc_pid_stat(5).
    return /^.*\) [ZX] /s.test(readFileSync(`/proc/${pid}/stat`, "latin1"));
  } catch {
    return false;
  }
}

/** Another one after each start of the machine; empty where the system has none. */
function bootId(): string {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  } catch {
    return "";
  }
}
