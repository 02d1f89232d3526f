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
}

function take(path: string): boolean {
  let file: number;
  try {
    file = openSync(path, "wx");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST") return false;
    throw error;
  }
  writeSync(file, `${process.pid}@${hostname()}\n`);
  closeSync(file);
  return true;
}

/** Undefined when the file is gone by now, or holds nothing that we wrote. */
function holderOf(path: string): Holder | undefined {
  try {
    const [, pid, host] = /^(\d+)@(.*)\n$/.exec(readFileSync(path, "utf8").slice(0, 1000)) ?? [];
    return pid === undefined || host === undefined ? undefined : { pid: Number(pid), host };
  } catch {
    return;
  }
}

function isAtWork({ pid, host }: Holder): boolean {
  if (host !== hostname()) return true;
  if (pid === process.pid) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // Another user's process may be there without our being allowed to signal it.
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}
