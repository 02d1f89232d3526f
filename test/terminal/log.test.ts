import { describe, expect, spyOn, test } from "bun:test";
import { Fault } from "../../src/oci/fault.ts";
import type { Failure } from "../../src/terminal/fault.ts";
import { createLog, type Log, type LogOptions } from "../../src/terminal/log.ts";
import { Screen } from "../../src/terminal/screen.ts";
import { FakeStream } from "./fake-stream.ts";

function record(say: (log: Log) => void, options: Omit<LogOptions, "screen"> = {}): string[] {
  const stream = new FakeStream();
  say(createLog({ screen: new Screen(stream, {}), ...options }));
  return stream.lines();
}

function sayEverything(log: Log): void {
  log.info("info");
  log.warn("warn");
  log.deprecation('Command "import images" is deprecated');
  log.debug(1, "decision");
  log.debug(4, "request");
  log.error(new Fault("cannot do it", { hint: "do something else" }));
}

function thousands(): Failure[] {
  return Array.from({ length: 3000 }, (_, index) => ({ what: `a${index}`, error: new Error("denied") }));
}

describe("text", () => {
  test("is one line each, with what kind it is", () => {
    expect(record(sayEverything)).toEqual([
      "info",
      "warning: warn",
      'Command "import images" is deprecated',
      "error: cannot do it",
      "  hint: do something else",
    ]);
  });

  test.each<[number, string[]]>([
    [1, ["decision"]],
    [3, ["decision"]],
    [4, ["decision", "request"]],
  ])("of verbosity %p shows %p as well", (verbosity, shown) => {
    const lines = record(sayEverything, { verbosity });
    expect(lines.filter((line) => ["decision", "request"].includes(line))).toEqual(shown);
  });

  test("of a quiet run is errors only", () => {
    expect(record(sayEverything, { quiet: true, verbosity: 4 })).toEqual([
      "error: cannot do it",
      "  hint: do something else",
    ]);
  });

  test("shows events to nobody", () => {
    expect(record((log) => log.event("begin", { digest: "sha256:00" }))).toEqual([]);
  });

  test("that repeats is neither delayed nor left out", () => {
    const lines = record((log) => {
      for (let time = 0; time < 50; time++) log.info("again");
    });
    expect(lines).toHaveLength(50);
  });

  test("groups failures, and says nothing when there are none", () => {
    const failures = ["a", "b"].map((what) => ({ what, error: new Error("denied") }));
    expect(record((log) => log.failures(failures, "see x"))).toEqual(["error: denied", "  a", "  b"]);
    expect(record((log) => log.failures([], "see x"))).toEqual([]);
  });

  test("says how many failures are not shown, and where they are", () => {
    const lines = record((log) => log.failures(thousands(), "see x"), { quiet: true });
    expect(lines).toHaveLength(23);
    expect(lines.at(-1)).toBe("2980 of 3000 failures are not shown; see x");
  });
});

describe("JSON", () => {
  const json = (say: (log: Log) => void): Record<string, unknown>[] =>
    record(say, { format: "json", verbosity: 1 }).map((line) => JSON.parse(line));

  test("is one object a line with time, level and event", () => {
    const lines = json(sayEverything);
    for (const { time } of lines) expect(time).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    expect(lines.map(({ time: _, ...rest }) => rest)).toEqual([
      { level: "info", event: "message", message: "info" },
      { level: "warn", event: "message", message: "warn" },
      { level: "warn", event: "deprecation", message: 'Command "import images" is deprecated' },
      { level: "debug", event: "message", message: "decision" },
      {
        level: "error",
        event: "error",
        message: "cannot do it",
        errorKind: "failed",
        because: [],
        hints: ["do something else"],
      },
    ]);
  });

  test("names each failure by itself", () => {
    const failures = ["a", "b"].map((what) => ({ what, error: new Error("denied") }));
    expect(json((log) => log.failures(failures, "see x")).map(({ what }) => what)).toEqual(["a", "b"]);
  });

  test("names the first of thousands of failures, and how many more there are", () => {
    const lines = json((log) => log.failures(thousands(), "see x"));
    expect(lines).toHaveLength(21);
    expect(lines.at(-1)).toMatchObject({
      level: "error",
      event: "message",
      message: "2980 of 3000 failures are not shown; see x",
    });
  });

  test("holds no secret and no raw control character", () => {
    const lines = record(
      (log) => log.event("note", { message: "https://u:p@host\u001b[31m\nline", list: ["sig=abc"] }),
      { format: "json" },
    );
    expect(lines).toHaveLength(1);
    expect(JSON.parse(lines[0] ?? "")).toMatchObject({
      message: "https://REDACTED@host\nline",
      list: ["sig=REDACTED"],
    });
  });
});

test("stdout is never written to", () => {
  const stdout = spyOn(process.stdout, "write");
  record(sayEverything, { verbosity: 9 });
  record(sayEverything, { format: "json" });
  expect(stdout).not.toHaveBeenCalled();
  stdout.mockRestore();
});
