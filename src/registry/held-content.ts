import type { ByteStream, Content, Node } from "../oci/plan.ts";
import type { RepositoryName } from "../oci/reference.ts";
import { verified } from "../oci/verified.ts";
import type { Registries } from "./client.ts";
import { RegistrySource } from "./source.ts";

/** A blob as repositories of the target hold it, for another one of it. */
export function heldContent(
  registries: Registries,
  node: Node,
  repositories: ReadonlySet<RepositoryName>,
): Content {
  const source = new RegistrySource(registries);
  async function* stream(from = 0): ByteStream & AsyncGenerator<Uint8Array> {
    let seen = 0;
    for await (const chunk of verified(await source.open({ ...node, repositories }), node.descriptor)) {
      const skipped = Math.max(0, from - seen);
      seen += chunk.length;
      if (skipped < chunk.length) yield chunk.subarray(skipped);
    }
  }
  return { stream, slice: () => undefined };
}
