import { createServer, connect as dial, type Server } from "node:net";

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
