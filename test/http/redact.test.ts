import { expect, test } from "bun:test";
import fc from "fast-check";
import { redactUrl } from "../../src/http/redact.ts";

test.each([
  ["https://a.b/v2/", "https://a.b/v2/"],
  ["https://user:secret@a.b:5000/x", "https://a.b:5000/x"],
  ["https://token@a.b/x", "https://a.b/x"],
  ["https://a.b/x#secret", "https://a.b/x"],
  ["https://a.b/x?X-Amz-Signature=secret", "https://a.b/x?X-Amz-Signature=REDACTED"],
  ["https://a.b/x?sig=secret&sig=secret", "https://a.b/x?sig=REDACTED"],
  ["https://a.b/x?_state=secret&digest=sha256:abc", "https://a.b/x?_state=REDACTED&digest=sha256:abc"],
  [
    "https://a.b/token?service=a.b&scope=repository%3Ax%2Fy%3Apull%2Cpush",
    "https://a.b/token?service=a.b&scope=repository:x/y:pull,push",
  ],
  ["https://a.b/v2/x/tags/list?n=10&last=v1", "https://a.b/v2/x/tags/list?n=10&last=v1"],
])("%s is shown as %s", (url, shown) => {
  expect(redactUrl(url)).toBe(shown);
  expect(redactUrl(new URL(url))).toBe(shown);
});

test("the URL itself stays as it is", () => {
  const url = new URL("https://user:secret@a.b/x?sig=secret");
  redactUrl(url);
  expect(url.href).toBe("https://user:secret@a.b/x?sig=secret");
});

test("no value of userinfo, fragment or an unknown parameter is ever shown", () => {
  const secret = fc.stringMatching(/^[a-z0-9]{12,20}$/);
  const name = fc.constantFrom("sig", "X-Amz-Security-Token", "access_token", "password", "_state", "Scope");
  fc.assert(
    fc.property(secret, fc.array(name), (value, names) => {
      const url = new URL(`https://${value}:${value}@a.b/x#${value}`);
      for (const each of names) url.searchParams.append(each, value);
      expect(redactUrl(url)).not.toContain(value);
    }),
  );
});
