import { partsOf } from "../release.ts";
import type { Artifact, Publication } from "./content.ts";

/** An artifact of a release as it is to arrive, without its bytes. */
export interface Listed {
  reference: string;
  kind: Artifact["kind"];
  /** Of the root. */
  digest: string;
  /** Digests, the root's and those of configurations among them. */
  manifests: string[];
  blobs: string[];
}

/** All that is in the Internet, as far as the tests have to know it. */
export interface Inventory {
  /** Version → what it consists of. */
  releases: Record<string, Listed[]>;
  /** Digest → bytes of a blob. */
  sizes: Record<string, number>;
}

export function inventoryOf({ releases }: Publication): Inventory {
  const artifacts = releases.flatMap((release) => release.artifacts);
  const blobs = artifacts.flatMap(({ content }) => [...content.blobs]);
  return {
    releases: Object.fromEntries(releases.map(({ version, artifacts }) => [version, artifacts.map(listed)])),
    sizes: Object.fromEntries(blobs.map(([digest, bytes]) => [digest, bytes.length])),
  };
}

function listed({ reference, kind, content }: Artifact): Listed {
  const { root, manifests, blobs } = content;
  return {
    reference,
    kind,
    digest: root.digest,
    manifests: manifests.map(({ digest }) => digest),
    blobs: [...blobs.keys()],
  };
}

/** The same by the digest of its root. */
export function byDigest({ reference, digest }: Listed): string {
  const { host, repository } = partsOf(reference);
  return `${host}/${repository}@${digest}`;
}
