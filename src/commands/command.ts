import { Fault } from "../oci/fault.ts";
import { AnswerFault } from "../registry/answer.ts";
import { describeFault } from "../terminal/fault.ts";
import { createLog, type Log } from "../terminal/log.ts";
import { createProgress, type Progress, progressMode } from "../terminal/progress.ts";
import type { Screen } from "../terminal/screen.ts";
import { assertStdoutIsOpen } from "../terminal/stdout.ts";
import { type CommandLine, type Flags, parseArguments, type Values } from "./arguments.ts";
import type { OUTPUT_FLAGS } from "./flags.ts";

/** What a command is run in: everything of the process that it may touch. */
export interface Surroundings {
  environment: NodeJS.ProcessEnv;
  /** The working directory. */
  directory: string;
  screen: Screen;
  /** Writes a result to stdout; nothing else goes there. */
  print: (text: string) => Promise<void>;
  /** Aborted when the user wants to stop. */
  signal: AbortSignal;
}

/** A command under way. */
export interface Run<F extends Flags> extends Surroundings {
  values: Values<F>;
  log: Log;
  /** Says what goes on; `title`: `exporting`, `importing`. */
  progress: (title: string) => Progress;
}

/** One command: how it is called, and what it does. */
export interface Command {
  line: CommandLine;
  /** Fails with a `Fault`; its kind decides the exit code. */
  run: (argv: readonly string[], surroundings: Surroundings) => Promise<void>;
}

/** Joins a command line to what it does. */
export function defineCommand<F extends Flags & typeof OUTPUT_FLAGS>(
  line: CommandLine<F>,
  work: (run: Run<F>) => Promise<void>,
): Command {
  return {
    line,
    run: async (argv, surroundings) => {
      const values: Values<F> = parseArguments(line, argv);
      const output: Values<typeof OUTPUT_FLAGS> = values;
      const { screen } = surroundings;
      const log = createLog({
        screen,
        verbosity: output.verbosity,
        quiet: output.quiet,
        format: output.logFormat,
      });
      if (line.prints) await assertStdoutIsOpen();
      const mode = progressMode(screen, log, output);
      try {
        await work({
          ...surroundings,
          values,
          log,
          progress: (title) => createProgress({ screen, log, mode, title }),
        });
      } catch (error) {
        throw inWords(error, line.name);
      }
    },
  };
}

/** What was on its way here in nobody's words, a registry's answer or the network's failure, gets those of the command. */
function inWords(error: unknown, name: string): unknown {
  if (error instanceof Fault && !(error instanceof AnswerFault)) return error;
  const isExplained = describeFault(error).hints.length > 0;
  return new Fault(`cannot finish \`${name}\``, {
    cause: error,
    ...(!isExplained && { hint: "run it again with `--verbosity 4`, which shows what came before" }),
  });
}
