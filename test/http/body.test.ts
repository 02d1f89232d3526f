import { afterEach, expect, test } from "bun:test";
import { readBounded, readStart } from "../../src/http/body.ts";
import { plainWire, serve, serveRaw, type TestServer } from "./server.ts";

let server: TestServer | undefined;
afterEach(() => server?.stop());

async function read(url: URL, limit: number): Promise<Uint8Array> {
  return readBounded(await plainWire({ method: "GET", url }), url, limit);
}

test("a body of exactly the limit is read, one byte more is not", async () => {
  server = serve(() => new Response("0123456789"));
  expect(Buffer.from(await read(server.url, 10)).toString()).toBe("0123456789");
  await expect(read(server.url, 9)).rejects.toMatchObject({ code: "TOO_LONG", retryable: false });
});

test("a body without end is cut, though nothing announced its length", async () => {
  let sent = 0;
  server = serve(() => {
    const body = new ReadableStream<Uint8Array>({
      async pull(controller) {
        await Bun.sleep(0);
        sent += 10_000;
        controller.enqueue(new Uint8Array(10_000));
      },
    });
    return new Response(body);
  });
  const url = new URL("?sig=secret", server.url);
  await expect(read(url, 50_000)).rejects.toThrow(
    `${server.url}?sig=REDACTED answered with more than 50000 bytes`,
  );
  expect(sent).toBeLessThan(50_000_000);
});

test("a length that is announced is believed enough not to read on", async () => {
  const raw = serveRaw(() => ({ status: 200, body: "x", length: 99_999_999_999_999 }));
  await expect(read(raw.url, 1000)).rejects.toMatchObject({ code: "TOO_LONG" });
  await raw.stop();
});

test("a body that is cut short is a failure of the network, never a short body", async () => {
  const raw = serveRaw(() => ({ status: 200, body: "01234", length: 10 }));
  await expect(read(raw.url, 1000)).rejects.toMatchObject({ name: "NetworkError", retryable: true });
  await raw.stop();
});

/** So many chunks of that length, one every few milliseconds. */
async function dripping(count: number, length: number): Promise<Response> {
  let left = count;
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      if (left-- === 0) return controller.close();
      await Bun.sleep(5);
      controller.enqueue(new Uint8Array(length));
    },
  });
  server = serve(() => new Response(body));
  return plainWire({ method: "GET", url: server.url });
}

test("a body that drips is not read to its end, and may be asked for again", async () => {
  const response = await dripping(400, 1);
  const url = new URL(response.url);
  await expect(readBounded(response, url, 400, 100)).rejects.toMatchObject({
    code: "TOO_SLOW",
    retryable: true,
  });
});

test("a body that takes long and keeps its pace is read to its end", async () => {
  const response = await dripping(60, 4096);
  const url = new URL(response.url);
  expect(await readBounded(response, url, 60 * 4096, 10)).toHaveLength(60 * 4096);
});

test("no body is no bytes", async () => {
  server = serve(() => new Response(null, { status: 204 }));
  expect(await read(server.url, 0)).toHaveLength(0);
});

test.each<[string, (controller: ReadableStreamDefaultController<Uint8Array>) => Promise<void>]>([
  ["stands still", async () => Bun.sleep(60_000)],
  [
    "drips without end",
    async (controller) => controller.enqueue(await Bun.sleep(5).then(() => Buffer.from("s"))),
  ],
])("a body that %s is looked at as far as it comes", async (_, goOn) => {
  let isFirst = true;
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      if (!isFirst) return goOn(controller);
      isFirst = false;
      controller.enqueue(Buffer.from("first"));
    },
  });
  server = serve(() => new Response(body));
  const response = await plainWire({ method: "GET", url: server.url });
  const start = Buffer.from(await readStart(response, server.url, 10_000, 100)).toString();
  expect(start).toMatch(/^firsts*$/);
});
