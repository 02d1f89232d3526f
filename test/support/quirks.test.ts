import { expect, test } from "bun:test";
import { digestOf } from "../../src/oci/digest.ts";
import { exportFrom, leaks, openStage, someContents, startSource } from "../registry/quirks-carry.ts";
import { stoppedAfterEach } from "../registry/started.ts";
import { type QuirkyRegistry, startQuirkyRegistry } from "./quirks.ts";

const started = stoppedAfterEach();

/** A request with these headers to what the registry has redirected a blob to. */
async function blobFromStore(registry: QuirkyRegistry, headers: Record<string, string>): Promise<Response[]> {
  const bytes = new TextEncoder().encode("a blob");
  const upload = await registry.store.startUpload("a");
  await upload.append(new Blob([bytes]).stream());
  await upload.commit(digestOf(bytes));
  const path = `${registry.url}/v2/a/blobs/${digestOf(bytes)}`;
  const { headers: redirect } = await fetch(path, { redirect: "manual" });
  const location = redirect.get("location") ?? "";
  return [await fetch(location, { headers }), await fetch(location)];
}

test("a store serves a signed address once, and not to whoever brings another login", async () => {
  const registry = await started(startQuirkyRegistry({ challenge: "open", redirectsBlobs: "store" }));
  expect((await blobFromStore(registry, {})).map(({ status }) => status)).toEqual([200, 403]);
  const [refused] = await blobFromStore(registry, { authorization: "Basic x" });
  expect(refused?.status).toBe(400);
});

test("what goes where it does not belong is seen in the ledger", async () => {
  const registry = await started(startQuirkyRegistry({ redirectsBlobs: "store" }));
  const { ledger, login } = registry;
  const entry = (role: "registry" | "realm" | "storage", path: string, headers: Record<string, string>) =>
    ledger.push({ role, host: "h", method: "HEAD", path, headers: new Headers(headers) });
  const basic = `Basic ${btoa(`${login.username}:${login.password}`)}`;
  entry("registry", "/v2/", { authorization: basic });
  entry("realm", "/token", { authorization: basic });
  entry("registry", "/v2/", { authorization: "Bearer t0ken-1" });
  expect(leaks(undefined, registry)).toEqual([]);
  entry("storage", "/1", { authorization: "Bearer t0ken-1" });
  entry("realm", "/2", { authorization: "Bearer t0ken-1" });
  entry("registry", "/3", { cookie: "sid=1" });
  entry("registry", `/4?p=${login.password}`, {});
  entry("registry", "/5", { authorization: "Basic b3RoZXI6d29yZA==" });
  entry("registry", "/v2/a/blobs/6", {});
  expect(leaks(registry, undefined)).toHaveLength(6);
});

test("a registry that redirects saw the login, its store did not, and both are in the ledger", async () => {
  const stage = await openStage();
  try {
    const contents = await someContents();
    const registry = await startSource(stage, { redirectsBlobs: "store" }, contents);
    await exportFrom(registry, `${stage.folder}/x.tar`, contents);
    const withLogin = (role: string) =>
      registry.ledger
        .filter((entry) => entry.role === role)
        .map(({ headers }) => headers.has("authorization"));
    expect(new Set(withLogin("realm"))).toEqual(new Set([true]));
    expect(new Set(withLogin("storage"))).toEqual(new Set([false]));
    expect(withLogin("registry")).toContain(true);
  } finally {
    await stage.stop();
  }
});
