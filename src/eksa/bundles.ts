import * as v from "valibot";
import { type DocumentType, parseYamlDocument, type YamlFile } from "./documents.ts";

/** What one Kubernetes version runs: `kubeVersion` beside components of a shape that changes by release. */
interface VersionsBundle {
  /** `1.31`; safe as a path segment. */
  kubeVersion: string;
  [component: string]: unknown;
}

/** The envelope of a Bundles manifest. */
export interface Bundles {
  /** What it was read from, for messages. */
  source: string;
  number: number;
  /** At least one. */
  versionsBundles: VersionsBundle[];
}

/** Only the envelope: components old and new are found by their shape (see `artifacts.ts`). */
const versionsBundle = v.looseObject(
  {
    kubeVersion: v.pipe(
      v.string("a version like `1.31`"),
      v.regex(/^[0-9A-Za-z](?:[0-9A-Za-z._-]{0,62}[0-9A-Za-z])?$/, "a version like `1.31`"),
    ),
  },
  "a mapping with a `kubeVersion`",
);

const BUNDLES: DocumentType<{ spec: Omit<Bundles, "source"> }> = {
  apiVersion: "anywhere.eks.amazonaws.com/v1alpha1",
  kind: "Bundles",
  schema: v.object(
    {
      spec: v.object(
        {
          number: v.pipe(
            v.string("a whole number"),
            v.regex(/^[0-9]{1,15}$/, "a whole number"),
            v.transform(Number),
          ),
          versionsBundles: v.pipe(
            v.array(versionsBundle, "a list of versionsBundles"),
            v.minLength(1, "at least one versionsBundle"),
          ),
        },
        "a mapping with `number` and `versionsBundles`",
      ),
    },
    "a mapping with a `spec`",
  ),
};

export function parseBundles(file: YamlFile): Bundles {
  return { source: file.source, ...parseYamlDocument(file, BUNDLES).spec };
}
