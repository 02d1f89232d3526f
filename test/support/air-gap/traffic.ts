/** What is to go wrong, and the count of what went right. */
export class Traffic {
  /** Bytes of blobs that have been sent. */
  sent = 0;
  /** What the next requests are answered with. */
  readonly refusals: number[] = [];
  #hold: { at: number; reached: PromiseWithResolvers<void>; open: PromiseWithResolvers<void> } | undefined;

  /** No byte of a blob goes out any more when so many have, until `release`. Resolves when it comes to that. */
  hold(at: number): Promise<void> {
    const hold = { at, reached: Promise.withResolvers<void>(), open: Promise.withResolvers<void>() };
    this.#hold = hold;
    return hold.reached.promise;
  }

  release(): void {
    this.#hold?.open.resolve();
    this.#hold = undefined;
  }

  /** As it was at first, and lets go of whoever waits. */
  reset(): void {
    this.release();
    this.sent = 0;
    this.refusals.length = 0;
  }

  /** To be called before so many bytes of a blob are sent. */
  async pass(bytes: number): Promise<void> {
    while (this.#hold !== undefined && this.sent + bytes > this.#hold.at) {
      this.#hold.reached.resolve();
      await this.#hold.open.promise;
    }
    this.sent += bytes;
  }

  /** The answer to a request that is not let through; undefined where it is. */
  refuse(): Response | undefined {
    const status = this.refusals.shift();
    if (status === undefined) return;
    return new Response("not now\n", { status, headers: status === 429 ? { "Retry-After": "1" } : {} });
  }
}
