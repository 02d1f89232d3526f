import { afterEach, describe, expect, test } from "bun:test";
import {
  formatWait,
  PassingStatus,
  pause,
  type RetryPolicy,
  retried,
  retryAfter,
  retrying,
} from "../../src/http/retry.ts";
import { type HttpRequest, NetworkError } from "../../src/http/transport.ts";
import { plainWire, quickPolicy, serve, serveRaw, type TestServer } from "./server.ts";

const NOW = Date.parse("2026-01-02T03:04:05Z");

describe("a `Retry-After` header", () => {
  test.each<[string | null, number | undefined]>([
    ["7", 7000],
    [" 7 ", 7000],
    ["600", 600_000],
    ["601", 601_000],
    ["99999999999999", 365 * 86_400_000],
    ["9".repeat(400), 365 * 86_400_000],
    ["Fri, 02 Jan 2026 03:04:15 GMT", 10_000],
    ["Friday, 02-Jan-26 03:04:15 GMT", 10_000],
    ["Sat, 03 Jan 2026 03:04:05 GMT", 86_400_000],
    ["0", undefined],
    ["Fri, 02 Jan 2026 03:04:04 GMT", undefined],
    ["Thu, 01 Jan 1970 00:00:00 GMT", undefined],
    ["-5", undefined],
    ["1.5", undefined],
    ["soon", undefined],
    ["", undefined],
    [null, undefined],
  ])("of %j asks for %p ms", (header, milliseconds) => {
    expect(retryAfter(header, NOW)).toBe(milliseconds);
  });
});

test.each([
  [1, "1 s"],
  [119_001, "120 s"],
  [120_000, "2 min"],
  [120_001, "3 min"],
  [7_199_999, "120 min"],
  [7_200_000, "2 h"],
  [7_200_001, "3 h"],
])("a wait of %i ms is told as %p", (wait, text) => {
  expect(formatWait(wait)).toBe(text);
});

let server: TestServer | undefined;
afterEach(() => server?.stop());

function get(policy: RetryPolicy, request: Partial<HttpRequest> = {}): Promise<Response> {
  return retrying(
    plainWire,
    policy,
  )({ method: "GET", url: server?.url ?? new URL("http://127.0.0.1:1"), ...request });
}

