import { afterEach, expect, test } from "bun:test";
import { join } from "node:path";
import { chunksOf } from "../../src/http/body.ts";
import { download } from "../../src/http/download.ts";
import { wire } from "../../src/http/wire.ts";
import { plainWire, quickPolicy, serve, type TestServer, wireOptions } from "./server.ts";

const servers: TestServer[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop();
});

function started(...args: Parameters<typeof serve>): TestServer {
  const server = serve(...args);
  servers.push(server);
  return server;
}

const SHORT = 200;
const impatientWire = wire(wireOptions({ stallAfter: SHORT }));
const never = () => new Promise<Response>(() => {});
const CHUNK = new Uint8Array(1000);

/** `count` chunks, one every `interval` milliseconds; then the end, or nothing at all. */
function trickle(count: number, { interval = 0, ends = true } = {}): ReadableStream<Uint8Array> {
  let left = count;
  return new ReadableStream({
    async pull(controller) {
      if (left-- > 0) {
        if (interval > 0) await Bun.sleep(interval);
        controller.enqueue(CHUNK);
      } else if (ends) controller.close();
      else await new Promise(() => {});
    },
  });
}

async function lengthOf(chunks: AsyncIterable<Uint8Array>, pace: () => Promise<void> = async () => {}) {
  let length = 0;
  for await (const chunk of chunks) {
    length += chunk.length;
    await pace();
  }
  return length;
}

test.each(["GET", "HEAD", "POST", "DELETE"] as const)(
  "a %s without an answer is given up, and may be tried again",
  async (method) => {
    const server = started(never);
    await expect(impatientWire({ method, url: server.url })).rejects.toMatchObject({
      name: "NetworkError",
      code: "STALLED",
      retryable: true,
      message: `\`${server.url.host}\` has sent nothing for 0 s`,
    });
  },
);

test.each(["PUT", "PATCH"] as const)("a %s may wait for its answer", async (method) => {
  const server = started(async () => {
    await Bun.sleep(3 * SHORT);
    return new Response(null, { status: 201 });
  });
  expect((await impatientWire({ method, url: server.url })).status).toBe(201);
});

test("a run that is interrupted while it waits for an answer says so", async () => {
  const abort = new AbortController();
  const server = started(() => {
    abort.abort(new Error("interrupted"));
    return never();
  });
  const transport = wire(wireOptions({ signal: abort.signal }));
  await expect(transport({ method: "GET", url: server.url })).rejects.toThrow("interrupted");
});

test("a body that stands still is given up, and may be tried again", async () => {
  const server = started(() => new Response(trickle(3, { ends: false })));
  const response = await plainWire({ method: "GET", url: server.url });
  await expect(lengthOf(chunksOf(response, server.url, SHORT))).rejects.toMatchObject({
    code: "STALLED",
    retryable: true,
  });
});

test("a slow body that moves is never cut", async () => {
  const server = started(() => new Response(trickle(30, { interval: SHORT / 10 })));
  const response = await impatientWire({ method: "GET", url: server.url });
  expect(await lengthOf(chunksOf(response, server.url, SHORT))).toBe(30_000);
});

test("a slow reader is not the server's fault", async () => {
  const server = started(() => new Response(trickle(3)));
  const response = await plainWire({ method: "GET", url: server.url });
  const pace = () => Bun.sleep(2 * SHORT);
  expect(await lengthOf(chunksOf(response, server.url, SHORT), pace)).toBe(3000);
});

test("a download that stood still goes on from the byte where it stopped", async () => {
  const server = started((_, count) => {
    if (count === 1)
      return new Response(trickle(2, { ends: false }), { headers: { "Content-Length": "3000" } });
    return new Response(CHUNK, { status: 206, headers: { "Content-Range": "bytes 2000-2999/3000" } });
  });
  const openAt = (offset: number) =>
    plainWire({ method: "GET", url: server.url, headers: { range: `bytes=${offset}-` } });
  const policy = quickPolicy({ stallAfter: SHORT });
  expect(await lengthOf(download({ url: server.url, size: 3000, openAt, policy }))).toBe(3000);
  expect(server.requests.map(({ headers }) => headers.get("range"))).toEqual(["bytes=0-", "bytes=2000-"]);
});

test("a body that nobody reads to its end keeps no process alive", async () => {
  const module = join(import.meta.dir, "../../src/http/body.ts");
  const program = `
    import { chunksOf } from ${JSON.stringify(module)};
    const body = new ReadableStream({ start: (controller) => controller.enqueue(new Uint8Array(1)) });
    const chunks = chunksOf(new Response(body), new URL("http://127.0.0.1/"));
    await chunks.next();
    void chunks.next();
  `;
  const child = Bun.spawn([process.execPath, "-e", program], { stdout: "ignore", stderr: "pipe" });
  const timer = setTimeout(() => child.kill("SIGKILL"), 20_000);
  expect(await new Response(child.stderr).text()).toBe("");
  expect(await child.exited).toBe(0);
  clearTimeout(timer);
}, 30_000);
