import { Fault, type FaultKind, faultKind } from "../oci/fault.ts";
import type { Root } from "../oci/plan.ts";
import { formatReference } from "../oci/reference.ts";
import type { Failure } from "../terminal/fault.ts";
import type { Log } from "../terminal/log.ts";

export interface Ending {
  message: string;
  hint?: string;
  /** What the failures come to when none of them is a mismatch. Default: `failed`. */
  kind?: FaultKind;
  /** The file that names every failure, where one was asked for; false for a command that has no report. */
  report: string | false | undefined;
}

/** Names the failures, then ends the run; does nothing when there is none. */
export function failWith(
  log: Log,
  failures: readonly Failure[],
  { message, hint, kind, report }: Ending,
): void {
  if (failures.length === 0) return;
  log.failures(failures, whereAll(report));
  const isMismatch = failures.some(({ error }) => faultKind(error) === "mismatch");
  throw new Fault(message, { kind: isMismatch ? "mismatch" : (kind ?? "failed"), hint });
}

function whereAll(report: Ending["report"]): string | undefined {
  if (report === false) return;
  return report === undefined
    ? "to have them all, name a file with `--report FILE`"
    : `see the report ${report}`;
}

/** What a transfer did not bring home. */
export function lostArtifacts(verb: string, lost: readonly { root: Root; error: unknown }[]): Failure[] {
  // What failed comes before what was not reached for that.
  const failed = lost.filter(({ error }) => error !== undefined);
  const unreached = lost.filter(({ error }) => error === undefined);
  return [...failed, ...unreached].map(({ root, error }) => {
    const what = formatReference(root.reference);
    const cause = error ?? new Fault("the run stopped before it");
    return { what, error: new Fault(`cannot ${verb} ${what}`, { cause }) };
  });
}
