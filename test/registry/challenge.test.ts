import { expect, test } from "bun:test";
import fc from "fast-check";
import { parseChallenges } from "../../src/registry/challenge.ts";

const REALM = 'Bearer realm="https://auth.example/token",service="registry"';
const BEARER = ["bearer", { realm: "https://auth.example/token", service: "registry" }] as const;

type Expected = readonly (readonly [scheme: string, parameters: Record<string, string>])[];

test.each<[what: string, header: string, expected: Expected]>([
  ["an empty header offers nothing", "", []],
  ["one Bearer", REALM, [BEARER]],
  ["a scheme in capitals, as Nexus sends it", 'BASIC realm="Sonatype"', [["basic", { realm: "Sonatype" }]]],
  ["a parameter's name in capitals", 'Bearer REALM="https://a"', [["bearer", { realm: "https://a" }]]],
  [
    "a comma inside quotes belongs to the value",
    'Bearer realm="https://a",scope="repository:a:pull,push"',
    [["bearer", { realm: "https://a", scope: "repository:a:pull,push" }]],
  ],
  ["a bare scheme joined with another in one line", `Negotiate, ${REALM}`, [["negotiate", {}], BEARER]],
  ["a bare scheme after another", `${REALM}, Negotiate`, [BEARER, ["negotiate", {}]]],
  [
    "several Basics",
    'Basic realm="a", Basic realm="b"',
    [
      ["basic", { realm: "a" }],
      ["basic", { realm: "b" }],
    ],
  ],
  [
    "a scheme's data is stepped over",
    `Negotiate YIIJvwYGKwYBBQUCoIIJszCC==, ${REALM}`,
    [["negotiate", {}], BEARER],
  ],
  ["an escaped quote", String.raw`Basic realm="the \"old\" one"`, [["basic", { realm: 'the "old" one' }]]],
  [
    "an escaped backslash before the end",
    String.raw`Basic realm="a\\", ${REALM}`,
    [["basic", { realm: "a\\" }], BEARER],
  ],
  ["an empty value", 'Bearer realm="",service="s"', [["bearer", { realm: "", service: "s" }]]],
  [
    "a value without quotes",
    "Bearer realm=https://a/token,service=s",
    [["bearer", { realm: "https://a/token", service: "s" }]],
  ],
  [
    "spaces around the equals sign",
    'Bearer realm = "https://a" , service = "s"',
    [["bearer", { realm: "https://a", service: "s" }]],
  ],
  ["empty list elements", `, ,${REALM}, ,`, [BEARER]],
  [
    "the first of two parameters of one name",
    'Bearer realm="https://a",realm="https://b"',
    [["bearer", { realm: "https://a" }]],
  ],
  ["a parameter before any scheme", `realm="https://a", ${REALM}`, [BEARER]],
  ["what no grammar knows", '"?/<{}>', []],
  ["a quote that never ends", 'Bearer realm="https://a', [["bearer", {}]]],
])("a challenge is read: %s", (_, header, expected) => {
  const challenges = parseChallenges(header);
  expect(challenges.map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)])).toEqual(
    expected.map(([scheme, parameters]) => [scheme, parameters]),
  );
});

test.each([
  ["commas", ",".repeat(1 << 20)],
  ["quotes", 'Bearer realm="'.repeat(1 << 16)],
  ["escapes", `Bearer realm="${"\\".repeat(1 << 20)}`],
  ["one word", "a".repeat(1 << 20)],
  ["one value", `Bearer realm="${"a".repeat(1 << 20)}"`],
])("a header of a megabyte of %s is not worked through", (_, header) => {
  expect(parseChallenges(`${REALM}, ${header}`)[0]?.parameters.get("service")).toBe("registry");
});

test("whatever a header holds, it is read without failing, and never into more than it says", () => {
  const pieces = fc.constantFrom(
    "Bearer",
    "Basic",
    "realm",
    "=",
    '"',
    "\\",
    ",",
    " ",
    "abc==",
    "é",
    "\t",
    "/",
  );
  const header = fc.oneof(
    fc.string(),
    fc.array(pieces, { maxLength: 60 }).map((parts) => parts.join("")),
  );
  fc.assert(
    fc.property(header, (text) => {
      const challenges = parseChallenges(text);
      const held = challenges.flatMap(({ scheme, parameters }) => [scheme, ...parameters.keys()]);
      expect(held.join("").length).toBeLessThanOrEqual(text.length);
      for (const word of held) expect(text.toLowerCase()).toContain(word);
    }),
    { numRuns: 2000 },
  );
});

test("any challenge that is written as the standard says is read back", () => {
  const name = fc.stringMatching(/^[a-z][a-z0-9-]{0,8}$/);
  const value = fc.string({ unit: "grapheme-ascii", maxLength: 30 });
  const challenge = fc.record({
    scheme: name,
    parameters: fc.dictionary(name, value, { minKeys: 1, maxKeys: 4 }),
  });
  const quoted = (text: string) => `"${text.replaceAll(/[\\"]/g, "\\$&")}"`;
  fc.assert(
    fc.property(fc.array(challenge, { maxLength: 3 }), (challenges) => {
      const header = challenges
        .map(({ scheme, parameters }) => {
          const written = Object.entries(parameters).map(([key, text]) => `${key}=${quoted(text)}`);
          return `${scheme} ${written.join(", ")}`;
        })
        .join(", ");
      const read = parseChallenges(header);
      expect(
        read.map(({ scheme, parameters }) => ({ scheme, parameters: Object.fromEntries(parameters) })),
      ).toEqual(challenges.map(({ scheme, parameters }) => ({ scheme, parameters: { ...parameters } })));
    }),
  );
});
