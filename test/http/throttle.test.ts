import { afterEach, expect, test } from "bun:test";
import { createHttp } from "../../src/http/client.ts";
import { type ThrottleOptions, throttling, type WaitNotice } from "../../src/http/throttle.ts";
import type { HttpRequest, Transport } from "../../src/http/transport.ts";
import { plainWire, serve, type TestServer, wireOptions } from "./server.ts";

const servers: TestServer[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop();
});

function started(...args: Parameters<typeof serve>): TestServer {
  const server = serve(...args);
  servers.push(server);
  return server;
}

/** Waits of its own choice are next to none. */
function throttle(options: Partial<ThrottleOptions> = {}, next = plainWire): Transport {
  const signal = new AbortController().signal;
  return throttling(next, { firstDelay: 1, longestDelay: 4, signal, ...options });
}

const get = (server: TestServer, more: Partial<HttpRequest> = {}): HttpRequest => ({
  method: "GET",
  url: server.url,
  ...more,
});

const refusal = (retryAfter?: string, status = 429) =>
  new Response("slow down", {
    status,
    ...(retryAfter === undefined ? {} : { headers: { "Retry-After": retryAfter } }),
  });

/** Timers and clocks may differ by this: milliseconds. */
const EARLY = 20;

test.each([
  ["seconds", () => "1"],
  ["a date", () => new Date(Date.now() + 2000).toUTCString()],
])("nothing at all is asked of a host before the time it named in %s", async (_, retryAfter) => {
  let pausedUntil = 0;
  const arrivals: number[] = [];
  const server = started((_, count) => {
    if (count > 1) {
      arrivals.push(Date.now());
      return new Response("ok");
    }
    const asked = retryAfter();
    pausedUntil = asked === "1" ? Date.now() + 1000 : Date.parse(asked);
    return refusal(asked);
  });
  const transport = throttle();
  const first = transport(get(server));
  while (pausedUntil === 0) await Bun.sleep(1);
  await Bun.sleep(10);
  const others = Array.from({ length: 4 }, () => transport(get(server)));
  for (const response of await Promise.all([first, ...others])) expect(response.status).toBe(200);
  expect(arrivals).toHaveLength(5);
  for (const arrival of arrivals) expect(arrival).toBeGreaterThanOrEqual(pausedUntil - EARLY);
});

test("another host does not have to wait", async () => {
  const busy = started((_, count) => (count === 1 ? refusal("1") : new Response("late")));
  const free = started(() => new Response("at once"));
  const transport = throttle();
  const ended: string[] = [];
  const asked = [busy, free].map(async (server) => ended.push(await (await transport(get(server))).text()));
  await Promise.all(asked);
  expect(ended).toEqual(["at once", "late"]);
});

test("a host that takes one request at a time slows a run with hundreds down, and never fails it", async () => {
  let free = 0;
  let refusals = 0;
  const server = started(() => {
    if (performance.now() < free) {
      refusals++;
      return refusal();
    }
    free = performance.now() + 3;
    return new Response("manifest");
  });
  const http = createHttp({ ...wireOptions(), retry: { attempts: 1, firstDelay: 1, longestDelay: 4 } });
  let left = 200;
  const lane = async () => {
    while (left-- > 0) expect(await (await http.transport(get(server))).text()).toBe("manifest");
  };
  await Promise.all(Array.from({ length: 8 }, lane));
  expect(refusals).toBeGreaterThan(0);
});

test("a refusal halves what is asked at once, however many are refused together, and successes raise it", async () => {
  let inFlight = 0;
  let most = 0;
  const arrived: (() => void)[] = [];
  const transport = throttle({}, async () => {
    most = Math.max(most, ++inFlight);
    await new Promise<void>((resolve) => arrived.push(resolve));
    inFlight--;
    return isRefusing ? refusal() : new Response("ok");
  });
  const answerAll = async () => {
    for (const answer of arrived.splice(0)) answer();
    await Bun.sleep(20);
  };
  const url = new URL("http://127.0.0.1/");
  let isRefusing = true;
  let open = 0;
  const ask = async () => {
    open++;
    await transport({ method: "GET", url });
    open--;
  };
  const running = Array.from({ length: 8 }, ask);
  await Bun.sleep(20);
  expect(arrived).toHaveLength(8);
  await answerAll();
  expect(arrived).toHaveLength(4);
  await answerAll();
  expect(arrived).toHaveLength(2);
  await answerAll();
  await answerAll();
  expect(arrived).toHaveLength(1);
  isRefusing = false;
  most = 0;
  while (open > 0) {
    if (running.length < 400) running.push(...Array.from({ length: 8 }, ask));
    await answerAll();
  }
  await Promise.all(running);
  expect(most).toBeGreaterThan(4);
});

test("a refused body is sent again from its beginning", async () => {
  const bodies: string[] = [];
  const server = started(async (request, count) => {
    bodies.push(await request.text());
    return count < 3 ? refusal() : new Response(null, { status: 201 });
  });
  const body = () => new Blob(["all of it"]).stream();
  expect((await throttle()(get(server, { method: "PUT", body }))).status).toBe(201);
  expect(bodies).toEqual(["all of it", "all of it", "all of it"]);
});

