import type { Descriptor } from "../oci/descriptor.ts";
import { describe, isRecord, parseManifest } from "../oci/manifest.ts";
import type { StoredManifest } from "./store.ts";

/** The entry of a referrer in its subject's list. Spec: distribution-spec, "Listing Referrers". */
export function describeReferrer({ digest, bytes }: StoredManifest): Descriptor {
  const descriptor = describe(parseManifest(bytes), digest, bytes.length);
  const { annotations } = fieldsOf(bytes);
  if (!isRecord(annotations)) return descriptor;
  const texts = Object.entries(annotations).filter(
    (entry): entry is [string, string] => typeof entry[1] === "string",
  );
  return { ...descriptor, annotations: Object.fromEntries(texts) };
}

function fieldsOf(manifest: Uint8Array): Record<string, unknown> {
  const value: unknown = JSON.parse(new TextDecoder().decode(manifest));
  return isRecord(value) ? value : {};
}
