import { Fault } from "../oci/fault.ts";
import { formatReference, type Reference, repositoryName } from "../oci/reference.ts";
import { nearest } from "../terminal/nearest.ts";

/** Takes out what `--exclude` names. Fails on a name that is not there: it would give a false sense of done. */
export function exclude<T extends { reference: Reference }>(
  artifacts: readonly T[],
  excluded: readonly string[],
): { kept: T[]; left: T[] } {
  const known = new Set(artifacts.flatMap(({ reference }) => namesOf(reference)));
  for (const name of excluded) {
    if (known.has(name)) continue;
    const near = nearest(name, [...known]);
    throw new Fault(`cannot exclude ${name}: the Bundles names no such artifact`, {
      hint: near === undefined ? "`--dry-run` prints the names" : `did you mean ${near}?`,
      kind: "usage",
    });
  }
  const names = new Set(excluded);
  const isExcluded = ({ reference }: T) => namesOf(reference).some((name) => names.has(name));
  return { kept: artifacts.filter((one) => !isExcluded(one)), left: artifacts.filter(isExcluded) };
}

/** Every way to write a reference: by tag, by digest, by both. */
function namesOf(reference: Reference): string[] {
  const { tag, digest } = reference;
  const name = repositoryName(reference);
  const names = [formatReference(reference)];
  if (digest !== undefined) names.push(`${name}@${digest}`);
  if (tag !== undefined && digest !== undefined) names.push(`${name}:${tag}@${digest}`);
  return names;
}
