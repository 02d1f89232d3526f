import { causes, Fault, type FaultKind, faultKind } from "../oci/fault.ts";
import type { Root } from "../oci/plan.ts";
import { formatReference } from "../oci/reference.ts";
import { AnswerFault } from "../registry/answer.ts";
import type { Failure } from "../terminal/fault.ts";
import type { Log } from "../terminal/log.ts";
import { PlatformFault } from "../transfer/prune.ts";

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

/**
 * Sums up failures to find out about some of `what`, e.g. `12 images and charts`: nobody should leave out what is
 * there and could not be read for another reason. `without`: what to do without it.
 */
export function unfound(
  verb: string,
  failures: readonly Pick<Failure, "error">[],
  { what, without }: { what: string; without: string },
): Pick<Ending, "message" | "hint"> {
  const [first] = failures;
  if (
    first?.error instanceof PlatformFault &&
    failures.every(({ error }) => error instanceof PlatformFault)
  ) {
    return {
      message: `cannot ${verb}: ${what} have nothing for ${first.error.wanted}`,
      hint: "name a platform that they are for, or leave out `--platform`",
    };
  }
  const missing = failures.filter(({ error }) => isMissing(error));
  if (missing.length === failures.length)
    return { message: `cannot ${verb}: ${what} cannot be found`, hint: without };
  const message = `cannot ${verb}: ${what} cannot be read`;
  if (missing.length > 0) return { message, hint: without };
  return {
    message,
    hint: `nothing says that they are missing: run the same command again once they can be read; ${without}`,
  };
}

/** Whether the registry has said of it itself that it does not have it; what a token server lacks is another matter. */
function isMissing(error: unknown): boolean {
  const [, answer] = causes(error);
  return answer instanceof AnswerFault && (answer.status === 404 || answer.status === 410);
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
