/** What a shell needs to know of a flag. */
export interface CompletedFlag {
  /** `--output` */
  long: string;
  /** `-o` */
  short?: string;
  description: string;
  /** What may follow: nothing, a file, one of these words, or what no shell can know. */
  value: "none" | "file" | "other" | readonly string[];
}

/** What a shell needs to know of a command. */
export interface CompletedCommand {
  /** `export artifacts` */
  name: string;
  summary: string;
  flags: readonly CompletedFlag[];
}

export type Shell = "bash" | "zsh" | "fish";

const PROGRAM = "eksa-airgap";
const FUNCTION = "_eksa_airgap";
/** The program is called with it in front of the command, too. */
const IGNORED = "anywhere";

/** A script for `shell` that completes commands, flags and their values, files among them. */
export function completionScript(shell: Shell, commands: readonly CompletedCommand[]): string {
  return { bash, zsh, fish }[shell](commands);
}

/** The words that may follow `above` (`export`; empty at the start), and what each is good for. */
function nextWords(commands: readonly CompletedCommand[], above: string): [word: string, summary: string][] {
  const start = above === "" ? "" : `${above} `;
  const below = commands.filter(({ name }) => name.startsWith(start));
  const byWord = Map.groupBy(below, ({ name }) => name.slice(start.length).split(" ")[0] ?? "");
  return [...byWord].map(([word, [first, ...others]]) => {
    if (others.length === 0) return [word, first?.summary ?? ""];
    const rests = [first, ...others].map((command) => command?.name.slice(start.length + word.length + 1));
    return [word, rests.join(", ")];
  });
}

/** What comes before the last word of each command: the empty beginning among them. */
function beginnings(commands: readonly CompletedCommand[]): string[] {
  return [...new Set(["", ...commands.map(({ name }) => name.split(" ").slice(0, -1).join(" "))])];
}

/** Needs no package of completion functions: a jump host has none. */
function bash(commands: readonly CompletedCommand[]): string {
  const words = beginnings(commands).map((above) => {
    const next = nextWords(commands, above).map(([word]) => word);
    return `    '${above}') words='${next.join(" ")}' ;;`;
  });
  const flags = commands.map(({ name, flags }) => {
    const names = flags.flatMap(({ long, short }) => [long, ...(short === undefined ? [] : [short])]);
    return `    '${name}') words='${names.join(" ")}' ;;`;
  });
  const values = commands.flatMap(({ name, flags }) =>
    flags.flatMap(({ long, short, value }) => {
      if (value === "none") return [];
      const pattern = [long, ...(short === undefined ? [] : [short])].map((flag) => `'${name} ${flag}'`);
      const what = value === "file" ? "files=1" : value === "other" ? ":" : `words='${value.join(" ")}'`;
      return [`    ${pattern.join("|")}) ${what}; return 0 ;;`];
    }),
  );
  return [
    `# bash completion for ${PROGRAM}: source <(${PROGRAM} completion bash)`,
    `${FUNCTION}_value() {`,
    '  case "$1" in',
    ...values,
    "  esac",
    "  return 1",
    "}",
    `${FUNCTION}() {`,
    `  local cur="\${COMP_WORDS[COMP_CWORD]}" prev="\${COMP_WORDS[COMP_CWORD-1]}" command= words= files= word`,
    "  COMPREPLY=()",
    "  # `--flag=value` comes as three words.",
    `  if [[ $cur == "=" ]]; then cur=; elif [[ $prev == "=" ]]; then prev="\${COMP_WORDS[COMP_CWORD-2]}"; fi`,
    `  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do`,
    "    [[ $word == -* ]] && break",
    `    [[ -z $command && $word == ${IGNORED} ]] && continue`,
    `    command="\${command:+$command }$word"`,
    "  done",
    `  if ! ${FUNCTION}_value "$command $prev"; then`,
    '    case "$command" in',
    ...words,
    ...flags,
    "    esac",
    "  fi",
    "  if [[ -n $files ]]; then",
    "    compopt -o filenames 2>/dev/null",
    "    local IFS=$'\\n'",
    '    COMPREPLY=($(compgen -f -- "$cur"))',
    "  else",
    '    COMPREPLY=($(compgen -W "$words" -- "$cur"))',
    "  fi",
    "}",
    `complete -F ${FUNCTION} ${PROGRAM}`,
  ].join("\n");
}

