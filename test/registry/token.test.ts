import { expect, test } from "bun:test";
import type { Credentials } from "../../src/registry/credentials.ts";
import { serveRaw } from "../http/server.ts";
import { faultOf, textOf } from "../support/faults.ts";
import { startRegistry, type TestRegistryOptions } from "../support/registry.ts";
import { challenge, clientOf, PUSH, scripted, tags } from "./ask-for-tags.ts";
import { stoppedAfterEach } from "./started.ts";

const ROBOT = { username: "robot", password: "s3cret-w0rd" };

const started = stoppedAfterEach();
const start = (options: TestRegistryOptions) => started(startRegistry(options));

const startScripted = (token: Parameters<typeof scripted>[0]) => started(scripted(token));

const IDENTITY: Credentials = { kind: "identityToken", token: "refresh-me" };

test("an identity token is exchanged by POST, with the scopes in one field", async () => {
  const forms: string[] = [];
  const registry = await startScripted(async (request) => {
    forms.push(`${request.method} ${await request.text()}`);
    return Response.json({ access_token: "good" });
  });
  const client = clientOf(registry, IDENTITY);
  await tags(client, [...PUSH, { repository: "c/d", actions: "pull" }]);
  expect(forms).toHaveLength(1);
  expect(Object.fromEntries(new URLSearchParams(forms[0]?.replace("POST ", "")))).toEqual({
    grant_type: "refresh_token",
    client_id: "eksa-airgap",
    refresh_token: "refresh-me",
    scope: "repository:a/b:pull,push repository:c/d:pull",
    service: "s",
  });
});

test.each([404, 405])("a token server that answers %i to POST is asked by GET", async (status) => {
  const registry = await startScripted((request) =>
    request.method === "POST" ? new Response(null, { status }) : Response.json({ token: "good" }),
  );
  expect((await tags(clientOf(registry, IDENTITY))).status).toBe(200);
});

test("an answer to POST that breaks off is asked for again", async () => {
  const whole = JSON.stringify({ token: "good" });
  const server = serveRaw((_, count) =>
    count === 1
      ? { status: 200, body: whole.slice(0, 5), length: whole.length }
      : { status: 200, body: whole },
  );
  await started(server);
  const registry = await start({
    intercept: (request) =>
      request.headers.get("authorization") === "Bearer good"
        ? Response.json({ tags: [] })
        : challenge(`Bearer realm="${server.url}",service="s"`),
  });
  expect((await tags(clientOf(registry, IDENTITY))).status).toBe(200);
  expect(server.requests.map(({ method }) => method)).toEqual(["POST", "POST"]);
});

test("an identity token that is refused is reported with what was asked, and not shown", async () => {
  const registry = await startScripted(() => Response.json({ error: "invalid_grant" }, { status: 400 }));
  const fault = await faultOf(() => tags(clientOf(registry, IDENTITY)));
  expect(fault.message).toBe(`cannot get a token for ${registry.host}`);
  expect(textOf(fault)).toContain(`POST ${registry.url}/token answered 400 (invalid_grant`);
  expect(textOf(fault)).toContain(`log in again with \`docker login ${registry.host}\``);
  expect(textOf(fault)).not.toContain("refresh-me");
});

test("a wrong password is reported with the registry's name and words, and without the password", async () => {
  const registry = await start({ auth: { scheme: "bearer", ...ROBOT } });
  const wrong = { kind: "password", username: "robot", password: "wr0ng-w0rd" } as const;
  const fault = await faultOf(() => tags(clientOf(registry, wrong)));
  expect(textOf(fault)).toContain("incorrect username or password");
  expect(fault.hint).toContain(registry.host);
  expect(textOf(fault)).not.toContain("wr0ng-w0rd");
});

test.each([
  ["is no JSON", () => new Response("<html>tok-en</html>")],
  ["is no object", () => Response.json("tok-en")],
  ["holds no token", () => Response.json({ jwt: "tok-en" })],
  ["holds a token of another type", () => Response.json({ token: { is: "tok-en" } })],
  ["holds a token that would forge a header", () => Response.json({ token: "tok-en\r\nx-evil: 1" })],
])("a token answer that %s is refused, and not quoted", async (_, answer) => {
  const registry = await startScripted(answer);
  const fault = await faultOf(() => tags(clientOf(registry)));
  expect(textOf(fault)).toContain("it holds no token");
  expect(textOf(fault)).not.toContain("tok-en");
});

test.each([
  ["announced", () => new Response("x".repeat(2 << 20))],
  ["unannounced", () => new Response(endless())],
])("a token answer without measure, %s, is not read to its end", async (_, answer) => {
  const registry = await startScripted(answer);
  const fault = await faultOf(() => tags(clientOf(registry)));
  expect(textOf(fault)).toContain("answered with more than 1048576 bytes");
});

function endless(): ReadableStream<Uint8Array> {
  return new ReadableStream({ pull: (controller) => controller.enqueue(new Uint8Array(64 * 1024)) });
}