describe("an exchange", () => {
  test.each([408, 425, 500, 502, 503, 504])("that answers %p is tried again", async (status) => {
    server = serve((_, count) => new Response("text", { status: count < 3 ? status : 200 }));
    const response = await get(quickPolicy());
    expect(response.status).toBe(200);
    expect(server.requests).toHaveLength(3);
  });

  test.each([200, 201, 301, 400, 401, 403, 404, 405, 416, 501])("that answers %p is not", async (status) => {
    server = serve(() => new Response("text", { status }));
    expect((await get(quickPolicy())).status).toBe(status);
    expect(server.requests).toHaveLength(1);
  });

  test("that answers 429 is left to the throttle below", async () => {
    server = serve(() => new Response("text", { status: 429 }));
    expect((await get(quickPolicy())).status).toBe(429);
    expect(server.requests).toHaveLength(1);
  });

  test("is not tried again when it would have to wait for more than ten minutes", async () => {
    const headers = { "Retry-After": "601" };
    server = serve(() => new Response("text", { status: 503, headers }));
    expect((await get(quickPolicy())).status).toBe(503);
    expect(server.requests).toHaveLength(1);
  });

  test("is given up after all its tries, and the last answer handed on with its body", async () => {
    server = serve((_, count) => new Response(`try ${count}`, { status: 503 }));
    const response = await get(quickPolicy({ attempts: 4 }));
    expect(response.status).toBe(503);
    expect(await response.text()).toBe("try 4");
    expect(server.requests).toHaveLength(4);
  });

  test("with one try is tried once", async () => {
    server = serve(() => new Response("text", { status: 503 }));
    expect((await get(quickPolicy({ attempts: 1 }))).status).toBe(503);
    expect(server.requests).toHaveLength(1);
  });

  test("whose request says `none` is left to its caller", async () => {
    server = serve(() => new Response("text", { status: 503 }));
    expect((await get(quickPolicy(), { retry: "none" })).status).toBe(503);
    expect(server.requests).toHaveLength(1);
  });

  test("sends a fresh body with each try", async () => {
    const bodies: string[] = [];
    server = serve(async (request, count) => {
      bodies.push(await request.text());
      return new Response(null, { status: count < 3 ? 503 : 201 });
    });
    let made = 0;
    await get(quickPolicy(), { method: "PUT", body: () => new Blob([`body ${++made}`]).stream() });
    expect(bodies).toEqual(["body 1", "body 2", "body 3"]);
  });

  test("that broke off is tried again", async () => {
    const raw = serveRaw((_, count) => (count === 1 ? undefined : { status: 200, body: "ok" }));
    const response = await get(quickPolicy(), { url: raw.url });
    expect(await response.text()).toBe("ok");
    expect(raw.requests).toHaveLength(2);
    await raw.stop();
  });

  test.each<[string, number, Error | number]>([
    ["away by its gateway's word", 6, 503],
    [
      "away, and refuses connections",
      6,
      new NetworkError("no", { code: "ConnectionRefused", retryable: true }),
    ],
    ["there and broken", 3, 500],
    ["there and closes connections", 3, new NetworkError("no", { code: "ECONNRESET", retryable: true })],
  ])("to a host that is %s is tried %p times once it has answered", async (_, tries, trouble) => {
    let asked = 0;
    let isUp = true;
    const transport = retrying(
      async () => {
        asked++;
        if (isUp) return new Response("text");
        if (typeof trouble === "number") return new Response("text", { status: trouble });
        throw trouble;
      },
      quickPolicy({ attempts: 3, attemptsWhileAway: 6 }),
    );
    const ask = (host: string) => transport({ method: "GET", url: new URL(`https://${host}/`) });
    await ask("known.example");
    for (const [host, most] of [
      ["known.example", tries],
      ["stranger.example", 3],
    ] as const) {
      isUp = false;
      asked = 0;
      const given = await ask(host).catch((error: unknown) => error);
      expect(given instanceof Response ? given.status : given).toBe(trouble);
      expect(asked).toBe(most);
    }
  });

  test("that fails for good is not tried again", async () => {
    let tries = 0;
    const failing = () => {
      tries++;
      throw new NetworkError("no", { code: "CERTIFICATE", retryable: false });
    };
    const request = { method: "GET", url: new URL("https://a.b/") } as const;
    await expect(retrying(failing, quickPolicy())(request)).rejects.toThrow("no");
    expect(tries).toBe(1);
  });

  test("is told with a redacted address, what it is for, the reason, and the wait that the server asked for", async () => {
    const notices: { what: string; why: string; delay: number; about?: string }[] = [];
    const abort = new AbortController();
    server = serve(() => new Response(null, { status: 503, headers: { "Retry-After": "123" } }));
    const policy = quickPolicy({
      signal: abort.signal,
      onRetry: (notice) => {
        notices.push(notice);
        abort.abort(new Error("interrupted"));
      },
    });
    const url = new URL("x?sig=secret", server.url);
    await expect(get(policy, { url, about: "sha256:00" })).rejects.toThrow("interrupted");
    expect(notices).toEqual([
      {
        what: `GET ${server.url}x?sig=REDACTED`,
        why: "it answered 503",
        delay: 123_000,
        about: "sha256:00",
      },
    ]);
  });
});

describe("work that is retried", () => {
  test("ends with its result", async () => {
    let tries = 0;
    const work = async () => {
      if (++tries < 3) throw new PassingStatus("busy", 503, undefined);
      return tries;
    };
    expect(await retried(quickPolicy(), () => "x", work)).toBe(3);
  });

  test("ends with the last error when the tries are used up", async () => {
    let tries = 0;
    const work = () => Promise.reject(new PassingStatus(`busy ${++tries}`, 503, undefined));
    await expect(retried(quickPolicy(), () => "x", work)).rejects.toThrow("busy 3");
  });

  test("ends at once with an error that is nobody's network", async () => {
    let tries = 0;
    const work = () => {
      tries++;
      return Promise.reject(new TypeError("a bug"));
    };
    await expect(retried(quickPolicy(), () => "x", work)).rejects.toThrow("a bug");
    expect(tries).toBe(1);
  });

  test("is not tried again once the run is aborted", async () => {
    let tries = 0;
    const work = () => {
      tries++;
      return Promise.reject(new PassingStatus("busy", 503, undefined));
    };
    const policy = quickPolicy({ signal: AbortSignal.abort(new Error("interrupted")) });
    await expect(retried(policy, () => "x", work)).rejects.toThrow("busy");
    expect(tries).toBe(1);
  });
});

test("waits of our own grow with each try, up to the longest, and spread by half", async () => {
  const delays: number[] = [];
  const abort = new AbortController();
  abort.abort();
  const policy: RetryPolicy = {
    attempts: 9,
    firstDelay: 100,
    longestDelay: 1000,
    signal: abort.signal,
    onRetry: ({ delay }) => delays.push(delay),
  };
  for (const tries of [1, 2, 3, 4, 5, 60]) {
    await pause(policy, { what: () => "x", error: new Error("x"), tries }).catch(() => {});
  }
  for (const [at, full] of [100, 200, 400, 800, 1000, 1000].entries()) {
    expect(delays[at]).toBeGreaterThanOrEqual(full / 2);
    expect(delays[at]).toBeLessThanOrEqual(full);
  }
});
