import { Fault } from "../oci/fault.ts";
import { nearest } from "../terminal/nearest.ts";
import type { CommandLine } from "./arguments.ts";
import { SHARED } from "./child-line.ts";

type Known = Pick<CommandLine, "name" | "hidden">;

/** What may stand in the place of a command. */
const ALONE = ["--help", "-h", "--version"];
const SEE_HELP = "see `eksa-airgap --help`";
const BRING_CHILD = `if it is one of EKS Anywhere's, put its \`eksctl-anywhere\` on PATH, or name that in EKSCTL_ANYWHERE; else ${SEE_HELP}`;

/** `child` is absent where somebody else might know the command. */
export function unknownCommand(
  words: readonly string[],
  known: readonly Known[],
  child: "absent" | undefined,
): Fault {
  const [first = ""] = words;
  if (first.startsWith("-")) return misplacedFlag(words, known);
  const asked = words.slice(0, 2).join(" ");
  const meant = meantBy(asked, known).map((name) => `\`eksa-airgap ${name}\``);
  const isOurs = meant.length > 0 && !SHARED.has(first);
  const hints = [
    ...(meant.length > 0 ? [`did you mean ${meant.join(" or ")}?`] : []),
    ...(child === "absent" && !isOurs ? [BRING_CHILD] : []),
  ];
  const [hint = SEE_HELP, more] = hints;
  return new Fault(`cannot run \`${asked}\`: there is no such command`, {
    ...(child === "absent" && {
      cause: new Fault("PATH has no other `eksctl-anywhere` to hand it to", { hint: more }),
    }),
    hint,
    kind: "usage",
  });
}

/** A slip has one neighbour; of half a command each whole is meant. */
function meantBy(asked: string, known: readonly Known[]): string[] {
  const names = known.map(({ name }) => name);
  const visible = known.filter(({ hidden }) => !hidden).map(({ name }) => name);
  const halves = [visible, names].map((all) => all.filter((name) => name.split(" ").includes(asked)));
  const wholes = halves.find(({ length }) => length > 0);
  if (wholes !== undefined) return wholes;
  const near = nearest(asked, visible) ?? nearest(asked, names);
  if (near !== undefined) return [near];
  const first = nearest(firstWord(asked), visible.map(firstWord));
  return visible.filter((name) => firstWord(name) === first);
}

function firstWord(text: string): string {
  return text.split(" ", 1).join();
}

/** A flag where the command should be. Only its name is shown: what is behind it may be secret. */
function misplacedFlag(words: readonly string[], known: readonly Known[]): Fault {
  const [flag = ""] = (words[0] ?? "").split("=", 1);
  const line = ` ${words.slice(1).join(" ")} `;
  const command = known.find(({ name }) => line.includes(` ${name} `))?.name;
  const usage = (message: string, hint: string) => new Fault(message, { hint, kind: "usage" });
  if (flag !== "--version" && command !== undefined) {
    return usage(`cannot use \`${flag}\` before the command`, `write \`eksa-airgap ${command} ${flag}\``);
  }
  if (ALONE.includes(flag))
    return usage(`cannot use \`${flag}\` with anything behind it`, "leave out the rest");
  const near = nearest(flag, ALONE);
  const hint = near === undefined ? SEE_HELP : `did you mean \`eksa-airgap ${near}\`?`;
  return usage(`cannot use \`${flag}\` without a command`, hint);
}
