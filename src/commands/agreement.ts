import type { Collection } from "../eksa/collect.ts";
import type { Digest } from "../oci/digest.ts";
import { Fault } from "../oci/fault.ts";
import { formatReference, type Reference } from "../oci/reference.ts";
import type { Failure } from "../terminal/fault.ts";
import { wrapFiles } from "./export-plan.ts";

/**
 * How the roots of an archive differ from what a Bundles names. Of what it names by tag alone any content is right:
 * nobody can say which one was meant.
 */
export function disagreements(
  collection: Collection,
  roots: readonly (Reference & { digest: Digest })[],
): Failure[] {
  const named = new Map<string, Digest | undefined>();
  for (const { reference } of collection.images) named.set(formatReference(reference), reference.digest);
  for (const { reference, descriptor } of wrapFiles(collection).roots) {
    named.set(formatReference(reference), descriptor.digest);
  }
  const found = new Map(roots.map((root) => [formatReference(root), root.digest]));
  const failures: Failure[] = [];
  const disagree = (what: string, why: string) => {
    failures.push({
      what,
      error: new Fault(`cannot accept ${what}`, { cause: new Fault(why), kind: "mismatch" }),
    });
  };
  for (const [name, digest] of named) {
    const other = found.get(name);
    if (other === undefined) disagree(name, "the Bundles names it, and the archive does not hold it");
    else if (digest !== undefined && digest !== other) {
      disagree(name, `the Bundles makes it ${digest}, and the archive holds ${other}`);
    }
  }
  for (const name of found.keys()) {
    if (!named.has(name)) disagree(name, "the archive holds it, and the Bundles does not name it");
  }
  return failures;
}
