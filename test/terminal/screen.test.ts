import { expect, test } from "bun:test";
import fc from "fast-check";
import { type Environment, Screen } from "../../src/terminal/screen.ts";
import { fit, fitEnd, widthOf } from "../../src/terminal/style.ts";
import { FakeStream } from "./fake-stream.ts";

test("lines are printed above the block, which stays at the end", () => {
  const stream = new FakeStream({ columns: 80 });
  const screen = new Screen(stream, {});
  screen.draw(["first", "second"]);
  screen.print("a warning");
  screen.draw(["third"]);
  expect(stream.screen()).toEqual(["a warning", "third"]);
  screen.clear();
  expect(stream.screen()).toEqual(["a warning"]);
});

test("the same block is not drawn twice", () => {
  const stream = new FakeStream({ columns: 80 });
  const screen = new Screen(stream, {});
  screen.draw(["same"]);
  const once = stream.written;
  screen.draw(["same"]);
  expect(stream.written).toBe(once);
});

test("a block is never wider or higher than the window", () => {
  const stream = new FakeStream({ columns: 10, rows: 4 });
  new Screen(stream, {}).draw(Array.from({ length: 20 }, () => "x".repeat(50)));
  expect(stream.screen()).toEqual(["xxxxxxx…", "xxxxxxx…", "xxxxxxx…"]);
});

/** Back over so many rows, and nothing left of them; the first cell of all is not where the rest is erased from. */
const erased = (rows: number) => `\r\u001b[${rows}A\u001b[2K\u001b[B\u001b[J\u001b[A`;

test.each<[string, Environment, number]>([
  ["tmux", { TERM: "screen", TMUX: "/tmp/tmux-0/default,1,0" }, 4],
  ["a desktop's terminal", { TERM: "xterm-256color" }, 4],
  ["kitty", { TERM: "xterm-kitty" }, 4],
  ["PuTTY", { TERM: "xterm" }, 2],
  ["screen", { TERM: "screen-256color", STY: "1.pts-0.host" }, 2],
  ["an unknown one", {}, 2],
])("in a window of %s that has shrunk, the block is erased and nothing above it", (_, environment, rows) => {
  const stream = new FakeStream({ columns: 80 });
  const screen = new Screen(stream, environment);
  screen.draw(["x".repeat(50), "y"]);
  stream.columns = 20;
  screen.clear();
  expect(stream.written).toEndWith(`\u001b[?25h${erased(rows)}`);
});

test("of a block of one line no more than that is erased", () => {
  const stream = new FakeStream({ columns: 80 });
  const screen = new Screen(stream, {});
  screen.draw(["block"]);
  screen.clear();
  expect(stream.written).toEndWith("\r\u001b[1A\u001b[2K");
});

test.each([
  ["a terminal", {}, 80, true, true],
  ["a terminal under NO_COLOR", { NO_COLOR: "1" }, 80, true, false],
  ["a terminal under an empty NO_COLOR", { NO_COLOR: "" }, 80, true, true],
  ["a dumb terminal", { TERM: "dumb" }, 80, false, false],
  ["a file", {}, undefined, false, false],
])("%s: redrawn and coloured only where it can be", (_, environment, columns, isLive, color) => {
  const stream = new FakeStream(columns === undefined ? {} : { columns });
  const screen = new Screen(stream, environment);
  expect({ isLive: screen.isLive, color: screen.color }).toEqual({ isLive, color });
});

test("nothing is drawn in place where lines cannot be redrawn", () => {
  const stream = new FakeStream();
  const screen = new Screen(stream, {});
  screen.draw(["block"]);
  screen.print("line");
  expect(stream.written).toBe("line\n");
});

test("a broken pipe silences the screen and nothing else", () => {
  const told = new FakeStream();
  const screen = new Screen(told, {});
  told.break(new Error("EPIPE"));
  screen.print("unheard");
  expect(told.written).toBe("");

  const throwing = new FakeStream();
  throwing.failure = new Error("EPIPE");
  const other = new Screen(throwing, {});
  expect(() => other.print("unheard")).not.toThrow();
});

