/**
 * What a failure means to a script that reads the exit code.
 * `mismatch`: bytes, a digest or a signature are not what they were said to be.
 * `partial`: what could be done is done, as was asked for; the rest is named.
 */
export type FaultKind = "failed" | "usage" | "partial" | "mismatch";

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

/** Links of a failure that are looked at, those of an AggregateError included. */
const MOST_LINKS = 10_000;

/** The gravest kind among an error and all that caused it: a mismatch stays one however often it is wrapped. */
export function faultKind(error: unknown): FaultKind {
  let kind: FaultKind = "failed";
  // A set is walked in order of insertion, what is added on the way included, and each link once.
  const links = new Set([error]);
  for (const link of links) {
    if (link instanceof Fault && link.kind === "mismatch") return "mismatch";
    if (link instanceof Fault && kind === "failed") kind = link.kind;
    for (const below of directCauses(link)) if (links.size < MOST_LINKS) links.add(below);
  }
  return kind;
}

function directCauses(error: unknown): unknown[] {
  if (!(error instanceof Error)) return [];
  const parts: unknown = error instanceof AggregateError ? error.errors : [];
  return [error.cause, ...(Array.isArray(parts) ? parts.slice(0, MOST_LINKS) : [])];
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
