import type { OutputStream } from "../../src/terminal/screen.ts";

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

  /** What a terminal shows now: understands line feeds, cursor up and erase below. */
  screen(): string[] {
    const shown: string[] = [];
    // biome-ignore lint/suspicious/noControlCharactersInRegex: this is what a terminal reads
    for (const part of this.written.split(/(\r\u001b\[\d+A\u001b\[J|\n)/)) {
      const rows = /\[(\d+)A/.exec(part)?.[1];
      if (rows !== undefined) shown.splice(-Number(rows));
      else if (part !== "\n" && part !== "") shown.push(Bun.stripANSI(part));
    }
    return shown;
  }
}
