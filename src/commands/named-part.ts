import { type ImageArtifact, isCsiComponent } from "../eksa/images.ts";
import { isPackageBundle } from "../eksa/package-bundle.ts";
import { Fault } from "../oci/fault.ts";
import type { Plan, Root } from "../oci/plan.ts";
import { formatReference } from "../oci/reference.ts";
import type { Failure } from "../terminal/fault.ts";
import type { Log } from "../terminal/log.ts";
import { describeArtifact } from "./artifact-kind.ts";
import { reportSkipped } from "./export-plan.ts";
import { failWith } from "./failures.ts";
import { type Part, partBy, withoutUnused } from "./part.ts";

export interface Naming {
  /** The Bundles, for messages. */
  name: string;
  /** What it names. */
  images: readonly ImageArtifact[];
  /** The archive, for messages. */
  input: string;
  /** Whether all other images and charts are sent as well: those of the curated packages. */
  others: "sent" | "left";
  /** The file that names every failure. */
  report: string | undefined;
}

/** What of an archive a Bundles names, told aloud. Fails naming all of it that is missing, or other content. */
export function partNamed(held: Plan, naming: Naming, log: Log): Part {
  const { name, images, input, others } = naming;
  const wanted = images.filter(({ reference }) => !isCsiComponent(reference));
  const roots = new Map(held.roots.map((root) => [formatReference(root.reference), root]));
  failWith(
    log,
    wanted.flatMap((image) => failureOf(image, roots) ?? []),
    {
      message: `cannot import: ${input} does not hold what ${name} names; nothing has been sent`,
      hint: `take the Bundles that it was downloaded with; \`eksa-airgap import artifacts --input ${input}\` sends what it holds, whatever that is`,
      report: naming.report,
    },
  );
  const names = new Set(wanted.map(({ reference }) => formatReference(reference)));
  const used = withoutUnused(held);
  const named = partBy(used.plan, (root) => {
    if (names.has(formatReference(root.reference))) return;
    if (others === "sent" && isOfPackages(used.plan, root)) return;
    return "not named by the Bundles";
  });
  const left = [...used.left, ...named.left];
  reportSkipped(log, left);
  return { plan: named.plan, left };
}

function isOfPackages(plan: Plan, root: Root): boolean {
  const { kind } = describeArtifact(plan, root);
  return isPackageBundle(root.reference) || kind === "image" || kind === "chart";
}

function failureOf({ reference }: ImageArtifact, roots: ReadonlyMap<string, Root>): Failure | undefined {
  const what = formatReference(reference);
  const root = roots.get(what);
  if (root === undefined) {
    const hint = "download it again by the same Bundles, or give the one that it was downloaded by";
    return { what, error: new Fault(`cannot find ${what}: it is not in the archive`, { hint }) };
  }
  const { digest } = root.descriptor;
  if (reference.digest === undefined || [digest, root.original].includes(reference.digest)) return;
  const cause = new Error(`it is ${digest}, and the Bundles names ${reference.digest}`);
  return { what, error: new Fault(`cannot take ${what} from the archive`, { cause, kind: "mismatch" }) };
}
