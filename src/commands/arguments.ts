import { existsSync } from "node:fs";
import { parseArgs } from "node:util";
import { Fault } from "../oci/fault.ts";
import { formatHelp, type HelpSection } from "../terminal/help.ts";
import { nearest } from "../terminal/nearest.ts";
import { parseBytes } from "../terminal/units.ts";

const PROGRAM = "eksa-airgap";
const DEFAULT_GROUP = "Flags";

interface FlagBase {
  description: string;
  /** One letter. */
  alias?: string;
  /** What stands for the value in the help: `FILE`. */
  valueHint?: string;
  required?: true;
  /** Accepted, but not in the help. */
  hidden?: true;
  /** The help's section; `Flags` by default. */
  group?: string;
}

/** One flag. Its name is that of its property, in kebab case: `eksaVersion` is `--eksa-version`. */
type Flag =
  /** Absent: false. `--x=false` is understood as well. */
  | (FlagBase & { type: "boolean" })
  | (FlagBase & { type: "string"; choices?: readonly string[]; default?: string })
  /** A whole number of at least `min` (0), and at most `max` (any). */
  | (FlagBase & { type: "number"; min?: number; max?: number; default?: number })
  /** Bytes, at least one: `4GiB`, `700MB`, `1048576`. */
  | (FlagBase & { type: "size" })
  /** Repeated, or separated with commas. Absent: empty. */
  | (FlagBase & {
      type: "list";
      choices?: readonly string[];
      /** Its values name files: one that is there under the whole text, commas and all, is that file. */
      files?: true;
    });

export type Flags = Readonly<Record<string, Flag>>;

/** A command's command line. */
export interface CommandLine<F extends Flags = Flags> {
  /** The words that call it: `export artifacts`. */
  name: string;
  /** What it does, a sentence or two. The first sentence stands in the list of commands. */
  summary: string;
  flags: F;
  /** Exactly one of these has to be there. */
  oneOf?: readonly string[];
  /** A command line that works. */
  example: string;
  /** Works, but is not in the list of commands. */
  hidden?: true;
  /** What it prints is needed: without a stdout it does nothing. */
  prints?: true;
}

type Choice<F> = F extends { choices: readonly (infer C extends string)[] } ? C : string;
type ValueOf<F extends Flag> = F extends { type: "boolean" }
  ? boolean
  : F extends { type: "list" }
    ? Choice<F>[]
    : F extends { type: "string" }
      ? Choice<F>
      : number;
type IsPresent = { type: "boolean" | "list" } | { required: true } | { default: string | number };

/** What `parseArguments` makes of a command line. */
export type Values<F extends Flags> = {
  [K in keyof F]: F[K] extends IsPresent ? ValueOf<F[K]> : ValueOf<F[K]> | undefined;
};

type OptionToken = { rawName: string; value?: string | undefined; inlineValue?: boolean | undefined };
type Value = string | number | boolean | string[] | undefined;

/** Keeps the literal types that the values are inferred from. */
export function defineCommandLine<const F extends Flags>(
  line: CommandLine<F> & { oneOf?: readonly NoInfer<keyof F>[] },
): CommandLine<F> {
  return line;
}

/** Whether help is asked for, wherever in the line. */
export function asksForHelp(argv: readonly string[]): boolean {
  return beforeTerminator(argv).some((argument) => /^(?:-h|--help)(?:=true)?$/.test(argument));
}

/** Reads what follows the command's name. Fails on everything that is not exactly as defined. */
export function parseArguments<F extends Flags>(line: CommandLine<F>, argv: readonly string[]): Values<F> {
  const given = collect(line, argv);
  assertComplete(line, given);
  const values: Record<string, Value> = {};
  for (const [key, flag] of Object.entries(line.flags)) values[key] = parseValue(key, flag, given.get(key));
  return values as Values<F>;
}

