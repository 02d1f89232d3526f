import { writeFileSync } from "node:fs";
import type { Skipped } from "../eksa/artifacts.ts";
import type { UnpinnedInput } from "../eksa/collect.ts";
import { Fault } from "../oci/fault.ts";
import type { Plan, Root } from "../oci/plan.ts";
import { formatReference, type Reference } from "../oci/reference.ts";
import { describeFault } from "../terminal/fault.ts";
import { closureBytes } from "../transfer/plan.ts";

/** `notDone`: the run ended before it. `excluded`: left out with `--exclude`. */
type State = "done" | "failed" | "notDone" | "excluded";

interface ReportedArtifact {
  reference: string;
  digest?: string;
  /** Of everything below it, what it shares with others included. */
  bytes?: number;
  state: State;
  /** The error, what caused it, and what to do, outermost first. */
  reason?: string[];
}

/** What `--report` writes: what became of every artifact. Field names are a contract. */
export class RunReport {
  readonly #command: string;
  readonly #artifacts = new Map<string, ReportedArtifact>();
  #skipped: readonly Skipped[] = [];
  #unpinned: readonly UnpinnedInput[] = [];

  constructor(command: string) {
    this.#command = command;
  }

  inputs({ skipped, unpinned }: { skipped: readonly Skipped[]; unpinned: readonly UnpinnedInput[] }): void {
    this.#skipped = skipped;
    this.#unpinned = unpinned;
  }

  excluded(references: readonly Reference[]): void {
    for (const reference of references) this.#set(reference, { state: "excluded" });
  }

  unresolved(failures: readonly { reference: Reference; error: unknown }[]): void {
    for (const { reference, error } of failures)
      this.#set(reference, { state: "failed", ...reasonOf(error) });
  }

  planned(plan: Plan): void {
    for (const root of plan.roots) {
      const { digest } = root.descriptor;
      this.#set(root.reference, { digest, bytes: closureBytes(plan, root), state: "notDone" });
    }
  }

  /** Everything that was planned is there, but for what was lost. */
  ended(plan: Plan, lost: readonly { root: Root; error: unknown }[]): void {
    for (const { reference } of plan.roots) this.#set(reference, { state: "done" });
    for (const { root, error } of lost) {
      const state = error === undefined ? "notDone" : "failed";
      this.#set(root.reference, { state, ...(error === undefined ? {} : reasonOf(error)) });
    }
  }

  /** Writes what is known, for nothing if there is no `path`. Fails when the file cannot be written. */
  save(path: string | undefined): void {
    if (path === undefined) return;
    const report = {
      command: this.#command,
      artifacts: [...this.#artifacts.values()],
      skipped: this.#skipped,
      unpinned: this.#unpinned,
    };
    try {
      writeFileSync(path, `${JSON.stringify(report, undefined, 2)}\n`);
    } catch (cause) {
      throw new Fault(`cannot write the report ${path}`, { cause });
    }
  }

  #set(reference: Reference, fields: Omit<ReportedArtifact, "reference">): void {
    const name = formatReference(reference);
    this.#artifacts.set(name, { reference: name, ...this.#artifacts.get(name), ...fields });
  }
}

function reasonOf(error: unknown): { reason: string[] } {
  const { message, because, hints } = describeFault(error);
  return { reason: [message, ...because, ...hints] };
}
