import { afterEach, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { download } from "../../src/http/download.ts";
import { passingStatus, type RetryPolicy } from "../../src/http/retry.ts";
import { pseudoRandomBytes } from "../support/content.ts";
import { plainWire, quickPolicy, type RawAnswer, serveRaw, type TestServer } from "./server.ts";

const BYTES = pseudoRandomBytes(300_000, "download");

/** Bytes that the download under way has given out. */
let received = 0;
let server: TestServer | undefined;
afterEach(() => server?.stop());

/** What `Range` asks for, in bytes; 0 where it is not there. */
function askedFrom({ headers }: { headers: Headers }): number {
  return Number(/^bytes=(\d+)-$/.exec(headers.get("range") ?? "")?.[1] ?? 0);
}

/** Everything is promised, `count` bytes of it come. */
function whole(count = BYTES.length): RawAnswer {
  const until = () => received >= count;
  return { status: 200, body: BYTES.subarray(0, count), length: BYTES.length, until };
}

/** The rest is promised, `count` bytes of it come; `said` is what `Content-Range` says. */
function rest(from: number, count = BYTES.length, said?: string): RawAnswer {
  const range = said ?? `bytes ${from}-${BYTES.length - 1}/${BYTES.length}`;
  const body = BYTES.subarray(from, from + count);
  const until = () => received >= Math.min(from + count, BYTES.length) || said !== undefined;
  return { status: 206, headers: { "Content-Range": range }, body, length: BYTES.length - from, until };
}

async function fetchAll(url: URL, policy: RetryPolicy = quickPolicy()): Promise<Uint8Array> {
  const openAt = async (offset: number) => {
    const headers: Record<string, string> = offset === 0 ? {} : { range: `bytes=${offset}-` };
    const response = await plainWire({ method: "GET", url, headers });
    const passing = passingStatus(response);
    if (passing !== undefined) throw passing;
    if (!response.ok) throw new Error(`status ${response.status}`);
    return response;
  };
  const chunks: Uint8Array[] = [];
  received = 0;
  for await (const chunk of download({ url, size: BYTES.length, openAt, policy })) {
    chunks.push(chunk);
    received += chunk.length;
  }
  return Buffer.concat(chunks);
}

function expectAll(got: Uint8Array): void {
  expect(Buffer.compare(got, BYTES)).toBe(0);
}

test("a body that breaks goes on from the byte where it stopped", async () => {
  const counts = [100_000, 50_000, 50_000];
  server = serveRaw((request, count) => {
    return count === 1 ? whole(counts[0]) : rest(askedFrom(request), counts[count - 1]);
  });
  expectAll(await fetchAll(server.url));
  expect(server.requests.map(askedFrom)).toEqual([0, 100_000, 150_000, 200_000]);
});

test("a body that ends early where nobody said its length goes on too, and is given up likewise", async () => {
  const unsaid = (given: RawAnswer): RawAnswer => ({ ...given, length: undefined });
  server = serveRaw((request, count) => unsaid(count === 1 ? whole(100_000) : rest(askedFrom(request))));
  expectAll(await fetchAll(server.url));
  expect(server.requests.map(askedFrom)).toEqual([0, 100_000]);
  await server.stop();
  server = serveRaw((request, count) => unsaid(count === 1 ? whole(100_000) : rest(askedFrom(request), 0)));
  await expect(fetchAll(server.url)).rejects.toThrow("ended after 100000 bytes of 300000");
  expect(server.requests).toHaveLength(3);
});

test("a server that ignores the range sends everything again, and no byte comes twice", async () => {
  const cuts = fc.array(fc.integer({ min: 1, max: BYTES.length - 1 }), { maxLength: 3 });
  await fc.assert(
    fc.asyncProperty(cuts, async (counts) => {
      const plain = serveRaw((_, count) => whole(counts[count - 1]));
      // An answer that breaks before the known part is over brings nothing new, so it is a failure more.
      expectAll(await fetchAll(plain.url, quickPolicy({ attempts: 5 })));
      expect(plain.requests).toHaveLength(counts.length + 1);
      await plain.stop();
    }),
    { numRuns: 20 },
  );
});

describe("an answer with another range", () => {
  test.each([
    ["from another byte", "bytes 99999-299999/300000"],
    ["from the start", "bytes 0-299999/300000"],
    ["that is no range", "bytes"],
    ["of another unit", "pages 100000-299999/300000"],
  ])("%s is not taken for the one asked for", async (_, said) => {
    server = serveRaw((request, count) => {
      if (count === 1) return whole(100_000);
      return rest(askedFrom(request), BYTES.length, count === 2 ? said : undefined);
    });
    expectAll(await fetchAll(server.url));
    expect(server.requests.map(askedFrom)).toEqual([0, 100_000, 100_000]);
  });

  test("is given up when nothing else comes", async () => {
    server = serveRaw((_, count) => (count === 1 ? whole(100_000) : rest(7)));
    await expect(fetchAll(server.url)).rejects.toMatchObject({ code: "WRONG_RANGE" });
    expect(server.requests).toHaveLength(3);
  });
});

test("a range of unknown length is one, too", async () => {
  server = serveRaw((request, count) => {
    return count === 1 ? whole(100_000) : rest(askedFrom(request), BYTES.length, "bytes 100000-299999/*");
  });
  expectAll(await fetchAll(server.url));
  expect(server.requests).toHaveLength(2);
});

test("only failures without a byte between them are counted", async () => {
  server = serveRaw((request) => rest(askedFrom(request), 30_000));
  expectAll(await fetchAll(server.url, quickPolicy({ attempts: 2 })));
  expect(server.requests).toHaveLength(10);
});

test("a body that never moves is given up after all its tries", async () => {
  server = serveRaw((request, count) => (count === 1 ? whole(1000) : rest(askedFrom(request), 0)));
  await expect(fetchAll(server.url)).rejects.toMatchObject({ name: "NetworkError" });
  expect(server.requests.map(askedFrom)).toEqual([0, 1000, 1000]);
});

test("a passing status in between is waited out, a final one ends it", async () => {
  const answer = (status: number) => (request: { headers: Headers }, count: number) => {
    if (count === 1) return whole(1000);
    return count === 2 ? { status, body: "" } : rest(askedFrom(request));
  };
  server = serveRaw(answer(503));
  expectAll(await fetchAll(server.url));
  await server.stop();
  server = serveRaw(answer(403));
  await expect(fetchAll(server.url)).rejects.toThrow("status 403");
  expect(server.requests).toHaveLength(2);
});

test("an aborted run asks for no more", async () => {
  const abort = new AbortController();
  server = serveRaw(() => {
    abort.abort(new Error("interrupted"));
    return whole(1000);
  });
  await expect(fetchAll(server.url, quickPolicy({ signal: abort.signal }))).rejects.toThrow();
  expect(server.requests).toHaveLength(1);
});

test("who stops reading lets go of the connection", async () => {
  let isCancelled = false;
  const body = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.enqueue(new Uint8Array(1000)),
    cancel: () => {
      isCancelled = true;
    },
  });
  const url = new URL("http://127.0.0.1/");
  const openAt = async () => new Response(body);
  for await (const _ of download({ url, size: BYTES.length, openAt, policy: quickPolicy() })) break;
  expect(isCancelled).toBe(true);
});
