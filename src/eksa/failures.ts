import { Fault, type FaultKind, faultKind } from "../oci/fault.ts";

/** What to do about a document that is not as it should be, whoever wrote it. */
export const MEND = "correct the file; of one that somebody publishes, name a corrected copy, or get it anew";

/**
 * Fails with all of `failures` at once: a person mends ten URIs in one go, not in ten runs.
 * The cause is an `AggregateError` that holds each of them and names them a line each.
 */
export function throwAll(message: string, failures: readonly unknown[]): void {
  if (failures.length === 0) return;
  if (failures.length === 1) throw failures[0];
  const lines = failures.map((failure) => `- ${lineOf(failure)}`);
  throw new Fault(`${message}: ${failures.length} failures`, {
    cause: new AggregateError(failures, lines.join("\n")),
    kind: gravest(failures),
  });
}

function lineOf(failure: unknown): string {
  if (!(failure instanceof Error)) return String(failure);
  return failure.cause instanceof Error ? `${failure.message}: ${failure.cause.message}` : failure.message;
}

function gravest(failures: readonly unknown[]): FaultKind {
  const kinds = failures.map(faultKind);
  return kinds.find((kind) => kind === "mismatch") ?? kinds.find((kind) => kind === "usage") ?? "failed";
}
