import { expect, test } from "bun:test";
import { readCommandWords } from "../../src/commands/command-words.ts";

const NAMES = ["export artifacts", "import-images", "version"];

test.each<[string, string | undefined, string]>([
  ["export artifacts -o x", "export artifacts", "-o x"],
  ["-v 4 export artifacts -o x", "export artifacts", "-v 4 -o x"],
  ["export -v 1 artifacts -o x", "export artifacts", "-v 1 -o x"],
  ["-q export --log-format json artifacts", "export artifacts", "-q --log-format json"],
  ["-qv4 --log-format=json --no-progress version", "version", "-qv4 --log-format=json --no-progress"],
  ["-q=false import-images -f x", "import-images", "--quiet=false -f x"],
  ["--help export artifacts", "export artifacts", "--help"],
  ["version export artifacts", "version", "export artifacts"],
  ["export -v artifacts", undefined, "export -v artifacts"],
  ["-o x export artifacts", undefined, "-o x export artifacts"],
  ["export -o x artifacts", undefined, "export -o x artifacts"],
  ["-v 4 -- version", undefined, "-v 4 -- version"],
  ["create version", undefined, "create version"],
  ["", undefined, ""],
])("%j calls %p", (line, name, rest) => {
  const words = line.split(" ").filter((word) => word !== "");
  const called = readCommandWords(words, NAMES);
  expect([called.name, called.rest.join(" ")]).toEqual([name, rest]);
});

test("the words of no command end at a flag that is not for all", () => {
  expect(readCommandWords(["-v", "4", "exprot", "-q", "artifacts", "-o", "x"], NAMES).words).toEqual([
    "exprot",
    "artifacts",
  ]);
});
