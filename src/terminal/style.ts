/** Whether text may carry colour escapes. */
export interface Painting {
  color: boolean;
}

const SGR = { red: "1;31", yellow: "33", cyan: "36", dim: "2" } as const;

export function paint(text: string, style: keyof typeof SGR, { color }: Painting): string {
  return color ? `\u001b[${SGR[style]}m${text}\u001b[0m` : text;
}

/** Cuts text to so many terminal columns; an ellipsis says that there was more. */
export function fit(text: string, columns: number): string {
  if (Bun.stringWidth(text) <= columns) return text;
  if (columns < 1) return "";
  let kept = "";
  let width = 0;
  for (const character of text) {
    width += Bun.stringWidth(character);
    if (width > columns - 1) break;
    kept += character;
  }
  return `${kept}…`;
}
