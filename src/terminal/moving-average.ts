/** milliseconds */
const SAMPLE_INTERVAL = 500;
/** Before so many milliseconds an average says nothing about the rest. */
const SHORTEST = 2000;

/** How fast a sum has grown of late. */
export class MovingAverage {
  readonly #longest: number;
  readonly #samples: { at: number; sum: number }[];

  /** `start`: the moment at which the sum was 0; `longest`: the widest window that will be asked for. */
  constructor(start: number, longest: number) {
    this.#longest = longest;
    this.#samples = [{ at: start, sum: 0 }];
  }

  add(at: number, sum: number): void {
    const last = this.#samples.at(-1);
    if (last !== undefined && at - last.at < SAMPLE_INTERVAL) return;
    this.#samples.push({ at, sum });
    while ((this.#samples[1]?.at ?? at) <= at - this.#longest) this.#samples.shift();
  }

  /** Growth a second over the last `window` milliseconds, or since the start; undefined until that says something. */
  over(window: number, at: number, sum: number): number | undefined {
    const oldest = this.#samples.findLast((sample) => at - sample.at >= window) ?? this.#samples[0];
    if (oldest === undefined || at - oldest.at < SHORTEST) return;
    return ((sum - oldest.sum) / (at - oldest.at)) * 1000;
  }
}
