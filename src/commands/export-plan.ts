import type { Skipped, UnknownComponent } from "../eksa/artifacts.ts";
import {
  type AcceptBundles,
  type Collection,
  collectArtifacts,
  type UnpinnedInput,
} from "../eksa/collect.ts";
import { type ImageArtifact, isCsiComponent } from "../eksa/images.ts";
import { isPackageBundle } from "../eksa/package-bundle.ts";
import { wantsManifests } from "../eksa/selection.ts";
import { wrapBundles, wrapRelease } from "../eksa/wrap.ts";
import type { Platform } from "../oci/descriptor.ts";
import type { Digest } from "../oci/digest.ts";
import type { Plan } from "../oci/plan.ts";
import { compareBytewise, formatReference, type Reference } from "../oci/reference.ts";
import { RegistrySource } from "../registry/source.ts";
import type { Log } from "../terminal/log.ts";
import { assertOneDigestAName, closureOf, joinPlans } from "../transfer/plan.ts";
import { type Pruned, prunePlatforms, type WholeIndex } from "../transfer/prune.ts";
import { resolveWithReferrers } from "../transfer/referrers.ts";
import { type Resolution, resolve } from "../transfer/resolve.ts";
import { exclude } from "./exclude.ts";
import type { ExportRun } from "./export.ts";
import { failWith, unfound } from "./failures.ts";
import type { Network } from "./network.ts";
import { withPackages } from "./packages.ts";
import { chooseBundles } from "./release-source.ts";
import type { RunReport } from "./report.ts";
import { assertSelects, type PartValues, platformsFrom, selected, selectionFrom } from "./selected.ts";

/** What an export is made from, and a list of it. */
export type SelectionRun = Pick<ExportRun, "directory" | "log" | "signal"> & {
  values: Pick<
    ExportRun["values"],
    | "bundlesOverride"
    | "releaseManifest"
    | "eksaVersion"
    | "exclude"
    | "includePackages"
    | "includeSignatures"
    | "jobs"
    | "platform"
  > &
    PartValues & { report: string | false | undefined };
};

/**
 * Reads the Bundles and every document it points to, package bundles included where they are wanted; these only
 * if `accept` does not fail on the Bundles.
 */
export async function collect(
  run: SelectionRun,
  network: Network,
  accept?: AcceptBundles,
): Promise<Collection> {
  // A mistake in it is told before anything is fetched.
  platformsFrom(run.values.platform);
  const { file, read, isWhole, published: _, ...known } = await chooseBundles(run, network);
  const found = await collectArtifacts(file, read, (bundles) => {
    assertSelects(bundles, run.values);
    accept?.(bundles);
  });
  // Files out of one artifact are pinned by its digests.
  const unpinned = found.unpinned.filter(({ kind }) => !(isWhole && kind === "file"));
  reportUnknown(run.log, found.unknown);
  const part = selected({ ...found, ...known, unpinned }, run.values);
  const collection = run.values.includePackages
    ? await withPackages(run, part, new RegistrySource(network.registries))
    : part;
  reportCsiComponents(run.log, collection.images);
  reportSkipped(run.log, collection.skipped);
  reportUnpinned(run.log, collection.unpinned);
  return collection;
}

export interface MadePlan {
  plan: Plan;
  excluded: Reference[];
  /** The YAML files, and what wraps them. */
  documents: ReadonlySet<Digest>;
  /** What `--platform` could not prune. */
  whole: WholeIndex[];
}

export interface Planning {
  collection: Collection;
  source: RegistrySource;
  /** What the images and charts have turned out to be, where that is known. Default: the source is asked. */
  found?: Resolution | undefined;
  report: RunReport;
  /** For messages. Default: `export`. */
  verb?: string;
}

