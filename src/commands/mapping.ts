import type { Plan } from "../oci/plan.ts";
import { formatPinned, formatReference } from "../oci/reference.ts";
import type { Presence } from "../registry/presence.ts";
import { count } from "../terminal/progress-view.ts";
import { sanitizeLine } from "../terminal/sanitize.ts";
import { formatBytes } from "../terminal/units.ts";
import { closureBytes, planBytes } from "../transfer/plan.ts";

export interface Mapping {
  /** Under the names that it comes by. */
  plan: Plan;
  /** The same under the target's, root by root. */
  placed: Plan;
  /** Root by root. */
  presence: readonly Presence[];
}

const STATES: Record<Presence, string> = {
  present: "already there",
  absent: "to be sent",
  unknown: "the target does not say whether it is there",
};

/** What would go where: a line an artifact, then totals. */
export function formatMapping({ plan, placed, presence }: Mapping): string {
  const lines = plan.roots.map((root, index) => {
    const { reference, descriptor } = root;
    const place = placed.roots[index]?.reference ?? reference;
    const names = `${formatPinned(reference, descriptor.digest)} -> ${formatReference(place)}`;
    return sanitizeLine(
      `${names}  ${formatBytes(closureBytes(plan, root))}  ${STATES[presence[index] ?? "unknown"]}`,
    );
  });
  const there = presence.filter((each) => each === "present").length;
  const totals = `${count(plan.roots.length, "artifact")}, ${formatBytes(planBytes(plan))} in ${plan.nodes.size} blobs and manifests; ${there} are already there`;
  return [...lines, totals].join("\n");
}
