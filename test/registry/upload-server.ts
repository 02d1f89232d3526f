import { type Digest, digestOf, isDigest } from "../../src/oci/digest.ts";

interface UploadRequest {
  method: string;
  url: URL;
  headers: Headers;
  body: Uint8Array;
}

export interface UploadServerOptions {
  tls?: { cert: string; key: string };
  /** What PATCH is answered with. Default: 202. */
  patchStatus?: number;
  /** What the last PUT is answered with. Default: 201. */
  putStatus?: number;
  /** The address of the next step; `path` is absolute and holds the session. Default: `path` and a new state. */
  location?: (path: string, state: string) => string;
  /** Answers in the server's place; seen with its whole body. */
  script?: (request: UploadRequest) => Response | undefined;
}

export interface UploadServer {
  url: string;
  host: string;
  requests: UploadRequest[];
  blobs: Map<Digest, Uint8Array>;
  stop(): Promise<void>;
}

/**
 * The upload side of a registry as strict as they come: one PATCH a session, without Content-Range, and at
 * every step only the state that was handed out last.
 */
export function startUploadServer(options: UploadServerOptions = {}): UploadServer {
  const { patchStatus = 202, putStatus = 201, script } = options;
  const location = options.location ?? ((path, state) => `${path}?_state=${state}`);
  const requests: UploadRequest[] = [];
  const blobs = new Map<Digest, Uint8Array>();
  const sessions = new Map<string, { state: string; bytes?: Uint8Array }>();
  let count = 0;

  const next = (path: string, status: number) => {
    const state = `s${++count}`;
    sessions.set(path, { ...sessions.get(path), state });
    return new Response(null, { status, headers: { location: location(path, state) } });
  };
  const answer = ({ method, url, headers, body }: UploadRequest): Response => {
    if (url.pathname === "/v2/") return new Response("{}");
    if (method === "POST") return next(`${url.pathname}session-${++count}`, 202);
    if (method === "HEAD") return new Response(null, { status: 404 });
    const session = sessions.get(url.pathname);
    if (session === undefined || url.searchParams.get("_state") !== session.state) {
      return Response.json({ errors: [{ code: "BLOB_UPLOAD_UNKNOWN" }] }, { status: 404 });
    }
    if (method === "PATCH") {
      if (session.bytes !== undefined || headers.has("content-range"))
        return new Response(null, { status: 416 });
      session.bytes = body;
      return next(url.pathname, patchStatus);
    }
    const digest = url.searchParams.get("digest") ?? "";
    const bytes = session.bytes ?? new Uint8Array();
    if (!isDigest(digest) || digestOf(bytes) !== digest) {
      return Response.json({ errors: [{ code: "DIGEST_INVALID", message: "they differ" }] }, { status: 400 });
    }
    blobs.set(digest, bytes);
    return new Response(null, { status: putStatus });
  };
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    ...(options.tls === undefined ? {} : { tls: options.tls }),
    async fetch(request) {
      const body = await request.bytes();
      const asked = { method: request.method, url: new URL(request.url), headers: request.headers, body };
      requests.push(asked);
      return script?.(asked) ?? answer(asked);
    },
  });
  const host = `127.0.0.1:${server.port}`;
  const url = `${options.tls === undefined ? "http" : "https"}://${host}`;
  return { url, host, requests, blobs, stop: () => server.stop(true) };
}
