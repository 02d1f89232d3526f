/** Memory that several share: bytes are taken, and given back once they are out of use. */
export class Budget {
  #left: number;
  #waiting: { bytes: number; taken: () => void }[] = [];

  constructor(bytes: number) {
    this.#left = bytes;
  }

  /** False when there is not enough left. */
  tryTake(bytes: number): boolean {
    if (bytes > this.#left) return false;
    this.#left -= bytes;
    return true;
  }

  /** Waits until there is enough; in order of arrival. More than there is in all is never had. */
  async take(bytes: number): Promise<void> {
    if (this.#waiting.length === 0 && this.tryTake(bytes)) return;
    await new Promise<void>((taken) => this.#waiting.push({ bytes, taken }));
  }

  give(bytes: number): void {
    this.#left += bytes;
    for (
      let [first] = this.#waiting;
      first !== undefined && this.tryTake(first.bytes);
      [first] = this.#waiting
    ) {
      this.#waiting.shift();
      first.taken();
    }
  }
}
