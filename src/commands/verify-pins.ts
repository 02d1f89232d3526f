import type { ArchiveInspection } from "../archive/inspection.ts";
import { Fault } from "../oci/fault.ts";
import type { Plan } from "../oci/plan.ts";
import { formatReference } from "../oci/reference.ts";
import { bundlesIn } from "./held-bundles.ts";
import type { Problem } from "./verify-report.ts";

/** Names that stand for other content than the archive's own Bundles says. What was pruned counts as the whole. */
export async function contradictedPins(inspection: ArchiveInspection, plan: Plan): Promise<Problem[]> {
  const { path: file, named } = inspection;
  try {
    const { bundles } = await bundlesIn(plan, inspection);
    const pins = new Map(
      bundles
        .flatMap(({ images }) => images)
        .map(({ reference }) => [formatReference(reference), reference.digest]),
    );
    return named.flatMap(({ reference, descriptor: { digest }, original, nameless }): Problem[] => {
      const name = formatReference(reference);
      const pin = nameless ? undefined : pins.get(name);
      if (pin === undefined || pin === digest || pin === original) return [];
      return [{ kind: "different", file, digest, artifacts: [name], detail: `its Bundles names ${pin}` }];
    });
  } catch (error) {
    // Where it is damaged that is told; one that this version cannot read has nothing to say here.
    if (error instanceof Fault) return [];
    throw error;
  }
}