/** The flags and words of a line, in order. */
export function readTokens(flags: Flags, argv: readonly string[]) {
  const options = Object.entries(flags).map(([key, { type, alias }]) => {
    const option = { type: type === "boolean" ? ("boolean" as const) : ("string" as const) };
    return [flagName(key), alias === undefined ? option : { ...option, short: alias }] as const;
  });
  return parseArgs({
    args: [...argv],
    options: Object.fromEntries(options),
    strict: false,
    allowPositionals: true,
    tokens: true,
  }).tokens;
}

/** `-rq=true` as `-r --quiet=true`: node:util would take each letter for a flag. */
export function spellOut(flags: Flags, argv: readonly string[]): string[] {
  const switches = Object.entries(flags).filter(([, { type }]) => type === "boolean");
  const names = new Map(switches.map(([key, { alias }]) => [alias, flagName(key)]));
  const ahead = beforeTerminator(argv);
  const spelled = ahead.flatMap((argument) => {
    const [, letters = "", value] = /^-([a-z]+)=(.*)$/is.exec(argument) ?? [];
    if (value === undefined || ![...letters].every((letter) => names.has(letter))) return [argument];
    const others = [...letters.slice(0, -1)].map((letter) => `-${letter}`);
    return [...others, `--${names.get(letters.slice(-1))}=${value}`];
  });
  return [...spelled, ...argv.slice(ahead.length)];
}

/** The values of each flag as they stand in the line, by key. */
function collect(line: CommandLine, argv: readonly string[]): Map<string, string[]> {
  const keys = new Map(Object.keys(line.flags).map((key) => [flagName(key), key]));
  assertText(argv);
  assertDoubleDashes(keys, argv);
  const given = new Map<string, string[]>();
  for (const token of readTokens(line.flags, spellOut(line.flags, argv))) {
    if (token.kind === "positional") {
      const message = `cannot use the argument \`${token.value}\`: \`${line.name}\` takes flags only`;
      throw usage(message, seeHelp(line.name));
    }
    if (token.kind !== "option") continue;
    const key = keys.get(token.name);
    const flag = key === undefined ? undefined : line.flags[key];
    if (key === undefined || flag === undefined) throw unknownFlag(line, token.rawName);
    const earlier = given.get(key) ?? [];
    if (earlier.length > 0 && flag.type !== "list") {
      throw usage(`cannot use \`${token.rawName}\` twice`, "give it once");
    }
    given.set(key, [...earlier, textOf(flag, token)]);
  }
  return given;
}

/** A flag's value as it stands in the line; an empty one, or another flag in its place, is refused. */
function textOf({ type }: Flag, { rawName, value, inlineValue }: OptionToken): string {
  if (type === "boolean" && value === undefined) return "true";
  // node:util reads `-o=x` as `-o` with the value `=x`.
  const text = inlineValue && !rawName.startsWith("--") ? value?.replace(/^=/, "") : value;
  if (text === "")
    throw usage(`cannot use \`${rawName}\` with an empty value`, "give it a value, or leave it out");
  const hint = `write it as \`${rawName}=VALUE\``;
  if (text === undefined) throw usage(`cannot use \`${rawName}\` without a value`, hint);
  if (!inlineValue && text.startsWith("-") && text !== "-") {
    // Only a flag's name is shown: what is behind it may be secret.
    const [name] = text.split("=", 1);
    throw usage(`cannot use \`${rawName}\` without a value: \`${name}\` looks like a flag`, hint);
  }
  return text;
}

function parseValue(key: string, flag: Flag, given: readonly string[] | undefined): Value {
  if (flag.type === "list") return (given ?? []).flatMap((text) => parseList(key, flag, text));
  const [text] = given ?? [];
  if (text === undefined) {
    if (flag.type === "boolean") return false;
    return "default" in flag ? flag.default : undefined;
  }
  switch (flag.type) {
    case "boolean":
      return parseChoice(key, ["true", "false"], text) === "true";
    case "string":
      return parseChoice(key, flag.choices, text);
    case "number":
      return parseNumber(key, flag, text);
    case "size":
      return parseSize(key, text);
  }
}

