import { expect, test } from "bun:test";
import type { Credentials } from "../../src/registry/credentials.ts";
import { describeFault } from "../../src/terminal/fault.ts";
import { faultOf } from "../support/faults.ts";
import { startRegistry, type TestRegistryOptions } from "../support/registry.ts";
import { challenge, clientOf, PUSH, scripted, tags, tokenRequests } from "./ask-for-tags.ts";
import { stoppedAfterEach } from "./started.ts";

const ROBOT = { username: "robot", password: "s3cret-w0rd" };
const PASSWORD: Credentials = { kind: "password", ...ROBOT };
const BASIC = `Basic ${Buffer.from(`${ROBOT.username}:${ROBOT.password}`).toString("base64")}`;

const started = stoppedAfterEach();
const start = (options: TestRegistryOptions) => started(startRegistry(options));

const startScripted = (token: Parameters<typeof scripted>[0]) => started(scripted(token));

test("a token is fetched once for what it is good for, and used again", async () => {
  const registry = await start({ auth: { scheme: "bearer", ...ROBOT } });
  const client = clientOf(registry, PASSWORD);
  for (let times = 0; times < 3; times++) expect((await tags(client)).status).toBe(404);
  await client.send({ kind: "startUpload", repository: "a/b" }, PUSH);
  await client.send({ kind: "startUpload", repository: "a/b" }, PUSH);
  expect(tokenRequests(registry)).toEqual([
    "GET /token?service=test+registry&scope=repository%3Aa%2Fb%3Apull",
    "GET /token?service=test+registry&scope=repository%3Aa%2Fb%3Apull%2Cpush",
  ]);
});

test("many requests at once share one token", async () => {
  const registry = await start({ auth: { scheme: "bearer", ...ROBOT } });
  const client = clientOf(registry, PASSWORD);
  await client.ping();
  await Promise.all(Array.from({ length: 8 }, () => tags(client)));
  expect(tokenRequests(registry)).toHaveLength(1);
});

test("a token that was refused once does not keep the next request from asking again", async () => {
  let refuse = true;
  const registry = await startScripted(() =>
    refuse ? new Response("no", { status: 403 }) : Response.json({ token: "good" }),
  );
  const client = clientOf(registry);
  await faultOf(() => tags(client));
  refuse = false;
  expect((await tags(client)).status).toBe(200);
});

test.each([
  [403, "check the user name and the password"],
  [503, "look at the registry's own log"],
])("where the token server answers %i, the hint is %p", async (status, hint) => {
  const registry = await startScripted(() => new Response(null, { status }));
  const fault = await faultOf(() => tags(clientOf(registry, PASSWORD)));
  expect(describeFault(fault).hints[0]).toContain(hint);
});

test("the ping learns the challenge: the first real request already carries a token", async () => {
  const registry = await start({ auth: { scheme: "bearer", ...ROBOT } });
  await tags(clientOf(registry, PASSWORD));
  expect(registry.requests.map(({ method, path }) => `${method} ${path.split("?")[0]}`)).toEqual([
    "GET /v2/",
    "GET /token",
    "GET /v2/a/b/tags/list",
  ]);
});

test("a registry that challenges nowhere but at the ping is understood", async () => {
  const registry = await start({
    intercept: (request, url) => {
      if (request.headers.get("authorization") === BASIC) return Response.json({ tags: [] });
      return url.pathname === "/v2/" ? challenge('Basic realm="r"') : new Response(null, { status: 401 });
    },
  });
  expect((await tags(clientOf(registry, PASSWORD))).status).toBe(200);
});

test("a registry that challenges only at a real request is understood, and the request is sent again", async () => {
  const registry = await start({
    intercept: (request, url) => {
      if (url.pathname === "/v2/") return new Response("{}");
      return request.headers.get("authorization") === BASIC
        ? Response.json({ tags: [] })
        : challenge("BASIC realm=r");
    },
  });
  const client = clientOf(registry, PASSWORD);
  expect((await tags(client)).status).toBe(200);
  expect((await tags(client)).status).toBe(200);
  expect(registry.requests.map(({ headers }) => headers.get("authorization"))).toEqual([
    null,
    null,
    BASIC,
    BASIC,
  ]);
});

test("a login is never given to where a redirect leads, whatever is asked for there", async () => {
  const elsewhere = await start({
    intercept: (_, url) => challenge(`Bearer realm="${url.origin}/token",service="s"`),
  });
  const registry = await start({
    intercept: ({ headers }, url) => {
      if (headers.get("authorization") !== BASIC) return challenge('Basic realm="r"');
      return url.pathname === "/v2/" ? undefined : Response.redirect(`${elsewhere.url}${url.pathname}`, 307);
    },
  });
  expect((await tags(clientOf(registry, PASSWORD))).status).toBe(401);
  expect(elsewhere.requests.length).toBeGreaterThan(0);
  expect(elsewhere.requests.filter(({ headers }) => headers.has("authorization"))).toEqual([]);
  expect(tokenRequests(elsewhere)).toEqual([]);
});

test("what is refused in spite of the credentials is not asked a third time", async () => {
  const registry = await start({ intercept: () => challenge('Basic realm="r"') });
  expect((await tags(clientOf(registry, PASSWORD))).status).toBe(401);
  expect(registry.requests).toHaveLength(2);
});

test("a fresh token that is refused as well is not replaced again", async () => {
  const registry = await startScripted(() => Response.json({ token: "never good enough" }));
  expect((await tags(clientOf(registry))).status).toBe(401);
  expect(tokenRequests(registry)).toHaveLength(2);
});

