import { expect, test } from "bun:test";
import type { Scope } from "../../src/registry/auth.ts";
import type { RegistryClient } from "../../src/registry/client.ts";
import { seed } from "../support/content.ts";
import { rawImage } from "../support/memory.ts";
import type { Quirks } from "../support/quirks.ts";
import { type QuirkyRegistry, startQuirkyRegistry } from "../support/quirks.ts";
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

test.each(["token401", "token403", "pull403"] as const)(
  "a saved login that is refused (%s) costs one warning, and is not shown again to read",
  async (staleLogin) => {
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
    expect(tokens(here)).toEqual(["nobody repository:c:pull"]);
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
