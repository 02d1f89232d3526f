import { discard } from "./body.ts";
import { LONGEST_RETRY_AFTER, retryAfter } from "./retry.ts";
import { sleep } from "./sleep.ts";
import type { Transport } from "./transport.ts";

/** A host pauses: everything that is meant for it waits. */
export interface WaitNotice {
  host: string;
  /** milliseconds */
  delay: number;
  why: string;
}

export interface ThrottleOptions {
  /** Milliseconds that the first wait takes where the host names none; doubles until it answers again. */
  firstDelay: number;
  /** No wait that we choose ourselves is longer, in milliseconds. */
  longestDelay: number;
  signal: AbortSignal;
  /** Told when a pause begins, or becomes longer. */
  onWait?: (notice: WaitNotice) => void;
}

/** Refusals that one request bears, though its host lets others through. */
const MOST_REFUSALS = 100;
/** Milliseconds for which a host may answer nothing but refusals. */
const PATIENCE = LONGEST_RETRY_AFTER;
/** Pauses that differ by less are one to the user: milliseconds. */
const NOTEWORTHY = 1000;

/**
 * Keeps to the pace that each host sets, for all that is asked of it. A 429 is waited out here and costs no
 * try; one that is handed up means that waiting did not help. Of a 503 with `Retry-After` only the pause is
 * noted, as of every refusal of a request whose caller has to start over.
 *
 * An exchange counts as in flight until its headers are there. Its body does not: hosts limit requests, not
 * the time that bytes take, and who holds an unread body may need a token of the same host to go on. What is
 * sent and what is only asked for are counted apart: the bytes of an upload may come from the same host.
 */
export function throttling(next: Transport, options: ThrottleOptions): Transport {
  const gates = new Map<string, Gate>();
  return async (request) => {
    const { host } = request.url;
    const gate = gates.get(host) ?? new Gate(host, options);
    gates.set(host, gate);
    for (let refusals = 1; ; refusals++) {
      const kind = request.body === undefined ? "asking" : "sending";
      const { response, mayGoOn } = await gate.pass(kind, () => next(request));
      const isWaitedOut = response.status === 429 && request.retry !== "none";
      if (!isWaitedOut || !mayGoOn || refusals >= MOST_REFUSALS) return response;
      await discard(response, request.url);
    }
  };
}

type Kind = "asking" | "sending";

/** One host: how many exchanges at once, and from when on. */
class Gate {
  readonly #host: string;
  readonly #options: ThrottleOptions;
  readonly #inFlight = { asking: 0, sending: 0 };
  /** Exchanges of a kind at once. Halved by refusals; each as many successes as it allows raise it by one. */
  #limit = Number.POSITIVE_INFINITY;
  /** As `performance.now()` counts. */
  #closedUntil = 0;
  /** Cuts so far. Refusals of what set out before the last one tell nothing new. */
  #cuts = 0;
  /** Cuts without a success after them. */
  #vain = 0;
  /** The first refusal since the last success. */
  #refusedSince: number | undefined;
  #waiting: (() => void)[] = [];

  constructor(host: string, options: ThrottleOptions) {
    this.#host = host;
    this.#options = options;
  }

  /** Runs an exchange when it is its turn. `mayGoOn`: after a refusal, whether to ask again makes sense. */
  async pass(
    kind: Kind,
    exchange: () => Promise<Response>,
  ): Promise<{ response: Response; mayGoOn: boolean }> {
    await this.#turn(kind);
    const cuts = this.#cuts;
    this.#inFlight[kind]++;
    try {
      const response = await exchange();
      const asked = retryAfter(response.headers.get("retry-after"), Date.now());
      const isRefusal = response.status === 429 || (response.status === 503 && asked !== undefined);
      if (isRefusal) return { response, mayGoOn: this.#refused(response.status, { asked, cuts }) };
      this.#accepted();
      return { response, mayGoOn: true };
    } finally {
      this.#inFlight[kind]--;
      for (const wake of this.#waiting.splice(0)) wake();
    }
  }

  async #turn(kind: Kind): Promise<void> {
    const { signal } = this.#options;
    for (;;) {
      signal.throwIfAborted();
      const closed = this.#closedUntil - performance.now();
      if (closed > 0) await sleep(closed, signal);
      else if (this.#inFlight[kind] < Math.floor(this.#limit)) return;
      // An abort ends what is in flight, and that wakes all who wait.
      else await new Promise<void>((wake) => this.#waiting.push(wake));
    }
  }

  #accepted(): void {
    this.#refusedSince = undefined;
    this.#vain = 0;
    this.#limit += 1 / this.#limit;
  }

  #refused(status: number, { asked, cuts }: { asked: number | undefined; cuts: number }): boolean {
    const now = performance.now();
    this.#refusedSince ??= now;
    const isNew = cuts === this.#cuts;
    if (isNew) {
      this.#cuts++;
      this.#vain++;
      const inFlight = this.#inFlight.asking + this.#inFlight.sending;
      this.#limit = Math.max(1, Math.floor(Math.min(this.#limit, inFlight) / 2));
    }
    const delay = asked ?? (isNew ? this.#ownDelay() : 0);
    const until = now + delay;
    // To wait for a part of what is asked for would be in vain.
    if (until - this.#refusedSince > PATIENCE) return false;
    const later = until - this.#closedUntil;
    this.#closedUntil = Math.max(this.#closedUntil, until);
    if (later > NOTEWORTHY) {
      const why = `\`${this.#host}\` asks for patience (${status})`;
      this.#options.onWait?.({ host: this.#host, delay, why });
    }
    return true;
  }

  #ownDelay(): number {
    const { firstDelay, longestDelay } = this.#options;
    const grown = Math.min(firstDelay * 2 ** (this.#vain - 1), longestDelay);
    return grown * (0.5 + Math.random() / 2);
  }
}
