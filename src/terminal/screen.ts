import { fit, widthOf } from "./style.ts";

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
 * All that is ever asked of a terminal, beside colours: what a VT220 and the console of Windows 10 understand.
 * https://learn.microsoft.com/windows/console/console-virtual-terminal-sequences
 */
const HIDE_CURSOR = "\u001b[?25l";
const SHOW_CURSOR = "\u001b[?25h";
const ERASE_LINE = "\u001b[2K";
const ERASE_REST_OF_LINE = "\u001b[K";
const ERASE_BELOW = "\u001b[J";
const UP = "\u001b[A";
const DOWN = "\u001b[B";
/** Also where a line feed alone does not go back to the first column. */
const NEXT_LINE = "\r\n";

/**
 * The stream that people read (stderr), with a block of lines at its end that is redrawn in place: what has changed
 * is written over, in one go, so that nothing is ever blank between two frames.
 * A stream that breaks (a closed pipe, a full disk below a redirect) falls silent: it never ends the run.
 */
export class Screen {
  /** Lines can be redrawn. */
  readonly isLive: boolean;
  /** Spec: https://no-color.org */
  readonly color: boolean;
  readonly #stream: OutputStream;
  /** A window that becomes narrower wraps the lines that are there, which take more rows then. */
  readonly #wraps: boolean;
  #block: readonly string[] = [];
  /** As the window was when the block was drawn. */
  #drawnColumns = 0;
  #broken = false;

  constructor(stream: OutputStream, environment: Environment) {
    this.#stream = stream;
    this.isLive = stream.isTTY === true && environment.TERM !== "dumb";
    this.color = this.isLive && (environment.NO_COLOR ?? "") === "";
    this.#wraps = wraps(environment);
    stream.on?.("error", () => {
      this.#broken = true;
    });
  }

  /** Columns that may be written to. One less than there are: some terminals wrap at the last one. */
  get width(): number {
    return this.#columns - 1;
  }

  /** Lines that a block may have. One less than there are: the cursor stands below it. */
  get height(): number {
    return Math.max(1, (this.#stream.rows || 24) - 1);
  }

  /** Writes whole lines for good, above the block. */
  print(text: string): void {
    const eraser = this.#eraser();
    this.#take(this.#block);
    this.#write(`${eraser}${text}\n${joined(this.#block)}`);
  }

  /** Replaces the block; lines are cut to the width, and their number to the height. */
  draw(lines: readonly string[]): void {
    if (!this.isLive) return;
    const [before, eraser, drawnColumns] = [this.#block, this.#eraser(), this.#drawnColumns];
    this.#take(lines);
    const block = this.#block;
    const isResized = drawnColumns !== this.#columns;
    if (Bun.deepEquals(block, before) && (!isResized || block.length === 0)) return;
    const cursor = before.length === 0 ? HIDE_CURSOR : block.length === 0 ? SHOW_CURSOR : "";
    const mayStay = before.length > 0 && block.length > 0 && !isResized;
    this.#write(cursor + (mayStay ? written(block, before) : eraser + joined(block)));
  }

  clear(): void {
    this.draw([]);
  }

  /** Before the process ends, whatever becomes of the block: a shell would go on without a cursor. */
  restoreCursor(): void {
    if (this.#block.length > 0) this.#write(SHOW_CURSOR);
  }

  get #columns(): number {
    return this.#stream.columns || 80;
  }

  #take(lines: readonly string[]): void {
    this.#block = lines.slice(0, this.height).map((line) => fit(line, this.width));
    this.#drawnColumns = this.#columns;
  }

  /** Back to the block's first line, everything below it gone. */
  #eraser(): string {
    let rows = 0;
    for (const line of this.#block) rows += this.#rowsOf(line);
    if (rows === 0) return "";
    // From the first cell of a window on, tmux would keep a copy of all that is erased.
    return `${up(rows)}${ERASE_LINE}${rows === 1 ? "" : `${DOWN}${ERASE_BELOW}${UP}`}`;
  }

  /** In a window that has shrunk since. */
  #rowsOf(line: string): number {
    return this.#wraps ? Math.max(1, Math.ceil(Bun.stringWidth(line) / this.#columns)) : 1;
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

/**
 * Whether a terminal wraps anew what stands in a window that becomes narrower, as tmux and the terminals of today's
 * desktops do, or cuts it off, as xterm and PuTTY do. In doubt it cuts: what is left behind then is better than lines
 * erased that were written for good.
 */
function wraps({ TERM = "", TMUX, STY, VTE_VERSION, WT_SESSION }: Environment): boolean {
  if (TMUX !== undefined || VTE_VERSION !== undefined || WT_SESSION !== undefined) return true;
  if (STY !== undefined) return false;
  return process.platform === "win32" || /-256color$|kitty|alacritty|ghostty|wezterm|foot/.test(TERM);
}

function up(rows: number): string {
  return `\r\u001b[${rows}A`;
}

function joined(lines: readonly string[]): string {
  return lines.map((line) => line + NEXT_LINE).join("");
}

/** A block over the one before it, in a window that is still as wide. */
function written(block: readonly string[], before: readonly string[]): string {
  const lines = block.map((line, index) => (line === before[index] ? "" : writtenOver(line, before[index])));
  return up(before.length) + joined(lines) + (block.length < before.length ? ERASE_BELOW : "");
}

/**
 * A line that becomes shorter is erased first: in a window that shrinks, tmux would go on to wrap the cells of
 * which only the rest was erased, and the line would take more rows than it is long.
 */
function writtenOver(line: string, before = ""): string {
  return widthOf(line) < widthOf(before) ? ERASE_LINE + line : line + ERASE_REST_OF_LINE;
}
