import type { Digest } from "./digest.ts";
import { Fault } from "./fault.ts";

/** A sink no longer has what it had below a manifest, e.g. since a garbage collector was faster. */
export class ContentLost extends Fault {
  /** What is gone; empty when the sink does not say. */
  readonly digests: readonly Digest[];

  constructor(message: string, { digests, cause }: { digests: readonly Digest[]; cause: unknown }) {
    super(message, { cause, hint: "run the same command again while the registry collects no garbage" });
    this.digests = digests;
  }
}
