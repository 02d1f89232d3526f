/** Numbers that look random, and are the same for the same seed (mulberry32). */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** A whole number from 0 up to but not including `end`. */
  below(end: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * end);
  }
}

/** `SEED` from the environment, else another one each time; printed, so that a failure can be repeated. */
export function seedOf(what: string): number {
  const given = Number(process.env.SEED);
  const seed = Number.isSafeInteger(given) && given > 0 ? given : 1 + Math.floor(Math.random() * 1e9);
  console.log(`${what}: SEED=${seed}`);
  return seed;
}

/** How many times to try what is tried at random: `STRESS` from the environment, else `usual`. */
export function runs(usual: number): number {
  const given = Number(process.env.STRESS);
  return Number.isSafeInteger(given) && given > 0 ? given : usual;
}
