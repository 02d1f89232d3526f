import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, createServer, connect as dial, type Server } from "node:net";

interface BreakingProxy {
  url: string;
  breaks(): number;
  stop(): Promise<void>;
}

/** A way to `host` that breaks its first connection to carry so many bytes. */
export async function breakingProxy(host: string, after: number): Promise<BreakingProxy> {
  let breaks = 0;
  const proxy: Server = createServer((client) => {
    const [hostname = "", port = ""] = host.split(":");
    const server = dial(Number(port), hostname);
    let carried = 0;
    client.on("data", (chunk) => {
      carried += chunk.length;
      if (breaks === 0 && carried > after) {
        breaks++;
        client.resetAndDestroy();
        server.destroy();
      } else server.write(chunk);
    });
    server.on("data", (chunk) => client.write(chunk));
    for (const [one, other] of [
      [client, server],
      [server, client],
    ] as const) {
      one.on("error", () => other.destroy());
      one.on("close", () => other.destroy());
    }
  });
  await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  const address = proxy.address();
  if (address === null || typeof address === "string") throw new Error("the proxy has no port");
  return {
    url: `http://127.0.0.1:${address.port}`,
    breaks: () => breaks,
    stop: async () => void proxy.close(),
  };
}

/** A way to read from `origin` on which the first answer for a path with `part` in it ends within its body. */
export async function brokenAnswer(
  origin: string,
  part: string,
): Promise<{ url: string; host: string; stop(): Promise<void> }> {
  let isBroken = false;
  const server = createHttpServer(async ({ method = "GET", url = "/", headers }, response) => {
    const accept = headers.accept === undefined ? {} : { accept: headers.accept };
    const answer = await fetch(new URL(url, origin), { method, headers: accept });
    const body = await answer.bytes();
    answer.headers.set("content-length", String(body.length));
    response.writeHead(answer.status, Object.fromEntries(answer.headers));
    if (isBroken || method !== "GET" || !answer.ok || !url.includes(part)) return void response.end(body);
    isBroken = true;
    response.write(body.subarray(0, body.length / 2), () => response.socket?.destroy());
  });
  return listening(server);
}

/** A registry that takes everything, but closes the connection on a request for a path with `part` in it. */
export async function closing(part: string): Promise<{ url: string; host: string; stop(): Promise<void> }> {
  const server = createHttpServer(({ method, url = "/" }, response) => {
    if (url.includes(part)) return void response.socket?.resetAndDestroy();
    const status = url === "/v2/" ? 200 : method === "HEAD" ? 404 : 202;
    response.writeHead(status, { location: `${url}session` }).end();
  });
  return listening(server);
}

async function listening(
  server: ReturnType<typeof createHttpServer>,
): Promise<{ url: string; host: string; stop(): Promise<void> }> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    host: `127.0.0.1:${port}`,
    stop: async () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
