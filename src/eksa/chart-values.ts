import { type Digest, isDigest } from "../oci/digest.ts";
import { isRecord } from "../oci/manifest.ts";
import { isTag } from "../oci/reference.ts";
import { parseYamlDocuments, type YamlFile } from "./documents.ts";

/**
 * Digest → the tags that a chart's `values.yaml` has beside it: some charts ask for their images by tag.
 * Source: eks-anywhere, `getTagsFromChartValues` in cmd/eksctl-anywhere/cmd/copypackages.go.
 */
export function tagsInValues(values: YamlFile): Map<Digest, Set<string>> {
  const tags = new Map<Digest, Set<string>>();
  // Only the first document counts for helm.
  collect(parseYamlDocuments(values)[0]?.content, tags);
  return tags;
}

/** No deeper than the parser lets a document be nested. */
function collect(value: unknown, tags: Map<Digest, Set<string>>): void {
  if (typeof value !== "object" || value === null) return;
  const { digest, tag } = isRecord(value) ? value : {};
  // Some charts have the digest in place of the tag: no tag then.
  if (typeof digest === "string" && isDigest(digest) && typeof tag === "string" && isTag(tag)) {
    tags.set(digest, (tags.get(digest) ?? new Set()).add(tag));
  }
  for (const child of Object.values(value)) collect(child, tags);
}
