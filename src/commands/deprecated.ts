import { Fault } from "../oci/fault.ts";
import { createLog } from "../terminal/log.ts";
import { type CommandLine, type Flags, flagName, parseArguments, type Values } from "./arguments.ts";
import { type Command, defineCommand, type Run } from "./command.ts";
import { isGiven, type OUTPUT_FLAGS } from "./flags.ts";

/** A command of `eksctl anywhere` that scripts still call. */
export interface Deprecated<F extends Flags> {
  line: Omit<CommandLine<F>, "hidden">;
  /** The command to call in its place. */
  successor: string;
  /** What is said of flags that are not to be used any more: `use …`. */
  flags?: { readonly [K in keyof F]?: string };
}

/** Says what to call instead, as cobra does, and then does what is asked. */
export function defineDeprecated<F extends Flags & typeof OUTPUT_FLAGS>(
  { line, successor, flags = {} }: Deprecated<F>,
  work: (run: Run<F>) => Promise<void>,
): Command {
  const instead = `use \`eksa-airgap ${successor}\` instead`;
  const summary = `${line.summary} Deprecated: ${instead}.`;
  const command = defineCommand<F>({ ...line, summary, hidden: true }, work);
  return {
    line: command.line,
    run: async (argv, surroundings) => {
      const given: Values<Flags> = parseArguments(withoutRequired(line), argv);
      const output = given as Values<typeof OUTPUT_FLAGS>;
      const log = createLog({ screen: surroundings.screen, quiet: output.quiet, format: output.logFormat });
      log.deprecation(`Command "${line.name}" is deprecated, ${instead}`);
      for (const [key, advice] of Object.entries(flags)) {
        if (isGiven(given[key])) log.deprecation(`Flag --${flagName(key)} has been deprecated, ${advice}`);
      }
      assertRequired(line, given);
      await command.run(argv, surroundings);
    },
  };
}

/** What else a successor takes: accepted, and not shown in the help. Not those that the command decides itself. */
export function hidden<const F extends Flags, K extends keyof F & string = never>(
  flags: F,
  decided: readonly K[] = [],
): Omit<F, K> {
  const names: readonly string[] = decided;
  const others = Object.entries(flags).filter(([key]) => !names.includes(key));
  return Object.fromEntries(others.map(([key, flag]) => [key, { ...flag, hidden: true }])) as Omit<F, K>;
}

function withoutRequired({ flags, ...line }: Omit<CommandLine, "hidden">): CommandLine {
  const entries = Object.entries(flags).map(([key, { required: _, ...flag }]) => [key, flag]);
  return { ...line, flags: Object.fromEntries(entries) };
}

/** In the words that scripts may look for. Source: cobra, `ValidateRequiredFlags`. */
function assertRequired({ name, flags }: Omit<CommandLine, "hidden">, given: Values<Flags>): void {
  const missing = Object.entries(flags).flatMap(([key, { required }]) =>
    required && !isGiven(given[key]) ? [`"${flagName(key)}"`] : [],
  );
  if (missing.length === 0) return;
  throw new Fault(`cannot run \`${name}\``, {
    cause: new Error(`required flag(s) ${missing.sort().join(", ")} not set`),
    hint: `see \`eksa-airgap ${name} --help\``,
    kind: "usage",
  });
}
