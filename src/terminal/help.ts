/** A title and two columns below it. */
export interface HelpSection {
  title: string;
  rows: readonly (readonly [term: string, description: string])[];
}

export interface HelpText {
  /** What it is for, a sentence or two. */
  summary: string;
  /** The whole command line. */
  usage: string;
  sections: readonly HelpSection[];
  /** A command line that works. */
  example: string;
}

/** Lines are wrapped to so many columns, the terms of all sections aligned; no final line feed. */
export function formatHelp({ summary, usage, sections, example }: HelpText, columns = 100): string {
  const filled = sections.filter(({ rows }) => rows.length > 0);
  const termWidth = Math.max(0, ...filled.flatMap(({ rows }) => rows.map(([term]) => term.length)));
  const indent = " ".repeat(termWidth + 4);
  const room = Math.max(20, columns - indent.length);
  const tables = filled.map(({ title, rows }) => {
    const lines = rows.map(([term, description]) => {
      const text = wrap(description, room).join(`\n${indent}`);
      return `  ${term.padEnd(termWidth)}  ${text}`.trimEnd();
    });
    return [`${title}:`, ...lines].join("\n");
  });
  const head = [wrap(summary, columns).join("\n"), `Usage: ${usage}`];
  return [...head, ...tables, `Example:\n  ${example}`].join("\n\n");
}

function wrap(text: string, columns: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const line = lines.at(-1);
    if (line !== undefined && line.length + 1 + word.length <= columns)
      lines[lines.length - 1] = `${line} ${word}`;
    else lines.push(word);
  }
  return lines;
}