test("a request that its caller has to start over is handed up, and what comes next waits", async () => {
  let refusedAt = 0;
  const server = started((_, count) => {
    if (count > 1) return new Response("ok");
    refusedAt = performance.now();
    return refusal("1");
  });
  const transport = throttle();
  expect((await transport(get(server, { method: "POST", retry: "none" }))).status).toBe(429);
  expect((await transport(get(server))).status).toBe(200);
  expect(performance.now() - refusedAt).toBeGreaterThanOrEqual(1000 - EARLY);
});

test("of a 503 with a time the pause is noted; it is tried again above, as one without is", async () => {
  const notices: WaitNotice[] = [];
  const server = started((_, count) => refusal(count === 1 ? "2" : undefined, 503));
  const onWait = (notice: WaitNotice) => notices.push(notice);
  expect((await throttle({ onWait })(get(server))).status).toBe(503);
  expect(notices).toHaveLength(1);
  expect((await throttle({ onWait })(get(server))).status).toBe(503);
  expect(notices).toHaveLength(1);
  expect(server.requests).toHaveLength(2);
});

test("a host that asks for more patience than there is is taken at its word: the answer is handed up", async () => {
  const server = started(() => refusal("3600"));
  const response = await throttle()(get(server));
  expect([response.status, await response.text()]).toEqual([429, "slow down"]);
  expect(server.requests).toHaveLength(1);
});

test("what is asked of such a host meanwhile fails for good, and is not sent", async () => {
  const server = started(() => refusal("3600"));
  const http = createHttp({ ...wireOptions(), retry: { attempts: 5, firstDelay: 1, longestDelay: 1 } });
  await http.transport(get(server, { method: "POST", retry: "none" }));
  for (const retry of ["none", "exchange"] as const) {
    await expect(http.transport(get(server, { retry }))).rejects.toMatchObject({
      message: expect.stringMatching(/refuses all requests, and wants none for another (?:59|60) min$/),
      retryable: false,
    });
  }
  expect(server.requests).toHaveLength(1);
});

test("a run settles at the rate that a host allows: most answers are successes", async () => {
  let free = 0;
  let refusals = 0;
  const transport = throttle({ firstDelay: 20, longestDelay: 400 }, async () => {
    const now = performance.now();
    if (now < free) {
      refusals++;
      return refusal();
    }
    free = now + 25;
    return new Response("manifest");
  });
  const url = new URL("http://127.0.0.1/");
  let left = 80;
  const lane = async () => {
    while (left-- > 0) await transport({ method: "GET", url });
  };
  await Promise.all(Array.from({ length: 8 }, lane));
  expect(refusals).toBeGreaterThan(0);
  expect(refusals).toBeLessThan(40);
}, 30_000);

test("a host that answers nothing but 429 ends in its own words, and is not tried again above", async () => {
  const server = started(() => refusal());
  const http = createHttp({ ...wireOptions(), retry: { attempts: 5, firstDelay: 1, longestDelay: 1 } });
  const response = await http.transport(get(server));
  expect([response.status, await response.text()]).toEqual([429, "slow down"]);
  expect(server.requests).toHaveLength(100);
});

test("a pause is told once, with the host, the wait and the reason", async () => {
  const notices: WaitNotice[] = [];
  const abort = new AbortController();
  const server = started(() => refusal("30"));
  const transport = throttle({ signal: abort.signal, onWait: (notice) => notices.push(notice) });
  const asked = Array.from({ length: 4 }, () => transport(get(server)));
  const ended = Promise.allSettled(asked);
  while (server.requests.length < 4 || notices.length === 0) await Bun.sleep(1);
  await Bun.sleep(20);
  abort.abort(new Error("interrupted"));
  for (const result of await ended) {
    expect(result).toMatchObject({ status: "rejected", reason: { message: "interrupted" } });
  }
  expect(notices).toEqual([
    { host: server.url.host, delay: 30_000, why: `\`${server.url.host}\` has asked for patience (429)` },
  ]);
});

test("a connection that breaks gives its turn to the next", async () => {
  let count = 0;
  const transport = throttle({}, async () => {
    count++;
    if (count === 1) return refusal();
    if (count === 2) throw new Error("broken");
    return new Response("ok");
  });
  const url = new URL("http://127.0.0.1/");
  await expect(transport({ method: "GET", url })).rejects.toThrow("broken");
  expect((await transport({ method: "GET", url })).status).toBe(200);
});

test("an upload whose bytes come from the same host does not wait for itself", async () => {
  let isRefused = false;
  const server = started(async (request) => {
    if (request.method === "PUT") return new Response(await request.text());
    if (isRefused) return new Response("bytes");
    isRefused = true;
    return refusal();
  });
  const transport = throttle();
  const body = () =>
    new ReadableStream<Uint8Array>({
      async pull(controller) {
        controller.enqueue(await (await transport(get(server))).bytes());
        controller.close();
      },
    });
  const response = await transport(get(server, { method: "PUT", body }));
  expect(await response.text()).toBe("bytes");
});
