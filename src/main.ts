import type { CommandLine } from "./commands/arguments.ts";
import type { Call } from "./commands/child.ts";
import type { Command, Surroundings } from "./commands/command.ts";
import { VERSIONS } from "./commands/version.ts";
import { PROXY_VARIABLES } from "./http/proxy-variables.ts";
import { Fault, type FaultKind, faultKind } from "./oci/fault.ts";
import { restoreOnLeave } from "./terminal/restore.ts";
import { Screen } from "./terminal/screen.ts";
import { printToStdout } from "./terminal/stdout.ts";

/** The commands by name. What a run does not need is not loaded: a start costs what the runtime does. */
const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  "export artifacts": async () => (await import("./commands/export.ts")).exportArtifacts,
  "import artifacts": async () => (await import("./commands/import.ts")).importArtifacts,
  "copy artifacts": async () => (await import("./commands/copy.ts")).copyArtifacts,
  "verify artifacts": async () => (await import("./commands/verify.ts")).verifyArtifacts,
  "list artifacts": async () => (await import("./commands/list.ts")).listArtifacts,
  "pull manifests": async () => (await import("./commands/pull-manifests.ts")).pullManifests,
  "generate mirror-config": async () => (await import("./commands/mirror-config.ts")).generateMirrorConfig,
  "list images": async () => (await import("./commands/list-images.ts")).listImages,
  "release artifacts": async () => (await import("./commands/release-artifacts.ts")).releaseArtifacts,
  "download artifacts": async () => (await import("./commands/download-artifacts.ts")).downloadArtifacts,
  "download images": async () => (await import("./commands/download-images.ts")).downloadImages,
  "import images": async () => (await import("./commands/import-images.ts")).importImages,
  "import-images": async () => (await import("./commands/copy-images.ts")).copyImages,
  version: async () => (await import("./commands/show-version.ts")).showVersion,
  "completion bash": async () => (await import("./commands/completion.ts")).completion("bash", allLines),
  "completion zsh": async () => (await import("./commands/completion.ts")).completion("zsh", allLines),
  "completion fish": async () => (await import("./commands/completion.ts")).completion("fish", allLines),
};

async function allLines(): Promise<CommandLine[]> {
  const commands = await Promise.all(Object.values(COMMANDS).map((load) => load()));
  return commands.map(({ line }) => line);
}

const ROOT = {
  summary: "Carry everything an EKS Anywhere release needs across an air gap, in one file.",
  example: [
    "eksa-airgap export artifacts --output artifacts.tar",
    "eksa-airgap import artifacts --input artifacts.tar --registry registry.example.com",
  ].join("\n  "),
};

const EXIT_CODES: Record<FaultKind, number> = { failed: 1, usage: 2, partial: 3, mismatch: 4 };
const SIGNAL_CODES = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;
/** Milliseconds in which a stopped run puts its affairs in order. */
const GRACE = 800;

/** `handTo` runs another program in place of this one. */
async function run(
  argv: readonly string[],
  surroundings: Surroundings,
  handTo: (call: Call) => Promise<void>,
): Promise<void> {
  const { print } = surroundings;
  // The same program under the name `eksctl-anywhere` is called as `eksctl anywhere …`.
  const words = argv[0] === "anywhere" ? argv.slice(1) : argv;
  if (words.length === 1 && words[0] === "--version") return print(VERSIONS);
  const { asksForHelp, commandHelp, rootHelp } = await import("./commands/arguments.ts");
  const { readCommandWords } = await import("./commands/command-words.ts");
  const own = Object.keys(COMMANDS);
  const asksInWords = words[0] === "help";
  const line = asksInWords ? [...words.slice(1), "--help"] : words;
  const called = readCommandWords(line, own);
  const command = called.name === undefined ? undefined : await COMMANDS[called.name]?.();
  if (command !== undefined) {
    if (asksForHelp(called.rest)) return print(commandHelp(command.line));
    return command.run(called.rest, surroundings);
  }
  const { handOver } = await import("./commands/hand-over.ts");
  const call = await handOver(line, surroundings, own);
  if (typeof call === "object") return handTo(asksInWords ? { ...call, argv: words } : call);
  const lines = await allLines();
  if (line.length === 0 || (asksForHelp(line) && isOfAll(line, lines))) return print(rootHelp(ROOT, lines));
  const { unknownCommand } = await import("./commands/unknown-command.ts");
  throw unknownCommand(called.words.length > 0 ? called.words : line, lines, call);
}