test("nobody in particular is not asked twice where only a password would help", async () => {
  const registry = await start({ intercept: () => challenge('Basic realm="r"') });
  expect((await tags(clientOf(registry))).status).toBe(401);
  expect(registry.requests).toHaveLength(2);
});

test.each([
  "not a url SECRET",
  "/a path SECRET",
  "token/SECRET",
  "ftp://auth.example/SECRET",
  "file:///SECRET",
  "http://",
  "",
])("a realm that is no address, `%s`, is no way in: nobody is asked for a token there", async (realm) => {
  const registry = await start({ intercept: () => challenge(`Bearer realm="${realm}",service="s"`) });
  expect((await tags(clientOf(registry, PASSWORD))).status).toBe(401);
  expect(new Set(registry.requests.map(({ path }) => path))).toEqual(new Set(["/v2/", "/v2/a/b/tags/list"]));
  const basic = await start({
    intercept: ({ headers }) =>
      headers.get("authorization") === BASIC
        ? Response.json({ tags: [] })
        : challenge(`Bearer realm="${realm}", Basic realm="r"`),
  });
  expect((await tags(clientOf(basic, PASSWORD))).status).toBe(200);
});

test("of several ways in a token is chosen, and Negotiate never", async () => {
  const registry = await start({
    intercept: (request, url) => {
      if (url.pathname === "/token") return Response.json({ token: "good" });
      if (request.headers.get("authorization") === "Bearer good") return Response.json({ tags: [] });
      return challenge(`Negotiate, Basic realm="r", Bearer realm="/token",service="s"`);
    },
  });
  expect((await tags(clientOf(registry, PASSWORD))).status).toBe(200);
  expect(registry.requests[1]?.headers.get("authorization")).toBe(BASIC);
});

test("a token that is refused later is replaced once, and the request sent again", async () => {
  const valid = new Set<string>();
  const issued: string[] = [];
  const registry = await start({
    intercept: (request, url) => {
      if (url.pathname === "/token") {
        issued.push(`t${issued.length}`);
        valid.add(`Bearer t${issued.length - 1}`);
        return Response.json({ token: issued.at(-1), expires_in: 3600 });
      }
      if (valid.has(request.headers.get("authorization") ?? "")) return Response.json({ tags: [] });
      return challenge(`Bearer realm="${url.origin}/token",error="invalid_token"`);
    },
  });
  const client = clientOf(registry);
  expect((await tags(client)).status).toBe(200);
  valid.clear();
  expect((await tags(client)).status).toBe(200);
  expect(issued).toEqual(["t0", "t1"]);
});

test.each([
  ["token", { token: "good" }],
  ["access_token", { access_token: "good" }],
  ["both", { token: "good", access_token: "other" }],
  ["an empty token beside the other", { token: "", access_token: "good" }],
])("the token server may call it %s", async (_, answer) => {
  const registry = await startScripted(() => Response.json(answer));
  expect((await tags(clientOf(registry))).status).toBe(200);
});

test.each([
  ["no lifetime", {}],
  ["an absurdly short one", { expires_in: 1 }],
])("a token with %s is good for a minute", async (_, life) => {
  const registry = await startScripted(() => Response.json({ token: "good", ...life }));
  const client = clientOf(registry);
  await tags(client);
  await tags(client);
  expect(tokenRequests(registry)).toHaveLength(1);
});

test("a token is renewed before its time is up", async () => {
  const registry = await startScripted(() => Response.json({ token: "good", expires_in: 300 }));
  const client = clientOf(registry);
  const clock = Date.now;
  try {
    await tags(client);
    const later = clock() + 290_000;
    Date.now = () => later;
    await tags(client);
    expect(tokenRequests(registry)).toHaveLength(1);
    Date.now = () => later + 6000;
    await tags(client);
    expect(tokenRequests(registry)).toHaveLength(2);
  } finally {
    Date.now = clock;
  }
});

test("a mount asks for the push first, and for the pull on the other repository as well", async () => {
  const registry = await start({ auth: { scheme: "bearer", ...ROBOT } });
  const client = clientOf(registry, PASSWORD);
  const endpoint = {
    kind: "mountBlob",
    repository: "a/b",
    from: "c/d",
    digest: `sha256:${"0".repeat(64)}`,
  } as const;
  expect((await client.send(endpoint, [...PUSH, { repository: "c/d", actions: "pull" }])).status).toBe(202);
  const [asked = ""] = tokenRequests(registry);
  expect(new URLSearchParams(asked.split("?")[1]).getAll("scope")).toEqual([
    "repository:a/b:pull,push",
    "repository:c/d:pull",
  ]);
});

test("a scope of the registry's own invention is echoed, as public.ecr.aws wants it", async () => {
  const registry = await start({
    intercept: (request, url) => {
      if (url.pathname === "/token") return Response.json({ token: "good" });
      if (request.headers.get("authorization") === "Bearer good") return Response.json({ tags: [] });
      return challenge('Bearer realm="/token",service="public.ecr.aws",scope="aws"');
    },
  });
  await tags(clientOf(registry));
  expect(tokenRequests(registry)).toEqual(["GET /token?service=public.ecr.aws&scope=aws"]);
});

test("a query in the realm is kept", async () => {
  const registry = await start({
    intercept: (request, url) => {
      if (url.pathname === "/token") return Response.json({ token: "good" });
      if (request.headers.get("authorization") === "Bearer good") return Response.json({ tags: [] });
      return challenge('Bearer realm="/token?tenant=7"');
    },
  });
  await tags(clientOf(registry));
  expect(tokenRequests(registry)).toEqual(["GET /token?tenant=7&scope=repository%3Aa%2Fb%3Apull"]);
});
