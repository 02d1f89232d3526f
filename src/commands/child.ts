import { accessSync, constants as modes, readFileSync, statSync } from "node:fs";
import { delimiter, isAbsolute, join, resolve } from "node:path";
import { Fault } from "../oci/fault.ts";
import { isUnexecutable, unexecutable } from "../registry/on-path.ts";
import type { Surroundings } from "./command.ts";

/** A program to run in place of this one. */
export interface Call {
  path: string;
  argv: readonly string[];
  environment: NodeJS.ProcessEnv;
  directory: string;
}

/** The program's name on PATH. */
const CHILD = process.platform === "win32" ? "eksctl-anywhere.exe" : "eksctl-anywhere";
/** The variable that names it in place of PATH. */
const NAMED = "EKSCTL_ANYWHERE";
/** Programs that have handed over on the way here, and whom they handed over to: none of them is ever the child. */
const GUARD = "EKSA_AIRGAP_HANDED_OVER";
/** Release builds of the child run only where eksctl has set it; any value will do. Source: pkg/eksctl/eksctl.go. */
const EKSCTL_VERSION = "EKSCTL_VERSION";
/** A child's `version` dials out first, and gives up at its own leisure. */
const VERSION_PATIENCE = 60_000;
const MOST_OUTPUT = 64 * 1024;

/**
 * The real `eksctl-anywhere`: another file than this program, whatever it is called. Undefined where PATH has
 * none; fails where the user names one that cannot be it, and on one that may not be executed.
 */
export function findChild({ environment, directory }: Pick<Surroundings, "environment" | "directory">) {
  const ours = new Set([identityOf(process.execPath), ...guarded(environment)]);
  const named = environment[NAMED];
  if (named) return namedChild(resolve(directory, named), ours);
  const searchPath = environment.PATH ?? "";
  const found = searchPath
    .split(delimiter)
    .filter(isAbsolute)
    .map((folder) => join(folder, CHILD))
    .find((path) => isProgram(path) && !ours.has(identityOf(path)));
  const file = found ?? unexecutable(CHILD, searchPath);
  if (file !== undefined) assertExecutable(file);
  return found;
}

function assertExecutable(path: string): void {
  if (!isUnexecutable(path)) return;
  throw new Fault(`cannot run ${path}: it is there, and may not be executed`, {
    hint: `let it be executed: \`chmod +x ${path}\``,
  });
}

function namedChild(path: string, ours: ReadonlySet<string | undefined>): string {
  const hint = `let \`${NAMED}\` name the \`eksctl-anywhere\` of EKS Anywhere, or leave it unset to search PATH`;
  assertExecutable(path);
  if (!isProgram(path)) throw new Fault(`cannot run ${path}: it is no program`, { hint });
  if (ours.has(identityOf(path)))
    throw new Fault(`cannot hand over to ${path}: it is this program, or calls it`, { hint });
  return path;
}

/** What the child gets to see; the guard keeps it, were it one of us or a script that calls us, from coming back. */
export function childEnvironment(environment: NodeJS.ProcessEnv, child: string): NodeJS.ProcessEnv {
  const own = [process.execPath, child].map(identityOf);
  const visited = [...guarded(environment), ...own].filter((one) => one !== undefined);
  return {
    ...environment,
    [EKSCTL_VERSION]: environment[EKSCTL_VERSION] || "unknown",
    [GUARD]: [...new Set(visited)].join(","),
  };
}

/** The version that the child says it is of; undefined where it does not say so in time. */
export async function versionOfChild(
  { path, environment, directory }: Omit<Call, "argv">,
  patience = VERSION_PATIENCE,
): Promise<string | undefined> {
  const child = Bun.spawn([path, "version", "-o", "json"], {
    cwd: directory,
    env: environment,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "ignore",
  });
  const reader = child.stdout.getReader();
  // Whatever it has started may outlive it, and hold its output open.
  const timer = setTimeout(() => void reader.cancel(), patience);
  try {
    return await versionFrom(async () => (await reader.read()).value);
  } finally {
    clearTimeout(timer);
    child.kill("SIGKILL");
    void reader.cancel();
  }
}

/** `read` gives the next piece, or nothing at the end. */
async function versionFrom(read: () => Promise<Uint8Array | undefined>): Promise<string | undefined> {
  const decoder = new TextDecoder();
  for (let text = ""; text.length <= MOST_OUTPUT; ) {
    const piece = await read();
    if (piece === undefined) return;
    text += decoder.decode(piece, { stream: true });
    const version = versionIn(text);
    if (version !== undefined) return version;
  }
  return;
}

/** `{"version": "v0.26.1", …}` in a line. */
function versionIn(text: string): string | undefined {
  for (const line of text.split("\n")) {
    try {
      const { version } = JSON.parse(line);
      if (typeof version === "string" && version !== "") return version;
    } catch {
      // Not, or not yet, the line.
    }
  }
  return;
}

/**
 * Runs the child to its end with this program's streams and terminal. `onStart` gets what passes a signal on.
 * Returns the child's exit code; of one that a signal ended, 128 and the signal's number.
 */
export async function runChild(
  { path, argv, environment, directory }: Call,
  onStart: (pass: (signal: NodeJS.Signals) => void) => void,
): Promise<number> {
  let child: Bun.Subprocess;
  try {
    child = Bun.spawn([path, ...argv], {
      cwd: directory,
      env: environment,
      stdio: ["inherit", "inherit", "inherit"],
    });
  } catch (cause) {
    throw new Fault(`cannot run ${path}`, {
      cause,
      hint: `see whether it is a program for this machine; \`${NAMED}\` names another`,
    });
  }
  onStart((signal) => {
    if (!hasTerminalSent(signal)) child.kill(signal);
  });
  return child.exited;
}

/** Keys of the terminal send these to the child as well, where both are in its foreground. */
function hasTerminalSent(signal: NodeJS.Signals): boolean {
  return (signal === "SIGINT" || signal === "SIGQUIT") && isInForeground();
}

function isInForeground(): boolean {
  try {
    // Source: proc(5), /proc/pid/stat: the fields behind the name are state, ppid, pgrp, session, tty_nr, tpgid.
    const [, , group, , , foreground] = readFileSync("/proc/self/stat", "utf8")
      .replace(/^.*\) /s, "")
      .split(" ");
    return group === foreground;
  } catch {
    return process.stdin.isTTY;
  }
}

function guarded(environment: NodeJS.ProcessEnv): string[] {
  return (environment[GUARD] ?? "").split(",").filter((one) => one !== "");
}

/** Of the file behind all links. */
function identityOf(path: string): string | undefined {
  const found = statSync(path, { throwIfNoEntry: false });
  return found === undefined ? undefined : `${found.dev}:${found.ino}`;
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, modes.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
