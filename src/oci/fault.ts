/**
 * What a failure means to a script that reads the exit code.
 * `mismatch`: bytes, a digest or a signature are not what they were said to be.
 */
export type FaultKind = "failed" | "usage" | "mismatch";

export interface FaultOptions {
  /** What the user can do about it: an action, lower case, no full stop. */
  hint?: string | undefined;
  cause?: unknown;
  kind?: FaultKind;
}

/**
 * A failure with a message for a person: *cannot* + verb + what, on what.
 * The fact behind it is the `cause`, the way out the `hint`.
 */
export class Fault extends Error {
  override readonly name = "Fault";
  readonly hint: string | undefined;
  readonly kind: FaultKind;

  constructor(message: string, { hint, cause, kind = "failed" }: FaultOptions = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.hint = hint;
    this.kind = kind;
  }
}

/** The gravest kind in a chain of causes: a mismatch stays a mismatch however often it is wrapped. */
export function faultKind(error: unknown): FaultKind {
  let kind: FaultKind = "failed";
  for (const link of causes(error)) {
    const found = link instanceof Fault ? link.kind : "failed";
    if (found === "mismatch") return found;
    if (found === "usage") kind = found;
  }
  return kind;
}

/** An error and everything that caused it, outermost first; a cycle ends the walk. */
export function causes(error: unknown): unknown[] {
  const chain: unknown[] = [];
  for (let link = error; link !== undefined && !chain.includes(link) && chain.length < 16; ) {
    chain.push(link);
    link = link instanceof Error ? link.cause : undefined;
  }
  return chain;
}
