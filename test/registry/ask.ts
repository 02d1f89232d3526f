import { expect } from "bun:test";
import { type Digest, digestOf } from "../../src/oci/digest.ts";
import { startRegistry, type TestRegistry } from "../support/registry.ts";

/** Literal requests on purpose: our client and our server could be wrong alike. */
export interface Asking {
  registry: TestRegistry;
  ask(method: string, path: string, init?: RequestInit): Promise<Response>;
  /** Pushes a blob in one request. */
  push(repository: string, bytes: Uint8Array): Promise<Digest>;
}

export async function startAsking(): Promise<Asking> {
  const registry = await startRegistry();
  const ask: Asking["ask"] = (method, path, init = {}) =>
    fetch(new URL(path, registry.url), { method, redirect: "manual", ...init });
  return {
    registry,
    ask,
    async push(repository, bytes) {
      const digest = digestOf(bytes);
      const path = `/v2/${repository}/blobs/uploads/?digest=${digest}`;
      expect((await ask("POST", path, { body: bytes.slice() })).status).toBe(201);
      return digest;
    },
  };
}

/** The code of an error answer. */
export async function codeOf(response: Response): Promise<string> {
  const body = (await response.json()) as { errors: { code: string }[] };
  return body.errors[0]?.code ?? "no code";
}
