import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { mkdir, mkdtemp, readdir, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { version } from "../../package.json";
import { type CommandLine, flagName, parseArguments } from "../../src/commands/arguments.ts";
import { commandLines } from "../support/command-lines.ts";
import { executable, type RunOptions, type RunResult, runExecutable } from "../support/executable.ts";
import { expectFailure } from "./stage.ts";

const COMMANDS = await commandLines();
const NAMED = COMMANDS.map((line) => [line.name, line] as const);

let folder: string;
let work: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eksa-airgap-contract-"));
});
beforeEach(async () => {
  work = await mkdtemp(join(folder, "work-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Where nobody else on PATH knows a command, and whoever needs a registry gets no further than its start. */
function run(words: readonly string[], { env }: Pick<RunOptions, "env"> = {}): Promise<RunResult> {
  const offline = { PATH: folder, EKSA_REGISTRY_MIRROR_CA: join(folder, "absent.crt") };
  return runExecutable(words, { cwd: work, env: { ...offline, ...env } });
}

/** Exit 2, in words, with nothing on stdout and nothing done. */
async function expectMistake(words: readonly string[], ...says: string[]): Promise<void> {
  expectFailure(await run(words), 2, ...says);
  expect(await readdir(work)).toEqual([]);
}

/** The words of each example behind the program's name; what a shell does with it is left out. */
function examplesOf({ example }: CommandLine): string[][] {
  return [...example.matchAll(/eksa-airgap ([^|)\n]+)/g)].map(([, text = ""]) => text.trim().split(" "));
}

/** A line that is right. */
function rightLine(line: CommandLine): string[] {
  return examplesOf(line)[0] ?? [];
}

/** How each of these flags may be given. */
function given(line: CommandLine, name: string): string[] {
  const flag = line.flags[name];
  if (flag === undefined) throw new Error(`no flag ${name}`);
  const [choice] = "choices" in flag ? (flag.choices ?? []) : [];
  const values = { boolean: "true", string: choice ?? "x", number: "1", size: "1GiB", list: choice ?? "x" };
  return [`--${flagName(name)}=${values[flag.type]}`];
}

describe.each(NAMED)("%s", (name, line) => {
  const words = name.split(" ");

  test("has help with every flag and an example, on stdout", async () => {
    const [long, short] = await Promise.all([run([...words, "--help"]), run([...words, "-h"])]);
    expect(long).toMatchObject({ status: 0, stderr: "" });
    expect(short).toEqual(long);
    expect(long.stdout).toContain(`\nUsage: eksa-airgap ${name} `);
    for (const [key, { hidden }] of Object.entries(line.flags)) {
      if (!hidden) expect(long.stdout).toMatch(new RegExp(`^ +(?:-[a-z], )?--${flagName(key)}\\b`, "m"));
    }
    const [, examples = ""] = long.stdout.split("\nExample:\n");
    expect(examples.trim().replaceAll(/\n +/g, "\n")).toBe(line.example);
  });

  test("takes its examples as they stand", async () => {
    for (const example of examplesOf(line)) {
      expect(example.slice(0, words.length)).toEqual(words);
      expect(() => parseArguments(line, example.slice(words.length))).not.toThrow();
      expect((await run(example)).status).toBeOneOf([0, 1, 4]);
    }
  });

  test("refuses what it does not know, by name", async () => {
    const right = rightLine(line);
    const [first = ""] = Object.keys(line.flags).filter((key) => flagName(key).length > 4);
    const slip = `--${flagName(first).replace(/(.)(.)$/, "$2$1")}`;
    await expectMistake([...right, "--no-such-flag"], "cannot use `--no-such-flag`", name);
    await expectMistake([...right, slip], `cannot use \`${slip}\``, `did you mean \`--${flagName(first)}\`?`);
    await expectMistake([...right, "-Z"], "cannot use `-Z`", `see \`eksa-airgap ${name} --help\``);
    await expectMistake([...right, "surplus"], "`surplus`");
    await expectMistake([...right, "--", "surplus"], "`surplus`");
  });

  test("takes no flag twice, none without a value, and none with an empty one", async () => {
    const right = rightLine(line);
    const quiet = ["--log-format=text", "--log-format", "text"];
    await expectMistake([...right, ...quiet], "cannot use `--log-format` twice");
    await expectMistake([...right, "--log-format="], "cannot use `--log-format` with an empty value");
    await expectMistake([...right, "--log-format", ""], "cannot use `--log-format` with an empty value");
    await expectMistake([...right, "--log-format"], "cannot use `--log-format` without a value");
    for (const [key, { type }] of Object.entries(line.flags)) {
      const parse = (...more: string[]) => parseArguments(line, more);
      const once = given(line, key);
      if (type !== "list") expect(() => parse(...once, ...once)).toThrow(`\`--${flagName(key)}\` twice`);
      expect(() => parse(`--${flagName(key)}=`)).toThrow(`\`--${flagName(key)}\` with an empty value`);
    }
  });

  test("names what is missing", async () => {
    const flags = Object.entries(line.flags);
    const missing = flags.filter(([key, { required }]) => required === true || line.oneOf?.includes(key));
    if (missing.length === 0) return;
    // A deprecated command says it as it always did.
    const says = line.hidden
      ? [`cannot run \`${name}\``, "required flag(s)", ...missing.map(([key]) => `"${flagName(key)}"`)]
      : [`cannot run \`${name}\` without`, ...missing.map(([key]) => `--${flagName(key)}`)];
    await expectMistake(words, ...says);
  });
});

describe("the program", () => {
  test("has help that lists every command, with an example that works", async () => {
    const help = await run(["--help"]);
    expect(help).toMatchObject({ status: 0, stderr: "" });
    expect(await run(["-h"])).toEqual(help);
    expect(await run([])).toEqual(help);
    // Of those that are half a command too.
    expect(await run(["list", "--help"])).toEqual(help);
    const [, listed = ""] = /\nCommands:\n([\s\S]*?)\n\n/.exec(help.stdout) ?? [];
    const names = [...listed.matchAll(/^ {2}([a-z-]+(?: [a-z-]+)?) {2,}\S/gm)].map(([, name]) => name);
    const visible = COMMANDS.filter(({ hidden }) => !hidden);
    expect(names.sort()).toEqual(visible.map(({ name }) => name).sort());
    const examples = help.stdout.split("\nExample:\n")[1]?.trim().split(/\n +/) ?? [];
    expect(examples.length).toBeGreaterThan(0);
    for (const example of examples) {
      const line = visible.find(({ name }) => example.startsWith(`eksa-airgap ${name} `));
      const words = example.split(" ").slice(1 + (line?.name.split(" ").length ?? 0));
      expect(() => line && parseArguments(line, words)).not.toThrow();
      expect(line).toBeDefined();
    }
  });

  test.each<[string, string[], string]>([
    ["another word", ["surplus"], "cannot run `surplus`: there is no such command"],
    ["help of another word", ["surplus", "--help"], "cannot run `surplus`"],
    ["an empty word", [""], "cannot run ``"],
    ["half a command", ["export"], "did you mean `eksa-airgap export artifacts`?"],
    ["half of several", ["list"], "did you mean `eksa-airgap list artifacts` or `eksa-airgap list images`?"],
    ["a slip in both words", ["lsit", "imgaes"], "did you mean `eksa-airgap list images`?"],
    ["a slip in half a command", ["pul"], "did you mean `eksa-airgap pull manifests`?"],
    ["a command in other case", ["Export", "Artifacts"], "did you mean `eksa-airgap export artifacts`?"],
    [
      "a flag before the command",
      ["--jobs", "1", "list", "images"],
      "write `eksa-airgap list images --jobs`",
    ],
    ["a flag alone", ["--quiet"], "cannot use `--quiet` without a command"],
    ["a slip in a flag", ["--versoin"], "did you mean `eksa-airgap --version`?"],
    [
      "its version with more",
      ["--version", "--output", "json"],
      "cannot use `--version` with anything behind it",
    ],
    ["help in front of another word", ["--help", "surplus"], "cannot run `surplus`"],
    ["the leading word twice", ["anywhere", "anywhere", "version"], "cannot run `anywhere version`"],
  ])("refuses %s", async (_, words, says) => {
    await expectMistake(words, says);
  });

  test("says nothing of what stands behind an unknown flag", async () => {
    const result = await run(["--pasword=hunter2"]);
    expectFailure(result, 2, "cannot use `--pasword`");
    expect(result.stderr).not.toContain("hunter2");
  });

  test("says its version in three ways", async () => {
    const text = { status: 0, stdout: `${version}\n`, stderr: "" };
    expect(await run(["--version"])).toEqual(text);
    expect(await run(["version"])).toEqual(text);
    for (const words of [["-o", "json"], ["-ojson"], ["--output=json"], ["-qo", "json"]]) {
      const { status, stdout, stderr } = await run(["version", ...words]);
      expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
      expect(JSON.parse(stdout)).toEqual({ version });
    }
  });
});

describe("called through eksctl, with its own name for us", () => {
  test.each([
    [["--version"]],
    [["version", "-o", "json"]],
    [["export", "artifacts", "--help"]],
    [["lst", "images"]],
  ])("%j is the same", async (words) => {
    const bin = join(work, "bin");
    await mkdir(bin);
    const program = join(bin, "eksctl-anywhere");
    await symlink(await executable(), program);
    const child = Bun.spawn([program, "anywhere", ...words], {
      env: { PATH: bin, HOME: work },
      stdout: "pipe",
      stderr: "pipe",
    });
    const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()]);
    const result = { status: await child.exited, stdout, stderr };
    expect(result).toEqual(await run(words));
    expect(await run(["anywhere", ...words])).toEqual(result);
  });
});
