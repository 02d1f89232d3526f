import { expect, test } from "bun:test";
import type { Scope } from "../../src/registry/auth.ts";
import type { RegistryClient } from "../../src/registry/client.ts";
import { seed } from "../support/content.ts";
import { rawImage } from "../support/memory.ts";
import type { Quirks } from "../support/quirks.ts";
import { type QuirkyRegistry, startQuirkyRegistry } from "../support/quirks.ts";
import { startRegistry } from "../support/registry.ts";
import { connect } from "./connect.ts";
import { stoppedAfterEach } from "./started.ts";

const started = stoppedAfterEach();

interface Visit {
  registry: QuirkyRegistry;
  client: RegistryClient;
  warnings: string[];
}

async function visit(quirks: Quirks): Promise<Visit> {
  const registry = await started(startQuirkyRegistry(quirks));
  const warnings: string[] = [];
  const credentials = () => ({ kind: "password", ...registry.login }) as const;
  const warn = (text: string) => warnings.push(text);
  const client = connect({ urls: [registry.url], credentials, warn }).client(registry.host);
  return { registry, client, warnings };
}

function scope(repository: string, actions: Scope["actions"] = "pull"): Scope[] {
  return [{ repository, actions }];
}

async function tags({ client }: Visit, repository: string, scopes = scope(repository)): Promise<number> {
  return (await client.send({ kind: "listTags", repository }, scopes)).status;
}

/** What each token was asked for, and whether with a login. */
function tokens({ registry }: Visit): string[] {
  return registry.ledger
    .filter(({ role }) => role === "realm")
    .map(({ path, headers }) => {
      const scopes = new URLSearchParams(path.split("?")[1]).getAll("scope").join(" ");
      return `${headers.has("authorization") ? "robot" : "nobody"} ${scopes}`;
    });
}

test.each([
  ["token401", ["nobody repository:c:pull"]],
  // Which may have been for those repositories alone.
  ["token403", ["robot repository:c:pull", "nobody repository:c:pull"]],
  ["pull403", ["robot repository:c:pull", "nobody repository:c:pull"]],
] as const)(
  "a saved login that is refused (%s) costs one warning, and keeps from nothing that everybody may read",
  async (staleLogin, next) => {
    const here = await visit({ staleLogin, anonymousPull: true });
    for (const repository of ["a", "b", "c"])
      await seed(here.registry.store, repository, "v1", rawImage(["l"]));
    expect(await Promise.all(["a", "b"].map((repository) => tags(here, repository)))).toEqual([200, 200]);
    expect(here.warnings).toHaveLength(1);
    expect(here.warnings[0]).toContain(`the saved login for ${here.registry.host} is refused`);
    expect(here.warnings[0]).toContain("Your authorization token has expired");
    expect(here.warnings[0]).not.toContain(here.registry.login.password);
    here.registry.ledger.length = 0;
    expect(await tags(here, "c")).toBe(200);
    expect(tokens(here)).toEqual([...next]);
    here.registry.ledger.length = 0;
    for (const repository of ["a", "c"]) expect(await tags(here, repository)).toBe(200);
    expect(tokens(here).filter((line) => line.startsWith("robot"))).toEqual([]);
    expect(here.warnings).toHaveLength(1);
  },
);

/** A token server with a login for each repository, and a registry that lets nobody but these in. */
async function visitShared(refuse: (repository: string, user: string, at: string) => number | undefined) {
  const registry = await started(
    startRegistry({
      intercept: ({ headers }, url) => {
        const [kind = "", secret = ""] = (headers.get("authorization") ?? "").split(" ");
        if (url.pathname === "/token") {
          const user =
            kind === "" ? "nobody" : (Buffer.from(secret, "base64").toString().split(":")[0] ?? "");
          const [, repository = ""] = (url.searchParams.get("scope") ?? "").split(":");
          const status = refuse(repository, user, "token");
          return status === undefined ? Response.json({ token: user }) : new Response("no", { status });
        }
        if (kind === "") {
          const challenge = `Bearer realm="${url.origin}/token",service="s"`;
          return new Response(null, { status: 401, headers: { "www-authenticate": challenge } });
        }
        const repository = url.pathname.split("/")[2] ?? "";
        const status = refuse(repository, secret, "registry");
        if (url.pathname === "/v2/") return;
        return status === undefined
          ? Response.json({ name: repository, tags: [secret] })
          : new Response("no", { status });
      },
    }),
  );
  const warnings: string[] = [];
  const credentials = (_: string, repository = "") =>
    ({ kind: "password", username: `${repository.split("-")[0]}-user`, password: "word" }) as const;
  const warn = (text: string) => warnings.push(text);
  const client = connect({ urls: [registry.url], credentials, warn }).client(registry.host);
  /** Who it was that read a repository. */
  const reader = async (repository: string) => {
    const response = await client.send({ kind: "listTags", repository }, scope(repository));
    return response.ok ? ((await response.json()) as { tags: string[] }).tags[0] : response.status;
  };
  return { reader, warnings };
}

