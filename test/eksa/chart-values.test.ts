import { describe, expect, test } from "bun:test";
import { tagsInValues } from "../../src/eksa/chart-values.ts";
import { faultOf } from "../support/faults.ts";

const A = `sha256:${"a".repeat(64)}`;
const B = `sha256:${"b".repeat(64)}`;

function tagsIn(text: string): Record<string, string[]> {
  const tags = tagsInValues({ source: "values.yaml", bytes: new TextEncoder().encode(text) });
  return Object.fromEntries([...tags].map(([digest, each]) => [digest, [...each]]));
}

describe("the tags of a chart's images", () => {
  test.each<[string, string, Record<string, string[]>]>([
    ["at the top", `digest: ${A}\ntag: v1\n`, { [A]: ["v1"] }],
    ["anywhere below", `a:\n  b:\n    c: {digest: "${A}", tag: v1, repository: x}\n`, { [A]: ["v1"] }],
    [
      "of several",
      `a: {digest: "${A}", tag: v1}\nb: {digest: "${B}", tag: v2}\n`,
      { [A]: ["v1"], [B]: ["v2"] },
    ],
    [
      "of one by two names",
      `a: {digest: "${A}", tag: v1}\nb: {digest: "${A}", tag: v2}\n`,
      { [A]: ["v1", "v2"] },
    ],
    [
      "below one that has one",
      `digest: ${A}\ntag: v1\nx: {digest: "${B}", tag: v2}\n`,
      { [A]: ["v1"], [B]: ["v2"] },
    ],
    ["as the text shows them", `digest: ${A}\ntag: 1.30\n`, { [A]: ["1.30"] }],
    ["by an anchor", `x: &x {digest: "${A}"}\ny: {<<: *x, tag: v1}\n`, { [A]: ["v1"] }],
    ["of the first document alone", `a: 1\n---\ndigest: ${A}\ntag: v1\n`, {}],
    ["without a digest", "tag: v1\n", {}],
    ["without a tag", `digest: ${A}\ntag: ""\n`, {}],
    ["that are digests", `digest: ${A}\ntag: ${A}\n`, {}],
    ["that are none", `digest: ${A}\ntag: "{{placeholder}}"\n`, {}],
    ["beside what is no digest", "digest: latest\ntag: v1\n", {}],
    ["in no values", "# nothing\n", {}],
    ["in a list", `images:\n- digest: ${A}\n  tag: v1\n`, { [A]: ["v1"] }],
  ])("are found %s", (_, text, tags) => {
    expect(tagsIn(text)).toEqual(tags);
  });

  test("are not looked for in what is no YAML", async () => {
    expect((await faultOf(() => tagsIn("a: [b\n"))).message).toContain("cannot read");
  });
});
