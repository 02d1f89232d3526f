import { afterEach } from "bun:test";

/** Hands servers through, and stops them after the test that started them. */
export function stoppedAfterEach() {
  const running: { stop(): Promise<unknown> }[] = [];
  afterEach(async () => {
    await Promise.all(running.splice(0).map((server) => server.stop()));
  });
  return async <S extends { stop(): Promise<unknown> }>(starting: S | Promise<S>): Promise<S> => {
    const server = await starting;
    running.push(server);
    return server;
  };
}
