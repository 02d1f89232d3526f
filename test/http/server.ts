import type { RetryPolicy } from "../../src/http/retry.ts";
import { type WireOptions, wire } from "../../src/http/wire.ts";

interface RecordedRequest {
  method: string;
  url: URL;
  headers: Headers;
}

export interface TestServer {
  url: URL;
  /** In order of arrival. */
  requests: RecordedRequest[];
  stop(): Promise<void>;
}

/** A server on 127.0.0.1 and a free port; `answer` gets the number of the request, from 1 on. */
export function serve(
  answer: (request: Request, count: number) => Response | Promise<Response>,
  tls?: Bun.TLSOptions,
): TestServer {
  const requests: RecordedRequest[] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    ...(tls === undefined ? {} : { tls }),
    fetch(request) {
      // Copied: the runtime takes a request's headers away once it is answered.
      const [url, headers] = [new URL(request.url), new Headers(request.headers)];
      return answer(request, requests.push({ method: request.method, url, headers }));
    },
  });
  return {
    url: new URL(`${tls === undefined ? "http" : "https"}://127.0.0.1:${server.port}/`),
    requests,
    stop: () => server.stop(true),
  };
}

/** An answer as it goes over the wire; `Content-Length` is `length`, however many bytes there are. */
export interface RawAnswer {
  status: number;
  headers?: Record<string, string>;
  /** Default: that of `body`; undefined: it is not said. */
  length?: number | undefined;
  body: Uint8Array | string;
  /** The connection stays until this holds: the runtime drops what nobody has read by then. */
  until?: () => boolean;
}

interface Outgoing {
  left: Uint8Array;
  until: () => boolean;
}

/** A server that can break a promise: it sends what it is told, then hangs up; undefined sends nothing. */
export function serveRaw(
  answer: (request: RecordedRequest, count: number) => RawAnswer | undefined,
): TestServer {
  const requests: RecordedRequest[] = [];
  const flush = async (socket: Bun.Socket<Outgoing>) => {
    const written = socket.write(socket.data.left);
    socket.data.left = socket.data.left.subarray(Math.max(written, 0));
    if (socket.data.left.length > 0) return;
    for (let tries = 0; tries < 1000 && !socket.data.until(); tries++) await Bun.sleep(2);
    socket.end();
  };
  const server = Bun.listen<Outgoing>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      data(socket, data) {
        const request = parseRequest(data.toString());
        const raw = answer(request, requests.push(request));
        const left = raw === undefined ? new Uint8Array() : formatAnswer(raw);
        socket.data = { left, until: raw?.until ?? (() => true) };
        void flush(socket);
      },
      drain: (socket) => void flush(socket),
    },
  });
  return {
    url: new URL(`http://127.0.0.1:${server.port}/`),
    requests,
    stop: async () => server.stop(true),
  };
}

function parseRequest(text: string): RecordedRequest {
  const [first = "", ...lines] = text.split("\r\n");
  const [method = "", target = "/"] = first.split(" ");
  const headers = new Headers();
  for (const line of lines) {
    const colon = line.indexOf(":");
    if (colon > 0) headers.append(line.slice(0, colon), line.slice(colon + 1).trim());
  }
  return { method, url: new URL(target, "http://127.0.0.1"), headers };
}

function formatAnswer(answer: RawAnswer): Uint8Array {
  const { status, headers = {}, body } = answer;
  const bytes = Buffer.from(body);
  const length = "length" in answer ? answer.length : bytes.length;
  const fields = Object.entries(headers);
  if (length !== undefined) fields.push(["Content-Length", String(length)]);
  const head = fields.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  return Buffer.concat([Buffer.from(`HTTP/1.1 ${status} X\r\n${head}Connection: close\r\n\r\n`), bytes]);
}

export function wireOptions(options: Partial<WireOptions> = {}): WireOptions {
  const signal = new AbortController().signal;
  return { authorities: [], plainHosts: new Set(), userAgent: "test/1", signal, ...options };
}

export const plainWire = wire(wireOptions());

/** Three tries with next to no wait between them. */
export function quickPolicy(options: Partial<RetryPolicy> = {}): RetryPolicy {
  const signal = new AbortController().signal;
  return { attempts: 3, firstDelay: 1, longestDelay: 2, signal, ...options };
}
