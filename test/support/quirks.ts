import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DirectoryStore } from "../../src/registry/directory-store.ts";
import { parseEndpoint } from "../../src/registry/endpoint.ts";
import { registryHandler } from "../../src/registry/server.ts";
import type { RegistryStore } from "../../src/registry/store.ts";
import { type AuthQuirks, type Login, QuirkyAuth } from "./quirks-auth.ts";
import { type ManifestQuirks, manifestQuirks } from "./quirks-manifest.ts";
import { bodyQuirks, DOWNLOADS, type ReadQuirks, readQuirks, SignedAddresses } from "./quirks-read.ts";
import { type TrafficQuirks, trafficQuirks } from "./quirks-traffic.ts";
import { sessionQuirks, type UploadQuirks, uploadQuirks } from "./quirks-upload.ts";
import {
  answer,
  answerOf,
  compose,
  headerOf,
  type LedgerEntry,
  type Next,
  type Quirk,
  requestOf,
  startHost,
} from "./quirks-wire.ts";

/** Everything that is known to be wrong with some registry, by name; any of them combine. */
export interface Quirks extends TrafficQuirks, AuthQuirks, ReadQuirks, UploadQuirks, ManifestQuirks {}

export interface QuirkyRegistry {
  /** `127.0.0.1:PORT` */
  host: string;
  url: string;
  login: Login;
  store: RegistryStore;
  /** Every request to the registry, its token server and its store, in order of arrival. */
  ledger: LedgerEntry[];
  stop(): Promise<void>;
}

/** A registry, its token server and its store, each on a port of its own. `name` makes its login its own. */
export async function startQuirkyRegistry(quirks: Quirks = {}, name = "quirky"): Promise<QuirkyRegistry> {
  const directory = await mkdtemp(join(tmpdir(), "eksa-airgap-quirky-"));
  const store = new DirectoryStore(directory);
  const login: Login = { username: `${name}-robot`, password: `${name}-s3cret` };
  const ledger: LedgerEntry[] = [];
  const hosts = { realm: "", storage: "" };
  const addresses = new SignedAddresses();
  const storageOf = () => hosts.storage;
  const auth = new QuirkyAuth(quirks, login, () => `http://${hosts.realm}/token`);
  const handle = registryHandler(store);
  const content = compose([...sessionQuirks(quirks), ...bodyQuirks(quirks)], async (asked) =>
    answerOf(await handle(requestOf(asked))),
  );
  const inner = compose(
    [
      auth.guard,
      ...manifestQuirks(quirks, store),
      ...uploadQuirks(quirks, addresses, storageOf),
      ...readQuirks(quirks, addresses, storageOf),
    ],
    content,
  );
  const downloads: Quirk = (asked, next) =>
    asked.url.pathname.startsWith(DOWNLOADS) ? served(asked, addresses, content) : next(asked);
  const outer = compose([...trafficQuirks(quirks), downloads], inner);
  const realm = await startHost("realm", ledger, auth.issue);
  const storage = await startHost("storage", ledger, async (asked) =>
    asked.headers.has("authorization")
      ? answer(400, {}, "<Error>Only one auth mechanism allowed</Error>")
      : served(asked, addresses, content),
  );
  hosts.realm = realm.host;
  hosts.storage = storage.host;
  const registry = await startHost("registry", ledger, outer);
  return {
    host: registry.host,
    url: `http://${registry.host}`,
    login,
    store,
    ledger,
    async stop() {
      await Promise.all([registry, realm, storage].map((host) => host.stop()));
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** What a signed address stands for. */
async function served(
  asked: Parameters<Next>[0],
  addresses: SignedAddresses,
  content: Next,
): ReturnType<Next> {
  const refused = addresses.refused(asked.url);
  if (refused !== undefined) return refused;
  const url = new URL(asked.url);
  if (url.pathname.startsWith(DOWNLOADS)) url.pathname = url.pathname.slice(DOWNLOADS.length);
  url.searchParams.delete("X-Amz-Signature");
  const given = await content({ ...asked, url, endpoint: parseEndpoint(asked.method, url) });
  const location = headerOf(given, "location");
  if (location?.includes("/uploads/")) given.headers.set("location", addresses.sign(location));
  return given;
}