test("one login that is not known any more leaves those for other repositories in use", async () => {
  const { reader, warnings } = await visitShared((repository, user, at) => {
    if (user === "public-user" && at === "token") return 401;
    return repository.startsWith("private") && user === "nobody" ? 401 : undefined;
  });
  expect(await reader("private-a")).toBe("private-user");
  expect(await reader("public-a")).toBe("nobody");
  expect(await reader("private-a")).toBe("private-user");
  expect(await reader("private-b")).toBe("private-user");
  expect(warnings).toHaveLength(1);
});

test.each([
  ["token", 403],
  ["token", 400],
  ["registry", 403],
  ["registry", 401],
])(
  "a good login that may not read one public repository (%s, %i) still reads all others",
  async (where, status) => {
    const { reader, warnings } = await visitShared((repository, user, at) => {
      if (repository === "team-public") return user !== "nobody" && at === where ? status : undefined;
      return user === "nobody" ? 401 : undefined;
    });
    expect(await reader("team-public")).toBe("nobody");
    expect(await reader("team-private")).toBe("team-user");
    expect(await reader("team-public")).toBe("nobody");
    expect(warnings).toHaveLength(1);
  },
);

test("a login that may not read what nobody else is shown stays in use", async () => {
  const here = await visit({ staleLogin: "pull403", anonymousPull: true });
  expect(await tags(here, "hidden")).toBe(403);
  expect(here.warnings).toEqual([]);
});

test("a login that is refused is not given up to write: it is named as the reason", async () => {
  const here = await visit({ staleLogin: "token401", anonymousPull: true });
  const sent = here.client.send({ kind: "startUpload", repository: "a" }, scope("a", "pull,push"));
  expect(sent).rejects.toThrow(`cannot get a token for ${here.registry.host}`);
  await sent.catch(() => {});
  expect(tokens(here)).toEqual(["robot repository:a:pull,push"]);
  expect(here.warnings).toEqual([]);
});

test("where nobody may read without a login, its refusal is the last word", async () => {
  const here = await visit({ staleLogin: "token403" });
  expect(tags(here, "a")).rejects.toThrow(`cannot get a token for ${here.registry.host}`);
  await tags(here, "a").catch(() => {});
  expect(here.warnings).toEqual([]);
});

test("a token to push into a repository is used to read from it as well", async () => {
  const here = await visit({});
  await here.client.send({ kind: "startUpload", repository: "a" }, scope("a", "pull,push"));
  expect(await tags(here, "a")).toBe(404);
  expect(tokens(here)).toEqual(["robot repository:a:pull,push"]);
});

test("two scopes for one repository are asked for as the greater one, once", async () => {
  const here = await visit({ laterScopeOverwrites: true });
  const scopes = [...scope("a", "pull,push"), ...scope("b"), ...scope("a")];
  await here.client.send({ kind: "startUpload", repository: "a" }, scopes);
  expect(tokens(here)).toEqual(["robot repository:a:pull,push repository:b:pull"]);
});

test("a token that ends is replaced, although the registry challenged only at the ping", async () => {
  const here = await visit({ challengesOnlyAtPing: true, tokenGoodFor: 1 });
  expect([await tags(here, "a"), await tags(here, "a"), await tags(here, "a")]).toEqual([404, 404, 404]);
  expect(tokens(here)).toHaveLength(3);
});

test("many requests whose token has ended fetch one new token between them", async () => {
  const here = await visit({ tokenGoodFor: 9 });
  await tags(here, "a");
  await Promise.all(Array.from({ length: 8 }, () => tags(here, "a")));
  const statuses = await Promise.all(Array.from({ length: 8 }, () => tags(here, "a")));
  expect(statuses).toEqual(Array.from({ length: 8 }, () => 404));
  expect(tokens(here)).toHaveLength(2);
});

test("many first requests at once to a registry that challenges only then all get in", async () => {
  const here = await visit({ pingIsOpen: true, challenge: "BASIC" });
  const statuses = await Promise.all(Array.from({ length: 8 }, () => tags(here, "a")));
  expect(statuses).toEqual(Array.from({ length: 8 }, () => 404));
});
