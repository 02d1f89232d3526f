import { algorithmOf, type Digest, hexOf } from "../oci/digest.ts";

/** Where content lies in a layout. Spec: image-spec image-layout.md, "Blobs". */
export function pathOf(digest: Digest): string {
  return `blobs/${algorithmOf(digest)}/${hexOf(digest)}`;
}
