import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

export interface RunOptions {
  /** Beside the few variables that every program needs; nothing else of this process's is passed on. */
  env?: Record<string, string>;
  /** Default: an empty folder, removed at the end. */
  cwd?: string;
  /** Default: nothing to read. */
  stdin?: Blob | Uint8Array | ReadableStream<Uint8Array>;
  /** The words of a command that runs another one somewhere else. Default: none. */
  through?: readonly string[];
}

export interface RunResult {
  /** The exit code; of a program that a signal ended, 128 and the signal's number. */
  status: number;
  stdout: string;
  stderr: string;
}

export interface Running {
  /** Resolves once `pattern` has been seen on stderr; fails when the program ends before. */
  saw(pattern: RegExp): Promise<void>;
  kill(signal: NodeJS.Signals): void;
  result: Promise<RunResult>;
}

const ROOT = resolve(import.meta.dir, "../..");

let building: Promise<void> | undefined;

/** The compiled program's path; it is built where it is missing. */
export async function executable(): Promise<string> {
  const path = join(ROOT, "dist", "eksa-airgap");
  if (!existsSync(path)) {
    building ??= build();
    await building;
  }
  return path;
}

/** Runs the compiled program to its end, away from the home folder and the variables of whoever tests. */
export async function runExecutable(args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  return (await startExecutable(args, options)).result;
}

/** The same, for a test that has something to do while the program runs. */
export async function startExecutable(args: readonly string[], options: RunOptions = {}): Promise<Running> {
  const command = [...(options.through ?? []), await executable(), ...args];
  const home = await mkdtemp(join(tmpdir(), "eksa-airgap-home-"));
  const child = Bun.spawn(command, {
    cwd: options.cwd ?? home,
    env: { PATH: process.env.PATH ?? "", TMPDIR: tmpdir(), HOME: home, ...options.env },
    stdin: options.stdin ?? "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const watched = new Watched();
  const [stdout, stderr] = [new Response(child.stdout).text(), watched.read(child.stderr)];
  const end = async (): Promise<RunResult> => {
    const result = { status: await child.exited, stdout: await stdout, stderr: await stderr };
    await rm(home, { recursive: true, force: true });
    return result;
  };
  return { saw: (pattern) => watched.saw(pattern), kill: (signal) => child.kill(signal), result: end() };
}

/** A program's output as it comes. */
class Watched {
  #text = "";
  #ended = false;
  #waiting: (() => void)[] = [];

  async read(stream: ReadableStream<Uint8Array>): Promise<string> {
    const decoder = new TextDecoder();
    for await (const chunk of stream) {
      this.#text += decoder.decode(chunk, { stream: true });
      this.#wake();
    }
    this.#ended = true;
    this.#wake();
    return this.#text;
  }

  async saw(pattern: RegExp): Promise<void> {
    while (!pattern.test(this.#text)) {
      if (this.#ended) throw new Error(`the program ended without saying ${pattern}:\n${this.#text}`);
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

async function build(): Promise<void> {
  const child = Bun.spawn([process.execPath, "scripts/build.ts"], {
    cwd: ROOT,
    stdout: "ignore",
    stderr: "pipe",
  });
  const stderr = await new Response(child.stderr).text();
  if ((await child.exited) !== 0) throw new Error(`the executable does not build:\n${stderr}`);
}