/** Everything that goes into the archive. Fails naming all that cannot be found, before the first blob. */
export async function makePlan(
  { values, log, signal }: SelectionRun,
  { collection, source, found, report, verb = "export" }: Planning,
): Promise<MadePlan> {
  const { images } = collection;
  const wrapped = wantsManifests(selectionFrom(values)) ? wrapFiles(collection) : joinPlans([]);
  const { kept, left } = exclude(images, values.exclude);
  const excluded = left.map(({ reference }) => reference);
  report.excluded(excluded);
  for (const { reference } of left) log.info(`left out as asked: ${formatReference(reference)}`);
  const references = referencesOf(kept);
  const signed = values.includeSignatures;
  const alsoSigned = signed ? ", and what signs or describes them" : "";
  const { jobs } = values;
  if (found === undefined && references.length > 0) {
    log.info(`reading the manifests of ${references.length} images and charts${alsoSigned}`);
  }
  const resolved = found ?? (await (signed ? resolveWithReferrers : resolve)(source, references, { jobs }));
  // What was not waited for is not missing.
  signal.throwIfAborted();
  const { plan, whole, failures: unpruned } = prunedTo(platformsFrom(values.platform), resolved);
  const failures = [...collection.failures, ...unpruned];
  report.whole(whole);
  reportWhole(log, whole);
  const all = joinPlans([wrapped, plan]);
  assertOneDigestAName(all.roots);
  report.planned(all);
  report.unresolved(failures);
  failWith(
    log,
    failures.map(({ reference, error }) => ({ what: formatReference(reference), error })),
    {
      ...unfound(
        verb,
        failures,
        unfoundOf(failures.length, references.length + collection.failures.length, signed),
      ),
      report: values.report,
    },
  );
  const bundles = all.roots.filter(({ reference }) => isPackageBundle(reference));
  const documents = new Set([...wrapped.nodes.keys(), ...closureOf(all, bundles)]);
  return { plan: all, excluded, documents, whole };
}

/** `of`: the images and charts in all; that of signatures is not known before they are found. */
function unfoundOf(number: number, of: number, signed: boolean): { what: string; without: string } {
  const leaveOut = "leave it out knowingly with `--exclude REFERENCE`";
  if (!signed)
    return { what: `${number} of ${of} images and charts`, without: `to go without one, ${leaveOut}` };
  return {
    what: `${number} images, charts and signatures`,
    without: `to go without an image, ${leaveOut}; to go without signatures, leave out \`--include-signatures\``,
  };
}

/** What was found, for these platforms alone where there are any. */
function prunedTo(platforms: readonly Platform[], { plan, failures }: Resolution): Pruned {
  if (platforms.length === 0) return { plan, whole: [], failures };
  const pruned = prunePlatforms(plan, platforms);
  return { ...pruned, failures: [...failures, ...pruned.failures] };
}

function reportUnknown(log: Log, unknown: readonly UnknownComponent[]): void {
  for (const { component, where } of unknown) {
    log.info(
      `the component \`${component}\` is not one that this version knows: all that it names travels (${where.join(", ")})`,
    );
  }
}

function reportCsiComponents(log: Log, images: readonly ImageArtifact[]): void {
  const { length } = images.filter(({ reference }) => isCsiComponent(reference));
  if (length === 0) return;
  log.info(
    `${length} CSI component images are carried, and not sent on import: EKS Anywhere uses none of them`,
  );
}

function reportWhole(log: Log, whole: readonly WholeIndex[]): void {
  for (const [reason, entries] of Map.groupBy(whole, (entry) => entry.reason)) {
    log.info(`${entries.length} stay whole, whatever the platform: ${reason}`);
  }
  for (const { reference, reason } of whole)
    log.debug(1, `stays whole: ${formatReference(reference)} (${reason})`);
}

/** In the order of an archive. */
export function referencesOf(images: readonly { reference: Reference }[]): Reference[] {
  return images
    .map(({ reference }) => reference)
    .sort((a, b) => compareBytewise(formatReference(a), formatReference(b)));
}

/** The artifacts that are made of a Bundles, and of its Release. */
export function wrapFiles({ number, files, version, release }: Collection): Plan {
  const bundles = wrapBundles({ number, files, ...(version === undefined ? {} : { version }) });
  if (release === undefined) return bundles;
  return joinPlans([bundles, wrapRelease(release.entry.version, release.file.bytes)]);
}

export function reportSkipped(log: Log, skipped: readonly Skipped[]): void {
  for (const [reason, entries] of Map.groupBy(skipped, (entry) => entry.reason)) {
    log.info(`left out ${entries.length}: ${reason}`);
  }
  for (const { uri, reason, where } of skipped) log.debug(1, `left out ${uri || where[0]}: ${reason}`);
}

function reportUnpinned(log: Log, unpinned: readonly UnpinnedInput[]): void {
  if (unpinned.length > 0)
    log.info(`${unpinned.length} inputs are not pinned by a digest (\`-v 1\` names them)`);
  for (const { kind, name } of unpinned) log.debug(1, `not pinned by a digest: ${kind} ${name}`);
}
