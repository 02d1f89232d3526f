import { describe, expect, test } from "bun:test";
import * as v from "valibot";
import { parseYamlDocument } from "../../src/eksa/documents.ts";
import { faultOf, textOf } from "../support/faults.ts";

const TYPE = {
  apiVersion: "example.com/v1",
  kind: "Thing",
  schema: v.looseObject({
    spec: v.looseObject({ list: v.array(v.looseObject({ name: v.string("a name") })) }),
  }),
};

const HEAD = "apiVersion: example.com/v1\nkind: Thing\n";

function read(text: string | Uint8Array) {
  const bytes = typeof text === "string" ? new TextEncoder().encode(text) : text;
  return parseYamlDocument({ source: "thing.yaml", bytes }, TYPE);
}

describe("a document", () => {
  test("keeps every scalar as the source shows it", () => {
    const { spec } = read(
      `${HEAD}spec:\n  list: []\n  a: 1.30\n  b: 0x10\n  c: yes\n  d: ~\n  e: 2024-01-01\n  f:\n`,
    );
    expect(spec).toEqual({ list: [], a: "1.30", b: "0x10", c: "yes", d: "~", e: "2024-01-01", f: "" });
  });

  test("may repeat a key: the last one counts", () => {
    expect(read(`${HEAD}spec: {list: [], a: b, a: c}\n`).spec.a).toBe("c");
  });

  test("may use an alias", () => {
    expect(read(`${HEAD}spec:\n  list: [&one {name: x}, *one]\n`).spec.list).toEqual([
      { name: "x" },
      { name: "x" },
    ]);
  });

  test("names the field, what was expected and what was there", async () => {
    const fault = await faultOf(() => read(`${HEAD}spec:\n  list: [{name: x}, {name: [y]}, {}]\n`));
    expect(textOf(fault)).toContain("spec.list[1].name: expected a name, found a list");
    expect(textOf(fault)).toContain("spec.list[2].name");
  });

  test.each([
    ["another kind", "apiVersion: example.com/v1\nkind: Other\n", "it is `Other` (`example.com/v1`)"],
    ["another version", "apiVersion: example.com/v2\nkind: Thing\n", "it is `Thing` (`example.com/v2`)"],
    ["no kind at all", "a: b\n", "it is without a `kind` and an `apiVersion`"],
    ["an empty mapping", "{}\n", "it is empty"],
    ["an HTML page", "<html><body>404</body></html>", "it is not a YAML mapping"],
    ["nothing", "", "it is empty"],
    ["no more than a comment", "# later\n", "it is empty"],
    ["a null", "---\nnull\n", "it is empty"],
    ["a second document", `${HEAD}---\na: b\n`, "a second document starts"],
    ["a syntax error", `${HEAD}spec: [1\nb: c\n`, "line 4"],
    ["a key that is no string", `${HEAD}? [a]\n: b\n`, "a key is not a string"],
    ["an unknown anchor", `${HEAD}spec: *nowhere\n`, "line 3: the anchor `nowhere` is not defined"],
    ["a mapping that contains itself", `${HEAD}spec: &s\n  a: *s\n`, "line 4: `s` contains itself"],
    ["too deep a nest", `${HEAD}spec: ${"[".repeat(200)}${"]".repeat(200)}\n`, "nested deeper than 64"],
    ["a nest without end", `${HEAD}spec: ${"[".repeat(100_000)}\n`, "line 3: nested deeper than 64"],
    ["too many aliases", `${HEAD}a: &a b\nspec: [${"*a, ".repeat(101)}]\n`, "more than 100 aliases"],
    [
      "aliases that multiply",
      `${HEAD}a: &a [x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c]\n`,
      "alias",
    ],
  ])("that is %s is refused", async (_name, text, reason) => {
    expect(textOf(await faultOf(() => read(text)))).toContain(reason);
  });

  test.each(["utf16le", "utf-16le with a mark"])("that is UTF-16 (%s) is told as that", async (encoding) => {
    const bytes = Buffer.from(`${encoding === "utf16le" ? "" : "\ufeff"}${HEAD}`, "utf16le");
    for (const each of [bytes, Buffer.from(bytes).swap16()]) {
      expect(await faultOf(() => read(each))).toMatchObject({
        message: "cannot read thing.yaml as YAML: it is UTF-16",
        hint: "save it as UTF-8",
      });
    }
  });

  test("that is not UTF-8 or too large is refused", async () => {
    expect((await faultOf(() => read(Uint8Array.of(0xff, 0xfe)))).message).toContain("as YAML");
    expect((await faultOf(() => read(new Uint8Array(17 * 1024 * 1024)))).message).toContain("limit");
  });
});
