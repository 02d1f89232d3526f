import { describe, expect, test } from "bun:test";
import {
  asksForHelp,
  commandHelp,
  defineCommandLine,
  flagName,
  parseArguments,
  rootHelp,
} from "../../src/commands/arguments.ts";
import { Fault, faultKind } from "../../src/oci/fault.ts";

const LINE = defineCommandLine({
  name: "export artifacts",
  summary: "Downloads everything into one tar. Run it again to resume.",
  flags: {
    output: { type: "string", alias: "o", required: true, valueHint: "FILE", description: "where it goes" },
    eksaVersion: { type: "string", valueHint: "V", description: "which release" },
    signature: {
      type: "string",
      choices: ["require", "auto", "skip"],
      default: "auto",
      description: "how the signature counts",
    },
    only: { type: "list", choices: ["images", "charts"], description: "only these" },
    since: { type: "list", alias: "s", valueHint: "ARCHIVE", description: "leave out what these hold" },
    splitSize: { type: "size", description: "volumes of this size" },
    retain: { type: "boolean", alias: "r", description: "keep the folder" },
    includePackages: { type: "boolean", hidden: true, description: "deprecated" },
    level: { type: "number", description: "how much" },
    jobs: {
      type: "number",
      min: 1,
      max: 128,
      default: 8,
      group: "Common flags",
      description: "blobs in flight",
    },
    noProgress: { type: "boolean", group: "Common flags", description: "no progress" },
  },
  example: "eksa-airgap export artifacts --output artifacts.tar",
});

function parse(...argv: string[]) {
  return parseArguments(LINE, argv);
}

function refusal(...argv: string[]): Fault {
  try {
    parse(...argv);
  } catch (error) {
    if (error instanceof Fault && faultKind(error) === "usage") return error;
    throw error;
  }
  throw new Error(`${argv.join(" ")} was accepted`);
}

test("what is not given is absent, false, empty or the default", () => {
  expect(parse("--output", "a.tar")).toEqual({
    output: "a.tar",
    eksaVersion: undefined,
    signature: "auto",
    only: [],
    since: [],
    splitSize: undefined,
    retain: false,
    includePackages: false,
    level: undefined,
    jobs: 8,
    noProgress: false,
  });
});

test("the types of the values follow from the definition", () => {
  const values = parse("-o", "a.tar");
  const output: string = values.output;
  const version: string | undefined = values.eksaVersion;
  const signature: "require" | "auto" | "skip" = values.signature;
  const only: ("images" | "charts")[] = values.only;
  const size: number | undefined = values.splitSize;
  const jobs: number = values.jobs;
  const retain: boolean = values.retain;
  // @ts-expect-error it may be absent
  const wrong: string = values.eksaVersion;
  expect([output, version, signature, only, size, jobs, retain, wrong]).toHaveLength(8);
});

test("`oneOf` names flags that there are", () => {
  const flags = { input: { type: "string", description: "the archive" } } as const;
  // @ts-expect-error there is no such flag
  defineCommandLine({ name: "x", summary: "x", example: "x", flags, oneOf: ["output"] });
});

describe("a value is given as", () => {
  test.each([
    [["--output", "a"], { output: "a" }],
    [["--output=a"], { output: "a" }],
    [["--output=a=b"], { output: "a=b" }],
    [["--output=-a"], { output: "-a" }],
    [["-o", "a"], { output: "a" }],
    [["-o=a"], { output: "a" }],
    [["-oa"], { output: "a" }],
    [["-o", "-"], { output: "-" }],
    [["-ro", "a"], { output: "a", retain: true }],
    [["-o", "a", "--retain=true"], { retain: true }],
    [["-o", "a", "--retain=false"], { retain: false }],
    [["-o", "a", "-r=true"], { retain: true }],
    [["-r=false", "-o", "a"], { retain: false }],
    [["-o=-r=true"], { output: "-r=true" }],
    [["-o", "a", "--no-progress"], { noProgress: true }],
    [["-o", "a", "--eksa-version", "v0.22.1"], { eksaVersion: "v0.22.1" }],
    [["-o", "a", "--jobs", "128"], { jobs: 128 }],
    [["-o", "a", "--split-size", "4000MiB"], { splitSize: 4_194_304_000 }],
    [["-o", "a", "--since", "x,y", "-s", "z"], { since: ["x", "y", "z"] }],
    [["-o", "a", "--only=images,charts"], { only: ["images", "charts"] }],
    [["-o", "a", "--"], { output: "a" }],
  ])("%p", (argv, values) => {
    expect(parse(...argv)).toMatchObject(values);
  });
});

