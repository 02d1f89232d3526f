import {
  accessSync,
  constants,
  existsSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import type { Skipped, UnknownComponent } from "../eksa/artifacts.ts";
import type { UnpinnedInput } from "../eksa/collect.ts";
import type { Judgement } from "../eksa/signature.ts";
import { Fault } from "../oci/fault.ts";
import type { Plan } from "../oci/plan.ts";
import { formatReference, type Reference } from "../oci/reference.ts";
import { describeFault, type Failure } from "../terminal/fault.ts";
import type { Log } from "../terminal/log.ts";
import type { Listener } from "../transfer/events.ts";
import { closureBytes } from "../transfer/plan.ts";
import type { WholeIndex } from "../transfer/prune.ts";
import { namesFolder } from "./file-name.ts";

/** `notDone`: the run ended before it. `excluded`: left out with `--exclude`. */
type State = "done" | "failed" | "notDone" | "excluded";

interface ReportedArtifact {
  reference: string;
  digest?: string;
  /** What it was before it was pruned to some platforms. */
  original?: string;
  /** Of everything below it, what it shares with others included. */
  bytes?: number;
  state: State;
  /** The error, what caused it, and what to do, outermost first. */
  reason?: string[];
}

/** What a run made of its Bundles. */
export interface Inputs {
  skipped: readonly Skipped[];
  unpinned: readonly UnpinnedInput[];
  unknown: readonly UnknownComponent[];
}

export interface ReportOptions {
  command: string;
  /** Where to write it; nothing is written without. */
  path: string | undefined;
  /** The working directory. */
  directory: string;
  /** Files of the run that a report must not replace, as the user named them. */
  others: readonly (string | undefined)[];
  log: Log;
}

/** What `--report` writes: what became of every artifact, however the run ended. Field names are a contract. */
export class RunReport {
  readonly #command: string;
  readonly #path: string | undefined;
  readonly #log: Log;
  readonly #artifacts = new Map<string, ReportedArtifact>();
  #inputs: Inputs = { skipped: [], unpinned: [], unknown: [] };
  #whole: readonly WholeIndex[] = [];
  #signatures: { document: string; state: string; fields?: readonly string[] }[] | undefined;
  #prepackaged: string | undefined;

  /** Fails when the report could not be written, or would replace a file of the run: nothing is done yet. */
  constructor({ command, path, directory, others, log }: ReportOptions) {
    this.#command = command;
    this.#log = log;
    this.#path = path === undefined ? undefined : resolve(directory, path);
    if (path === undefined || this.#path === undefined) return;
    if (path === "-" || namesFolder(path)) {
      throw new Fault(`cannot use \`${path}\` as the value of \`--report\`: it takes a file`, {
        hint: "name a file with `--report FILE`",
        kind: "usage",
      });
    }
    const own = realPath(this.#path);
    for (const other of others) {
      if (other === undefined || realPath(resolve(directory, other)) !== own) continue;
      throw new Fault(`cannot write the report ${path}: it would replace ${other}`, {
        hint: "choose another name for the report",
        kind: "usage",
      });
    }
    try {
      accessSync(dirname(this.#path), constants.W_OK);
      if (existsSync(this.#path) && !statSync(this.#path).isFile()) throw new Fault("it is not a file");
    } catch (cause) {
      throw new Fault(`cannot write the report ${path}`, {
        cause,
        hint: "choose a place that may be written to",
      });
    }
  }

  /** Runs `work`, then writes the report; an error of the work stays the run's error. */
  async around(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      try {
        this.#save(reasonOf(error));
      } catch (second) {
        this.#log.error(second);
      }
      throw error;
    }
    this.#save({});
  }

  /** Keeps up with a transfer, so that a run that is broken off reports what it had done. */
  readonly listener: Listener = (event) => {
    if (event.type === "artifact") this.#set(event.root.reference, { state: "done" });
    if (event.type === "lost") this.#set(event.root.reference, { state: "failed", ...reasonOf(event.error) });
  };

  inputs({ skipped, unpinned, unknown }: Inputs): void {
    this.#inputs = { skipped, unpinned, unknown };
  }

  /** What a selection of platforms leaves as it is. */
  whole(whole: readonly WholeIndex[]): void {
    this.#whole = whole;
  }

  signatures(judgements: readonly Judgement[]): void {
    this.#signatures = judgements.map(({ title, verdict }) => {
      const { state } = verdict;
      return { document: title, state, ...(state === "unknownFields" ? { fields: verdict.fields } : {}) };
    });
  }

  /** The archive at `uri` is downloaded, and not built. */
  prepackaged(uri: string): void {
    this.#prepackaged = uri;
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
      const { original } = root;
      const bytes = closureBytes(plan, root);
      this.#set(root.reference, { digest, ...(original && { original }), bytes, state: "notDone" });
    }
  }

  /** What was planned is not what will be: the artifacts that will be are named anew. */
  forget({ roots }: Plan): void {
    for (const { reference } of roots) this.#artifacts.delete(formatReference(reference));
  }

  /** The same artifacts go by the target's names from here on. */
  placed(plan: Plan, placed: Plan): void {
    this.forget(plan);
    this.planned(placed);
  }

  /** All of it is there already. */
  complete(plan: Plan): void {
    for (const { reference } of plan.roots) this.#set(reference, { state: "done" });
  }

  /** What keeps a whole registry, project or repository from taking anything. */
  obstacles(obstacles: readonly Failure[]): void {
    for (const { what, error } of obstacles) {
      for (const artifact of this.#artifacts.values()) {
        const isBelow = ["/", ":", "@"].some((end) => artifact.reference.startsWith(`${what}${end}`));
        if (isBelow) Object.assign(artifact, { state: "failed", ...reasonOf(error) });
      }
    }
  }

  /** Whole or not at all: a report of an earlier run stays until this one is written. */
  #save(ending: { reason?: string[] }): void {
    if (this.#path === undefined) return;
    const report = {
      command: this.#command,
      ...ending,
      ...(this.#prepackaged === undefined ? {} : { prepackaged: this.#prepackaged }),
      artifacts: [...this.#artifacts.values()],
      ...this.#inputs,
      whole: this.#whole.map(({ reference, reason }) => ({ reference: formatReference(reference), reason })),
      // Of a run that goes on with an earlier one's plan, or does not look: none.
      signatures: this.#signatures,
    };
    const unfinished = `${this.#path}.partial`;
    try {
      writeFileSync(unfinished, `${JSON.stringify(report, undefined, 2)}\n`);
      renameSync(unfinished, this.#path);
    } catch (cause) {
      rmSync(unfinished, { force: true });
      throw new Fault(`cannot write the report ${this.#path}`, {
        cause,
        hint: "choose a place that may be written to, with room",
      });
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

/** The path behind links, where there is something; else the path itself. */
function realPath(path: string): string {
  if (existsSync(path)) return realpathSync(path);
  const folder = dirname(path);
  return existsSync(folder) ? join(realpathSync(folder), basename(path)) : path;
}
