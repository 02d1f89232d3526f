import { discard } from "./body.ts";
import { formatWait, LONGEST_RETRY_AFTER, retryAfter } from "./retry.ts";
import { CLOCK, type Clock } from "./sleep.ts";
import { NetworkError, type Transport } from "./transport.ts";

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
  /** Default: the machine's. */
  clock?: Clock;
  /** Told when a pause begins or becomes longer, and of each exchange that the pace holds back by a second. */
  onWait?: (notice: WaitNotice) => void;
}

/** Refusals that one request bears, though its host lets others through. */
const MOST_REFUSALS = 100;
/** Milliseconds for which a host may answer nothing but refusals. */
const PATIENCE = LONGEST_RETRY_AFTER;
/** A pause that becomes longer by less is still the same one, and a pace that costs less no news: milliseconds. */
const NOTEWORTHY = 1000;
/** Successes before the pace is raised; more exchanges at once take their square. */
const FEWEST_SUCCESSES = 8;

/**
 * Keeps to the pace that each host sets, for all that is asked of it. A 429 is waited out here and costs no
 * try; one that is handed up means that waiting did not help. Of a 503 with `Retry-After` only the pause is
 * noted, as of every refusal of a request whose caller has to start over. Until a pause that is longer than our
 * patience is over, whatever else is asked of its host fails for good, unsent.
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

/**
 * One host: how many exchanges at once, how far apart, and from when on. A refusal halves how many, and of one at
 * a time doubles the interval; successes bring both back in small steps, so that most answers are successes.
 */
class Gate {
  readonly #host: string;
  readonly #options: ThrottleOptions;
  readonly #clock: Clock;
  readonly #inFlight = { asking: 0, sending: 0 };
  /** Exchanges of a kind at once. */
  #limit = Number.POSITIVE_INFINITY;
  /** Milliseconds between the starts of two exchanges. */
  #interval = 0;
  /** As the clock counts, like the next. */
  #lastStart = Number.NEGATIVE_INFINITY;
  /** The start after which the interval was told last. */
  #toldAfter: number | undefined;
  #closedUntil = 0;
  /** Since the pace last changed. */
  #successes = 0;
  /** Cuts so far. What set out before the last one tells nothing new. */
  #cuts = 0;
  /** Cuts without a success after them. */
  #vain = 0;
  /** The first refusal since the last success. */
  #refusedSince: number | undefined;
  #waiting: (() => void)[] = [];

  constructor(host: string, options: ThrottleOptions) {
    this.#host = host;
    this.#options = options;
    this.#clock = options.clock ?? CLOCK;
  }

  /** Runs an exchange when it is its turn. `mayGoOn`: after a refusal, whether to ask again makes sense. */
  async pass(
    kind: Kind,
    exchange: () => Promise<Response>,
  ): Promise<{ response: Response; mayGoOn: boolean }> {
    await this.#enter(kind);
    const entry = { cuts: this.#cuts, atOnce: this.#atOnce() };
    try {
      const response = await exchange();
      const asked = retryAfter(response.headers.get("retry-after"), Date.now());
      const isRefusal = response.status === 429 || (response.status === 503 && asked !== undefined);
      if (isRefusal) return { response, mayGoOn: this.#refused(response.status, { asked, ...entry }) };
      this.#accepted(entry.cuts);
      return { response, mayGoOn: true };
    } finally {
      this.#inFlight[kind]--;
      for (const wake of this.#waiting.splice(0)) wake();
    }
  }

  /** Counts as in flight before anything else can run: several wake up together. */
  async #enter(kind: Kind): Promise<void> {
    const { signal } = this.#options;
    for (;;) {
      signal.throwIfAborted();
      const now = this.#clock.now();
      if (this.#closedUntil > now && this.#isBeyondPatience()) throw this.#hopeless(now);
      const spaced = this.#lastStart + this.#interval - now;
      const closed = Math.max(this.#closedUntil - now, spaced);
      if (closed > 0) {
        if (spaced === closed) this.#tellOfPace(spaced);
        await this.#clock.sleep(closed, signal);
      } else if (this.#inFlight[kind] < this.#limit) {
        this.#inFlight[kind]++;
        this.#lastStart = now;
        return;
      }
      // An abort ends what is in flight, and that wakes all who wait.
      else await new Promise<void>((wake) => this.#waiting.push(wake));
    }
  }

  /** A pause is told when it is asked for; of the pace that it leaves behind, nobody would know. */
  #tellOfPace(delay: number): void {
    if (this.#interval < NOTEWORTHY || this.#toldAfter === this.#lastStart) return;
    this.#toldAfter = this.#lastStart;
    const why = `\`${this.#host}\` has asked for patience, and is asked less often`;
    this.#options.onWait?.({ host: this.#host, delay, why });
  }

  #accepted(cuts: number): void {
    this.#refusedSince = undefined;
    this.#vain = 0;
    if (cuts !== this.#cuts) return;
    const isSpaced = this.#interval > 0;
    if (++this.#successes < (isSpaced ? FEWEST_SUCCESSES : Math.max(FEWEST_SUCCESSES, this.#limit ** 2)))
      return;
    this.#successes = 0;
    if (!isSpaced) this.#limit++;
    else this.#interval = this.#interval > this.#shortestInterval() ? this.#interval * 0.8 : 0;
  }

  /** `cuts` and `atOnce`: as they were when the refused exchange set out. */
  #refused(
    status: number,
    { asked, cuts, atOnce }: { asked: number | undefined; cuts: number; atOnce: number },
  ): boolean {
    const now = this.#clock.now();
    this.#refusedSince ??= now;
    const isNew = cuts === this.#cuts;
    // The others may have been answered already.
    if (isNew) this.#cut(Math.max(atOnce, this.#atOnce()));
    const delay = asked ?? (isNew ? this.#ownDelay() : 0);
    const later = now + delay - this.#closedUntil;
    this.#closedUntil = Math.max(this.#closedUntil, now + delay);
    // To wait for a part of what is asked for would be in vain.
    if (this.#isBeyondPatience()) return false;
    if (later > (isNew ? 0 : NOTEWORTHY)) {
      const why = `\`${this.#host}\` has asked for patience (${status})`;
      this.#options.onWait?.({ host: this.#host, delay, why });
    }
    return true;
  }

  #atOnce(): number {
    return Math.min(this.#limit, this.#inFlight.asking + this.#inFlight.sending);
  }

  #cut(atOnce: number): void {
    this.#cuts++;
    this.#vain++;
    this.#successes = 0;
    this.#limit = Math.max(1, Math.floor(atOnce / 2));
    if (atOnce > 1) return;
    const longest = this.#options.longestDelay / 4;
    this.#interval = Math.min(Math.max(2 * this.#interval, this.#shortestInterval()), longest);
  }

  #shortestInterval(): number {
    return this.#options.firstDelay / 64;
  }

  #isBeyondPatience(): boolean {
    // A success that set out before the pause was asked for does not make the pause bearable.
    return this.#closedUntil - (this.#refusedSince ?? this.#clock.now()) > PATIENCE;
  }

  #hopeless(now: number): NetworkError {
    const wait = formatWait(this.#closedUntil - now);
    return new NetworkError(`\`${this.#host}\` refuses all requests, and wants none for another ${wait}`, {
      code: "RATE_LIMITED",
      retryable: false,
      hint: "run the same command again after that time",
    });
  }

  #ownDelay(): number {
    const { firstDelay, longestDelay } = this.#options;
    const grown = Math.min(firstDelay * 2 ** (this.#vain - 1), longestDelay);
    return grown * (0.5 + Math.random() / 2);
  }
}
