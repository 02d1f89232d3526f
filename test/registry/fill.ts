import type { Content, Root } from "../../src/oci/plan.ts";
import type { RepositoryName } from "../../src/oci/reference.ts";
import { RegistrySink } from "../../src/registry/sink.ts";
import type { TestRegistry } from "../support/registry.ts";
import { connect } from "./connect.ts";

export const ROBOT = { username: "robot", password: "secret" };

export function sinkOf(
  { url }: TestRegistry,
  roots: readonly Root[] = [],
  warn: (text: string) => void = () => {},
): RegistrySink {
  return new RegistrySink(
    connect({ urls: [url], credentials: () => ({ kind: "password", ...ROBOT }) }),
    roots,
    { warn },
  );
}

export function contentOf(bytes: Uint8Array): Content {
  const pieces = async function* () {
    yield bytes;
  };
  return { stream: pieces, slice: () => undefined };
}

export function named({ host }: TestRegistry, ...repositories: string[]): Set<RepositoryName> {
  return new Set(repositories.map((repository): RepositoryName => `${host}/${repository}`));
}

/** What was asked since the ping and besides tokens, without the host and the sessions' names. */
export function asked({ requests }: TestRegistry): string[] {
  return requests
    .filter(({ path }) => path !== "/v2/" && !path.startsWith("/token"))
    .map(
      ({ method, path }) =>
        `${method} ${decodeURIComponent(path).replace(/uploads\/[^?]+/, "uploads/SESSION")}`,
    );
}
