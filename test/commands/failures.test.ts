import { expect, test } from "bun:test";
import { failWith } from "../../src/commands/failures.ts";
import { createLog } from "../../src/terminal/log.ts";
import { Screen } from "../../src/terminal/screen.ts";
import { faultOf } from "../support/faults.ts";
import { FakeStream } from "../terminal/fake-stream.ts";

test.each([
  ["lost.json", "and 80 more; see the report lost.json"],
  [undefined, "and 80 more; to have them all, name a file with `--report FILE`"],
])(
  "of a hundred failures the first are printed, and with --report %p it is said where all are",
  async (report, last) => {
    const failures = Array.from({ length: 100 }, (_, index) => ({
      what: `a${index}`,
      error: new Error("no"),
    }));
    const stream = new FakeStream();
    const log = createLog({ screen: new Screen(stream, {}) });
    const fault = await faultOf(() => failWith(log, failures, { message: "cannot do it", report }));
    expect(fault.message).toBe("cannot do it");
    expect(stream.lines()).toContain("  a19");
    expect(stream.lines()).not.toContain("  a20");
    expect(stream.lines().at(-1)).toBe(last);
  },
);
