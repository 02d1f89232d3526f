import { dirname, resolve } from "node:path";
import type { Layout } from "../archive/layout.ts";
import { hasRoom, type Room, roomFor } from "../archive/room.ts";
import { volumesOf } from "../archive/volumes.ts";
import { partials } from "../archive/workplace.ts";
import type { Skipped, UnknownComponent } from "../eksa/artifacts.ts";
import type { UnpinnedInput } from "../eksa/collect.ts";
import type { Plan } from "../oci/plan.ts";
import { formatPinned, formatReference } from "../oci/reference.ts";
import { count } from "../terminal/progress-view.ts";
import { formatBytes } from "../terminal/units.ts";
import { closureBytes, planBytes } from "../transfer/plan.ts";
import type { WholeIndex } from "../transfer/prune.ts";

export interface PlanReport {
  layout: Layout;
  /** The archive that would be written; `-`: to a pipe, which needs no room. */
  output: string;
  /** Bytes of each volume. Default: one file. */
  splitSize: number | undefined;
  skipped: readonly Skipped[];
  unpinned: readonly UnpinnedInput[];
  unknown: readonly UnknownComponent[];
  whole: readonly WholeIndex[];
}

/** What an export would do: a line an artifact, what is left out, totals and room. */
export function formatPlan(
  plan: Plan,
  { layout, output, splitSize, skipped, unpinned, unknown, whole }: PlanReport,
): string {
  const artifacts = plan.roots.map((root) => {
    return `${formatPinned(root.reference, root.descriptor.digest)}  ${formatBytes(closureBytes(plan, root))}`;
  });
  const left = skipped.map(({ uri, reason, where }) => `left out: ${uri || where[0]} (${reason})`);
  const floating = unpinned.map(({ kind, name }) => `not pinned by a digest: ${kind} ${name}`);
  const strange = unknown.map(({ component, where }) => {
    return `a component that is not known: ${component} (${where.join(", ")})`;
  });
  const unpruned = whole.map(({ reference, reason }) => {
    return `stays whole: ${formatReference(reference)} (${reason})`;
  });
  const folder = dirname(resolve(output));
  const room = output === "-" ? undefined : roomFor(partials(resolve(output), layout, { splitSize }));
  const totals = [
    `${count(plan.roots.length, "artifact")}, ${formatBytes(planBytes(plan))} in ${plan.nodes.size} blobs and manifests`,
    ...leftOut(plan, layout),
    `archive: ${layout.size} bytes (${formatBytes(layout.size)})${inVolumes(output, layout, splitSize)}`,
    ...(room === undefined ? [] : [`free in ${folder}: ${formatBytes(room.free)}${shortOf(room)}`]),
  ];
  return [...artifacts, ...left, ...floating, ...strange, ...unpruned, ...totals].join("\n");
}

function shortOf(room: Room): string {
  return hasRoom(room) ? "" : `, which is too little: ${formatBytes(room.needed)} are needed`;
}

function inVolumes(output: string, { size }: Layout, splitSize: number | undefined): string {
  if (splitSize === undefined) return "";
  const volumes = volumesOf(output, size, splitSize).length;
  return ` in ${count(volumes, "volume")} of ${splitSize} bytes at most`;
}

function leftOut({ nodes }: Plan, layout: Layout): string[] {
  if (layout.leftOut.size === 0) return [];
  const bytes = [...layout.leftOut].reduce(
    (sum, digest) => sum + (nodes.get(digest)?.descriptor.size ?? 0),
    0,
  );
  return [`held by the archives of --since: ${formatBytes(bytes)} in ${layout.leftOut.size} blobs`];
}