function parseList(
  key: string,
  { choices, files }: { choices?: readonly string[]; files?: true },
  text: string,
): string[] {
  if (files && existsSync(text)) return [text];
  return text.split(",").map((item) => {
    if (item !== "") return parseChoice(key, choices, item);
    throw usage(`cannot use \`--${flagName(key)}\` with an empty value`, `\`${text}\` has a comma too many`);
  });
}

function parseChoice(key: string, choices: readonly string[] | undefined, text: string): string {
  if (choices === undefined || choices.includes(text)) return text;
  const near = nearest(text, choices);
  const all = choices.map((choice) => `\`${choice}\``).join(", ");
  const hint = near === undefined ? "choose from" : `did you mean \`${near}\`? There are`;
  throw badValue(key, text, `${hint} ${all}`);
}

function parseNumber(key: string, { min = 0, max }: { min?: number; max?: number }, text: string): number {
  const number = /^[0-9]{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (number >= min && (max === undefined || number <= max)) return number;
  const range = max === undefined ? `${min} or more` : `from ${min} to ${max}`;
  throw badValue(key, text, `give a whole number, ${range}`);
}

function parseSize(key: string, text: string): number {
  const bytes = parseBytes(text);
  if (bytes !== undefined && bytes >= 1) return bytes;
  throw badValue(key, text, "give a size such as `4GiB`, `700MB`, or a number of bytes");
}

function assertComplete(
  { name, flags, oneOf = [] }: CommandLine,
  given: ReadonlyMap<string, string[]>,
): void {
  const missing = Object.entries(flags).flatMap(([key, flag]) =>
    flag.required && !given.has(key) ? [`\`${term(key, flag)}\``] : [],
  );
  const listed = (names: readonly string[]) => new Intl.ListFormat("en").format(names);
  const chosen = oneOf.filter((key) => given.has(key)).map((key) => `\`--${flagName(key)}\``);
  if (chosen.length > 1) throw usage(`cannot use ${listed(chosen)} together`, "give one of them");
  if (oneOf.length > 0 && chosen.length === 0) {
    const names = oneOf.flatMap((key) => (flags[key] === undefined ? [] : [`\`${term(key, flags[key])}\``]));
    missing.push(`either ${names.join(" or ")}`);
  }
  if (missing.length === 0) return;
  throw usage(`cannot run \`${name}\` without ${listed(missing)}`, seeHelp(name));
}

/** The runtime puts U+FFFD in place of what is no text: a file of that name would be another one. */
function assertText(argv: readonly string[]): void {
  const broken = argv.find((argument) => argument.includes("\ufffd"));
  if (broken === undefined) return;
  // What stands behind may be secret, and split so that nobody knows it for one.
  const [shown = ""] = broken.split(/[=:]/, 1);
  const name = shown === broken ? shown : `${shown}…`;
  throw usage(`cannot use \`${name}\`: it is not valid UTF-8`, "write it, or the file's name, in UTF-8");
}

/** `-output x` would be read as `-o utput`: name the flag that was meant instead. */
function assertDoubleDashes(keys: ReadonlyMap<string, string>, argv: readonly string[]): void {
  for (const argument of beforeTerminator(argv)) {
    const [, name] = /^-([a-z][a-z-]+)(?:=|$)/.exec(argument) ?? [];
    if (name === undefined || !keys.has(name)) continue;
    throw usage(`cannot use \`-${name}\`: there is no such flag`, `did you mean \`--${name}\`?`);
  }
}

function unknownFlag({ name, flags }: CommandLine, rawName: string): Fault {
  // Never the opposite of what was asked for, nor a guess from a single letter.
  const negated = rawName.startsWith("--no-");
  const candidates = Object.keys(flags)
    .map(flagName)
    .filter((flag) => flag.startsWith("no-") === negated);
  const near = rawName.startsWith("--") ? nearest(rawName.slice(2), candidates) : undefined;
  const hint = near === undefined ? seeHelp(name) : `did you mean \`--${near}\`?`;
  return usage(`cannot use \`${rawName}\`: \`${name}\` has no such flag`, hint);
}

function badValue(key: string, text: string, hint: string): Fault {
  return usage(`cannot use \`${text}\` as the value of \`--${flagName(key)}\``, hint);
}

function usage(message: string, hint: string): Fault {
  return new Fault(message, { hint, kind: "usage" });
}

function seeHelp(name: string): string {
  return `see \`${PROGRAM} ${name} --help\``;
}

function beforeTerminator(argv: readonly string[]): readonly string[] {
  const end = argv.indexOf("--");
  return end < 0 ? argv : argv.slice(0, end);
}

/** `eksaVersion` → `eksa-version` */
export function flagName(key: string): string {
  return key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** `--output FILE` */
function term(key: string, flag: Flag): string {
  return flag.type === "boolean" ? `--${flagName(key)}` : `--${flagName(key)} ${hintOf(flag)}`;
}

function hintOf(flag: Flag): string {
  const choices = "choices" in flag ? flag.choices?.join("|") : undefined;
  const fallback = { boolean: "", string: "VALUE", list: "VALUE", number: "N", size: "SIZE" };
  return flag.valueHint ?? choices ?? fallback[flag.type];
}

/** The help of one command. */
export function commandHelp({ name, summary, flags, oneOf = [], example }: CommandLine): string {
  const shown = Object.entries(flags).filter(([, flag]) => !flag.hidden);
  const required = shown.filter(([, flag]) => flag.required).map(([key, flag]) => term(key, flag));
  const choice = shown.filter(([key]) => oneOf.includes(key)).map(([key, flag]) => term(key, flag));
  if (choice.length > 0) required.push(`(${choice.join(" | ")})`);
  const groups = Map.groupBy(shown, ([, flag]) => flag.group ?? DEFAULT_GROUP);
  const sections = [...groups].map(([title, members]) => ({ title, rows: members.map(flagRow) }));
  const last = sections.pop() ?? { title: DEFAULT_GROUP, rows: [] };
  last.rows.push(["-h, --help", "show this help"]);
  const usage = [PROGRAM, name, ...required, "[flags]"].join(" ");
  return formatHelp({ summary, usage, sections: [...sections, last], example });
}

/** The help of the program: its commands, the hidden ones left out. */
export function rootHelp(
  { summary, example }: { summary: string; example: string },
  commands: readonly Pick<CommandLine, "name" | "summary" | "hidden">[],
): string {
  const rows = commands
    .filter(({ hidden }) => !hidden)
    .map((command) => [command.name, firstSentence(command.summary)] as const);
  const more: HelpSection["rows"] = [
    ["--help", "show this help, or that of a command"],
    ["--version", "show the version"],
  ];
  const sections = [
    { title: "Commands", rows },
    { title: DEFAULT_GROUP, rows: more },
  ];
  return formatHelp({ summary, usage: `${PROGRAM} COMMAND [flags]`, sections, example });
}

function flagRow([key, flag]: [string, Flag]): [string, string] {
  const notes: string[] = [];
  if (flag.required) notes.push("required");
  if (flag.type === "list") notes.push("repeatable");
  if ("default" in flag && flag.default !== undefined) notes.push(`default ${flag.default}`);
  const short = flag.alias === undefined ? "    " : `-${flag.alias}, `;
  return [short + term(key, flag), flag.description + (notes.length > 0 ? ` (${notes.join(", ")})` : "")];
}

function firstSentence(text: string): string {
  return (text.split(/\.(?:\s|$)/)[0] ?? text).trim();
}
