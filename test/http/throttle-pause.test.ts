import { afterEach, expect, test } from "bun:test";
import { createHttp } from "../../src/http/client.ts";
import type { Clock } from "../../src/http/sleep.ts";
import { throttling, type WaitNotice } from "../../src/http/throttle.ts";
import type { Transport } from "../../src/http/transport.ts";
import { serve, type TestServer, wireOptions } from "./server.ts";

const GET = { method: "GET", url: new URL("http://127.0.0.1/") } as const;
const MINUTE = 60_000;

/** A clock that stands still until it is set forward. */
class SetClock implements Clock {
  #now = 0;
  #alarms: { at: number; ring: () => void }[] = [];

  now(): number {
    return this.#now;
  }

  sleep(milliseconds: number): Promise<void> {
    return new Promise((ring) => this.#alarms.push({ at: this.#now + milliseconds, ring }));
  }

  /** Rings what is due until then, one moment after the other. */
  async forward(milliseconds: number): Promise<void> {
    const end = this.#now + milliseconds;
    for (;;) {
      await settled();
      const at = Math.min(...this.#alarms.map((alarm) => alarm.at));
      if (at > end) break;
      this.#now = at;
      const due = this.#alarms.filter((alarm) => alarm.at <= at);
      this.#alarms = this.#alarms.filter((alarm) => alarm.at > at);
      for (const { ring } of due) ring();
    }
    this.#now = end;
  }
}

/** Until all that can go on without the clock has done so. */
async function settled(): Promise<void> {
  for (let turns = 0; turns < 5; turns++) await new Promise((resolve) => setImmediate(resolve));
}

interface Host {
  clock: SetClock;
  transport: Transport;
  /** What has reached the host and waits for its answer, in order. */
  open: ((response: Response) => void)[];
  /** What the throttle was asked for, in order. */
  asked: Promise<Response>[];
  /** What the user was told. */
  notices: WaitNotice[];
}

/** A host whose answers the test gives; of its own choice the throttle waits for `longest`, half of it at least. */
function host(longest = 1000): Host {
  const clock = new SetClock();
  const open: Host["open"] = [];
  const next = () => new Promise<Response>((answer) => open.push(answer));
  const { signal } = new AbortController();
  const notices: WaitNotice[] = [];
  const onWait = (notice: WaitNotice) => notices.push(notice);
  const waits = { firstDelay: longest, longestDelay: longest };
  const transport = throttling(next, { ...waits, signal, clock, onWait });
  return { clock, open, asked: [], notices, transport };
}

const ok = () => new Response("ok");
const refusal = (seconds?: number) =>
  new Response("slow down", {
    status: 429,
    ...(seconds === undefined ? {} : { headers: { "retry-after": String(seconds) } }),
  });

/** Answers the oldest of what is open. */
async function answer({ open }: Host, response: Response): Promise<void> {
  open.shift()?.(response);
  await settled();
}

/** So many one after the other, none of which waits for an answer. */
async function ask({ transport, asked }: Host, count: number): Promise<void> {
  for (let left = count; left > 0; left--) {
    const one = transport(GET);
    one.catch(() => {});
    asked.push(one);
    await settled();
  }
}

/** Down to one request at a time: refused once alone, and accepted after the wait. */
async function slowedDown(longest = 1000): Promise<Host> {
  const one = host(longest);
  await ask(one, 1);
  await answer(one, refusal());
  await one.clock.forward(longest);
  await answer(one, ok());
  await one.clock.forward(MINUTE);
  return one;
}

test("what a refusal gives its turn to waits until the pause is over, and then for its own turn", async () => {
  const one = await slowedDown();
  await ask(one, 3);
  await one.clock.forward(1000);
  expect(one.open).toHaveLength(1);
  await answer(one, refusal(30));
  await one.clock.forward(29_999);
  expect(one.open).toHaveLength(0);
  await one.clock.forward(1);
  for (let left = 3; left > 0; left--) {
    expect(one.open).toHaveLength(1);
    await answer(one, ok());
    await one.clock.forward(1000);
  }
  for (const response of await Promise.all(one.asked)) expect(response.status).toBe(200);
});

test("what waits for the end of a pause waits on when the pause becomes longer", async () => {
  const one = host();
  await ask(one, 2);
  await answer(one, refusal(10));
  await ask(one, 1);
  await one.clock.forward(5000);
  await answer(one, refusal(60));
  await one.clock.forward(59_999);
  expect(one.open).toHaveLength(0);
  await one.clock.forward(1);
  expect(one.open).toHaveLength(1);
});

test("a success that set out before a pause does not end it", async () => {
  const one = host();
  await ask(one, 2);
  await answer(one, refusal(60));
  await answer(one, ok());
  await ask(one, 1);
  await one.clock.forward(59_999);
  expect(one.open).toHaveLength(0);
  await one.clock.forward(1);
  expect(one.open).toHaveLength(1);
});

test("nor does it make a pause bearable that is longer than our patience", async () => {
  const one = host();
  await ask(one, 2);
  await answer(one, refusal(3600));
  await answer(one, ok());
  await ask(one, 1);
  await expect(Promise.race([one.asked.at(-1), settled()])).rejects.toMatchObject({ code: "RATE_LIMITED" });
  await one.clock.forward(60 * MINUTE);
  await ask(one, 1);
  expect(one.open).toHaveLength(1);
});

test.each([
  ["the first to be answered", 0],
  ["the last to be answered", 7],
])("of eight at once one is refused, %s: four at once are left", async (_, successes) => {
  const one = host();
  await ask(one, 8);
  for (let left = successes; left > 0; left--) await answer(one, ok());
  await answer(one, refusal(1));
  while (one.open.length > 0) await answer(one, ok());
  await ask(one, 12);
  await one.clock.forward(1000);
  expect(one.open).toHaveLength(4);
});

test("refusals of what set out together halve it once", async () => {
  const one = host();
  await ask(one, 8);
  for (let left = 8; left > 0; left--) await answer(one, refusal(1));
  await one.clock.forward(1000);
  expect(one.open).toHaveLength(4);
});

test("a pause is told however short it is, and not again where it becomes a little longer", async () => {
  const one = host(400);
  await ask(one, 2);
  await answer(one, refusal());
  await one.clock.forward(100);
  await answer(one, refusal());
  expect(one.notices).toEqual([
    { host: "127.0.0.1", delay: expect.any(Number), why: "`127.0.0.1` has asked for patience (429)" },
  ]);
  expect(one.notices[0]?.delay).toBeLessThanOrEqual(400);
});

test("of a pace that holds back for a second or more, each exchange is told once, however many wait", async () => {
  const one = await slowedDown(128_000);
  one.notices.length = 0;
  await ask(one, 4);
  // The first goes at once, the others two seconds apart.
  const notice = { host: "127.0.0.1", why: "`127.0.0.1` has asked for patience, and is asked less often" };
  expect(one.notices).toEqual([{ ...notice, delay: 2000 }]);
  await answer(one, ok());
  await one.clock.forward(2000);
  await answer(one, ok());
  await one.clock.forward(2000);
  expect(one.notices).toEqual([1, 2, 3].map(() => ({ ...notice, delay: 2000 })));
});

test("of a pace that costs less, nobody is told", async () => {
  const one = await slowedDown();
  one.notices.length = 0;
  await ask(one, 4);
  await one.clock.forward(1000);
  expect(one.notices).toEqual([]);
});

let server: TestServer | undefined;
afterEach(() => server?.stop());

test.each([429, 503])(
  "a wait that a %i asked for ends at once when the run is interrupted",
  async (status) => {
    server = serve(() => new Response(null, { status, headers: { "retry-after": "300" } }));
    const abort = new AbortController();
    const waiting = Promise.withResolvers<void>();
    const http = createHttp({
      ...wireOptions({ signal: abort.signal }),
      retry: { attempts: 3, firstDelay: 1, longestDelay: 1 },
      onWait: () => waiting.resolve(),
    });
    const asked = [1, 2].map(() => http.transport({ method: "GET", url: new URL(server?.url ?? "") }));
    const ended = Promise.allSettled(asked);
    await waiting.promise;
    await Bun.sleep(50);
    abort.abort(new Error("interrupted"));
    const results = await Promise.race([ended, Bun.sleep(3000)]);
    expect(results).toMatchObject([1, 2].map(() => ({ reason: { message: "interrupted" } })));
  },
);
