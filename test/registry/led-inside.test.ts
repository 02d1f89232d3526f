import { afterEach, expect, test } from "bun:test";
import { createHttp } from "../../src/http/client.ts";
import type { Transport } from "../../src/http/transport.ts";
import { Registries } from "../../src/registry/client.ts";
import type { Credentials } from "../../src/registry/credentials.ts";
import { openForeign } from "../../src/registry/foreign.ts";
import { faultOf, textOf } from "../support/faults.ts";
import { startRegistry, type TestRegistry } from "../support/registry.ts";

let inside: TestRegistry;
afterEach(() => inside.stop());

/** An address of the Internet that answers what it is told to; everything else is really asked. */
async function publicRegistry(answer: (inside: string) => Response, credentials?: Credentials) {
  inside = await startRegistry();
  const retry = { attempts: 1, firstDelay: 1, longestDelay: 1 };
  const options = { authorities: [], plainHosts: new Set<string>(), userAgent: "test", retry };
  const http = createHttp({ ...options, signal: new AbortController().signal });
  const transport: Transport = async (request) =>
    request.url.hostname === "8.8.8.8" ? answer(inside.url) : http.transport(request);
  const schemes = new Map([["8.8.8.8", "http" as const]]);
  const lookup = () => credentials;
  return new Registries({ http: { ...http, transport }, credentials: lookup, schemes }).client("8.8.8.8");
}

const challenge = (realm: string) =>
  new Response(null, { status: 401, headers: { "WWW-Authenticate": `Bearer realm="${realm}/token"` } });
const pull = [{ repository: "a/b", actions: "pull" }] as const;

test.each<[string, Credentials | undefined]>([
  ["nobody", undefined],
  ["a password", { kind: "password", username: "robot", password: "secret" }],
  ["an identity token", { kind: "identityToken", token: "secret" }],
])("a public registry cannot have a token asked for inside, with %s", async (_, credentials) => {
  const client = await publicRegistry(challenge, credentials);
  const fault = await faultOf(() => client.send({ kind: "listTags", repository: "a/b" }, pull));
  expect(fault.cause).toMatchObject({ code: "INTERNAL_ADDRESS" });
  expect(inside.requests).toEqual([]);
});

test("a public registry cannot have an upload sent inside", async () => {
  const client = await publicRegistry(() => new Response("{}"));
  const request = { method: "PATCH", url: new URL("/v2/a/b/blobs/uploads/1", inside.url) } as const;
  await expect(client.exchange(request, pull)).rejects.toMatchObject({ code: "INTERNAL_ADDRESS" });
  expect(inside.requests).toEqual([]);
});

test("a public registry's manifest cannot have a layer fetched inside", async () => {
  const { http } = await publicRegistry(() => new Response("{}"));
  const urls = [inside.url.replace("http:", "https:")];
  const descriptor = { mediaType: "a/b", digest: `sha256:${"a".repeat(64)}`, size: 1 } as const;
  const registry = new URL("https://8.8.8.8/v2/");
  const refusal = new Error("it is not here");
  const layer = { descriptor: { ...descriptor, urls }, registry, refusal, from: 0 };
  expect(textOf(await faultOf(() => openForeign(http, layer)))).toContain("an address inside this network");
});
