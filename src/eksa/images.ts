import { type Digest, parseDigest } from "../oci/digest.ts";
import { Fault } from "../oci/fault.ts";
import { formatReference, parseReference, type Reference } from "../oci/reference.ts";
import { MEND, throwAll } from "./failures.ts";
import type { Origin } from "./selection.ts";

/** What a registry holds: an image, or what is kept like one. */
export interface ImageArtifact {
  /** A `manifest` is a YAML file: the package bundle of a Kubernetes version. */
  kind: "image" | "chart" | "manifest";
  /** The tag is what it is called; the digest, where the document names one, what is fetched. */
  reference: Reference;
  /** Every place that names it, for messages: `versionsBundles[0].certManager.webhook`. */
  where: readonly string[];
  /** The places of a Bundles among these, by which it is selected. Absent: whatever is selected, it travels. */
  origins?: readonly Origin[];
}

/**
 * EKS-D's releases name them, and EKS Anywhere uses none: `import images` has always been given them by
 * `download images`, and does not push them. Source: cmd/internal/commands/artifacts/import.go.
 */
export function isCsiComponent({ registry, repository }: Reference): boolean {
  return registry === "public.ecr.aws" && repository.startsWith("csi-components/");
}

export const PLACEHOLDER = "<placeholder>";

/** `imageDigest` may be empty or a placeholder, as in older documents: the tag then stands alone. */
export function parseImage(uri: string, imageDigest: unknown): Reference {
  const name = uri.replace(/^oci:\/\//, "");
  if (typeof imageDigest !== "string" || imageDigest === "" || imageDigest === PLACEHOLDER) {
    return parseReference(name);
  }
  const digest: Digest = parseDigest(imageDigest);
  const reference = parseReference(name.includes("@") ? name : `${name}@${digest}`);
  if (reference.digest === digest) return reference;
  throw new Fault(`cannot tell what \`${name}\` is: its imageDigest is ${digest}`, {
    hint: MEND,
    kind: "mismatch",
  });
}

/**
 * Each name once, in order of first mention. Where only one of two mentions has a digest it pins both; where
 * one of them has no origins the name has none.
 * Fails on names that stand for two digests, all of them at once.
 */
export function mergeImages(images: Iterable<ImageArtifact>): ImageArtifact[] {
  const merged = new Map<string, Merging>();
  const failures: Fault[] = [];
  for (const image of images) {
    const name = formatReference(image.reference);
    const known = merged.get(name);
    if (known === undefined) {
      const { origins, ...rest } = image;
      merged.set(name, { ...rest, where: [...image.where], ...(origins && { origins: [...origins] }) });
      continue;
    }
    const [a, b] = [known.reference.digest, image.reference.digest];
    if (a !== undefined && b !== undefined && a !== b) failures.push(ambiguous(name, known, image));
    known.reference = a === undefined ? image.reference : known.reference;
    for (const place of image.where) known.where.push(place);
    if (image.origins === undefined) delete known.origins;
    for (const origin of image.origins ?? []) known.origins?.push(origin);
  }
  throwAll("cannot tell which images are meant", failures);
  return [...merged.values()];
}

type Merging = ImageArtifact & { where: string[]; origins?: Origin[] };

function ambiguous(name: string, first: ImageArtifact, second: ImageArtifact): Fault {
  const places = [first, second].map(({ reference, where }) => `${reference.digest} at ${where[0]}`);
  return new Fault(`cannot tell which content ${name} is: ${places.join(", ")}`, {
    hint: MEND,
    kind: "mismatch",
  });
}
