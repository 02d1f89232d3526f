/** What a command line of `eksctl anywhere` says, as far as it concerns the manifests. */
export interface ChildLine {
  /** The words before any flag or value: `["upgrade", "cluster"]`. */
  words: readonly string[];
  /** The command that it calls, where that is one which reads a release's manifests. */
  command: ChildCommand | undefined;
  /** The value of `--filename`; of several the last. */
  filename: string | undefined;
  /** Whether the command's own flag for a Bundles is there. */
  namesBundles: boolean;
}

interface ChildCommand {
  name: string;
  /** What it takes a Bundles with; undefined: nothing, and it asks the Internet for one. */
  flag: "--bundles-override" | "--bundles-manifest" | undefined;
  /** It asks the Internet for the Release whatever it is given. */
  goesOnline: boolean;
}

/**
 * Every command with `--filename` that reads a release's manifests.
 * Source: EKS Anywhere v0.26, cmd/eksctl-anywhere/cmd.
 */
const COMMANDS = new Map<string, Omit<ChildCommand, "name">>([
  ["create cluster", { flag: "--bundles-override", goesOnline: false }],
  ["upgrade cluster", { flag: "--bundles-override", goesOnline: false }],
  ["delete cluster", { flag: "--bundles-override", goesOnline: false }],
  ["upgrade plan cluster", { flag: "--bundles-override", goesOnline: false }],
  // Both read the Release of their own version: options.go `readBasicClusterSpec`.
  ["upgrade management-components", { flag: "--bundles-override", goesOnline: true }],
  ["upgrade plan management-components", { flag: "--bundles-override", goesOnline: true }],
  ["list ovas", { flag: "--bundles-override", goesOnline: false }],
  ["install packagecontroller", { flag: "--bundles-override", goesOnline: false }],
  ["install pc", { flag: "--bundles-override", goesOnline: false }],
  ["create package", { flag: "--bundles-override", goesOnline: false }],
  ["create packages", { flag: "--bundles-override", goesOnline: false }],
  ["apply package", { flag: "--bundles-override", goesOnline: false }],
  ["apply packages", { flag: "--bundles-override", goesOnline: false }],
  ["generate tinkerbelltemplateconfig", { flag: "--bundles-override", goesOnline: false }],
  ["generate ttc", { flag: "--bundles-override", goesOnline: false }],
  ["generate support-bundle", { flag: "--bundles-manifest", goesOnline: false }],
  ["generate support-bundle-config", { flag: undefined, goesOnline: true }],
  ["check-images", { flag: undefined, goesOnline: true }],
  ["exp validate create cluster", { flag: undefined, goesOnline: true }],
]);
const MOST_WORDS = 4;

/** First words of commands of ours that `eksctl anywhere` has as well. */
export const SHARED = new Set(["completion", "copy", "download", "generate", "import", "list", "version"]);

export function readChildLine(argv: readonly string[]): ChildLine {
  const words = wordsOf(argv);
  const command = commandOf(words);
  return {
    words,
    command,
    filename: valuesOf(argv, { name: "--filename", letter: "-f" }).at(-1),
    namesBundles: command?.flag !== undefined && valuesOf(argv, { name: command.flag }).length > 0,
  };
}

/** The same line with a flag more, before a `--` that would end the flags. */
export function withFlag(argv: readonly string[], flag: string, value: string): string[] {
  const end = terminatorOf(argv);
  return [...argv.slice(0, end), flag, value, ...argv.slice(end)];
}

/** The environment's way to give a flag. Source: flags.go `bindFlagsToViper`. */
export function variableOf(flag: string): string {
  return flag.slice(2).toUpperCase().replaceAll("-", "_");
}

/** The longest that fits: `upgrade plan cluster` is no `upgrade`. */
function commandOf(words: readonly string[]): ChildCommand | undefined {
  for (let length = Math.min(words.length, MOST_WORDS); length > 0; length--) {
    const name = words.slice(0, length).join(" ");
    const command = COMMANDS.get(name);
    if (command !== undefined) return { name, ...command };
  }
  return;
}

/** As cobra looks for the command: what follows a flag without `=` is taken for its value. */
function wordsOf(argv: readonly string[]): string[] {
  const words: string[] = [];
  for (let index = 0; index < terminatorOf(argv); index++) {
    const argument = argv[index] ?? "";
    if (!argument.startsWith("-")) words.push(argument);
    else if (takesNext(argument)) index++;
  }
  return words;
}

function takesNext(flag: string): boolean {
  if (flag.includes("=") || flag === "--help" || flag === "-h") return false;
  return flag.startsWith("--") || flag.length === 2;
}

/** `--name V`, `--name=V`, `-fV`, `-f V`, `-f=V`. */
function valuesOf(argv: readonly string[], { name, letter }: { name: string; letter?: string }): string[] {
  const values: string[] = [];
  for (let index = 0; index < terminatorOf(argv); index++) {
    const argument = argv[index] ?? "";
    const next = argv[index + 1];
    if (argument === name || argument === letter) {
      if (next !== undefined) values.push(next);
      index++;
    } else if (argument.startsWith(`${name}=`)) values.push(argument.slice(name.length + 1));
    else if (letter !== undefined && argument.startsWith(letter)) {
      values.push(argument.slice(letter.length).replace(/^=/, ""));
    }
  }
  return values;
}

function terminatorOf(argv: readonly string[]): number {
  const end = argv.indexOf("--");
  return end < 0 ? argv.length : end;
}
