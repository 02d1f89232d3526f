import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

interface TerminalOptions {
  columns?: number;
  rows?: number;
  /** Beside the few variables that every program needs. */
  env?: Record<string, string>;
  /** Default: an empty folder, removed at the end. */
  cwd?: string;
}

/** A program on a terminal of its own, which is its stdin, stdout and stderr. */
export interface InTerminal {
  /** All that it wrote so far. */
  readonly output: string;
  /** Resolves once `pattern` has been written; fails when the program ends before, or after ten seconds. */
  saw(pattern: RegExp): Promise<void>;
  resize(columns: number, rows: number): void;
  kill(signal: NodeJS.Signals): void;
  /** The exit code; of a program that a signal ended, 128 and the signal's number. */
  status: Promise<number>;
}

export async function startInTerminal(
  command: readonly string[],
  { columns = 80, rows = 24, env = {}, cwd }: TerminalOptions = {},
): Promise<InTerminal> {
  const home = await mkdtemp(join(tmpdir(), "eksa-airgap-terminal-"));
  const decoder = new TextDecoder();
  let output = "";
  let hasEnded = false;
  const data = (_: Bun.Terminal, bytes: Uint8Array) => {
    output += decoder.decode(bytes, { stream: true });
  };
  const child = Bun.spawn([...command], {
    cwd: cwd ?? home,
    env: { PATH: process.env.PATH ?? "", TMPDIR: tmpdir(), HOME: home, TERM: "xterm-256color", ...env },
    terminal: { cols: columns, rows, data },
  });
  const end = async (): Promise<number> => {
    const status = await child.exited;
    hasEnded = true;
    // What the program wrote last may still be on its way.
    await Bun.sleep(20);
    child.terminal?.close();
    await rm(home, { recursive: true, force: true });
    return status;
  };
  return {
    get output() {
      return output;
    },
    async saw(pattern) {
      for (let left = 1000; !pattern.test(output); left--) {
        if (hasEnded || left === 0) throw new Error(`the program did not write ${pattern}:\n${output}`);
        await Bun.sleep(10);
      }
    },
    resize: (cols, lines) => child.terminal?.resize(cols, lines),
    kill: (signal) => child.kill(signal),
    status: end(),
  };
}
