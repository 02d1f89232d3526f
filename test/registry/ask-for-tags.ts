import type { Scope } from "../../src/registry/auth.ts";
import type { RegistryClient } from "../../src/registry/client.ts";
import type { Credentials } from "../../src/registry/credentials.ts";
import { startRegistry, type TestRegistry } from "../support/registry.ts";
import { connect } from "./connect.ts";

const PULL: Scope[] = [{ repository: "a/b", actions: "pull" }];
export const PUSH: Scope[] = [{ repository: "a/b", actions: "pull,push" }];

export function clientOf({ url, host }: TestRegistry, credentials?: Credentials): RegistryClient {
  return connect({ urls: [url], credentials: (name) => (name === host ? credentials : undefined) }).client(
    host,
  );
}

export function tags(client: RegistryClient, scopes = PULL): Promise<Response> {
  return client.send({ kind: "listTags", repository: "a/b" }, scopes);
}

export function tokenRequests({ requests }: TestRegistry): string[] {
  return requests
    .filter(({ path }) => path.startsWith("/token"))
    .map(({ method, path }) => `${method} ${path}`);
}

/** A registry that only takes the token `good`, and whose token server is scripted. */
export function scripted(
  token: (request: Request, url: URL) => Response | Promise<Response>,
): Promise<TestRegistry> {
  return startRegistry({
    intercept: (request, url) => {
      if (url.pathname === "/token") return token(request, url);
      if (request.headers.get("authorization") === "Bearer good") return Response.json({ tags: [] });
      return challenge(`Bearer realm="${url.origin}/token",service="s"`);
    },
  });
}

export function challenge(header: string): Response {
  return new Response(null, { status: 401, headers: { "www-authenticate": header } });
}
