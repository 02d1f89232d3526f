import { type Flags, flagName, readTokens, spellOut } from "./arguments.ts";
import { OUTPUT_FLAGS } from "./flags.ts";

/** What may stand before and between the words of a command, as cobra has it. */
const SHARED_FLAGS: Flags = {
  ...OUTPUT_FLAGS,
  help: { type: "boolean", alias: "h", description: "show the help" },
};

/** What a line calls. */
interface CommandWords {
  /** The command whose words the line begins with, but for flags that all commands share. */
  name: string | undefined;
  /** The words before any other flag. */
  words: readonly string[];
  /** The line without the words of the command. */
  rest: readonly string[];
}

/** `names`: those of all commands, none of which is the beginning of another one. */
export function readCommandWords(argv: readonly string[], names: readonly string[]): CommandWords {
  const line = spellOut(SHARED_FLAGS, argv);
  const shared = new Set(Object.keys(SHARED_FLAGS).map(flagName));
  const words: string[] = [];
  const places = new Set<number>();
  for (const token of readTokens(SHARED_FLAGS, line)) {
    if (token.kind === "option" && shared.has(token.name)) continue;
    if (token.kind !== "positional") break;
    words.push(token.value);
    places.add(token.index);
    const name = words.join(" ");
    if (names.includes(name)) return { name, words, rest: line.filter((_, index) => !places.has(index)) };
  }
  return { name: undefined, words, rest: line };
}