function zsh(commands: readonly CompletedCommand[]): string {
  const quote = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;
  const words = beginnings(commands).map((above) => {
    const next = nextWords(commands, above).map(([word, summary]) => quote(`${word}:${summary}`));
    return `    ${quote(above)}) next=(${next.join(" ")}); _describe command next ;;`;
  });
  const flags = commands.map(({ name, flags }) => {
    const specs = flags.map(({ long, short, description, value }) => {
      const text = description.replaceAll(/[[\]\\:]/g, "\\$&");
      const action =
        value === "none"
          ? ""
          : `:value:${value === "file" ? "_files" : value === "other" ? "" : `(${value.join(" ")})`}`;
      const end = value === "none" ? "" : "=";
      const names = short === undefined ? `${long}${end}` : `{${short}${end && "+"},${long}${end}}`;
      return `'*'${names}${quote(`[${text}]${action}`)}`;
    });
    return `    ${quote(name)}) _arguments ${specs.join(" ")} ;;`;
  });
  return [
    `#compdef ${PROGRAM}`,
    `# zsh completion for ${PROGRAM}: source <(${PROGRAM} completion zsh)`,
    `${FUNCTION}() {`,
    "  local command word; local -i depth=0; local -a next",
    `  for word in "\${words[@]:1:$((CURRENT-2))}"; do`,
    "    [[ $word == -* ]] && break",
    "    depth+=1",
    `    [[ -z $command && $word == ${IGNORED} ]] && continue`,
    `    command="\${command:+$command }$word"`,
    "  done",
    "  # What follows the command is completed as if the command were one word.",
    "  shift $depth words; CURRENT=$((CURRENT-depth))",
    '  case "$command" in',
    ...words,
    ...flags,
    "  esac",
    "}",
    `if [[ "\${funcstack[1]}" == ${FUNCTION} ]]; then ${FUNCTION} "$@"; else compdef ${FUNCTION} ${PROGRAM}; fi`,
  ].join("\n");
}

function fish(commands: readonly CompletedCommand[]): string {
  const quote = (text: string) => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
  const at = (test: string) => `complete -c ${PROGRAM} -n ${quote(test)}`;
  const words = beginnings(commands).flatMap((above) =>
    nextWords(commands, above).map(
      ([word, summary]) => `${at(`${FUNCTION}_at ${quote(above)}`)} -a ${word} -d ${quote(summary)}`,
    ),
  );
  const flags = commands.flatMap(({ name, flags }) =>
    flags.map(({ long, short, description, value }) => {
      const names = `-l ${long.slice(2)}${short === undefined ? "" : ` -s ${short.slice(1)}`}`;
      const what =
        value === "none"
          ? ""
          : value === "file"
            ? " -r -F"
            : value === "other"
              ? " -x"
              : ` -x -a ${quote(value.join(" "))}`;
      return `${at(`${FUNCTION}_at ${quote(name)}`)} ${names}${what} -d ${quote(description)}`;
    }),
  );
  return [
    `# fish completion for ${PROGRAM}: ${PROGRAM} completion fish | source`,
    `function ${FUNCTION}_at`,
    "  set -l words",
    "  for word in (commandline -opc)[2..-1]",
    "    string match -q -- '-*' $word; and break",
    `    test -z "$words" -a $word = ${IGNORED}; and continue`,
    "    set -a words $word",
    "  end",
    `  test "$words" = "$argv[1]"`,
    "end",
    `complete -c ${PROGRAM} -f`,
    ...words,
    ...flags,
  ].join("\n");
}
