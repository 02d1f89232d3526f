import { fit } from "./style.ts";

/** As much of `process.stderr` as is needed. */
export interface OutputStream {
  write(text: string): unknown;
  on?(event: "error", listener: (error: Error) => void): unknown;
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
  readonly rows?: number | undefined;
}

/** Environment variables: `NO_COLOR` and `TERM` count. */
export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The stream that people read (stderr), with a block of lines at its end that is redrawn in place.
 * A stream that breaks (a closed pipe, a full disk below a redirect) falls silent: it never ends the run.
 */
export class Screen {
  /** Lines can be redrawn. */
  readonly isLive: boolean;
  /** Spec: https://no-color.org */
  readonly color: boolean;
  readonly #stream: OutputStream;
  #block: readonly string[] = [];
  #broken = false;

  constructor(stream: OutputStream, environment: Environment) {
    this.#stream = stream;
    this.isLive = stream.isTTY === true && environment.TERM !== "dumb";
    this.color = this.isLive && (environment.NO_COLOR ?? "") === "";
    stream.on?.("error", () => {
      this.#broken = true;
    });
  }

  /** Columns that may be written to. One less than there are: some terminals wrap at the last one. */
  get width(): number {
    return this.#columns - 1;
  }

  /** Writes whole lines for good, above the block. */
  print(text: string): void {
    this.#write(`${this.#eraser()}${text}\n${join(this.#block)}`);
  }

  /** Replaces the block; lines are cut to the width, and their number to the height. */
  draw(lines: readonly string[]): void {
    if (!this.isLive) return;
    const height = Math.max(1, (this.#stream.rows || 24) - 1);
    const block = lines.slice(0, height).map((line) => fit(line, this.width));
    if (block.join("\n") === this.#block.join("\n")) return;
    this.#write(`${this.#eraser()}${join(block)}`);
    this.#block = block;
  }

  clear(): void {
    this.draw([]);
  }

  get #columns(): number {
    return this.#stream.columns || 80;
  }

  /** Back to the block's first line, everything below it gone. A line drawn before the window shrank is wrapped. */
  #eraser(): string {
    let rows = 0;
    for (const line of this.#block) rows += Math.max(1, Math.ceil(Bun.stringWidth(line) / this.#columns));
    return rows === 0 ? "" : `\r\u001b[${rows}A\u001b[J`;
  }

  #write(text: string): void {
    if (this.#broken || text === "") return;
    try {
      this.#stream.write(text);
    } catch {
      this.#broken = true;
    }
  }
}

function join(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join("");
}