test.each([
  ["short", 5, "short", "short"],
  ["longer", 5, "lon…", "…ger"],
  ["longer", 2, "…", "…"],
  ["longer", 1, "", ""],
  ["longer", 0, "", ""],
  ["日本語", 6, "日本語", "日本語"],
  ["日本語", 5, "日…", "…語"],
  ["日本語", 3, "…", "…"],
  ["👩‍👩‍👧 family", 6, "👩‍👩‍👧 f…", "…mily"],
  ["\u001b[33myellow\u001b[0m", 5, "yel…", "…low"],
])("%p cut to %p columns is %p, and %p where the end counts", (text, columns, cut, cutEnd) => {
  expect(fit(text, columns)).toBe(cut);
  expect(fitEnd(Bun.stripANSI(text), columns)).toBe(cutEnd);
});

test("what is cut is never too wide, not even where characters of ambiguous width are wide", () => {
  const text = fc.string({ unit: fc.constantFrom("a", "…", "日", "é", "👩‍👩‍👧", "🇨🇭", "❤️", "e\u0301") });
  fc.assert(
    fc.property(text, fc.nat(20), (text, columns) => {
      expect(widthOf(fit(text, columns))).toBeLessThanOrEqual(columns);
      expect(widthOf(fitEnd(text, columns))).toBeLessThanOrEqual(columns);
    }),
  );
});

const blocks = fc.array(fc.array(fc.constantFrom("", "a", "bb", "a longer line"), { maxLength: 6 }));

test("whatever block follows whatever other one, the terminal shows it and nothing else", () => {
  fc.assert(
    fc.property(blocks, (sequence) => {
      const stream = new FakeStream({ columns: 80 });
      const screen = new Screen(stream, {});
      for (const block of sequence) {
        screen.draw(block);
        expect(stream.screen()).toEqual(block);
        expect(stream.isCursorHidden).toBe(block.length > 0);
      }
      screen.print("for good");
      screen.clear();
      expect(stream.screen()).toEqual(["for good"]);
    }),
  );
});

test("a frame is one write, which erases nothing that it does not write over", () => {
  const stream = new FakeStream({ columns: 80 });
  const screen = new Screen(stream, {});
  screen.draw(["stays", "10%", "also stays"]);
  const writes: string[] = [];
  stream.write = (text) => writes.push(text);
  screen.draw(["stays", "11%", "also stays"]);
  expect(writes).toEqual(["\r\u001b[3A\r\n11%\u001b[K\r\n\r\n"]);
});

test("a line that becomes shorter leaves no cells that a shrinking window would wrap", () => {
  const stream = new FakeStream({ columns: 80 });
  const screen = new Screen(stream, {});
  screen.draw(["x".repeat(50), "stays"]);
  stream.written = "";
  screen.draw(["short", "stays"]);
  expect(stream.written).toBe("\r\u001b[2A\u001b[2Kshort\r\n\r\n");
});

test("after the window's width has changed the whole block is drawn anew", () => {
  const stream = new FakeStream({ columns: 80 });
  const screen = new Screen(stream, { TMUX: "0" });
  screen.draw(["x".repeat(50), "y"]);
  stream.columns = 20;
  stream.written = "";
  screen.draw(["x".repeat(50), "y"]);
  // In the narrower window the first line has taken three rows.
  expect(stream.written).toBe(`${erased(4)}${"x".repeat(17)}…\r\ny\r\n`);
});

test("a line for good, printed after the window has shrunk, leaves a block that fits", () => {
  const stream = new FakeStream({ columns: 80 });
  const screen = new Screen(stream, { TMUX: "0" });
  screen.draw(["x".repeat(50)]);
  stream.columns = 20;
  stream.written = "";
  screen.print("line");
  expect(stream.written).toBe(`${erased(3)}line\n${"x".repeat(17)}…\r\n`);
});

test("the cursor is back when the process ends beside its block", () => {
  const stream = new FakeStream({ columns: 80 });
  const screen = new Screen(stream, {});
  screen.restoreCursor();
  expect(stream.written).toBe("");
  screen.draw(["block"]);
  expect(stream.isCursorHidden).toBe(true);
  screen.restoreCursor();
  expect(stream.isCursorHidden).toBe(false);
  expect(stream.screen()).toEqual(["block"]);
});
