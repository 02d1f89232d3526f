import type { OutputStream } from "../../src/terminal/screen.ts";

// biome-ignore lint/suspicious/noControlCharactersInRegex: this is what a terminal reads
const TOKEN = /\u001b(?:\[(?<parameter>[?\d;]*)(?<command>[A-Za-z])|.)|\r|\n|[^\u001b\r\n]+/g;

/** A stream that remembers; with `columns` it is a terminal, and `screen()` tells what stands on it. */
export class FakeStream implements OutputStream {
  readonly isTTY: boolean;
  columns: number | undefined;
  rows: number | undefined;
  written = "";
  /** Thrown by `write`. */
  failure: Error | undefined;
  #onError: ((error: Error) => void) | undefined;

  constructor(size: { columns?: number; rows?: number } = {}) {
    this.isTTY = size.columns !== undefined;
    this.columns = size.columns;
    this.rows = size.rows;
  }

  on(_: "error", listener: (error: Error) => void): void {
    this.#onError = listener;
  }

  write(text: string): void {
    if (this.failure !== undefined) throw this.failure;
    this.written += text;
  }

  break(error: Error): void {
    if (this.#onError === undefined) throw error;
    this.#onError(error);
  }

  /** The lines written so far, control sequences aside. */
  lines(): string[] {
    return Bun.stripANSI(this.written).replaceAll("\r", "").split("\n").slice(0, -1);
  }

  /** What a terminal shows now, down to the line of the cursor. */
  screen(): string[] {
    return this.#shown().lines;
  }

  get isCursorHidden(): boolean {
    return this.#shown().isCursorHidden;
  }

  /** Fails on anything that the screen is not known to write. */
  #shown(): { lines: string[]; isCursorHidden: boolean } {
    const lines = [""];
    let [row, column, isCursorHidden] = [0, 0, false];
    for (const { 0: token, groups: { parameter, command } = {} } of this.written.matchAll(TOKEN)) {
      const line = lines[row] ?? "";
      if (token === "\r") column = 0;
      else if (token === "\n") [row, column] = [row + 1, 0];
      else if (command === "A") row = Math.max(0, row - Number(parameter || 1));
      else if (command === "B" && parameter === "") row++;
      else if (command === "K" && parameter === "") lines[row] = line.slice(0, column);
      else if (command === "K" && parameter === "2") lines[row] = "";
      else if (command === "J" && parameter === "") lines.splice(row, lines.length, line.slice(0, column));
      else if (/^[lh]$/.test(command ?? "") && parameter === "?25") isCursorHidden = command === "l";
      else if (token.startsWith("\u001b") && command !== "m")
        throw new Error(`unknown: ${JSON.stringify(token)}`);
      else if (command === undefined) {
        lines[row] = line.slice(0, column).padEnd(column) + token + line.slice(column + token.length);
        column += token.length;
      }
      lines[row] ??= "";
    }
    return { lines: lines.slice(0, row), isCursorHidden };
  }
}
