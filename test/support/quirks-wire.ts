import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { Endpoint } from "../../src/registry/endpoint.ts";
import { parseEndpoint } from "../../src/registry/endpoint.ts";

/** A request, read to its end. */
export interface Asked {
  method: string;
  url: URL;
  headers: Headers;
  body: Uint8Array<ArrayBuffer>;
  /** Undefined for what is none of the API's. */
  endpoint: Endpoint | undefined;
}

/** An answer as data, so that a quirk can say what no `Response` can. */
export interface Answer {
  status: number;
  /** Names in lower case; a list is as many header lines. */
  headers: Map<string, string | string[]>;
  body: Uint8Array;
  /** The connection ends after so many bytes of the body; -1: before the status line. */
  cutAt?: number;
  /** Nothing more comes after so many bytes of the body, and the connection stays open. */
  hangAt?: number;
  /** The body comes in pieces of unannounced length. */
  unmeasured?: boolean;
}

export type Next = (asked: Asked) => Promise<Answer>;

/** One misbehaviour: answers by itself, or changes what goes further in or comes back out. */
export type Quirk = (asked: Asked, next: Next) => Promise<Answer>;

/** One request as it arrived somewhere. */
export interface LedgerEntry {
  /** What the host is for. */
  role: "registry" | "realm" | "storage";
  host: string;
  method: string;
  /** With the query. */
  path: string;
  headers: Headers;
}

export interface Host {
  /** `127.0.0.1:PORT` */
  host: string;
  stop(): Promise<void>;
}

/** The first quirk is the outermost. */
export function compose(quirks: readonly Quirk[], last: Next): Next {
  return quirks.reduceRight<Next>((next, quirk) => (asked) => quirk(asked, next), last);
}

export function answer(
  status: number,
  headers: Record<string, string> = {},
  body: string | Uint8Array = "",
): Answer {
  const bytes = typeof body === "string" ? new TextEncoder().encode(body) : body;
  return { status, headers: new Map(Object.entries(headers)), body: bytes };
}

/** An error as the specification wants it. */
export function refusal(status: number, code: string, message = "no"): Answer {
  return answer(
    status,
    { "content-type": "application/json" },
    JSON.stringify({ errors: [{ code, message }] }),
  );
}

export function headerOf(given: Answer, name: string): string | undefined {
  const value = given.headers.get(name);
  return Array.isArray(value) ? value.join(", ") : value;
}

export async function answerOf(response: Response): Promise<Answer> {
  const body = new Uint8Array(await response.arrayBuffer());
  return { status: response.status, headers: new Map(response.headers), body };
}

export function requestOf({ method, url, headers, body }: Asked): Request {
  const hasBody = body.length > 0;
  return new Request(url.href, { method, headers, ...(hasBody ? { body } : {}) });
}

/** A host on a port of its own that writes down all that reaches it. */
export async function startHost(
  role: LedgerEntry["role"],
  ledger: LedgerEntry[],
  handle: Next,
): Promise<Host> {
  const server = createServer((request, response) => {
    const told = async () => {
      const asked = await readAsked(request);
      const { method, headers, url } = asked;
      ledger.push({ role, host: url.host, method, path: url.pathname + url.search, headers });
      write(request, response, await handle(asked));
    };
    told().catch((error: unknown) => {
      // A client that has gone away is no fault of ours; anything else shows as a 500 with its reason.
      if (response.headersSent || request.destroyed) return;
      response.writeHead(500).end(String(error));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port is free");
  return {
    host: `127.0.0.1:${address.port}`,
    stop: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

async function readAsked(request: IncomingMessage): Promise<Asked> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of request) chunks.push(chunk);
  const headers = new Headers();
  for (const [name, value] of Object.entries(request.headers)) {
    if (value !== undefined) headers.set(name, Array.isArray(value) ? value.join(", ") : value);
  }
  const url = new URL(request.url ?? "/", `http://${headers.get("host")}`);
  const method = request.method ?? "GET";
  return {
    method,
    url,
    headers,
    body: new Uint8Array(Buffer.concat(chunks)),
    endpoint: tryParse(method, url),
  };
}

function tryParse(method: string, url: URL): Endpoint | undefined {
  try {
    return parseEndpoint(method, url);
  } catch {
    return;
  }
}

function write(request: IncomingMessage, response: ServerResponse, given: Answer): void {
  const { status, headers, body, cutAt, hangAt, unmeasured } = given;
  if (cutAt === -1) {
    request.socket.destroy();
    return;
  }
  const isHead = request.method === "HEAD";
  const isEmpty = isHead || status === 204;
  if (!headers.has("content-length") && !isEmpty) headers.set("content-length", String(body.length));
  if (unmeasured === true) headers.delete("content-length");
  response.writeHead(status, Object.fromEntries(headers));
  const part = cutAt ?? hangAt;
  if (part === undefined || isEmpty) {
    response.end(isEmpty ? undefined : body);
    return;
  }
  response.write(body.subarray(0, part), () => {
    if (cutAt !== undefined) request.socket.destroy();
  });
}
