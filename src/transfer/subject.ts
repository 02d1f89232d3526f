import { type Digest, isDigest } from "../oci/digest.ts";
import type { Plan, Root } from "../oci/plan.ts";

/** cosign's tags say what they sign or describe. */
const SIGNATURE_TAG = /^(sha256|sha512)-([0-9a-f]+)\.(?:sig|att|sbom)$/;

/** What a root signs or describes, by its manifest or by its tag; undefined for an artifact of its own. */
export function subjectOf({ nodes }: Plan, { reference, descriptor, nameless }: Root): Digest | undefined {
  if (nameless) return nodes.get(descriptor.digest)?.subject;
  const [, algorithm, hex] = SIGNATURE_TAG.exec(reference.tag ?? "") ?? [];
  const digest = `${algorithm}:${hex}`;
  return isDigest(digest) ? digest : undefined;
}
