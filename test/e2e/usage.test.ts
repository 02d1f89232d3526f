import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { runExecutable } from "../support/executable.ts";
import { expectFailure, Stage } from "./stage.ts";

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.set();
});
beforeEach(() => stage.begin());
afterEach(() => stage.end());
afterAll(() => stage.strike());

describe("a mistake in the line ends with 2, and does nothing", () => {
  test.each<[string, string[], string]>([
    ["an unknown command", ["exprot", "artifacts"], "did you mean `eksa-airgap export artifacts`?"],
    ["half a command", ["export"], "did you mean `eksa-airgap export artifacts`?"],
    ["its other half", ["artifacts"], "or `eksa-airgap import artifacts` or"],
    [
      "half of an old command",
      ["download"],
      "`eksa-airgap download artifacts` or `eksa-airgap download images`?",
    ],
    [
      "half of a command that eksctl has too",
      ["generate"],
      "did you mean `eksa-airgap generate mirror-config`?",
    ],
    ["the same beside the other program", ["generate"], "hint: if it is one of EKS Anywhere's"],
    ["no shell", ["completion"], "`eksa-airgap completion bash` or `eksa-airgap completion zsh` or"],
    [
      "an unknown command behind flags",
      ["-v", "4", "exprot", "artifacts"],
      "`eksa-airgap export artifacts`?",
    ],
    ["a flag before a command that not all have", ["--jobs", "3", "version"], "before the command"],
    ["the help of an unknown command", ["help", "exprot", "artifacts"], "did you mean `eksa-airgap export"],
    ["an unknown flag", ["export", "artifacts", "--outptu", "x"], "did you mean `--output`?"],
    ["an unknown letter", ["export", "artifacts", "-x"], "cannot use `-x`"],
    ["an extra argument", ["export", "artifacts", "surplus"], "cannot use the argument `surplus`"],
    ["an invisible argument", ["list", "artifacts", "a\u001b[2Jb"], "the argument `a\\x1b[2Jb`"],
    ["a name in another encoding", ["export", "artifacts", "-o", "a\ufffdb"], "it is not valid UTF-8"],
    ["an output that is to be a folder", ["export", "artifacts", "-o", "new/"], "that names a folder"],
    [
      "a report to stdout",
      ["export", "artifacts", "-o", "x", "--report", "-"],
      "`--report`: it takes a file",
    ],
    ["a report into no folder", ["export", "artifacts", "-o", "x", "--report", "new/"], "it takes a file"],
    ["a base from stdin", ["export", "artifacts", "-o", "x", "--since", "-"], "`--since`: it takes a file"],
    ["an empty value", ["export", "artifacts", "--output="], "cannot use `--output` with an empty value"],
    ["an empty argument as a value", ["import", "artifacts", "-i", ""], "with an empty value"],
    ["a flag in place of a value", ["export", "artifacts", "-o", "--force"], "without a value"],
    [
      "a flag given twice",
      ["export", "artifacts", "-o", "a", "--output", "b"],
      "cannot use `--output` twice",
    ],
    ["a missing flag", ["import", "artifacts", "-i", "x"], "`--registry HOST[:PORT][/NAMESPACE]`"],
    [
      "two targets",
      ["import", "artifacts", "-i", "x", "-r", "reg.example", "-f", "cluster.yaml"],
      "cannot use `--registry` and `--filename` together",
    ],
    [
      "two places to look",
      ["verify", "artifacts", "-i", "x", "-r", "reg.example", "-f", "cluster.yaml"],
      "cannot use `--registry` and `--filename` together",
    ],
    ["no number", ["export", "artifacts", "-o", "x", "--bundles-override", "y", "--jobs", "many"], "--jobs"],
    ["too few jobs", ["export", "artifacts", "-o", "x", "--bundles-override", "y", "--jobs", "0"], "--jobs"],
    ["too many jobs", ["import", "artifacts", "-i", "x", "-r", "y", "--jobs", "129"], "from 1 to 128"],
    [
      "a mirror without a URL",
      ["export", "artifacts", "-o", "x", "--bundles-override", "y", "--mirror", "z"],
      "cannot use `z` as a value of `--mirror`: it is not of the form HOST=URL",
    ],
    [
      "a mirror behind another protocol",
      ["export", "artifacts", "-o", "x", "--bundles-override", "y", "--mirror", "z=ftp://me:secret@x"],
      "cannot use `z=ftp://REDACTED@x` as a value of `--mirror`",
    ],
    [
      "a registry that is none",
      ["import", "artifacts", "-i", "x", "-r", "ftp://reg"],
      "cannot read the target registry",
    ],
    [
      "a namespace in capitals",
      ["import", "artifacts", "-i", "x", "-r", "reg.example/EKSA"],
      "not a namespace",
    ],
  ])("%s", async (_, line, says) => {
    // Nobody else on PATH knows the command.
    const result = await runExecutable(line, { cwd: stage.work, env: { PATH: stage.folder } });
    expectFailure(result, 2, says);
    await stage.expectNothingLeft();
  });

  test("half of a login", async () => {
    const result = await stage.importTo("http://127.0.0.1:1", stage.archive, {
      env: { REGISTRY_USERNAME: "robot" },
    });
    expectFailure(result, 2, "REGISTRY_PASSWORD is not set");
  });

  test("told as JSON where that was asked for", async () => {
    const { status, stdout, stderr } = await runExecutable([
      "export",
      "artifacts",
      "--outptu",
      "x",
      "--log-format",
      "json",
    ]);
    expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
    expect(JSON.parse(stderr)).toMatchObject({ level: "error", errorKind: "usage" });
  });
});

test.each([
  [["help"], ["--help"]],
  [
    ["help", "export", "artifacts"],
    ["export", "artifacts", "--help"],
  ],
  [
    ["anywhere", "help", "export"],
    ["export", "--help"],
  ],
  [["-v", "4", "version", "-q=false"], ["version"]],
  [
    ["list", "--log-format", "json", "images", "--help"],
    ["list", "images", "--help"],
  ],
])("%j is as %j", async (line, same) => {
  const [result, expected] = [await runExecutable(line), await runExecutable(same)];
  expect(result).toEqual(expected);
  expect(result.status).toBe(0);
});

test("the program's help says in a line what else can be verified", async () => {
  const { stdout } = await runExecutable(["--help"]);
  expect(stdout).toMatch(/^ {2}verify artifacts .*archive, a registry.*, a cluster's mirror$/m);
});

test("what lies in the working directory has no effect", async () => {
  const target = await stage.startTarget();
  await writeFile(
    join(stage.work, ".env"),
    "REGISTRY_USERNAME=half-of-a-login\nHTTP_PROXY=http://127.0.0.1:1\n",
  );
  await writeFile(join(stage.work, "bunfig.toml"), 'preload = ["./evil.ts"]\n[run]\nsilent = true\n');
  await writeFile(
    join(stage.work, "evil.ts"),
    'require("node:fs").writeFileSync("evil", "");\nthrow new Error("evil");\n',
  );
  await writeFile(join(stage.work, "package.json"), "{ not JSON");
  await writeFile(join(stage.work, "tsconfig.json"), "{ not JSON");
  await mkdir(join(stage.work, "node_modules"));
  const before = await readdir(stage.work);
  expect(await stage.importTo(target.url, stage.archive, { cwd: stage.work })).toMatchObject({ status: 0 });
  expect(await readdir(stage.work)).toEqual(before);
});