/** Nothing stands beside the flags for help but a word that commands begin with. */
function isOfAll(words: readonly string[], lines: readonly CommandLine[]): boolean {
  const [word, ...others] = words.filter((word) => word !== "--help" && word !== "-h");
  if (word === undefined) return true;
  return others.length === 0 && word === words[0] && lines.some(({ name }) => name.startsWith(`${word} `));
}

/**
 * Whether the end of a terminal, or of a login from afar, is to end this run: `nohup` has it ignored. Undefined where
 * nobody can tell.
 */
async function mayHangUp(): Promise<boolean | undefined> {
  const status = await Bun.file("/proc/self/status")
    .text()
    .catch(() => "");
  const [, ignored] = /^SigIgn:\s*([0-9a-f]+)$/m.exec(status) ?? [];
  return ignored === undefined ? undefined : (BigInt(`0x${ignored}`) & 1n) === 0n;
}

/** The process's environment; the runtime's own `fetch` would follow proxies in it, past our rules. */
function takeEnvironment(): NodeJS.ProcessEnv {
  const environment = { ...process.env };
  for (const name of Object.values(PROXY_VARIABLES).flat()) delete process.env[name];
  return environment;
}

async function main(argv: readonly string[]): Promise<void> {
  const environment = takeEnvironment();
  // The runtime's stderr takes longer to set up than all the rest of a start: only who writes pays.
  let opened: Screen | undefined;
  const openScreen = () => {
    if (opened === undefined) {
      opened = new Screen(process.stderr, environment);
      restoreOnLeave(opened);
    }
    return opened;
  };
  const stopping = new AbortController();
  let stoppedBy: keyof typeof SIGNAL_CODES | undefined;
  let passOn: ((signal: NodeJS.Signals) => void) | undefined;
  const stopAt = (signal: keyof typeof SIGNAL_CODES) =>
    process.on(signal, () => {
      if (passOn !== undefined) return passOn(signal);
      stoppedBy ??= signal;
      stopping.abort(
        new Fault("cannot go on: the run was interrupted", {
          hint: "run the same command again: what is in a file or in the registry by now stays",
        }),
      );
      setTimeout(() => process.exit(SIGNAL_CODES[signal]), GRACE);
    });
  stopAt("SIGINT");
  stopAt("SIGTERM");
  const hangUp = mayHangUp();
  // In doubt a run that is to go on must not end.
  void hangUp.then((may) => may && stopAt("SIGHUP"));
  const handTo = async (call: Call) => {
    const { runChild } = await import("./commands/child.ts");
    const isHangUpUnknown = (await hangUp) === undefined;
    process.exitCode = await runChild(call, (pass) => {
      passOn = pass;
      process.on("SIGQUIT", pass);
      if (isHangUpUnknown) process.on("SIGHUP", pass);
    });
  };
  const surroundings: Surroundings = {
    environment,
    directory: process.cwd(),
    get screen() {
      return openScreen();
    },
    print: printToStdout,
    signal: stopping.signal,
  };
  try {
    await run(argv, surroundings, handTo);
  } catch (error) {
    // Mistakes in the arguments too are told in the form that was asked for.
    const asJson = /(?:^| )--log-format[= ]json(?: |$)/.test(argv.join(" "));
    const { createLog } = await import("./terminal/log.ts");
    createLog({ screen: openScreen(), format: asJson ? "json" : "text" }).error(
      stoppedBy === undefined ? error : stopping.signal.reason,
    );
    process.exitCode = stoppedBy === undefined ? EXIT_CODES[faultKind(error)] : SIGNAL_CODES[stoppedBy];
  }
  process.exit();
}

void main(process.argv.slice(2));
