import { expect, test } from "bun:test";
import fc from "fast-check";
import { Screen } from "../../src/terminal/screen.ts";
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

test("a block that a shrinking window has wrapped is erased as a whole", () => {
  const stream = new FakeStream({ columns: 80 });
  const screen = new Screen(stream, {});
  screen.draw(["x".repeat(50), "y"]);
  stream.columns = 20;
  screen.clear();
  expect(stream.written).toEndWith("\u001b[?25h\r\u001b[4A\u001b[J");
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
  const screen = new Screen(stream, {});
  screen.draw(["x".repeat(50), "y"]);
  stream.columns = 20;
  stream.written = "";
  screen.draw(["x".repeat(50), "y"]);
  // In the narrower window the first line has taken three rows.
  expect(stream.written).toBe(`\r\u001b[4A\u001b[J${"x".repeat(17)}…\r\ny\r\n`);
});

test("a line for good, printed after the window has shrunk, leaves a block that fits", () => {
  const stream = new FakeStream({ columns: 80 });
  const screen = new Screen(stream, {});
  screen.draw(["x".repeat(50)]);
  stream.columns = 20;
  stream.written = "";
  screen.print("line");
  expect(stream.written).toBe(`\r\u001b[3A\u001b[Jline\n${"x".repeat(17)}…\r\n`);
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
