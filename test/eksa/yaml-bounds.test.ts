import { describe, expect, test } from "bun:test";
import { parseYamlSource } from "../../src/eksa/documents.ts";
import { assertBounded, MAX_DEPTH } from "../../src/eksa/yaml-bounds.ts";
import { faultOf, textOf } from "../support/faults.ts";

/** The text of `count` levels, each below and to the right of the one before. */
function stairs(count: number, step: string, newline = "\n"): string {
  return Array.from({ length: count }, (_, level) => " ".repeat(level) + step).join(newline);
}

describe("a text that the parser would take minutes or gigabytes for is refused before", () => {
  test.each([
    ["scalars without end", `a: [${"b,".repeat(600_000)}]`, "it has more than 1000000 tokens"],
    ["lines without end", `a:\n${"  b: c\n".repeat(300_000)}`, "it has more than 1000000 tokens"],
    ["lists in lists, in one line", `a: b\n${"- ".repeat(300_000)}`, "line 2: nested deeper than 64"],
    ["keys in keys", "? ".repeat(300_000), "line 1: nested deeper than 64"],
    ["values in values", "a: ".repeat(100_000), "line 1: nested deeper than 64"],
    ["with anchors between", "- &a ".repeat(100_000), "line 1: nested deeper than 64"],
    ["mappings in mappings", `a: ${"{".repeat(900_000)}`, "line 1: nested deeper than 64"],
    ["closed ones", `a: ${"[".repeat(100_000)}${"]".repeat(100_000)}`, "line 1: nested deeper than 64"],
    ["stairs of lists", stairs(3000, "-"), "line 65: nested deeper than 64"],
    ["stairs of mappings", stairs(3000, "k:"), "line 65: nested deeper than 64"],
    ["as Windows ends lines", stairs(3000, "k:", "\r\n"), "line 65: nested deeper than 64"],
    ["with blank lines between", stairs(3000, "k:", "\n\n"), "line 129: nested deeper than 64"],
    ["with comments between", stairs(3000, "k:", "\n \n# c\n"), "line 193: nested deeper than 64"],
    ["below a scalar of several lines", `a: 'b\n\n  c'\n${stairs(3000, "k:")}`, "line 68: nested deeper"],
  ])("%s", async (_, text, reason) => {
    const bytes = new TextEncoder().encode(text);
    expect(textOf(await faultOf(() => parseYamlSource({ source: "x.yaml", bytes })))).toContain(reason);
  });
});

describe("what people write is not", () => {
  const bundles = Array.from({ length: 8000 }, (_, index) => `  - {uri: h.example/r:v${index}, os: linux}`);
  test.each([
    ["as deep as may be", `${stairs(MAX_DEPTH, "k:")} v`],
    ["brackets side by side", `a: [${"[b, {c: d}], ".repeat(1000)}]`],
    [
      "JSON in one line",
      JSON.stringify(Array.from({ length: 5000 }, (_, index) => ({ index, a: ["-", "?"] }))),
    ],
    ["stairs up and down", `${stairs(60, "k:")} v\n`.repeat(50)],
    [
      "a script, its lines further and further in",
      `a: |\n${stairs(200, "  - k: {[").replaceAll(/^/gm, "  ")}\n`,
    ],
    ["many scripts", "a: |\n  b\nc: >\n  d\n".repeat(100)],
    ["text with signs in it", `a: x ${"- ? { [ ".repeat(100)}\nb: "${": ".repeat(200)}"`],
    ["a list twenty times that of a release", `a:\n${bundles.join("\n")}`],
  ])("%s", (_, text) => {
    expect(() => assertBounded(text)).not.toThrow();
  });
});
