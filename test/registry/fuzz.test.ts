import { expect, test } from "bun:test";
import fc from "fast-check";
import { retryAfter } from "../../src/http/retry.ts";
import { Fault } from "../../src/oci/fault.ts";
import { parseManifest } from "../../src/oci/manifest.ts";
import { formatReference, parseReference } from "../../src/oci/reference.ts";
import { parseChallenges } from "../../src/registry/challenge.ts";
import { parseErrors } from "../../src/registry/errors.ts";
import { locationOf } from "../../src/registry/upload-address.ts";
import { arrivedAfter, minimumOf } from "../../src/registry/upload-answer.ts";
import { startRegistry } from "../support/registry.ts";
import { clientOf, scripted, tags } from "./ask-for-tags.ts";
import { broken, sendable } from "./broken-headers.ts";
import { stoppedAfterEach } from "./started.ts";

const started = stoppedAfterEach();

function answering(headers: Record<string, string>): Response {
  return new Response(null, { status: 202, headers });
}

test("whatever a challenge looks like, it is read as challenges with a scheme", () => {
  const samples = broken(
    'Bearer realm="https://auth.example/token",service="registry",scope="repository:a/b:pull,push"',
    "Negotiate YIIJvwYGKwYBBQUCoIIJszCC==",
    'Basic realm="a \\"b\\", c"',
  );
  fc.assert(
    fc.property(samples, (header) => {
      for (const { scheme, parameters } of parseChallenges(header)) {
        expect(scheme).toMatch(/^[!#$%&'*+.^_`|~0-9a-z-]+$/);
        for (const value of parameters.values()) expect(header.length).toBeGreaterThanOrEqual(value.length);
      }
    }),
    { numRuns: 2000 },
  );
});

test("what is not a reference is refused in words, and what is one is the same when written again", () => {
  const samples = broken(
    "public.ecr.aws/eks-anywhere/app:v1",
    `[::1]:5000/a@sha256:${"a".repeat(64)}`,
    "localhost/a__b--c:latest@sha512:00",
  );
  fc.assert(
    fc.property(samples, (text) => {
      try {
        const reference = parseReference(text);
        const again = parseReference(formatReference(reference));
        expect(again.repository).toBe(reference.repository);
        expect(again.registry).toBe(reference.registry);
      } catch (error) {
        expect(error).toBeInstanceOf(Fault);
      }
    }),
    { numRuns: 2000 },
  );
});

test("whatever place an upload is sent to, it is a URL that keeps TLS, or it is refused in words", () => {
  const samples = broken(
    "/v2/a/b/blobs/uploads/1?_state=x%2Fy",
    "https://other.example:444/v2/a/blobs/uploads/1?digest=",
    "reg.example/v2/a/blobs/uploads/1",
    "http://10.0.0.1/",
    "javascript:alert(1)",
    "file:///etc/passwd",
  );
  const asked = new URL("https://reg.example/v2/a/b/blobs/uploads/");
  fc.assert(
    fc.property(samples, (text) => {
      try {
        const location = sendable(text);
        expect(locationOf(answering(location === "" ? {} : { location }), asked).protocol).toBe("https:");
      } catch (error) {
        expect(error).toBeInstanceOf(Fault);
      }
    }),
    { numRuns: 2000 },
  );
});

test("whatever range an upload answers with, it stands for a number of bytes", () => {
  const samples = broken("0-0", "0-1048575", "bytes=0-99", "0-99999999999999999999", "-1", "5-2");
  const url = new URL("https://reg.example/");
  fc.assert(
    fc.property(samples, fc.nat(), (text, sent) => {
      const range = sendable(text);
      const arrived = arrivedAfter({ response: answering({ range }), url, asked: url }, sent);
      expect(Number.isSafeInteger(arrived) && arrived >= 0).toBe(true);
      const response = answering({ "oci-chunk-min-length": range });
      const minimum = minimumOf({ response, url, asked: url });
      expect(Number.isSafeInteger(minimum) && minimum >= 0).toBe(true);
    }),
    { numRuns: 2000 },
  );
});

test("whatever time a server names to wait, it is a bearable one, or none", () => {
  const now = Date.UTC(2030, 0, 1);
  const samples = broken("120", "99999999999999", "Tue, 01 Jan 2030 00:01:00 GMT", "-5", "1e9", "0x10");
  fc.assert(
    fc.property(samples, (text) => {
      const wait = retryAfter(text, now);
      if (wait !== undefined) expect(wait > 0 && !Number.isNaN(wait)).toBe(true);
    }),
    { numRuns: 2000 },
  );
});

test("whatever is said in an error, it is one printable line", () => {
  const error = fc.record(
    { code: fc.anything(), message: fc.anything(), detail: fc.jsonValue({ maxDepth: 4 }) },
    { requiredKeys: [] },
  );
  const body = fc.oneof(
    fc.string({ unit: "binary", maxLength: 200 }),
    fc.record({ errors: fc.array(error, { maxLength: 4 }) }).map((value) => safeJson(value)),
  );
  fc.assert(
    fc.property(body, fc.integer({ min: 400, max: 599 }), (text, status) => {
      const errors = parseErrors(status, "application/json", text);
      expect(errors.length).toBeGreaterThan(0);
      for (const { code = "", message, detail = "" } of errors) {
        expect(`${code}${message}${detail}`).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
        expect(message.length + detail.length).toBeLessThan(1100);
      }
    }),
    { numRuns: 1000 },
  );
});

function safeJson(value: unknown): string {
  try {
    return JSON.stringify(value) ?? "";
  } catch {
    return "{}";
  }
}

/** `[[[[…]]]]`: stacks end long before memory does. */
const DEEP = `${"[".repeat(50_000)}${"]".repeat(50_000)}`;

test("a manifest, an error and a token that are nested without end are refused in words", async () => {
  expect(() => parseManifest(new TextEncoder().encode(DEEP))).toThrow("cannot read a manifest");
  const nested = `{"schemaVersion":2,"config":${DEEP}}`;
  expect(() => parseManifest(new TextEncoder().encode(nested))).toThrow(Fault);
  expect(parseErrors(400, "application/json", `{"errors":[{"code":"X","detail":${DEEP}}]}`)).toHaveLength(1);
  const registry = await started(scripted(() => new Response(`{"token":${DEEP}}`)));
  expect(tags(clientOf(registry))).rejects.toThrow("cannot get a token");
  await tags(clientOf(registry)).catch(() => {});
});

test.each([
  ["challenge", `Bearer ${'realm="'.repeat(2000)}`],
  ["challenge", `${"Basic ".repeat(2500)}`],
  ["challenge", `Bearer realm="${"\\".repeat(15_000)}`],
  ["challenge", `${"a".repeat(15_000)}=`],
])("a %s made to take long is read at once", (_, header) => {
  const started = performance.now();
  parseChallenges(header);
  expect(performance.now() - started).toBeLessThan(2000);
});

test("a registry that answers with nothing but noise is reported as such, whatever the noise", async () => {
  let noise: { status: number; body: string; header: string } = { status: 200, body: "", header: "" };
  const registry = await started(
    startRegistry({
      intercept: (_, url) => {
        if (url.pathname === "/v2/") return new Response("{}");
        const headers = { "www-authenticate": noise.header, "retry-after": "x", location: noise.header };
        const isBodyless = [204, 205, 304].includes(noise.status);
        return new Response(isBodyless ? null : noise.body, { status: noise.status, headers });
      },
    }),
  );
  const status = fc.constantFrom(200, 201, 204, 206, 304, 400, 401, 403, 404, 405, 409, 416, 418, 451, 499);
  const property = fc.asyncProperty(
    status,
    fc.string({ unit: "binary-ascii", maxLength: 100 }),
    broken('Bearer realm="/x"', "Basic", "Bearer"),
    async (code, body, header) => {
      noise = { status: code, body, header: sendable(header) };
      const failure = await tags(clientOf(registry)).then(
        () => undefined,
        (error: unknown) => error,
      );
      expect(failure === undefined || failure instanceof Fault).toBe(true);
    },
  );
  await fc.assert(property, { numRuns: 150 });
});
