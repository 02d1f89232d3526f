import { formatReference } from "../oci/reference.ts";
import type { TransferEvent } from "../transfer/events.ts";
import { describeFault } from "./fault.ts";
import type { Fields } from "./log.ts";
import type { ProgressState } from "./progress-state.ts";
import type { Totals } from "./tally.ts";
import { percentOf } from "./units.ts";

/** What is told of one by one; bytes are gathered. */
export type TellingEvent = Exclude<TransferEvent, { type: "bytes" | "held" }>;

/** Field names are a contract. */
export function eventFields(event: TellingEvent, state: ProgressState): Fields {
  switch (event.type) {
    case "start":
      return { nodes: event.nodes, bytes: event.bytes, artifacts: event.artifacts };
    case "begin":
    case "end":
    case "failed": {
      const { descriptor, kind, repositories } = event.node;
      const fields = {
        digest: descriptor.digest,
        kind,
        bytes: descriptor.size,
        repositories: [...repositories],
      };
      if (event.type === "begin") return fields;
      return event.type === "end" ? { ...fields, outcome: event.outcome } : { ...fields, ...whyOf(event) };
    }
    case "artifact":
    case "lost": {
      const { reference, descriptor } = event.root;
      const fields = { reference: formatReference(reference), digest: descriptor.digest };
      if (event.type === "lost") return { ...fields, ...whyOf(event) };
      return { ...fields, bytes: state.sizeOf(event.root) };
    }
  }
}

export function progressFields(state: ProgressState): Fields {
  const { done, total, rate, left, flights, artifacts } = state.snapshot();
  return {
    bytes: done,
    total,
    percent: percentOf(done, total),
    bytesPerSecond: rate === undefined ? undefined : Math.round(rate),
    secondsLeft: left === undefined ? undefined : Math.round(left / 1000),
    inFlight: flights.length,
    artifactsDone: artifacts.done,
    artifactsFailed: artifacts.lost,
    artifactsTotal: artifacts.total,
  };
}

export function summaryFields({ artifacts, lost, wanted, moved, saved, milliseconds }: Totals): Fields {
  return {
    bytesMoved: moved,
    bytesShared: saved.shared,
    bytesMounted: saved.mounted,
    bytesPresent: saved.present,
    milliseconds: Math.round(milliseconds),
    bytesPerSecond: milliseconds > 0 ? Math.round((moved / milliseconds) * 1000) : undefined,
    artifactsDone: artifacts,
    artifactsFailed: lost,
    artifactsTotal: wanted,
  };
}

function whyOf({ error }: { error: unknown }): Fields {
  const { message, kind, because, hints } = describeFault(error);
  return { message, errorKind: kind, because, hints };
}
