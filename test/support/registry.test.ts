import { expect, test } from "bun:test";
import { image, seed } from "./content.ts";
import { startRegistry } from "./registry.ts";

const CREDENTIALS = { username: "robot", password: "secret" };
const BASIC = { Authorization: `Basic ${Buffer.from("robot:secret").toString("base64")}` };

test("basic authentication guards every path", async () => {
  const registry = await startRegistry({ auth: { scheme: "basic", ...CREDENTIALS } });
  const refused = await fetch(`${registry.url}/v2/`);
  expect(refused.status).toBe(401);
  expect(refused.headers.get("WWW-Authenticate")).toBe('Basic realm="test registry"');
  expect((await fetch(`${registry.url}/v2/`, { headers: BASIC })).status).toBe(200);
  await registry.stop();
});

test("a token is good for the repository and the actions that it was asked for", async () => {
  const registry = await startRegistry({ auth: { scheme: "bearer", ...CREDENTIALS, anonymous: "pull" } });
  await seed(registry.store, "a/b", "v1", await image({ seed: "token" }));
  const pull = `${registry.url}/v2/a/b/manifests/v1`;
  const push = `${registry.url}/v2/a/b/blobs/uploads/`;
  const bearer = async (headers: Record<string, string>): Promise<{ Authorization: string }> => {
    const scope = encodeURIComponent("repository:a/b:pull,push");
    const answer = await fetch(`${registry.url}/token?service=test&scope=${scope}`, { headers });
    return { Authorization: `Bearer ${((await answer.json()) as { token: string }).token}` };
  };
  const refused = await fetch(pull);
  expect(refused.status).toBe(401);
  expect(refused.headers.get("WWW-Authenticate")).toBe(
    `Bearer realm="${registry.url}/token",service="test registry",scope="repository:a/b:pull"`,
  );
  const anonymous = await bearer({});
  expect((await fetch(pull, { headers: anonymous })).status).toBe(200);
  expect((await fetch(push, { method: "POST", headers: anonymous })).status).toBe(401);
  const robot = await bearer(BASIC);
  expect((await fetch(push, { method: "POST", headers: robot })).status).toBe(202);
  expect((await fetch(push.replace("/a/b/", "/a/c/"), { method: "POST", headers: robot })).status).toBe(401);
  expect((await fetch(`${registry.url}/token`, { headers: { Authorization: "Basic bm8=" } })).status).toBe(
    401,
  );
  await registry.stop();
});

test("an intercepted request is recorded and answered by the script alone", async () => {
  const registry = await startRegistry({
    intercept: (_request, url) =>
      url.pathname === "/v2/"
        ? new Response(null, { status: 429, headers: { "Retry-After": "1" } })
        : undefined,
  });
  expect((await fetch(`${registry.url}/v2/`)).status).toBe(429);
  expect((await fetch(`${registry.url}/v2/_catalog?n=1`)).status).toBe(200);
  expect(registry.requests.map(({ method, path }) => `${method} ${path}`)).toEqual([
    "GET /v2/",
    "GET /v2/_catalog?n=1",
  ]);
  await registry.stop();
});
