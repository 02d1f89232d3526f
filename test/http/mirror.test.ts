import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type Mirror, mirroredUrl, mirrorOf, parseMirror, redactMirror } from "../../src/http/mirror.ts";

function mirror(text: string): Mirror {
  const parsed = parseMirror(text);
  if (parsed === undefined) throw new Error(`${text} is no mirror`);
  return parsed;
}

describe("a mirror is read", () => {
  test.each([
    ["public.ecr.aws=https://m.n", "public.ecr.aws", "https://m.n", ""],
    ["public.ecr.aws=https://m.n/", "public.ecr.aws", "https://m.n", ""],
    ["Public.ECR.aws=https://m.n:5000/proxy/", "public.ecr.aws", "https://m.n:5000", "proxy"],
    ["a.b:5000=http://127.0.0.1:1/x/y", "a.b:5000", "http://127.0.0.1:1", "x/y"],
    ["a.b=HTTPS://m.n//x//", "a.b", "https://m.n", "x"],
    ["[::1]:5000=https://m.n", "[::1]:5000", "https://m.n", ""],
  ])("%s", (text, host, origin, path) => {
    const parsed = mirror(text);
    expect([parsed.host, parsed.origin.origin, parsed.path]).toEqual([host, origin, path]);
  });
});

test.each([
  "",
  "=",
  "a.b",
  "a.b=",
  "=https://m.n",
  "a.b/x=https://m.n",
  "a.b?x=https://m.n",
  "a.b#x=https://m.n",
  "user@a.b=https://m.n",
  "a b=https://m.n",
  "https://a.b=https://m.n",
  "a.b:port=https://m.n",
  "a.b=https://",
  "a.b=ftp://m.n",
  "a.b=file:///m.n",
  "a.b=HTTPS:/m.n",
  "a.b=m.n:5000",
  "a.b=nonsense",
  "a.b=https://user:secret@m.n",
  "a.b=https://m.n/?x=1",
  "a.b=https://m.n/#x",
  "a.b=https://m n/",
])("%j is no mirror", (text) => {
  expect(parseMirror(text)).toBeUndefined();
});

test.each([
  ["a.b=ftp://m.n/x", "a.b=ftp://m.n/x"],
  ["a.b:5000=nonsense", "a.b:5000=nonsense"],
  ["a.b=https://robot:se/c@ret@m.n/x", "a.b=https://REDACTED@m.n/x"],
  ["a.b=robot:secret@m.n", "a.b=REDACTED@m.n"],
  ["a.b=secret@m.n", "a.b=REDACTED@m.n"],
  ["robot:sec=ret@m.n", "REDACTED@m.n"],
  ["a.b=https://m.n/?token=secret", "a.b=https://m.n/?REDACTED"],
  ["a.b=https://robot:secret", "a.b=https://robot:REDACTED"],
  ["a.b=m.n#secret", "a.b=m.n?REDACTED"],
])("%j is shown as %j", (text, shown) => {
  expect(redactMirror(text)).toBe(shown);
});

describe("a file's address on the mirror of its host", () => {
  const mirrors = [
    mirror("distro.example.com=https://m.n/files"),
    mirror("plain.example.com=http://127.0.0.1:8080"),
    mirror("ported.example.com:8443=https://m.n:9/p"),
  ];
  test.each([
    ["https://distro.example.com/a/b.yaml", "https://m.n/files/a/b.yaml"],
    ["https://DISTRO.example.com/", "https://m.n/files/"],
    ["https://distro.example.com/a?x=1&y=%2F", "https://m.n/files/a?x=1&y=%2F"],
    ["https://distro.example.com/a%20b%2Fc", "https://m.n/files/a%20b%2Fc"],
    ["https://plain.example.com/a.yaml", "http://127.0.0.1:8080/a.yaml"],
    ["https://plain.example.com//evil.example.org/a", "http://127.0.0.1:8080//evil.example.org/a"],
    ["https://distro.example.com//evil.example.org/a", "https://m.n/files//evil.example.org/a"],
    ["https://ported.example.com:8443/a", "https://m.n:9/p/a"],
    ["https://ported.example.com/a", "https://ported.example.com/a"],
    ["https://distro.example.com:8443/a", "https://distro.example.com:8443/a"],
    ["https://other.example.com/a", "https://other.example.com/a"],
  ])("%s → %s", (url, expected) => {
    expect(mirroredUrl(new URL(url), mirrors).href).toBe(expected);
  });

  test("never leaves the mirror, whatever the path and the query", () => {
    fc.assert(
      fc.property(fc.webPath(), fc.string(), fc.constantFrom(...mirrors), (path, query, one) => {
        const url = new URL(`https://${one.host}/`);
        url.pathname = path;
        url.search = query;
        const mirrored = mirroredUrl(url, mirrors);
        expect(mirrored.origin).toBe(one.origin.origin);
        expect(mirrored.pathname.endsWith(url.pathname)).toBe(true);
      }),
    );
  });
});

test("the first mirror of a host counts, and the host's case does not", () => {
  const mirrors = [mirror("a.b=https://one"), mirror("a.b=https://two")];
  expect(mirrorOf("A.b", mirrors)?.origin.host).toBe("one");
  expect(mirrorOf("c.d", mirrors)).toBeUndefined();
});
