import type { CombinedSource } from "../archive/combined.ts";
import type { Digest } from "../oci/digest.ts";
import { Fault } from "../oci/fault.ts";
import type { Node, Plan, Root, Source } from "../oci/plan.ts";
import { formatReference, type RepositoryName } from "../oci/reference.ts";
import type { Registries } from "../registry/client.ts";
import { locate } from "../registry/locate.ts";
import { RegistrySource } from "../registry/source.ts";
import type { Log } from "../terminal/log.ts";
import { failWith } from "./failures.ts";

/** What the target must have already, and where there it is. */
export interface Foundation {
  /** The archives, and behind them the target itself. */
  source: Source;
  known: ReadonlyMap<Digest, RepositoryName>;
}

interface Job {
  archives: CombinedSource;
  /** Under the target's names. */
  plan: Plan;
  /** What the archives do not hold. */
  lacking: readonly Node[];
  registries: Registries;
  log: Log;
  report: string | undefined;
}

/**
 * Finds in the target what a delta leaves to its bases. Fails before anything is sent, naming the artifacts that
 * would stay incomplete.
 */
export async function findFoundation({ archives, plan, lacking, ...job }: Job): Promise<Foundation> {
  if (lacking.length === 0) return { source: archives, known: new Map() };
  const wanted = lacking.flatMap(({ descriptor }) => plan.nodes.get(descriptor.digest) ?? []);
  job.log.info(`looking in the target for ${wanted.length} blobs that the delta leaves to its base`);
  const repositories = new Set([...plan.nodes.values()].flatMap((node) => [...node.repositories]));
  const known = await locate(job.registries, wanted, repositories);
  const absent = new Set(
    wanted.map(({ descriptor }) => descriptor.digest).filter((digest) => !known.has(digest)),
  );
  failWith(job.log, incomplete(plan, absent), {
    message: `cannot import: the target lacks ${absent.size} of the ${wanted.length} blobs that this delta builds on; nothing has been sent`,
    hint: `import the archive that it was made against first, or both at once with \`-i BASE -i DELTA\` (index: ${archives.missingBases.join(", ")})`,
    report: job.report,
  });
  return { source: behind(archives, new RegistrySource(job.registries), known), known };
}

/** The archives' content, and for the rest the repositories where it was found. */
function behind(
  archives: CombinedSource,
  target: RegistrySource,
  known: ReadonlyMap<Digest, RepositoryName>,
): Source {
  return {
    manifest: (reference) => archives.manifest(reference),
    slice: (node) => archives.slice(node),
    open: (node, from) => {
      const place = known.get(node.descriptor.digest);
      if (place === undefined) return archives.open(node, from);
      return target.open({ ...node, repositories: new Set([place]) }, from);
    },
  };
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
