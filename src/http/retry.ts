import { cancelBody } from "./body.ts";
import { redactUrl } from "./redact.ts";
import { sleep } from "./sleep.ts";
import { NetworkError, type Transport } from "./transport.ts";

export interface RetryPolicy {
  /** Tries in all, the first included. */
  attempts: number;
  /** The same where a host that has answered before is away for a while, e.g. is started anew. Default: `attempts`. */
  attemptsWhileAway?: number;
  /** Milliseconds before the second try; doubles with each one after. */
  firstDelay: number;
  /** No wait that we choose ourselves is longer, in milliseconds. */
  longestDelay: number;
  /** Milliseconds that a body may stand still before it counts as broken. Default: a minute. */
  stallAfter?: number;
  signal: AbortSignal;
  /** What it is all for, e.g. a digest: told along. */
  about?: string | undefined;
  /** Told before each wait. */
  onRetry?: (notice: RetryNotice) => void;
}

interface RetryNotice {
  /** What is tried again. */
  what: string;
  why: string;
  /** milliseconds */
  delay: number;
  /** What that is for, where it is known. */
  about?: string;
}

/** What stands before a server says so of it; it does not of itself. */
const AWAY_STATUSES = new Set([502, 503, 504]);
const AWAY_CODES = new Set(["ConnectionRefused", "FailedToOpenSocket", "ENOTFOUND"]);
const PASSING_STATUSES = new Set([408, 425, 429, 500, 502, 503, 504]);
/** A server that asks for more than this is as good as down for a change window: milliseconds. */
export const LONGEST_RETRY_AFTER = 10 * 60_000;
/** No wait is told that is longer, in milliseconds: whoever names one does not mean it. */
const LONGEST_TOLD = 365 * 24 * 3_600_000;

/**
 * Runs `attempt` until it succeeds, its error is final, or the tries are used up; then the last error
 * is thrown. `attempt` throws a `NetworkError` or a `PassingStatus` to be run again. `most`: tries, by the last error.
 */
export async function retried<T>(
  policy: RetryPolicy,
  what: () => string,
  attempt: () => Promise<T>,
  most: (error: unknown) => number = () => policy.attempts,
): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await attempt();
    } catch (error) {
      if (policy.signal.aborted || tries >= most(error) || !isRetryable(error)) throw error;
      await pause(policy, { what, error, tries });
    }
  }
}

/** An answer that a later try may not repeat. */
export class PassingStatus extends Error {
  override readonly name = "PassingStatus";
  readonly status: number;
  /** Milliseconds the server asked for. */
  readonly retryAfter: number | undefined;

  constructor(message: string, status: number, retryAfter: number | undefined) {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

/** Tries in all, after this error from a host that has answered before. */
export function mostTries({ attempts, attemptsWhileAway = attempts }: RetryPolicy, error: unknown): number {
  return isAway(error) ? attemptsWhileAway : attempts;
}

function isAway(error: unknown): boolean {
  if (error instanceof PassingStatus) return AWAY_STATUSES.has(error.status);
  return error instanceof NetworkError && AWAY_CODES.has(error.code);
}

export function isRetryable(error: unknown): boolean {
  return error instanceof PassingStatus || (error instanceof NetworkError && error.retryable);
}

/** Waits as long as the failure and the number of tries so far call for. */
export async function pause(
  policy: RetryPolicy,
  { what, error, tries }: { what: () => string; error: unknown; tries: number },
): Promise<void> {
  const asked = error instanceof PassingStatus ? error.retryAfter : undefined;
  const grown = Math.min(policy.firstDelay * 2 ** (tries - 1), policy.longestDelay);
  // Full jitter would let some tries follow at once; half of it still spreads a herd.
  const delay = asked ?? grown * (0.5 + Math.random() / 2);
  const why = error instanceof Error ? error.message : String(error);
  const { about } = policy;
  policy.onRetry?.({ what: what(), why, delay, ...(about === undefined ? {} : { about }) });
  await sleep(delay, policy.signal);
}

/**
 * Retries whole exchanges whose request says that this is safe; a last passing status is handed on. A 429 is
 * handed on at once: the throttle below has waited as long as there was hope.
 */
export function retrying(next: Transport, policy: RetryPolicy): Transport {
  const known = new Set<string>();
  return async (request) => {
    if (request.retry === "none") return next(request);
    const { host } = request.url;
    let last: Response | undefined;
    try {
      return await retried(
        { ...policy, about: request.about },
        () => `${request.method} ${redactUrl(request.url)}`,
        async () => {
          // A body that nobody reads would keep its connection from the next try.
          if (last !== undefined) await cancelBody(last);
          last = undefined;
          const response = await next(request);
          const passing = passingStatus(response);
          if (passing === undefined) known.add(host);
          if (passing === undefined || passing.status === 429) return response;
          last = response;
          throw passing;
        },
        (error) => (known.has(host) ? mostTries(policy, error) : policy.attempts),
      );
    } catch (error) {
      if (last !== undefined && error instanceof PassingStatus) return last;
      throw error;
    }
  };
}

/** The reason to try again, if this answer is one and the wait that it asks for is bearable. */
export function passingStatus(response: Response): PassingStatus | undefined {
  if (!PASSING_STATUSES.has(response.status)) return;
  const after = retryAfter(response.headers.get("retry-after"), Date.now());
  if (after !== undefined && after > LONGEST_RETRY_AFTER) return;
  return new PassingStatus(`it answered ${response.status}`, response.status, after);
}

/**
 * Milliseconds to wait from a `Retry-After` header, which holds seconds or an HTTP date. Undefined when it
 * names no time to come: a zero, or a date that only the clocks' difference put into the past, would use
 * up all tries at once.
 * Spec: RFC 9110, 10.2.3.
 */
export function retryAfter(header: string | null, now: number): number | undefined {
  if (header === null) return;
  const text = header.trim();
  const wait = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - now;
  return wait > 0 ? Math.min(wait, LONGEST_TOLD) : undefined;
}

/** Milliseconds as one says them of a wait, never too few: `90 s`, `45 min`, `3 h`. */
export function formatWait(wait: number): string {
  const [unit, name] = wait < 120_000 ? [1000, "s"] : wait < 7_200_000 ? [60_000, "min"] : [3_600_000, "h"];
  return `${Math.ceil(wait / unit)} ${name}`;
}
