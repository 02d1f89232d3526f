import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DirectoryStore } from "../../src/registry/directory-store.ts";
import { type Endpoint, parseEndpoint } from "../../src/registry/endpoint.ts";
import { errorBody } from "../../src/registry/errors.ts";
import { type Handler, registryHandler } from "../../src/registry/server.ts";
import type { RegistryStore } from "../../src/registry/store.ts";

interface Credentials {
  username: string;
  password: string;
}

/** `bearer`: tokens from `/token`, each good for the repositories and actions that it was asked for. */
type RegistryAuth =
  | ({ scheme: "basic" } & Credentials)
  | ({
      scheme: "bearer" /** What those without credentials may do. Default: nothing. */;
      anonymous?: "pull";
    } & Credentials);

export interface TestRegistryOptions {
  tls?: { cert: string; key: string };
  auth?: RegistryAuth;
  /** As before distribution-spec 1.1: no list of referrers, no `OCI-Subject`. */
  withoutReferrers?: true;
  /** Sees each request first; answers it, or lets it through by returning undefined. */
  intercept?: (request: Request, url: URL) => Response | Promise<Response | undefined> | undefined;
}

interface RecordedRequest {
  method: string;
  /** With the query. */
  path: string;
  headers: Headers;
}

export interface TestRegistry {
  url: string;
  /** `127.0.0.1:PORT` */
  host: string;
  /** In order of arrival, those that were intercepted too. */
  requests: RecordedRequest[];
  store: RegistryStore;
  stop(): Promise<void>;
}

/** A registry on a port of its own, empty, in a temporary directory that goes when it stops. */
export async function startRegistry(options: TestRegistryOptions = {}): Promise<TestRegistry> {
  const directory = await mkdtemp(join(tmpdir(), "eksa-airgap-registry-"));
  const store = new DirectoryStore(directory);
  const handle = options.withoutReferrers ? older(registryHandler(store)) : registryHandler(store);
  const guard = guardFor(options.auth);
  const requests: RecordedRequest[] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    maxRequestBodySize: Number.MAX_SAFE_INTEGER,
    idleTimeout: 0,
    ...(options.tls === undefined ? {} : { tls: options.tls }),
    async fetch(request) {
      const url = new URL(request.url);
      requests.push({
        method: request.method,
        path: url.pathname + url.search,
        headers: new Headers(request.headers),
      });
      return (await options.intercept?.(request, url)) ?? guard(request, url) ?? handle(request);
    },
  });
  return {
    url: `${options.tls === undefined ? "http" : "https"}://127.0.0.1:${server.port}`,
    host: `127.0.0.1:${server.port}`,
    requests,
    store,
    async stop() {
      await server.stop(true);
      await rm(directory, { recursive: true, force: true });
    },
  };
}

function older(handle: Handler): Handler {
  return async (request) => {
    if (new URL(request.url).pathname.includes("/referrers/")) {
      return new Response("404 page not found\n", { status: 404 });
    }
    const response = await handle(request);
    response.headers.delete("OCI-Subject");
    return response;
  };
}

/** Answers what must not pass. */
type Guard = (request: Request, url: URL) => Response | undefined;

function guardFor(auth: RegistryAuth | undefined): Guard {
  if (auth === undefined) return () => undefined;
  if (auth.scheme === "bearer") return bearerGuard(auth);
  return (request) =>
    isAuthenticated(request, auth) ? undefined : unauthorized('Basic realm="test registry"');
}

function bearerGuard(auth: Extract<RegistryAuth, { scheme: "bearer" }>): Guard {
  /** Token → the scopes it is good for, as `repository:NAME:ACTION`. */
  const granted = new Map<string, Set<string>>();
  const issue = (request: Request, url: URL): Response => {
    const isKnown = isAuthenticated(request, auth);
    if (!isKnown && (request.headers.has("Authorization") || auth.anonymous === undefined)) {
      return Response.json({ details: "incorrect username or password" }, { status: 401 });
    }
    const scopes = url.searchParams.getAll("scope").flatMap((scope) => scope.split(" ").flatMap(actionsOf));
    const token = randomUUID();
    granted.set(token, new Set(scopes.filter((scope) => isKnown || scope.endsWith(":pull"))));
    return Response.json({ token, expires_in: 300 });
  };
  return (request, url) => {
    if (url.pathname === "/token" && request.method === "GET") return issue(request, url);
    const token = /^Bearer (.+)$/.exec(request.headers.get("Authorization") ?? "")?.[1] ?? "";
    const wanted = scopesFor(request.method, url);
    const held = granted.get(token);
    if (held !== undefined && wanted.flatMap(actionsOf).every((scope) => held.has(scope))) return;
    const scope = wanted.length === 0 ? "" : `,scope="${wanted.join(" ")}"`;
    return unauthorized(`Bearer realm="${url.origin}/token",service="test registry"${scope}`);
  };
}

/** `repository:a:pull,push` → `repository:a:pull` and `repository:a:push`. */
function actionsOf(scope: string): string[] {
  const colon = scope.lastIndexOf(":");
  const actions = scope.slice(colon + 1).split(",");
  return actions.map((action) => `${scope.slice(0, colon)}:${action}`);
}

function scopesFor(method: string, url: URL): string[] {
  let endpoint: Endpoint | undefined;
  try {
    endpoint = parseEndpoint(method, url);
  } catch {
    return [];
  }
  if (endpoint === undefined || !("repository" in endpoint)) return [];
  const actions =
    method === "GET" || method === "HEAD" ? "pull" : method === "DELETE" ? "delete" : "pull,push";
  const scopes = [`repository:${endpoint.repository}:${actions}`];
  if (endpoint.kind === "mountBlob" && endpoint.from !== undefined) {
    scopes.push(`repository:${endpoint.from}:pull`);
  }
  return scopes;
}

function isAuthenticated(request: Request, { username, password }: Credentials): boolean {
  const expected = `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
  return request.headers.get("Authorization") === expected;
}

function unauthorized(challenge: string): Response {
  const headers = { "Content-Type": "application/json", "WWW-Authenticate": challenge };
  return new Response(errorBody("UNAUTHORIZED", "authentication required"), { status: 401, headers });
}
