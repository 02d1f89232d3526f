import { expect, test } from "bun:test";
import type { Transport } from "../../src/http/transport.ts";
import { Registries } from "../../src/registry/client.ts";
import type { Credentials } from "../../src/registry/credentials.ts";
import { basicAuthorization } from "../../src/registry/token.ts";

const ROBOT: Credentials = { kind: "password", username: "robot", password: "secret" };
const PULL = [{ repository: "a/b", actions: "pull" }] as const;

/** What is warned of when a registry that wants Basic or a token is asked twice. */
async function warnings(url: string, scheme: "Basic" | "Bearer", login?: Credentials): Promise<string[]> {
  const warned: string[] = [];
  const transport: Transport = async ({ url, headers }) => {
    if (url.pathname === "/token") return Response.json({ token: "t" });
    const { authorization } = headers ?? {};
    const isKnown = authorization === "Bearer t" || authorization === basicAuthorization(ROBOT);
    if (isKnown) return Response.json({ tags: [] });
    const challenge = `${scheme} realm="${url.origin}/token"`;
    return new Response(null, { status: 401, headers: { "www-authenticate": challenge } });
  };
  const signal = new AbortController().signal;
  const policy = { attempts: 1, firstDelay: 1, longestDelay: 1, signal };
  const { host, protocol } = new URL(url);
  const client = new Registries({
    http: { transport, policy },
    credentials: () => login,
    schemes: new Map([[host, protocol === "https:" ? "https" : "http"]]),
    warn: (text) => warned.push(text),
  }).client(host);
  for (let times = 0; times < 2; times++) {
    const response = await client.send({ kind: "listTags", repository: "a/b" }, PULL);
    expect(response.ok).toBe(scheme === "Bearer" || login !== undefined);
  }
  return warned;
}

test.each(["Basic", "Bearer"] as const)(
  "a login that goes over plain HTTP is warned of, once: %s",
  async (scheme) => {
    expect(await warnings("http://registry.corp:5000", scheme, ROBOT)).toEqual([
      "the login for registry.corp:5000 goes over plain HTTP: whoever is on the way can read it",
    ]);
  },
);

test.each([
  ["over TLS", "https://registry.corp", ROBOT],
  ["to this machine", "http://127.0.0.1:5000", ROBOT],
  ["where there is none", "http://registry.corp:5000", undefined],
])("%s it is not", async (_, url, login) => {
  expect(await warnings(url, "Bearer", login)).toEqual([]);
});
