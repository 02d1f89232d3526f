import { CombinedSource } from "../archive/combined.ts";
import type { Digest } from "../oci/digest.ts";
import { Fault } from "../oci/fault.ts";
import type { Node, Plan, Root } from "../oci/plan.ts";
import { formatReference, type RepositoryName } from "../oci/reference.ts";
import type { Registries } from "../registry/client.ts";
import { locate } from "../registry/locate.ts";
import type { Log } from "../terminal/log.ts";
import { failWith } from "./failures.ts";
import type { ImportSource } from "./import-source.ts";

interface Job {
  source: ImportSource;
  /** Under the target's names. */
  plan: Plan;
  registries: Registries;
  log: Log;
  report: string | undefined;
}

/**
 * Where in the target is what a delta leaves to its bases (`lacking`). Fails before anything is sent, naming the
 * artifacts that would stay incomplete.
 */
export async function findFoundation(
  lacking: readonly Node[],
  { source, plan, registries, log, report }: Job,
): Promise<ReadonlyMap<Digest, RepositoryName>> {
  if (lacking.length === 0) return new Map();
  const wanted = lacking.flatMap(({ descriptor }) => plan.nodes.get(descriptor.digest) ?? []);
  log.info(`looking in the target for ${wanted.length} blobs that the delta leaves to its base`);
  const repositories = new Set([...plan.nodes.values()].flatMap((node) => [...node.repositories]));
  const known = await locate(registries, wanted, repositories).catch((cause: unknown) => {
    throw new Fault("cannot tell what the target has of the base that this delta builds on", {
      cause,
      hint: "import base and delta at once with `-i BASE -i DELTA`: then nothing is looked for",
    });
  });
  const absent = new Set(
    wanted.map(({ descriptor }) => descriptor.digest).filter((digest) => !known.has(digest)),
  );
  const bases = source instanceof CombinedSource ? source.missingBases.join(", ") : "";
  failWith(log, incomplete(plan, absent), {
    message: `cannot import: the target lacks ${absent.size} of the ${wanted.length} blobs that this delta builds on; nothing has been sent`,
    hint: `import the archive that it was made against first, or both at once with \`-i BASE -i DELTA\` (index: ${bases})`,
    report,
  });
  return known;
}

/** The roots with something below them that is nowhere. */
function incomplete({ roots, nodes }: Plan, absent: ReadonlySet<Digest>): { what: string; error: Fault }[] {
  const judged = new Map<Digest, Digest | undefined>();
  const missingBelow = (digest: Digest): Digest | undefined => {
    if (absent.has(digest)) return digest;
    if (!judged.has(digest)) {
      judged.set(digest, undefined);
      const children = nodes.get(digest)?.children ?? [];
      judged.set(digest, firstDefined(children, missingBelow));
    }
    return judged.get(digest);
  };
  return roots.flatMap((root: Root) => {
    const missing = missingBelow(root.descriptor.digest);
    if (missing === undefined) return [];
    const what = formatReference(root.reference);
    const cause = new Fault(`the target does not have ${missing}, which is not in the archive`);
    return { what, error: new Fault(`cannot import ${what}`, { cause }) };
  });
}

function firstDefined<T, U>(items: readonly T[], find: (item: T) => U | undefined): U | undefined {
  for (const item of items) {
    const found = find(item);
    if (found !== undefined) return found;
  }
  return;
}
