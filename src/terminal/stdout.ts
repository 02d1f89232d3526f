import { Fault } from "../oci/fault.ts";

/** Linux's O_CLOEXEC. */
const CLOSES_ON_EXEC = 0o2000000n;

/** Fails where the process was started without a stdout: all that is written there would be lost without a word. */
export async function assertStdoutIsOpen(): Promise<void> {
  if (!(await isClosed())) return;
  throw new Fault("cannot write the result to stdout: it is closed", {
    hint: "start the command with a stdout, which may be `/dev/null`",
  });
}

/** Writes a line to stdout. A reader that has seen enough, as `head` has, is no failure. */
export async function printToStdout(text: string): Promise<void> {
  await assertStdoutIsOpen();
  try {
    await Bun.write(Bun.stdout, `${text}\n`);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EPIPE") return;
    throw new Fault("cannot write the result to stdout", {
      cause: error,
      hint: "see where stdout goes: what it is written to has to have room",
    });
  }
}

/**
 * The runtime opens `/dev/null` in place of a stdout that is not there. What a process is started with cannot be
 * closed by that start, so a stdout with this flag is the runtime's own. Only Linux tells.
 */
async function isClosed(): Promise<boolean> {
  const description = await Bun.file("/proc/self/fdinfo/1")
    .text()
    .catch(() => "");
  const [, flags] = /^flags:\s*([0-7]+)/m.exec(description) ?? [];
  return flags !== undefined && (BigInt(`0o${flags}`) & CLOSES_ON_EXEC) !== 0n;
}
