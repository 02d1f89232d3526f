/**
 * `patch`: one PATCH with all of it and no Content-Range, which every known registry but a few takes.
 * `put`: the bytes go with the last PUT. `chunks`: PATCH after PATCH, each with its Content-Range.
 */
export type UploadMethod = "patch" | "put" | "chunks";

const FIRST_CHUNK = 64 * 1024 * 1024;
/** No proxy is known that allows less; so much is sent in one request whatever is said. */
const SMALLEST_CHUNK = 16 * 1024;
/** A registry that asks for larger chunks than this asks in vain. */
const LARGEST_MINIMUM = 512 * 1024 * 1024;

/** How one registry takes blobs: what it has refused is not tried again in the same run. */
export class UploadManner {
  readonly #refused = new Set<UploadMethod>();
  #smallestTooLarge = Number.POSITIVE_INFINITY;
  #chunk = FIRST_CHUNK;

  /** What to try next for a blob; undefined when nothing is left. */
  methodFor(size: number, tried: ReadonlySet<UploadMethod>): UploadMethod | undefined {
    const order: UploadMethod[] =
      size < this.#smallestTooLarge ? ["patch", "put", "chunks"] : ["chunks", "patch", "put"];
    return order.find((method) => !tried.has(method) && !this.#refused.has(method));
  }

  takesChunks(): boolean {
    return !this.#refused.has("chunks");
  }

  refuse(...methods: readonly UploadMethod[]): void {
    for (const method of methods) this.#refused.add(method);
  }

  /** A body of so many bytes was too large. */
  refuseBody(bytes: number): void {
    this.#smallestTooLarge = Math.min(this.#smallestTooLarge, bytes);
    this.shrinkChunks(bytes);
  }

  /** Bytes in the next chunk, `minimum` being the registry's own. */
  chunkBytes(minimum: number): number {
    return Math.max(this.#chunk, Math.min(minimum, LARGEST_MINIMUM));
  }

  /** After a chunk of so many bytes was too large; false when none that makes sense is smaller. */
  shrinkChunks(bytes: number, minimum = 0): boolean {
    if (bytes <= SMALLEST_CHUNK) return false;
    this.#chunk = Math.min(this.#chunk, Math.max(SMALLEST_CHUNK, Math.floor(bytes / 4)));
    return this.chunkBytes(minimum) < bytes;
  }
}
