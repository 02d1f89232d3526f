import type { Digest } from "../oci/digest.ts";
import type { Plan, Root } from "../oci/plan.ts";

/** Finds the roots that content belongs to, however far up they are, in the order of the plan. */
export function rootsAbove({ roots, nodes }: Plan): (digest: Digest) => Root[] {
  const parents = new Map<Digest, Digest[]>();
  for (const [digest, { children }] of nodes) {
    for (const child of children) {
      const known = parents.get(child);
      if (known === undefined) parents.set(child, [digest]);
      else known.push(digest);
    }
  }
  const places = new Map<Digest, number[]>();
  for (const [place, { descriptor }] of roots.entries()) {
    const known = places.get(descriptor.digest);
    if (known === undefined) places.set(descriptor.digest, [place]);
    else known.push(place);
  }
  return (digest) => {
    const above = new Set([digest]);
    // A set is walked in order of insertion, what is added on the way included.
    for (const each of above) for (const parent of parents.get(each) ?? []) above.add(parent);
    const found = [...above].flatMap((each) => places.get(each) ?? []);
    return found.sort((a, b) => a - b).flatMap((place) => roots[place] ?? []);
  };
}
