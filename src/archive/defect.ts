import type { Digest } from "../oci/digest.ts";
import { Fault } from "../oci/fault.ts";

/**
 * `missing`: the graph wants it, the archive lacks it. `corrupt`: it is not what it is said to be.
 * `truncated`: the file ends before it does. `extra`: nobody refers to it.
 */
export type DefectKind = "missing" | "corrupt" | "truncated" | "extra";

/** One thing that is wrong with an archive. */
export interface Defect {
  kind: DefectKind;
  /** Of the content that it befalls; absent for what has none, such as `index.json`. */
  digest?: Digest;
  /** Where in the file; absent for what is not in it. */
  offset?: number;
  /** What was found, and what should be there. */
  detail: string;
  /** What to do about it where another copy of the archive is not what helps, or not all of it. */
  hint?: string | undefined;
}

/** Why content cannot be read as what it is said to be. */
export class DefectFault extends Fault {
  readonly defect: Defect;

  constructor(what: string, defect: Defect) {
    super(`cannot verify ${what}: ${defect.detail}`, { kind: "mismatch" });
    this.defect = defect;
  }
}
