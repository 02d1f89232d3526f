import { CombinedSource } from "../archive/combined.ts";
import { Fault } from "../oci/fault.ts";
import type { Node, Plan, Source } from "../oci/plan.ts";
import { formatReference } from "../oci/reference.ts";
import type { Log } from "../terminal/log.ts";
import { count } from "../terminal/progress-view.ts";
import { formatBytes } from "../terminal/units.ts";
import { resolve } from "../transfer/resolve.ts";
import { failWith } from "./failures.ts";

/** What archives hold, as one: what an import of them would send. */
export interface Held {
  plan: Plan;
  /** Blobs that are left to archives that were not given. */
  lacking: readonly Node[];
}

export interface HeldOptions {
  jobs: number;
  log: Log;
  /** For messages: `list`, `verify`. */
  verb: string;
  /** Looks into what they hold while they are open. */
  look?: (plan: Plan, source: Source) => Promise<void>;
}

/** The graph of archives, each name once. Fails naming the artifacts that are damaged. */
export async function readArchives(
  paths: readonly string[],
  { jobs, log, verb, look }: HeldOptions,
): Promise<Held> {
  const source = new CombinedSource([...new Set(paths)]);
  try {
    const { references, nameless } = source;
    const { plan, failures } = await resolve(source, references, { jobs, nameless });
    const inputs = paths.map((path) => `--input ${path}`).join(" ");
    failWith(
      log,
      failures.map(({ reference, error }) => ({ what: formatReference(reference), error })),
      {
        message: `cannot ${verb} ${paths.join(", ")}: ${failures.length} of ${references.length + nameless.length} artifacts are damaged`,
        hint: `\`eksa-airgap verify artifacts ${inputs}\` says what is wrong`,
        report: false,
      },
    );
    const lacking = source.mayLackBlobs ? source.lacking(plan) : [];
    if (lacking.length > 0) {
      const bytes = lacking.reduce((sum, { descriptor }) => sum + descriptor.size, 0);
      const bases = source.missingBases.join(", ");
      log.info(`left to a base: ${count(lacking.length, "blob")}, ${formatBytes(bytes)} (index ${bases})`);
    }
    await look?.(plan, source);
    return { plan, lacking };
  } finally {
    source.close();
  }
}

export function refuseStdin(paths: readonly string[], verb: string): void {
  if (!paths.includes("-")) return;
  throw new Fault(`cannot ${verb} an archive from stdin`, {
    hint: "name a file with `--input FILE`",
    kind: "usage",
  });
}
