import { afterEach, describe, expect, test } from "bun:test";
import { gzipSync } from "node:zlib";
import { readBounded } from "../../src/http/body.ts";
import { download } from "../../src/http/download.ts";
import { pseudoRandomBytes } from "../support/content.ts";
import { plainWire, quickPolicy, type RawAnswer, serveRaw, type TestServer } from "./server.ts";

let server: TestServer | undefined;
afterEach(() => server?.stop());

const BYTES = pseudoRandomBytes(300_000, "encoding");
const PACKED = gzipSync(BYTES);
const GZIP = { "Content-Encoding": "gzip" };

/** The chunks of a body as HTTP/1.1 frames it when its length is not known beforehand. */
function withoutLength(bytes: Uint8Array): RawAnswer {
  const size = Buffer.from(`${bytes.length.toString(16)}\r\n`);
  const body = Buffer.concat([size, bytes, Buffer.from("\r\n0\r\n\r\n")]);
  return { status: 200, headers: { ...GZIP, "Transfer-Encoding": "chunked" }, length: undefined, body };
}

/** Bytes that the download under way has given out. */
let received = 0;

async function fetchAll(url: URL, size = BYTES.length): Promise<Uint8Array> {
  const openAt = (offset: number) => {
    const headers: Record<string, string> = offset === 0 ? {} : { range: `bytes=${offset}-` };
    return plainWire({ method: "GET", url, headers });
  };
  const chunks: Uint8Array[] = [];
  received = 0;
  for await (const chunk of download({ url, size, openAt, policy: quickPolicy() })) {
    chunks.push(chunk);
    received += chunk.length;
  }
  return Buffer.concat(chunks);
}

const ranges = ({ requests }: TestServer) => requests.map(({ headers }) => headers.get("range"));

describe("a blob that is said to be compressed", () => {
  test("and is not: the bytes are taken as they are", async () => {
    server = serveRaw(() => ({ status: 200, headers: GZIP, body: BYTES }));
    expect(Buffer.compare(await fetchAll(server.url), BYTES)).toBe(0);
  });

  test("and is a gzip file itself: it stays one", async () => {
    server = serveRaw(() => ({ status: 200, headers: GZIP, body: PACKED }));
    expect(Buffer.compare(await fetchAll(server.url, PACKED.length), PACKED)).toBe(0);
  });

  test.each(["gzip", "GZIP", "x-gzip"])("and is (%s): it is decompressed", async (encoding) => {
    server = serveRaw(() => ({ status: 200, headers: { "Content-Encoding": encoding }, body: PACKED }));
    expect(Buffer.compare(await fetchAll(server.url), BYTES)).toBe(0);
  });

  test("and is a compressed gzip file: one layer is taken off", async () => {
    server = serveRaw(() => ({ status: 200, headers: GZIP, body: gzipSync(PACKED) }));
    expect(Buffer.compare(await fetchAll(server.url, PACKED.length), PACKED)).toBe(0);
  });

  test("without a length is decompressed", async () => {
    server = serveRaw(() => withoutLength(PACKED));
    expect(Buffer.compare(await fetchAll(server.url), BYTES)).toBe(0);
  });

  test("and breaks off is asked for from the start, and no byte comes twice", async () => {
    const half = PACKED.subarray(0, PACKED.length / 2);
    server = serveRaw((_, count) =>
      count === 1
        ? { status: 200, headers: GZIP, body: half, length: PACKED.length, until: () => received > 0 }
        : { status: 200, headers: GZIP, body: PACKED },
    );
    expect(Buffer.compare(await fetchAll(server.url), BYTES)).toBe(0);
    expect(ranges(server)).toEqual([null, null]);
  });

  test("only from the second answer on is taken from the start then", async () => {
    server = serveRaw((request, count) => {
      const half = BYTES.subarray(0, 150_000);
      if (count === 1)
        return { status: 200, body: half, length: BYTES.length, until: () => received >= 150_000 };
      if (!request.headers.has("range")) return { status: 200, headers: GZIP, body: PACKED };
      const range = `bytes 150000-${PACKED.length - 1}/${PACKED.length}`;
      return { status: 206, headers: { ...GZIP, "Content-Range": range }, body: PACKED.subarray(150_000) };
    });
    expect(Buffer.compare(await fetchAll(server.url), BYTES)).toBe(0);
    expect(ranges(server)).toEqual([null, "bytes=150000-", null]);
  });

  test("and said so again of a part of its true bytes goes on with them", async () => {
    server = serveRaw((_, count) => {
      const [from, total] = [150_000, BYTES.length];
      if (count === 1) {
        const body = BYTES.subarray(0, from);
        return { status: 200, headers: GZIP, body, length: total, until: () => received >= from };
      }
      const range = `bytes ${from}-${total - 1}/${total}`;
      return { status: 206, headers: { ...GZIP, "Content-Range": range }, body: BYTES.subarray(from) };
    });
    expect(Buffer.compare(await fetchAll(server.url), BYTES)).toBe(0);
    expect(ranges(server)).toEqual([null, "bytes=150000-"]);
  });

  test("and is neither that nor of the right length fails for good", async () => {
    server = serveRaw(() => ({ status: 200, headers: GZIP, body: "no gzip at all" }));
    await expect(fetchAll(server.url)).rejects.toMatchObject({ code: "ENCODING", retryable: false });
    expect(server.requests).toHaveLength(1);
  });
});

describe("a small body that is said to be compressed", () => {
  const read = async (answer: RawAnswer, limit: number) => {
    server = serveRaw(() => answer);
    return readBounded(await plainWire({ method: "GET", url: server.url }), server.url, limit);
  };

  test("is decompressed", async () => {
    const bytes = await read({ status: 200, headers: GZIP, body: gzipSync('{"a":1}') }, 100);
    expect(Buffer.from(bytes).toString()).toBe('{"a":1}');
  });

  test("and is not stays as it is", async () => {
    const bytes = await read({ status: 200, headers: GZIP, body: '{"a":1}' }, 100);
    expect(Buffer.from(bytes).toString()).toBe('{"a":1}');
  });

  test("and grows beyond the limit is refused", async () => {
    const bomb = gzipSync(new Uint8Array(1_000_000));
    await expect(read({ status: 200, headers: GZIP, body: bomb }, 10_000)).rejects.toMatchObject({
      code: "ENCODING",
      retryable: false,
    });
  });
});
