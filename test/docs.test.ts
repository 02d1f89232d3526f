import { beforeAll, expect, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { version } from "../package.json";
import { type CommandLine, flagName, parseArguments } from "../src/commands/arguments.ts";
import { completion } from "../src/commands/completion.ts";

const ROOT = join(import.meta.dir, "..");
/** What `eksctl-anywhere` is handed, as the documents show it. */
const HANDED_OVER = ["create cluster", "upgrade cluster"];

const documents: Record<string, string> = {};
const lines: CommandLine[] = [];
/** All of src. */
let source = "";
beforeAll(async () => {
  for (const name of ["README.md", "CHANGELOG.md"]) documents[name] = await Bun.file(join(ROOT, name)).text();
  for (const path of new Bun.Glob("src/**/*.ts").scanSync({ cwd: ROOT })) {
    source += await Bun.file(join(ROOT, path)).text();
    if (!path.startsWith("src/commands/")) continue;
    for (const exported of Object.values(await import(join(ROOT, path)))) {
      if (isCommand(exported)) lines.push(exported.line);
    }
  }
  for (const shell of ["bash", "zsh", "fish"] as const) lines.push(completion(shell, async () => []).line);
});

function isCommand(value: unknown): value is { line: CommandLine } {
  return typeof value === "object" && value !== null && "line" in value && "run" in value;
}

function document(name: string): string {
  return documents[name] ?? "";
}

/** A shell's words, as far as the documents need one. */
function wordsOf(command: string): string[] {
  const words = command.match(/(?:[^\s'"]|'[^']*'|"[^"]*")+/g) ?? [];
  return words.map((word) => word.replaceAll(/['"]/g, ""));
}

/** Every call of the program: in blocks of sh, after the prompts of sessions, and in running text. */
function callsIn(text: string): string[] {
  const blocks = [...text.matchAll(/^```(sh|console)\n([\s\S]*?)^```$/gm)].flatMap(([, kind, body = ""]) => {
    const joined = body.replaceAll(/\\\n\s*|(?<=\|)\n\s*/g, " ").split("\n");
    return kind === "sh" ? joined : joined.flatMap((line) => (line.startsWith("$ ") ? line.slice(2) : []));
  });
  const inline = [...text.matchAll(/`([^`\n]*\beksa-airgap [^`\n]*)`/g)].map(([, code = ""]) =>
    code.replaceAll("\\|", "|"),
  );
  return [...blocks, ...inline]
    .flatMap((line) => line.replace(/(?:^|\s)#.*$/, "").split(/&&|[|;()]|<\(/))
    .flatMap((part) => /^\s*(?:ssh \S+ )?eksa-airgap (?!--?[a-z]+\s*$)(.*)/.exec(part)?.[1] ?? [])
    .map((call) => call.replaceAll(/\s\d?>(?:&\d|\s*\S+)/g, "").trim());
}

function lineOf(words: readonly string[]): CommandLine | undefined {
  return lines.find(({ name }) => words.slice(0, name.split(" ").length).join(" ") === name);
}

test.each(["README.md", "CHANGELOG.md"])("every call in %s is one that the program understands", (name) => {
  const calls = callsIn(document(name));
  expect(calls.length).toBeGreaterThan(name === "README.md" ? 60 : 1);
  for (const call of calls) {
    const words = wordsOf(call);
    if (HANDED_OVER.includes(words.slice(0, 2).join(" "))) continue;
    const line = lineOf(words);
    if (line === undefined) throw new Error(`there is no such command: ${call}`);
    const rest = words.slice(line.name.split(" ").length);
    if (rest.length === 0 || rest.includes("--help")) continue;
    expect(() => parseArguments(line, rest), call).not.toThrow();
  }
});

test("what the changelog puts in the place of a line is a command with those flags", () => {
  const rows = [...document("CHANGELOG.md").matchAll(/^\| `([^`]+)` \| (.*) \|$/gm)];
  expect(rows.length).toBeGreaterThan(10);
  for (const [, old = "", instead = ""] of rows) {
    let line: CommandLine | undefined;
    for (const [, code = ""] of [["", old], ...instead.matchAll(/`([^`]+)`/g)]) {
      // Flags alone are those of the command before them.
      if (!code.startsWith("--")) line = lineOf(wordsOf(code));
      expect(line?.name, code).toBeString();
      const known = Object.keys(line?.flags ?? {}).map(flagName);
      for (const [, flag = ""] of code.matchAll(/--([a-z-]+)/g)) expect(known, code).toContain(flag);
    }
  }
});

test("every command that the help shows has a row with an example", () => {
  const rows = [
    ...document("README.md").matchAll(/^\| `([a-z -]+)` \| `(?:source <\()?eksa-airgap ([^`]+)`/gm),
  ];
  const shown = rows
    .filter(([, name = "", example = ""]) => example.startsWith(name))
    .map(([, name]) => name);
  const wanted = lines.filter(({ hidden }) => !hidden).map(({ name }) => name);
  expect(wanted.length).toBeGreaterThan(10);
  expect(shown.sort()).toEqual(wanted.sort());
});

test("every message in the tables of troubles is one of the program's", () => {
  const [, part = ""] = document("README.md").split("\n## When something goes wrong\n");
  const [troubles = ""] = part.split("\n## ");
  const messages = [...troubles.matchAll(/^\| `([^`]+)` \|/gm)].map(([, message = ""]) => message);
  expect(messages.length).toBeGreaterThan(15);
  const foreign = messages.filter((message) => {
    const fixed = message.split(/\b[A-Z][A-Z/_]*\b|…/).filter((words) => /\w{2}/.test(words));
    return fixed.some((words) => !source.includes(words.trim()));
  });
  expect(foreign).toEqual([]);
});

test("every link within the documents leads somewhere", () => {
  for (const [name, text] of Object.entries(documents)) {
    for (const [, file = "", anchor = ""] of text.matchAll(/\]\((?!https?:)([^)#]*)#([^)]*)\)/g)) {
      const headings = [...document(file || name).matchAll(/^#+ (.*)$/gm)].map(([, heading = ""]) => heading);
      const anchors = headings.map((heading) =>
        heading
          .toLowerCase()
          .replaceAll(/[^\w\s-]/g, "")
          .replaceAll(" ", "-"),
      );
      expect(anchors, `${name}: #${anchor}`).toContain(anchor);
    }
  }
});

test("the files to download are those that a release consists of, of this version", async () => {
  const script = await Bun.file(join(ROOT, "scripts/release.ts")).text();
  const platforms = [...script.matchAll(/^ {2}"([a-z0-9-]+)": "bun-/gm)].map(([, platform]) => platform);
  expect(platforms.length).toBeGreaterThan(5);
  const files = platforms.map(
    (platform) => `eksa-airgap-v${version}-${platform}${platform?.startsWith("windows") ? ".exe" : ""}`,
  );
  const named = document("README.md").match(/(?<=\| `)eksa-airgap-v[^`]+/g) ?? [];
  expect([...named].sort()).toEqual(files.sort());
  expect(document("CHANGELOG.md")).toContain(`## [${version}]`);
});

test("the map of the source names the folders that there are", () => {
  const folders = readdirSync(join(ROOT, "src"), { withFileTypes: true }).filter((entry) =>
    entry.isDirectory(),
  );
  const [, map = ""] = document("README.md").split("\n## The source\n");
  const named = [...map.matchAll(/^(\S+)\/ /gm)].map(([, folder = ""]) => folder);
  expect(named.filter((folder) => folder.startsWith("src/")).sort()).toEqual(
    folders.map(({ name }) => `src/${name}`).sort(),
  );
  expect(named.filter((folder) => !existsSync(join(ROOT, folder)))).toEqual([]);
});
