/** Whether text may carry colour escapes. */
export interface Painting {
  color: boolean;
}

const SGR = { red: "1;31", yellow: "33", cyan: "36", dim: "2" } as const;
const ELLIPSIS = "…";

export function paint(text: string, style: keyof typeof SGR, { color }: Painting): string {
  return color ? `\u001b[${SGR[style]}m${text}\u001b[0m` : text;
}

/**
 * Terminal columns. A character of ambiguous width, the ellipsis too, counts as two, which it takes in East Asian
 * settings: a line that is too short harms nobody, one that is too long is wrapped.
 */
export function widthOf(text: string): number {
  return Bun.stringWidth(text, { ambiguousIsNarrow: false });
}

/** Cuts text to so many terminal columns; an ellipsis says that there was more. What is cut loses its colours. */
export function fit(text: string, columns: number): string {
  return widthOf(text) <= columns ? text : leading(charactersOf(Bun.stripANSI(text)), columns).join("");
}

/** The same for a text whose end says more than its beginning. */
export function fitEnd(text: string, columns: number): string {
  if (widthOf(text) <= columns) return text;
  return leading(charactersOf(text).toReversed(), columns).toReversed().join("");
}

/** As many as there is room for, with the ellipsis behind them; nothing where there is not even room for that. */
function leading(characters: readonly string[], columns: number): string[] {
  let room = columns - widthOf(ELLIPSIS);
  if (room < 0) return [];
  const end = characters.findIndex((character) => {
    room -= widthOf(character);
    return room < 0;
  });
  return [...characters.slice(0, end), ELLIPSIS];
}

/** What a terminal shows as one: a letter with its accents, a flag, a family. */
function charactersOf(text: string): string[] {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: all of ASCII
  if (/^[\x00-\x7f]*$/.test(text)) return text.split("");
  return [...new Intl.Segmenter().segment(text)].map(({ segment }) => segment);
}
