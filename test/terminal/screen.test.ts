import { expect, test } from "bun:test";
import { Screen } from "../../src/terminal/screen.ts";
import { fit } from "../../src/terminal/style.ts";
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
  expect(stream.screen()).toEqual(["xxxxxxxx…", "xxxxxxxx…", "xxxxxxxx…"]);
});

test("a block that a shrinking window has wrapped is erased as a whole", () => {
  const stream = new FakeStream({ columns: 80 });
  const screen = new Screen(stream, {});
  screen.draw(["x".repeat(50), "y"]);
  stream.columns = 20;
  screen.clear();
  expect(stream.written).toEndWith("\r\u001b[4A\u001b[J");
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
  ["short", 5, "short"],
  ["longer", 5, "long…"],
  ["longer", 1, "…"],
  ["longer", 0, ""],
  ["日本語", 6, "日本語"],
  ["日本語", 5, "日本…"],
  ["日本語", 4, "日…"],
])("%p cut to %p columns is %p", (text, columns, cut) => {
  expect(fit(text, columns)).toBe(cut);
});
