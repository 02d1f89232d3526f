import type { Skipped } from "../eksa/artifacts.ts";
import type { Collection } from "../eksa/collect.ts";
import { type ImageArtifact, isCsiComponent } from "../eksa/images.ts";
import { reasonToLeave, type Selection } from "../eksa/selection.ts";
import { Fault } from "../oci/fault.ts";
import type { Plan, Root, Source } from "../oci/plan.ts";
import { formatReference } from "../oci/reference.ts";
import type { Log } from "../terminal/log.ts";
import { count } from "../terminal/progress-view.ts";
import { closureOf, partialPlan } from "../transfer/plan.ts";
import { subjectOf } from "../transfer/subject.ts";
import { describeArtifact } from "./artifact-kind.ts";
import { reportSkipped } from "./export-plan.ts";
import { bundlesIn } from "./held-bundles.ts";
import { type PackageOrigins, packagesIn } from "./held-packages.ts";
import { assertSelectable, type PartValues, selectionFrom } from "./selected.ts";

/** Some of the artifacts of a plan. */
export interface Part {
  plan: Plan;
  left: Skipped[];
}

interface SelectedPart extends Part {
  /** Names that the selection takes and the archive does not have. */
  absent: string[];
}

/** What of an archive is sent to a registry, told aloud. */
export async function partToSend(
  held: Plan,
  source: Source,
  { values, log }: { values: PartValues; log: Log },
): Promise<Part> {
  const selected = await selectHeld(held, source, { values, log });
  const { plan, left } = withoutUnused(selected.plan);
  const skipped = [...selected.left, ...left];
  reportSkipped(log, skipped);
  if (selected.absent.length > 0) {
    log.warn(
      `the archive lacks ${count(selected.absent.length, "artifact")} that the selection takes (\`-v 1\` names them)`,
    );
  }
  for (const name of selected.absent) log.debug(1, `not in the archive: ${name}`);
  return { plan, left: skipped };
}

/**
 * What of an archive a selection takes; told by the Bundles in it, which is never trimmed, and its package bundles.
 * What signs or describes something goes with it, and what none of them names by its kind alone.
 */
async function selectHeld(
  held: Plan,
  source: Source,
  { values, log }: { values: PartValues; log: Log },
): Promise<SelectedPart> {
  const selection = selectionFrom(values);
  const { kubernetesVersions, providers, only } = selection;
  const isByContent = kubernetesVersions.length + providers.length > 0;
  if (!isByContent && only.length === 0) return { plan: held, left: [], absent: [] };
  const { bundles, plan } = isByContent ? await bundlesIn(held, source) : { bundles: [], plan: held };
  if (isByContent) assertTold(bundles, selection);
  const named = namedBy(bundles);
  const isByVersion = kubernetesVersions.length > 0;
  const packages = isByVersion ? await packagesIn(plan, source, (text) => log.warn(text)) : new Map();
  const part = partBy(plan, (root) => reasonFor(plan, root, { named, packages, selection }));
  if (part.plan.roots.length > 0) return { ...part, absent: absentFrom(plan, named, selection) };
  throw new Fault("cannot select nothing: the archive holds no artifact that all of the flags leave", {
    hint: "leave out one of `--kubernetes-version`, `--provider` and `--only`",
    kind: "usage",
  });
}

/** Fails where nothing in the archive says what belongs to a Kubernetes version or a provider. */
export function assertTold(bundles: readonly Collection[], selection: Selection): void {
  if (bundles.length === 0) {
    throw new Fault("cannot select by Kubernetes version or provider: the archive holds no Bundles", {
      hint: "leave out `--kubernetes-version` and `--provider`, or take an archive that was exported with its manifests",
      kind: "usage",
    });
  }
  assertSelectable(selection, {
    kubernetesVersions: [...new Set(bundles.flatMap(({ kubernetesVersions }) => kubernetesVersions))],
    images: bundles.flatMap(({ images }) => images),
  });
}

type Named = ReadonlyMap<string, readonly ImageArtifact[]>;

function namedBy(bundles: readonly Collection[]): Named {
  return Map.groupBy(
    bundles.flatMap(({ images }) => images),
    ({ reference }) => formatReference(reference),
  );
}

function absentFrom({ roots }: Plan, named: Named, selection: Selection): string[] {
  const present = new Set(roots.map(({ reference }) => formatReference(reference)));
  return [...named].flatMap(([name, images]) => {
    const isWanted = images.some((image) => reasonToLeave(image, selection) === undefined);
    return isWanted && !present.has(name) ? name : [];
  });
}

/** Of several Bundles and package bundles that name it, one that takes it is enough. */
function reasonFor(
  plan: Plan,
  root: Root,
  { named, packages, selection }: { named: Named; packages: PackageOrigins; selection: Selection },
): string | undefined {
  const images = named.get(formatReference(root.reference)) ?? [];
  const reasons = images.map((image) => reasonToLeave(image, selection));
  const origins = packages.get(root.original ?? root.descriptor.digest);
  if (origins !== undefined || images.length === 0) {
    const { kind } = describeArtifact(plan, root);
    reasons.push(reasonToLeave({ kind, ...(origins && { origins }) }, selection));
  }
  return reasons.includes(undefined) ? undefined : reasons[0];
}

/** All but what no registry is sent. */
export function withoutUnused(plan: Plan): Part {
  return partBy(plan, ({ reference }) => {
    return isCsiComponent(reference) ? "a CSI component, of which EKS Anywhere uses none" : undefined;
  });
}

/** What a plan is without the roots that there is a reason to leave out; referrers go with what they are about. */
export function partBy(plan: Plan, reasonFor: (root: Root) => string | undefined): Part {
  const left = new Map<Root, string>();
  const kept = new Set<Root>();
  const followers = new Set<Root>();
  for (const root of plan.roots) {
    const reason = reasonFor(root);
    if (subjectOf(plan, root) !== undefined) followers.add(root);
    else if (reason === undefined) kept.add(root);
    else left.set(root, reason);
  }
  if (left.size === 0) return { plan, left: [] };
  follow(plan, kept, followers);
  for (const root of followers) left.set(root, "about an artifact that is left out");
  const skipped = [...left].map(([{ reference }, reason]) => {
    return { uri: formatReference(reference), reason, where: [] };
  });
  return {
    plan: partialPlan(
      plan,
      plan.roots.filter((root) => kept.has(root)),
    ),
    left: skipped,
  };
}

/** Moves the followers of what is kept, and theirs, to what is kept. */
function follow(plan: Plan, kept: Set<Root>, followers: Set<Root>): void {
  for (let before = -1; before !== kept.size; ) {
    before = kept.size;
    const closure = closureOf(plan, [...kept]);
    for (const root of followers) {
      const subject = subjectOf(plan, root);
      // Nobody can say whose a signature is of what is not in the archive.
      if (subject !== undefined && plan.nodes.has(subject) && !closure.has(subject)) continue;
      kept.add(root);
      followers.delete(root);
    }
  }
}
