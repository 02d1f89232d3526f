import { readFile } from "node:fs/promises";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { seed } from "./content.ts";
import { startRegistry } from "./registry.ts";
import { partsOf, type Release } from "./release.ts";
import { type Authority, makeAuthority } from "./tls.ts";

/** Hosts with certificates of their own, which nobody finds but through a proxy. */
export interface Internet {
  /** What a program needs to get there: the proxy, and whom to trust. */
  environment: Record<string, string>;
  /** Whose certificates the hosts show. */
  authority: Authority;
  /** `HOST/PATH` of every request, in order of arrival. */
  asked: string[];
  stop(): Promise<void>;
}

/** Puts a release where it really is: behind the names of its own hosts, over https. Needs openssl. */
export async function startInternet(
  folder: string,
  { artifacts, documents }: Pick<Release, "artifacts" | "documents">,
): Promise<Internet> {
  const hosts = new Set([
    ...[...documents.keys()].map((url) => new URL(url).host),
    ...[...artifacts.keys()].map((reference) => partsOf(reference).host),
  ]);
  const names = ["DNS:localhost", "IP:127.0.0.1", ...[...hosts].map((host) => `DNS:${host}`)];
  const authority = await makeAuthority(folder, names);
  const [cert, key] = await Promise.all([
    readFile(authority.certificate, "utf8"),
    readFile(authority.key, "utf8"),
  ]);
  const asked: string[] = [];
  const registry = await startRegistry({
    tls: { cert, key },
    intercept: (_, { host, pathname }) => {
      asked.push(`${host}${pathname}`);
      const text = documents.get(`https://${host}${pathname}`);
      return text === undefined ? undefined : new Response(text);
    },
  });
  for (const [reference, content] of artifacts) {
    const { repository, tag } = partsOf(reference);
    await seed(registry.store, repository, tag, content);
  }
  const proxy = await startProxy(Number(registry.host.split(":")[1]));
  return {
    environment: { HTTPS_PROXY: `http://127.0.0.1:${proxy.port}`, EKSA_REGISTRY_MIRROR_CA: authority.ca },
    authority,
    asked,
    stop: async () => {
      proxy.stop();
      await registry.stop();
    },
  };
}

/** Digs every tunnel to one port of this machine, wherever it is to lead. */
async function startProxy(to: number): Promise<{ port: number; stop: () => void }> {
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    sockets.add(client);
    client.on("error", () => {});
    client.once("data", () => {
      const host = connect(to, "127.0.0.1", () => {
        client.write("HTTP/1.1 200 OK\r\n\r\n");
        client.pipe(host).pipe(client);
      });
      sockets.add(host);
      host.on("error", () => client.destroy());
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    stop: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}
