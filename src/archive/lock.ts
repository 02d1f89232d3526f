import { closeSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { hostname } from "node:os";
import { Fault } from "../oci/fault.ts";

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
    const holder = holderOf(path);
    if (holder !== undefined && isAtWork(holder)) {
      throw new Fault(`cannot write ${output}: another run is writing it`, {
        cause: new Fault(`${path} is held by process ${holder.pid} on ${holder.host}`),
        hint: `wait for it, or choose another output; if no such run exists, remove ${path}`,
      });
    }
    rmSync(path, { force: true });
    // Of two that take over at once one gets it.
    if (!take(path)) return lockOutput(output);
  }
  let held = true;
  return {
    release: () => {
      if (held) rmSync(path, { force: true });
      held = false;
    },
  };
}

interface Holder {
  pid: number;
  host: string;
  /** Undefined where it is not known. */
  boot: string | undefined;
}

function take(path: string): boolean {
  let file: number;
  try {
    file = openSync(path, "wx");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST") return false;
    throw error;
  }
  writeSync(file, `${process.pid}@${hostname()} ${bootId()}\n`);
  closeSync(file);
  return true;
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
    return true;
  } catch (error) {
    // Another user's process may be there without our being allowed to signal it.
    return error instanceof Error && "code" in error && error.code === "EPERM";
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