describe("wrong usage is refused:", () => {
  test.each([
    [
      ["--ouput", "a"],
      "cannot use `--ouput`: `export artifacts` has no such flag",
      "did you mean `--output`?",
    ],
    [["--ouput=a"], "cannot use `--ouput`: `export artifacts` has no such flag", "did you mean `--output`?"],
    [
      ["-o", "a", "--no-retain"],
      "cannot use `--no-retain`: `export artifacts` has no such flag",
      "see `eksa",
    ],
    [
      ["-o", "a", "--__proto__"],
      "cannot use `--__proto__`: `export artifacts` has no such flag",
      "see `eksa",
    ],
    [["-o", "a", "--constructor=1"], "cannot use `--constructor`: `export", "see `eksa"],
    [
      ["-x", "a"],
      "cannot use `-x`: `export artifacts` has no such flag",
      "see `eksa-airgap export artifacts",
    ],
    [["-output", "a"], "cannot use `-output`: there is no such flag", "did you mean `--output`?"],
    [["-o", "a", "b"], "cannot use the argument `b`: `export artifacts` takes flags only", "see `eksa"],
    [["-o", "a", "--", "--retain"], "cannot use the argument `--retain`:", "see `eksa"],
    [["-o", "a", "-"], "cannot use the argument `-`:", "see `eksa"],
    [["-o", "a", "--output", "b"], "cannot use `--output` twice", "give it once"],
    [["-o", "a", "-r", "-r"], "cannot use `-r` twice", "give it once"],
    [["-o", "a\ufffd.tar"], "cannot use `a\ufffd.tar`: it is not valid UTF-8", "in UTF-8"],
    [["-o", "https://u:hunter2\ufffd/x@h"], "cannot use `https…`: it is not valid UTF-8", "in UTF-8"],
    [["--output", ""], "cannot use `--output` with an empty value", "give it a value"],
    [["--output="], "cannot use `--output` with an empty value", "give it a value"],
    [["-o="], "cannot use `-o` with an empty value", "give it a value"],
    [["-o", "a", "--retain="], "cannot use `--retain` with an empty value", "give it a value"],
    [["-o", "a", "--since", "x,,y"], "cannot use `--since` with an empty value", "has a comma too many"],
    [["--output"], "cannot use `--output` without a value", "write it as `--output=VALUE`"],
    [["--output", "--retain"], "cannot use `--output` without a value", "write it as `--output=VALUE`"],
    [["-o", "--", "a"], "cannot use `-o` without a value", "write it as"],
    [
      ["-o", "-q.tar"],
      "cannot use `-o` without a value: `-q.tar` looks like a flag",
      "write it as `-o=VALUE`",
    ],
    [["--jobs", "-1"], "cannot use `--jobs` without a value: `-1` looks like a flag", "write it as"],
    [["-o", "--password=x"], "cannot use `-o` without a value: `--password` looks like a flag", "write it"],
    [["-o"], "cannot use `-o` without a value", "write it as"],
    [["-o", "a", "-r=maybe"], "cannot use `maybe` as the value of `--retain`", "choose from `true`"],
    [["-o", "a", "-r="], "cannot use `--retain` with an empty value", "give it a value"],
    [["-o", "a", "-r=true", "-r"], "cannot use `-r` twice", "give it once"],
    [["-o", "a", "--", "-r=true"], "cannot use the argument `-r=true`:", "see `eksa"],
    [
      ["-o", "a", "--jobs", "many"],
      "cannot use `many` as the value of `--jobs`",
      "whole number, from 1 to 128",
    ],
    [["-o", "a", "--jobs", "0"], "cannot use `0` as the value of `--jobs`", "whole number, from 1 to 128"],
    [
      ["-o", "a", "--jobs", "1.5"],
      "cannot use `1.5` as the value of `--jobs`",
      "whole number, from 1 to 128",
    ],
    [["-o", "a", "--jobs=-1"], "cannot use `-1` as the value of `--jobs`", "whole number, from 1 to 128"],
    [["-o", "a", "--jobs=129"], "cannot use `129` as the value of `--jobs`", "whole number, from 1 to 128"],
    [["-o", "a", "--level", "x"], "cannot use `x` as the value of `--level`", "whole number, 0 or more"],
    [["-o", "a", "--split-size", "4G"], "cannot use `4G` as the value of `--split-size`", "such as `4GiB`"],
    [["-o", "a", "--split-size", "0"], "cannot use `0` as the value of `--split-size`", "such as `4GiB`"],
    [
      ["-o", "a", "--retain=maybe"],
      "cannot use `maybe` as the value of `--retain`",
      "choose from `true`, `false`",
    ],
    [
      ["-o", "a", "--signature", "skp"],
      "cannot use `skp` as the value of `--signature`",
      "did you mean `skip`?",
    ],
    [
      ["-o", "a", "--only", "images,x"],
      "cannot use `x` as the value of `--only`",
      "choose from `images`, `charts`",
    ],
  ])("%p", (argv, message, hint) => {
    const fault = refusal(...argv);
    expect(fault.message).toStartWith(message);
    expect(fault.hint).toContain(hint);
  });

  test("every required flag that is missing is named at once", () => {
    const line = defineCommandLine({
      name: "import artifacts",
      summary: "Imports.",
      flags: {
        input: { type: "list", required: true, valueHint: "FILE", description: "the archive" },
        registry: { type: "string", valueHint: "HOST", description: "the target" },
        filename: { type: "string", valueHint: "FILE", description: "the cluster" },
        bundles: { type: "string", required: true, description: "the Bundles" },
      },
      oneOf: ["registry", "filename"],
      example: "eksa-airgap import artifacts",
    });
    expect(() => parseArguments(line, [])).toThrow(
      "cannot run `import artifacts` without `--input FILE`, `--bundles VALUE`, and either `--registry HOST` or `--filename FILE`",
    );
    expect(() => parseArguments(line, ["--input", "a", "--bundles", "b", "--filename", "c"])).not.toThrow();
    const both = ["--input", "a", "--bundles", "b", "--filename", "c", "--registry", "d"];
    expect(() => parseArguments(line, both)).toThrow("cannot use `--registry` and `--filename` together");
  });
});

