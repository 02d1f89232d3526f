import { afterEach, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { wire } from "../../src/http/wire.ts";
import { wireOptions } from "./server.ts";

const SHORT = 100;
/** Ended by itself in the end, so that what nobody watches fails in words. */
const impatient = () => wire(wireOptions({ stallAfter: SHORT, signal: AbortSignal.timeout(4000) }));
const CREATED = "HTTP/1.1 201 Created\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

const stops: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});

/** Runs `onBytes` for what arrives; `count` is what of the body is there so far. */
function listening(onBytes: (socket: Bun.Socket<{ count: number }>) => Promise<void> | void): URL {
  const server = Bun.listen<{ count: number }>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open(socket) {
        socket.data = { count: 0 };
      },
      data(socket, bytes) {
        // Bodies are zeros.
        const end = bytes.indexOf("\r\n\r\n");
        socket.data.count += bytes.length - (end < 0 ? 0 : end + 4);
        void onBytes(socket);
      },
    },
  });
  stops.push(() => server.stop(true));
  return new URL(`http://127.0.0.1:${server.port}/`);
}

/** `count` chunks of `length` bytes, one every `interval` milliseconds. */
function stream(count: number, length: number, interval = 0): ReadableStream<Uint8Array> {
  let left = count;
  return new ReadableStream({
    async pull(controller) {
      if (left-- === 0) return controller.close();
      if (interval > 0) await Bun.sleep(interval);
      controller.enqueue(new Uint8Array(length));
    },
  });
}

async function file(length: number): Promise<Blob> {
  const folder = await mkdtemp(join(tmpdir(), "eksa-airgap-sending-"));
  stops.push(() => rm(folder, { recursive: true, force: true }));
  await Bun.write(join(folder, "blob"), new Uint8Array(length));
  return Bun.file(join(folder, "blob")).slice(0, length);
}

const sized = (length: number) => ({ "content-length": String(length) });
const STALLED = { name: "NetworkError", code: "STALLED", retryable: true };

test.each<["PATCH" | "PUT", string, number, (length: number) => Bun.BodyInit | Promise<Blob>]>([
  ["PATCH", "a stream that is never taken", 32 << 20, (length) => stream(length / 1024, 1024)],
  ["PATCH", "a stream that is never answered", 1024, (length) => stream(1, length)],
  ["PATCH", "a file that is never answered", 1024, file],
  ["PUT", "bytes that are never answered", 10, (length) => new Uint8Array(length)],
  ["PUT", "nothing, which is never answered,", 0, () => ""],
])("a %s of %s is given up, and may be tried again", async (method, _, length, make) => {
  const url = listening((socket) => socket.pause());
  const made = await make(length);
  const body = made === "" ? {} : { body: () => made };
  const exchange = impatient()({ method, url, headers: sized(length), ...body });
  await expect(exchange).rejects.toMatchObject(STALLED);
});

test("an answer that may be late is waited for longer", async () => {
  const url = listening(async (socket) => {
    if (socket.data.count < 10) return;
    await Bun.sleep(9 * SHORT);
    socket.end(CREATED);
  });
  const request = { method: "PUT", url, headers: sized(10), body: () => new Uint8Array(10) } as const;
  const [prompt, late] = await Promise.allSettled([
    impatient()(request),
    impatient()({ ...request, answers: "late" }),
  ]);
  expect(prompt).toMatchObject({ status: "rejected", reason: STALLED });
  expect(late).toMatchObject({ status: "fulfilled", value: { status: 201 } });
});

test("a server that takes bytes slowly is not cut off", async () => {
  const length = 32 << 20;
  const url = listening(async (socket) => {
    socket.pause();
    await Bun.sleep(SHORT / 20);
    socket.resume();
    if (socket.data.count >= length) socket.end(CREATED);
  });
  const body = () => stream(length / 4096, 4096);
  const response = await impatient()({ method: "PUT", url, headers: sized(length), body });
  expect(response.status).toBe(201);
});

test("a stream that comes up with its bytes slowly is not the server's fault", async () => {
  const url = listening((socket) => {
    if (socket.data.count >= 3000) socket.end(CREATED);
  });
  const body = () => stream(3, 1000, 6 * SHORT);
  expect((await impatient()({ method: "PATCH", url, headers: sized(3000), body })).status).toBe(201);
});

test("what cannot be watched on its way has the time that a slow line needs for it", async () => {
  const length = 256 * 1024;
  const url = listening(async (socket) => {
    if (socket.data.count < length) return;
    await Bun.sleep(8 * SHORT);
    socket.end(CREATED);
  });
  const body = await file(length);
  const exchange = impatient()({ method: "PATCH", url, headers: sized(length), body: () => body });
  expect((await exchange).status).toBe(201);
});

test("a body that cannot be sent to its end any more is given up with its own reason", async () => {
  const url = listening(() => {});
  const lost = new Error("it has become shorter");
  let isLost = false;
  const exchange = impatient()({
    method: "PATCH",
    url,
    headers: sized(1 << 20),
    body: () => {
      isLost = true;
      return new Uint8Array(1000);
    },
    assertBody: () => {
      if (isLost) throw lost;
    },
  });
  await expect(exchange).rejects.toThrow("it has become shorter");
});
