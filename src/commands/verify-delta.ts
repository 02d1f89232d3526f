import type { ArchiveInspection } from "../archive/inspection.ts";
import { BUNDLES_ARTIFACT_TYPE } from "../eksa/wrap.ts";
import type { Digest } from "../oci/digest.ts";
import { count } from "../terminal/progress-view.ts";
import type { Note } from "./verify-report.ts";

/**
 * What a delta leaves to bases that are not among the others: configs and layers that none of them has. The
 * manifests and YAML files always travel, so they are never left out.
 */
export function leftToBases(
  inspection: ArchiveInspection,
  others: readonly ArchiveInspection[],
): ReadonlySet<Digest> {
  const left = new Set<Digest>();
  if (absentBases(inspection, others).length === 0) return left;
  const archives = [inspection, ...others];
  const defective = new Set(inspection.defects.map(({ digest }) => digest));
  const always = new Set<Digest>();
  for (const { manifest } of inspection.known.values()) {
    const { config, layers, artifactType } = manifest;
    for (const { digest } of config === undefined ? layers : [config, ...layers]) {
      if (artifactType === BUNDLES_ARTIFACT_TYPE) always.add(digest);
      if (!defective.has(digest) && !archives.some((archive) => archive.holds(digest))) left.add(digest);
    }
  }
  for (const digest of always) left.delete(digest);
  return left;
}

export function noteOnBases(
  inspection: ArchiveInspection,
  others: readonly ArchiveInspection[],
  left: ReadonlySet<Digest>,
): Note[] {
  if (left.size === 0) return [];
  const bases = absentBases(inspection, others);
  const whose = bases.length === 1 ? "its base" : "its bases";
  // Behind a cut there may be blobs that are in the base as well as blobs that are lost.
  const doubt = inspection.isEndKnown ? "" : ", or lost with its end,";
  const are = left.size === 1 ? "is" : "are";
  const detail = `${count(left.size, "blob")} ${are} left to ${whose}${doubt} (index ${bases.join(", ")})`;
  return [{ kind: "base", file: inspection.path, blobs: left.size, bases, detail }];
}

function absentBases({ bases }: ArchiveInspection, others: readonly ArchiveInspection[]): Digest[] {
  return bases.filter((base) => !others.some(({ indexDigest }) => indexDigest === base));
}
