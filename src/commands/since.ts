import type { Delta } from "../archive/layout.ts";
import { ArchiveSource } from "../archive/source.ts";
import type { Digest } from "../oci/digest.ts";
import { Fault } from "../oci/fault.ts";
import type { Node, Plan } from "../oci/plan.ts";
import { resolve } from "../transfer/resolve.ts";
import type { ExportRun } from "./export.ts";

/**
 * What `--since` leaves out of a plan; undefined without the flag. The small `documents` always travel, and what
 * a base has only in repositories that the plan does not know: an import would not look for it there.
 */
export async function deltaOf(
  { values: { since, jobs }, log }: ExportRun,
  plan: Plan,
  documents: ReadonlySet<Digest>,
): Promise<Delta | undefined> {
  if (since.length === 0) return;
  const repositories = new Set([...plan.nodes.values()].flatMap((node) => [...node.repositories]));
  const bases = new Set<Digest>();
  const held = new Set<Digest>();
  for (const path of since) {
    const { base, inBase } = await readBase(path, jobs);
    try {
      bases.add(base.indexDigest);
      for (const [digest, node] of plan.nodes) {
        if (node.kind === "manifest" || documents.has(digest) || !base.holds(node)) continue;
        const places = inBase.nodes.get(digest)?.repositories ?? [];
        if ([...places].some((place) => repositories.has(place))) held.add(digest);
      }
    } finally {
      base.close();
    }
  }
  log.info(`left out: ${held.size} blobs that are in ${since.join(", ")}`);
  const isContent = ([digest, { kind }]: [Digest, Node]) => kind === "blob" && !documents.has(digest);
  const content = [...plan.nodes].filter(isContent);
  if (content.length > 0 && content.every(([digest]) => held.has(digest)))
    log.warn("nothing in this delta is new: is it the release that is meant (`--eksa-version`)?");
  // In the order of the plan, whatever that of the bases.
  return { bases: [...bases].sort(), leftOut: [...plan.nodes.keys()].filter((digest) => held.has(digest)) };
}

export function assertFiles(paths: readonly string[]): void {
  if (!paths.includes("-")) return;
  throw new Fault("cannot use `-` as the value of `--since`: it takes a file", {
    hint: "name an archive with `--since ARCHIVE`",
    kind: "usage",
  });
}

/** Fails on what is no archive, before anything is read from elsewhere. */
export function assertBases(paths: readonly string[]): void {
  for (const path of paths) openBase(path).close();
}

/** Fails when an archive that an interrupted delta builds on was replaced; one that is gone was read already. */
export function assertSameBases(paths: readonly string[], { bases }: Delta): void {
  for (const path of paths) {
    const digest = indexDigestOf(path);
    if (digest === undefined || bases.includes(digest)) continue;
    throw new Fault(`cannot go on: ${path} is another archive than when this delta was begun`, {
      hint: "put the one back that was there, or make the delta anew with `--refresh`, which uses what was fetched",
    });
  }
}

function indexDigestOf(path: string): Digest | undefined {
  try {
    const base = new ArchiveSource(path);
    base.close();
    return base.indexDigest;
  } catch {
    return;
  }
}

async function readBase(path: string, jobs: number): Promise<{ base: ArchiveSource; inBase: Plan }> {
  const base = openBase(path);
  try {
    const { references, nameless } = base;
    const { plan, failures } = await resolve(base, references, { jobs, nameless });
    for (const { error } of failures) throw error;
    return { base, inBase: plan };
  } catch (cause) {
    base.close();
    throw noBase(path, cause);
  }
}

function openBase(path: string): ArchiveSource {
  try {
    return new ArchiveSource(path);
  } catch (cause) {
    throw noBase(path, cause);
  }
}

function noBase(path: string, cause: unknown): Fault {
  return new Fault(`cannot leave out what ${path} holds`, {
    cause,
    hint: "name an archive that an earlier `export artifacts` wrote with `--since`",
  });
}
