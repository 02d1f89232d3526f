import { expect, test } from "bun:test";
import fc from "fast-check";
import { sanitize, sanitizeLine } from "../../src/terminal/sanitize.ts";

const JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJyb2JvdCJ9.c2lnbmF0dXJl";

test.each([
  ["colours", "\u001b[31mred\u001b[0m", "red"],
  ["colours by C1", "a\u009b31mb", "ab"],
  ["a window title", "a\u001b]0;owned\u0007b", "a\\x1b]0;owned\\x07b"],
  ["a cursor move", "up\u001b[2A\u001b[Kdown", "up\\x1b[2A\\x1b[Kdown"],
  ["a cursor move behind a colour", "a\u001b\u001b[31m[2Jb", "a\\x1b[2Jb"],
  ["a C1 escape", "a\u009b2Jb", "a\\x9b2Jb"],
  ["a bell and a backspace", "a\u0007\bb", "a\\x07\\x08b"],
  ["a carriage return", "good\rbad", "good\nbad"],
  ["a tab", "a\tb", "a b"],
  ["a change of writing direction", "a\u202egnp.b\u2066", "a\\u202egnp.b\\u2066"],
  ["a zero-width space", "ex\u200bample", "ex\\u200bample"],
  ["a tag", "a\u{e0041}b", "a\\u{e0041}b"],
])("%s in foreign text does not reach the terminal", (_, text, safe) => {
  expect(sanitize(text)).toBe(safe);
});

test.each([
  ["https://user:pass@harbor.corp/v2/", "https://REDACTED@harbor.corp/v2/"],
  ["https://token@harbor.corp", "https://REDACTED@harbor.corp"],
  ["http://user:p@ss:w0rd@proxy:3128 refused", "http://REDACTED@proxy:3128 refused"],
  ["cannot use `robot:hunter2@harbor.corp/a`", "cannot use `robot:REDACTED@harbor.corp/a`"],
  ["open '/a/robot:hunter2@harbor.corp/a'", "open '/a/robot:REDACTED@harbor.corp/a'"],
  ["--registry=robot:p@ss@[::1]:5000", "--registry=robot:REDACTED@[::1]:5000"],
  [
    "GET https://s3.example/blob?X-Amz-Algorithm=A&X-Amz-Signature=abc answered 403",
    "GET https://s3.example/blob?X-Amz-Algorithm=REDACTED&X-Amz-Signature=REDACTED answered 403",
  ],
  ["https://x.blob.example/a?se=2026&sig=q%2Bz", "https://x.blob.example/a?se=REDACTED&sig=REDACTED"],
  [
    "location /v2/a/blobs?X-Amz-Security-Token=abc&n=1",
    "location /v2/a/blobs?X-Amz-Security-Token=REDACTED&n=1",
  ],
  ["token=abc123, then", "token=REDACTED, then"],
  ["REGISTRY_PASSWORD=hunter2", "REGISTRY_PASSWORD=REDACTED"],
  ['{"access_token":"abc","expires_in":300}', '{"access_token":"REDACTED","expires_in":300}'],
  ["Authorization: Basic dXNlcjpwYXNz", "Authorization: REDACTED"],
  ['"authorization":"Bearer abc.def"', '"authorization":"REDACTED"'],
  ["sent Bearer dXNlcjpwYXNz1234=", "sent Bearer REDACTED"],
  [`got ${JWT} back`, "got REDACTED back"],
  ["https://u:p\u001b[0m@harbor.corp", "https://REDACTED@harbor.corp"],
  ["https://u:p\u000b\u0001@harbor.corp", "https://REDACTED@harbor.corp"],
  ["to\u200bken=abc", "token=REDACTED"],
  [`${JWT.slice(0, 12)}\u001b[2J${JWT.slice(12)}`, "REDACTED"],
])("a secret is masked in %p", (text, safe) => {
  expect(sanitize(text)).toBe(safe);
});

test.each([
  "https://harbor.corp/v2/token?service=harbor-registry&scope=repository:a/b:pull,push",
  "PUT https://harbor.corp/v2/a/blobs/uploads/1?digest=sha256:00",
  "oci://harbor.corp/a@sha256:0123",
  "public.ecr.aws/a/b:v1@sha256:0123",
  "b:v1@sha256:0123",
  "C:\\me@corp\\a.tar",
  "write to a@b.example",
  'the challenge was: Bearer realm="https://auth.example/token"',
  "the registry asks for basic authentication",
  "give `--signature=skip`, or a `--signature-key`",
  "two lines\nare two lines",
])("%p stays as it is", (text) => {
  expect(sanitize(text)).toBe(text);
});

test("no control character but the line feed ever remains", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      expect(sanitize(text)).not.toMatch(/(?!\n)\p{Cc}/u);
      expect(sanitizeLine(text)).not.toMatch(/\p{Cc}/u);
    }),
  );
});

test("a secret within an escape sequence is none the less one", () => {
  expect(sanitize("\u001b]8;;https://user:hunter2@host/\u0007x")).not.toContain("hunter2");
  expect(sanitize("a\u001b]0;Bearer abcDEF12345678\u0007b")).not.toContain("abcDEF12345678");
});
