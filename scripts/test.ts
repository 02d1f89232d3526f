/** Everything that must hold, one after the other; the last line counts it: `N passed, N failed`. */
import { resolve } from "node:path";

const root = resolve(import.meta.dir, "..");
const bun = process.execPath;
const bin = (name: string) => resolve(root, "node_modules", ".bin", name);

/** Milliseconds for one test: a machine that is busy with others is slow, a test that hangs is not missed. */
const TEST_LIMIT = 60_000;

/** Lines of what a failed test said that are shown again. */
const MOST_SAID = 60;

interface Count {
  passed: number;
  failed: number;
  skipped: number;
}

const CHECKS: [name: string, command: string[]][] = [
  ["the code is formatted and linted", [bin("biome"), "check", "--error-on-warnings", "."]],
  ["the types hold", [bin("tsc"), "--noEmit"]],
  ["there is no dead code", [bin("knip"), "--no-progress"]],
  ["the executable builds", [bun, "scripts/build.ts"]],
];

/** A command with its output shown; the text is kept too. */
async function run(command: string[]): Promise<{ status: number; text: string }> {
  const child = Bun.spawn(command, { cwd: root, stdout: "pipe", stderr: "pipe", stdin: "ignore" });
  const decoder = new TextDecoder();
  let text = "";
  const pass = async (stream: ReadableStream<Uint8Array>) => {
    for await (const chunk of stream) {
      process.stdout.write(chunk);
      text += decoder.decode(chunk, { stream: true });
    }
  };
  await Promise.all([pass(child.stdout), pass(child.stderr)]);
  return { status: await child.exited, text };
}

async function checks(): Promise<Count> {
  const count: Count = { passed: 0, failed: 0, skipped: 0 };
  for (const [name, command] of CHECKS) {
    const { status } = await run(command);
    console.log(`${status === 0 ? "(pass)" : "(fail)"} ${name}`);
    count[status === 0 ? "passed" : "failed"]++;
  }
  return count;
}

async function suite(args: string[]): Promise<Count> {
  const { status, text } = await run([bun, "test", "--timeout", String(TEST_LIMIT), ...args]);
  const number = (word: string) => Number(new RegExp(`^\\s*(\\d+) ${word}$`, "m").exec(text)?.[1] ?? 0);
  const count: Count = { passed: number("pass"), failed: number("fail"), skipped: number("skip") };
  // A run that broke off, e.g. in a file that does not load, is a failure even if no test says so.
  if (status !== 0 && count.failed === 0) count.failed = 1;
  for (const failure of failuresOf(text)) console.log(`\nonce more, of what failed:\n${failure}`);
  if (count.passed === 0 && count.failed === 0) count.failed = 1;
  return count;
}

/** What each failed test said, once more: thousands of lines may have come after it. */
function failuresOf(text: string): string[] {
  const failures: string[] = [];
  let said: string[] = [];
  for (const line of text.split("\n")) {
    if (line.startsWith("(fail) ")) failures.push([...said.slice(-MOST_SAID), line].join("\n"));
    // The list at the end has the names only.
    if (/^\d+ tests? failed:$/.test(line)) break;
    if (/^\((pass|fail|skip|todo)\) /.test(line)) said = [];
    else said.push(line);
  }
  return failures;
}

const args = process.argv.slice(2);
const counts = args.length > 0 ? [await suite(args)] : [await checks(), await suite([])];
const sum = (field: keyof Count) => counts.reduce((total, count) => total + count[field], 0);
const skipped = sum("skipped") > 0 ? `, ${sum("skipped")} skipped` : "";
console.log(`${sum("passed")} passed, ${sum("failed")} failed${skipped}`);
process.exit(sum("failed") > 0 ? 1 : 0);
