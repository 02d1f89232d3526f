import { expect, test } from "bun:test";
import { formatHelp } from "../../src/terminal/help.ts";

test("terms are aligned over all sections, descriptions wrapped, empty sections left out", () => {
  const text = formatHelp(
    {
      summary: "Does one thing.",
      usage: "eksa-airgap do --thing THING",
      sections: [
        { title: "Flags", rows: [["--thing THING", "the thing to do, as long as there is one to be done"]] },
        { title: "Empty", rows: [] },
        { title: "Common flags", rows: [["--help", "show this help"]] },
      ],
      example: "eksa-airgap do --thing this",
    },
    48,
  );
  expect(text).toBe(`Does one thing.

Usage: eksa-airgap do --thing THING

Flags:
  --thing THING  the thing to do, as long as
                 there is one to be done

Common flags:
  --help         show this help

Example:
  eksa-airgap do --thing this`);
});
