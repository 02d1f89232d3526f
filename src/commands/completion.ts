import { type CompletedFlag, completionScript, type Shell } from "../terminal/completions.ts";
import { type CommandLine, defineCommandLine, type Flags, flagName } from "./arguments.ts";
import { type Command, defineCommand } from "./command.ts";
import { OUTPUT_FLAGS } from "./flags.ts";

/** What a value is called that names a file. */
const FILE_HINTS = new Set(["FILE", "ARCHIVE", "SRC", "DIR"]);

/** `lines`: every command there is. */
export function completion(shell: Shell, lines: () => Promise<readonly CommandLine[]>): Command {
  const line = defineCommandLine({
    name: `completion ${shell}`,
    summary: `Print what makes ${shell} complete commands, flags and files.`,
    example: {
      bash: "source <(eksa-airgap completion bash)",
      zsh: "source <(eksa-airgap completion zsh)",
      fish: "eksa-airgap completion fish | source",
    }[shell],
    flags: OUTPUT_FLAGS,
    prints: true,
  });
  return defineCommand(line, async ({ print }) => {
    const shown = (await lines()).filter(({ hidden }) => !hidden);
    const commands = shown.map(({ name, summary, flags }) => ({
      name,
      summary: summary.split(/\.(?:\s|$)/)[0] ?? summary,
      flags: flagsOf(flags),
    }));
    await print(completionScript(shell, commands));
  });
}

function flagsOf(flags: Flags): CompletedFlag[] {
  const shown = Object.entries(flags).filter(([, { hidden }]) => !hidden);
  const own = shown.map(([key, flag]): CompletedFlag => {
    const choices = "choices" in flag ? flag.choices : undefined;
    const value =
      flag.type === "boolean"
        ? "none"
        : (choices ?? (FILE_HINTS.has(flag.valueHint ?? "") ? "file" : "other"));
    return {
      long: `--${flagName(key)}`,
      ...(flag.alias === undefined ? {} : { short: `-${flag.alias}` }),
      description: flag.description,
      value,
    };
  });
  return [...own, { long: "--help", short: "-h", description: "show this help", value: "none" }];
}
