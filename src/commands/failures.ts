import { Fault, type FaultKind, faultKind } from "../oci/fault.ts";
import type { Root } from "../oci/plan.ts";
import { formatReference } from "../oci/reference.ts";
import type { Failure } from "../terminal/fault.ts";
import type { Log } from "../terminal/log.ts";

/** Names every failure, then ends the run; does nothing when there is none. */
export function failWith(log: Log, message: string, failures: readonly Failure[], hint?: string): void {
  if (failures.length === 0) return;
  log.failures(failures);
  const kinds = failures.map(({ error }) => faultKind(error));
  const kind: FaultKind = kinds.includes("mismatch") ? "mismatch" : "failed";
  throw new Fault(message, { kind, hint });
}

/** What a transfer did not bring home. */
export function lostArtifacts(verb: string, lost: readonly { root: Root; error: unknown }[]): Failure[] {
  return lost.map(({ root, error }) => {
    const what = formatReference(root.reference);
    const cause = error ?? new Fault("the run stopped before it");
    return { what, error: new Fault(`cannot ${verb} ${what}`, { cause }) };
  });
}
