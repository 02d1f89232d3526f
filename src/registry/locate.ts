import type { Digest } from "../oci/digest.ts";
import { Fault } from "../oci/fault.ts";
import type { Node } from "../oci/plan.ts";
import { parseRepositoryName, type RepositoryName } from "../oci/reference.ts";
import type { Registries } from "./client.ts";
import { eachOf } from "./each-of.ts";
import { holdsBlob } from "./upload-target.ts";

/** So few blobs may all be in other repositories. */
const FEW = 20;

/**
 * Finds blobs in a registry: in the repositories that want them, then in all the others that are named. What is
 * nowhere is not in the answer. Fails when a repository that wants a blob cannot be asked.
 */
export async function locate(
  registries: Registries,
  nodes: readonly Node[],
  others: Iterable<RepositoryName>,
): Promise<Map<Digest, RepositoryName>> {
  const everywhere = [...others];
  const found = new Map<Digest, RepositoryName>();
  const search = async (wanted: readonly Node[], places: readonly RepositoryName[]) => {
    await eachOf(wanted, async (node) => {
      const place = await placeOf(registries, node, places);
      if (place !== undefined) found.set(node.descriptor.digest, place);
    });
  };
  await search(nodes, []);
  const rest = nodes.filter(({ descriptor }) => !found.has(descriptor.digest));
  // Where nothing at all is found the target never had the base: nobody is asked ten thousand times more.
  if (found.size > 0 || nodes.length <= FEW) await search(rest, everywhere);
  return found;
}

async function placeOf(
  registries: Registries,
  { descriptor, repositories }: Node,
  others: readonly RepositoryName[],
): Promise<RepositoryName | undefined> {
  for (const name of new Set([...repositories, ...others])) {
    const { registry, repository } = parseRepositoryName(name);
    const place = {
      client: registries.client(registry),
      repository,
      scopes: [{ repository, actions: "pull" as const }],
    };
    try {
      if (await holdsBlob(place, descriptor.digest)) return name;
    } catch (error) {
      // Where it is only a guess, a repository that may not be read is one that does not have it.
      if (repositories.has(name) || !(error instanceof Fault)) throw error;
    }
  }
  return;
}
