import { describe, expect, test } from "bun:test";
import { mergeKeys } from "../../src/eksa/merge-keys.ts";
import { faultOf } from "../support/faults.ts";

function merge(content: unknown): unknown {
  return mergeKeys("a.yaml", content);
}

describe("merge keys", () => {
  test.each<[string, unknown, unknown]>([
    ["a mapping's own field goes first", { "<<": { a: "1", b: "2" }, b: "3" }, { a: "1", b: "3" }],
    ["the first of several goes first", { "<<": [{ a: "1" }, { a: "2", b: "2" }] }, { a: "1", b: "2" }],
    ["merges of merges are followed", { x: [{ "<<": { "<<": { a: "1" } } }] }, { x: [{ a: "1" }] }],
    ["everything else stays", { a: ["b", { c: "" }], d: null }, { a: ["b", { c: "" }], d: null }],
  ])("%s", (_, content, expected) => {
    expect(merge(content)).toEqual(expected);
  });

  test.each([["a text"], [""], [["a"]]])("of no mapping are refused: %j", async (sources) => {
    const { message } = await faultOf(() => merge({ "<<": sources }));
    expect(message).toBe("cannot read a.yaml: `<<` does not name a mapping");
  });

  test("that multiply are refused", async () => {
    let content: Record<string, unknown> = { a: "" };
    for (let level = 0; level < 60; level++) content = { "<<": [content, content], [`k${level}`]: "" };
    expect(merge(content)).toHaveProperty("a");
    const wide = Object.fromEntries(Array.from({ length: 2000 }, (_, index) => [`k${index}`, ""]));
    const often = Array.from({ length: 6 }, () => ({ "<<": wide }));
    expect((await faultOf(() => merge(often))).message).toContain("`<<` merges more than 10000 fields");
  });
});
