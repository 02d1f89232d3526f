import { algorithmOf, type Digest, hexOf, isDigest } from "../oci/digest.ts";

/** Where content lies in a layout. Spec: image-spec image-layout.md, "Blobs". */
export function pathOf(digest: Digest): string {
  return `blobs/${algorithmOf(digest)}/${hexOf(digest)}`;
}

/** What lies under a name of that form; undefined for any other. */
export function digestAt(path: string): Digest | undefined {
  const [folder, algorithm, hex, ...rest] = path.split("/");
  const digest = `${algorithm}:${hex}`;
  return folder === "blobs" && rest.length === 0 && isDigest(digest) ? digest : undefined;
}
