import { expect, test } from "bun:test";
import { errorBody, parseErrors, type ReportedError } from "../../src/registry/errors.ts";

const JSON_TYPE = "application/json";

test.each<[string, number, string, string, ReportedError[]]>([
  [
    "the specification's body",
    403,
    JSON_TYPE,
    '{"errors":[{"code":"DENIED","message":"access to the resource is denied"}]}',
    [{ code: "DENIED", message: "access to the resource is denied" }],
  ],
  [
    "a detail, text or JSON",
    400,
    JSON_TYPE,
    '{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown","detail":"sha256:00"},{"code":"X","message":"m","detail":{"Tag":"v1"}}]}',
    [
      { code: "MANIFEST_BLOB_UNKNOWN", message: "blob unknown", detail: "sha256:00" },
      { code: "X", message: "m", detail: '{"Tag":"v1"}' },
    ],
  ],
  [
    "an OAuth2 token endpoint",
    400,
    JSON_TYPE,
    '{"error":"invalid_grant","error_description":"the token is too old"}',
    [{ code: "invalid_grant", message: "the token is too old" }],
  ],
  [
    "Docker Hub's token endpoint",
    401,
    JSON_TYPE,
    '{"details":"incorrect username or password"}',
    [{ code: "UNAUTHORIZED", message: "incorrect username or password" }],
  ],
  [
    "JSON under another type",
    404,
    "text/plain",
    '{"errors":[{"code":"A"}]}',
    [{ code: "A", message: "Not Found" }],
  ],
  [
    "a proxy's page",
    502,
    "text/html",
    "<html><head><title>502 Bad\nGateway</title></head><body>nginx</body></html>",
    [{ message: "502 Bad Gateway" }],
  ],
  ["a page without a title", 503, "", "<!DOCTYPE html><p>no", [{ message: "Service Unavailable" }]],
  ["plain text", 400, "text/plain", "no such thing\n", [{ message: "no such thing" }]],
  ["nothing", 429, "", "", [{ code: "TOOMANYREQUESTS", message: "Too Many Requests" }]],
  ["nothing, and a status nobody knows", 599, "", "", [{ message: "no reason given" }]],
  ["JSON cut short", 500, JSON_TYPE, '{"errors":[{"co', [{ message: "Internal Server Error" }]],
  ["JSON of no known shape", 500, JSON_TYPE, "[1,2]", [{ message: "Internal Server Error" }]],
  ["no errors at all", 500, JSON_TYPE, '{"errors":[null,3,{}]}', [{ message: "Internal Server Error" }]],
])("reads %s", (_what, status, contentType, text, expected) => {
  expect(parseErrors(status, contentType, text)).toEqual(expected);
});

test("control and bidirectional characters cannot forge a terminal's output", () => {
  const message = "a\u001b[2J\r\nb\u202ec\u0000";
  expect(parseErrors(500, JSON_TYPE, errorBody("DENIED", message))).toEqual([
    { code: "DENIED", message: "a [2J b c" },
  ]);
});

test("a flood of errors is cut", () => {
  const flood = { errors: Array.from({ length: 1000 }, () => ({ code: "X", message: "m".repeat(10_000) })) };
  const errors = parseErrors(500, JSON_TYPE, JSON.stringify(flood));
  expect(errors.length).toBe(16);
  expect(errors[0]?.message.length).toBeLessThanOrEqual(501);
});

test("what one end writes the other reads", () => {
  expect(parseErrors(404, JSON_TYPE, errorBody("BLOB_UNKNOWN", "there is none", "sha256:00"))).toEqual([
    { code: "BLOB_UNKNOWN", message: "there is none", detail: "sha256:00" },
  ]);
});