test.each([
  [["--help"], true],
  [["--output", "a", "-h"], true],
  [["--", "--help"], false],
  [["--helpful"], false],
])("%p asks for help: %p", (argv, asks) => {
  expect(asksForHelp(argv)).toBe(asks);
});

test.each([
  ["output", "output"],
  ["eksaVersion", "eksa-version"],
  ["noProgress", "no-progress"],
])("the flag of %p is %p", (key, name) => {
  expect(flagName(key)).toBe(name);
});

test("a command's help shows its line, its flags by group and an example", () => {
  expect(commandHelp(LINE)).toBe(`Downloads everything into one tar. Run it again to resume.

Usage: eksa-airgap export artifacts --output FILE [flags]

Flags:
  -o, --output FILE                  where it goes (required)
      --eksa-version V               which release
      --signature require|auto|skip  how the signature counts (default auto)
      --only images|charts           only these (repeatable)
  -s, --since ARCHIVE                leave out what these hold (repeatable)
      --split-size SIZE              volumes of this size
  -r, --retain                       keep the folder
      --level N                      how much

Common flags:
      --jobs N                       blobs in flight (default 8)
      --no-progress                  no progress
  -h, --help                         show this help

Example:
  eksa-airgap export artifacts --output artifacts.tar`);
});

test("the program's help lists the commands that are not hidden", () => {
  const root = { summary: "Carries EKS Anywhere across an air gap.", example: "eksa-airgap list images" };
  const old = { name: "download images", summary: "Old.", hidden: true } as const;
  expect(rootHelp(root, [LINE, old])).toBe(`Carries EKS Anywhere across an air gap.

Usage: eksa-airgap COMMAND [flags]

Commands:
  export artifacts  Downloads everything into one tar

Flags:
  --help            show this help, or that of a command
  --version         show the version

Example:
  eksa-airgap list images`);
});
