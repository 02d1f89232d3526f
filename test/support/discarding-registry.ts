import { createHash, type Hash, randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { digestOf } from "../../src/oci/digest.ts";

export interface DiscardingOptions {
  /** Once so many bytes of a session have come, the connection breaks, in the middle of a request; once. */
  breaksAt?: number;
  /** Milliseconds after which a token is refused, whatever was said of it. */
  tokenLife?: number;
  /** The smallest chunk that it says to take. */
  minChunk?: number;
  /** Told, and waited for, with the bytes that a session has whenever more have come. */
  onBytes?: (size: number) => Promise<void> | void;
  /** A session is forgotten once it has so many bytes. */
  forgetsAt?: number;
}

/** A registry that checks what it gets and keeps no more of it than the digest. */
export class DiscardingRegistry {
  /** Blobs that have been closed with the digest that they have: their bytes. */
  readonly stored = new Map<string, number>();
  /** Paths of the manifests, in order. */
  readonly manifests = new Map<string, string>();
  /** Methods of the requests to sessions, with the range of a chunk. */
  readonly steps: string[] = [];
  tokens = 0;
  breaks = 0;
  readonly #options: DiscardingOptions;
  readonly #sessions = new Map<string, { hash: Hash; size: number }>();
  readonly #server = createServer((request, response) => {
    this.#answer(request, response).catch((error: unknown) => {
      // A client that has gone away is no fault of ours.
      if (!request.destroyed) throw error;
    });
  });
  /** Token → when it was issued. */
  readonly #issued = new Map<string, number>();

  constructor(options: DiscardingOptions) {
    this.#options = options;
  }

  static async start(options: DiscardingOptions = {}): Promise<DiscardingRegistry> {
    const registry = new DiscardingRegistry(options);
    await new Promise<void>((resolve) => registry.#server.listen(0, "127.0.0.1", resolve));
    return registry;
  }

  get host(): string {
    const address = this.#server.address() as AddressInfo;
    return `127.0.0.1:${address.port}`;
  }

  get url(): string {
    return `http://${this.host}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", this.url);
    const { status, headers = {}, body = "" } = await this.#answerTo(request, url);
    // A connection may serve the next request once this one's body is read.
    request.resume();
    response.writeHead(status, headers).end(body);
  }

  async #answerTo(request: IncomingMessage, url: URL): Promise<Answer> {
    const { pathname } = url;
    if (pathname === "/token") {
      const token = `t${++this.tokens}`;
      this.#issued.set(`Bearer ${token}`, performance.now());
      return { status: 200, body: JSON.stringify({ token, expires_in: 3600 }) };
    }
    const { tokenLife = Number.POSITIVE_INFINITY } = this.#options;
    const issued = this.#issued.get(request.headers.authorization ?? "");
    if (issued === undefined || performance.now() - issued > tokenLife) {
      return { status: 401, headers: { "www-authenticate": `Bearer realm="${this.url}/token",service="s"` } };
    }
    if (pathname === "/v2/") return { status: 200 };
    if (pathname.includes("/uploads/")) return this.#upload(request, url);
    if (pathname.includes("/manifests/")) return this.#manifest(request, pathname);
    return { status: this.stored.has(pathname.split("/").at(-1) ?? "") ? 200 : 404 };
  }

  async #upload(request: IncomingMessage, url: URL): Promise<Answer> {
    const { method = "", headers } = request;
    this.steps.push(`${method} ${headers["content-range"] ?? ""}`.trim());
    if (method === "POST") {
      const path = `${url.pathname}${randomUUID()}`;
      this.#sessions.set(path, { hash: createHash("sha256"), size: 0 });
      const { minChunk } = this.#options;
      const minimum = minChunk === undefined ? {} : { "oci-chunk-min-length": String(minChunk) };
      return { status: 202, headers: { location: path, ...minimum } };
    }
    const { pathname } = url;
    const session = this.#sessions.get(pathname);
    const { breaksAt = Number.POSITIVE_INFINITY, forgetsAt = Number.POSITIVE_INFINITY } = this.#options;
    if (session === undefined || session.size >= forgetsAt) return { status: 404 };
    const from = Number(headers["content-range"]?.split("-")[0] ?? session.size);
    if (method === "PATCH" && from !== session.size) return { status: 416 };
    for await (const chunk of request) {
      session.hash.update(chunk);
      session.size += chunk.length;
      await this.#options.onBytes?.(session.size);
      if (this.breaks > 0 || session.size < breaksAt) continue;
      this.breaks++;
      request.socket.destroy();
      break;
    }
    if (method === "PUT") {
      const digest = `sha256:${session.hash.digest("hex")}`;
      if (url.searchParams.get("digest") !== digest) return { status: 400 };
      this.stored.set(digest, session.size);
      return { status: 201 };
    }
    const range = `0-${Math.max(0, session.size - 1)}`;
    return { status: method === "GET" ? 204 : 202, headers: { location: pathname, range } };
  }

  async #manifest(request: IncomingMessage, pathname: string): Promise<Answer> {
    if (request.method === "PUT") {
      const chunks = await Array.fromAsync(request);
      this.manifests.set(pathname, digestOf(Buffer.concat(chunks)));
      return { status: 201 };
    }
    const digest = this.manifests.get(pathname);
    return digest === undefined
      ? { status: 404 }
      : { status: 200, headers: { "docker-content-digest": digest } };
  }
}

interface Answer {
  status: number;
  headers?: Record<string, string>;
  body?: string;
}
