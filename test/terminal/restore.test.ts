import { expect, test } from "bun:test";
import { join } from "node:path";
import { type InTerminal, startInTerminal } from "../support/terminal.ts";

const ROOT = join(import.meta.dir, "../..");
const SHOW = "\u001b[?25h";
const HIDE = "\u001b[?25l";

/** A program that shows a block that changes, and goes on until somebody ends it; `more` runs after a while. */
function startDrawing(more = ""): Promise<InTerminal> {
  const script = `
    import { restoreOnLeave } from "./src/terminal/restore.ts";
    import { Screen } from "./src/terminal/screen.ts";
    const screen = new Screen(process.stderr, process.env);
    restoreOnLeave(screen);
    let frame = 0;
    setInterval(() => screen.draw(["frame " + ++frame]), 20);
    setTimeout(() => { ${more} }, 200);`;
  return startInTerminal([process.execPath, "-e", script], { cwd: ROOT });
}

function isCursorBack({ output }: InTerminal): boolean {
  return output.includes(HIDE) && output.lastIndexOf(SHOW) > output.lastIndexOf(HIDE);
}

test.each([
  ["an exit", "process.exit(3)", 3],
  ["an error that nobody catches", 'throw new Error("a bug")', 1],
  ["a promise that nobody catches", 'Promise.reject(new Error("a bug"))', 1],
])("after %s the terminal has its cursor back", async (_, more, status) => {
  const drawing = await startDrawing(more);
  expect(await drawing.status).toBe(status);
  expect(isCursorBack(drawing)).toBe(true);
});

test("after SIGQUIT it has its cursor back, and the signal has ended the program", async () => {
  const drawing = await startDrawing();
  await drawing.saw(/frame 3/);
  drawing.kill("SIGQUIT");
  expect(await drawing.status).toBe(131);
  expect(isCursorBack(drawing)).toBe(true);
});

test("while a program is held its block is away and the cursor there; it then goes on", async () => {
  const drawing = await startDrawing();
  await drawing.saw(/frame 3/);
  drawing.kill("SIGTSTP");
  await drawing.saw(/\[\?25h.*\[2K$/s);
  const held = drawing.output;
  await Bun.sleep(200);
  expect(drawing.output).toBe(held);
  drawing.kill("SIGCONT");
  await drawing.saw(/\[\?25h.*\[\?25l.*frame/s);
  drawing.kill("SIGQUIT");
  await drawing.status;
  expect(isCursorBack(drawing)).toBe(true);
});
