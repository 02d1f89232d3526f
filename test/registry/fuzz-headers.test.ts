import { expect, test } from "bun:test";
import fc from "fast-check";
import { Fault } from "../../src/oci/fault.ts";
import { nextPage } from "../../src/registry/next-page.ts";
import { warnOf } from "../../src/registry/warning.ts";
import { broken, sendable } from "./broken-headers.ts";

const ASKED = new URL("https://reg.example/v2/a/b/referrers/sha256:0");

function pageAfter(link: string): URL | undefined {
  return nextPage(new Response(null, link === "" ? {} : { headers: { link } }), ASKED);
}

function warningsIn(warning: string): string[] {
  const warnings: string[] = [];
  const response = new Response(null, warning === "" ? {} : { headers: { warning } });
  warnOf(response, ASKED, (text) => warnings.push(text.replace(`${ASKED.host}: `, "")));
  return warnings;
}

/** Text as it may stand between quotes, with what a careless parser stumbles over. */
const text = fc
  .array(fc.constantFrom("a", "Z", "9", " ", ",", ";", "=", "<", ">", '"', "\\", "rel=next", ", 299 - "), {
    maxLength: 8,
  })
  .map((parts) => parts.join(""));
const quoted = (value: string) => `"${value.replace(/["\\]/g, "\\$&")}"`;

const parameter = fc.oneof(
  text.map((value) => `title=${quoted(value)}`),
  fc.constantFrom("type=text/html", "hreflang = en", "crossorigin", "relation=next", "REV=next"),
);
const link = fc.record({
  target: fc.nat({ max: 999 }).map((page) => `/v2/a/b/referrers/sha256:0?n=2&last=x,y;${page}`),
  relation: fc.constantFrom(
    "rel=next",
    'Rel="NEXT"',
    'rel = "prev next"',
    "rel=prev",
    "rel=next-archive",
    "",
  ),
  before: fc.array(parameter, { maxLength: 2 }),
  after: fc.array(parameter, { maxLength: 2 }),
});

test("of all links a list goes on at the first whose relation is next, whatever else they say", () => {
  fc.assert(
    fc.property(fc.array(link, { maxLength: 4 }), (links) => {
      const header = links.map(({ target, relation, before, after }) =>
        [`<${target}>`, ...before, ...(relation === "" ? [] : [relation]), ...after].join("; "),
      );
      const next = links.find(({ relation }) => /next"?$/i.test(relation));
      expect(pageAfter(header.join(", "))?.href).toBe(next && new URL(next.target, ASKED).href);
    }),
    { numRuns: 1000 },
  );
});

test("whatever a link looks like, a list goes on at the same host, or it is refused in words", () => {
  const samples = broken(
    '</v2/a/b/referrers/sha256:0?n=2&last=x>; rel="next"',
    "<https://other.example/v2/>; rel=next",
    '<//reg.example/x>; title="a, b"; rel="prev next"',
    "<javascript:alert(1)>;rel=next",
    "<>; rel=next",
  );
  fc.assert(
    fc.property(samples, (header) => {
      try {
        expect([undefined, ASKED.origin]).toContain(pageAfter(sendable(header))?.origin);
      } catch (error) {
        expect(error).toBeInstanceOf(Fault);
      }
    }),
    { numRuns: 2000 },
  );
});

test("of all warnings those meant for the user are passed on, word for word", () => {
  const warning = fc.record({
    code: fc.constantFrom("299", "199", "110", "214"),
    agent: fc.constantFrom("-", "reg.example:5000", "proxy"),
    text,
    date: fc.constantFrom("", ' "Tue, 01 Jan 2030 00:01:00 GMT"'),
  });
  fc.assert(
    fc.property(fc.array(warning, { maxLength: 6 }), (warnings) => {
      const header = warnings.map((one) => `${one.code} ${one.agent} ${quoted(one.text)}${one.date}`);
      const meant = warnings.filter(({ code }) => code === "299");
      expect(warningsIn(header.join(", "))).toEqual(meant.map((one) => one.text));
    }),
    { numRuns: 1000 },
  );
});

test("whatever a warning looks like, no more than a few short lines come of it", () => {
  const samples = broken(
    '299 - "deprecated"',
    '199 - "other", 299 reg.example:5000 "a \\"b\\"" "date"',
    `299 - "${"long ".repeat(200)}"`,
  );
  fc.assert(
    fc.property(fc.array(samples, { maxLength: 12 }), (parts) => {
      const warnings = warningsIn(sendable(parts.join(",")));
      expect(warnings.length).toBeLessThanOrEqual(8);
      for (const warning of warnings) expect(warning.length).toBeLessThanOrEqual(500);
    }),
    { numRuns: 1000 },
  );
});

test.each([
  ["<".repeat(15_000)],
  ['<>"'.repeat(5000)],
  ["<>;rel".repeat(2500)],
  [`<>;rel=${" ".repeat(15_000)}`],
  [`<>;a="${"\\".repeat(15_000)}`],
  ["299 - ".repeat(2500)],
  [',299 - "'.repeat(2000)],
  [`299 - "${"\\".repeat(15_000)}`],
])("a header made to take long is read at once", (header) => {
  const started = performance.now();
  pageAfter(header);
  warningsIn(header);
  expect(performance.now() - started).toBeLessThan(2000);
});
