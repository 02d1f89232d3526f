import { collectArtifacts } from "../../src/eksa/collect.ts";
import { wrapBundles } from "../../src/eksa/wrap.ts";
import type { RegistryStore } from "../../src/registry/store.ts";
import { bundlesOfRealShape } from "./bundles.ts";
import { seed } from "./content.ts";

export interface MirroredRelease {
  /** The Bundles' own number. Default: 1. */
  number?: number;
  version?: string;
  /** Default: `eks-anywhere/bundles`. */
  repository?: string;
}

/** Puts the manifests of a release where an import puts them. Returns the Bundles as published. */
export async function seedManifests(
  store: RegistryStore,
  { number = 1, version, repository = "eks-anywhere/bundles" }: MirroredRelease = {},
): Promise<string> {
  const { yaml, documents } = bundlesOfRealShape({ number });
  const encoder = new TextEncoder();
  const { files } = await collectArtifacts({ source: "x", bytes: encoder.encode(yaml) }, async (uri) =>
    encoder.encode(documents.get(uri)),
  );
  const { roots, nodes } = wrapBundles({ number, files, ...(version === undefined ? {} : { version }) });
  const contents = [...nodes.values()].map(({ kind, descriptor, bytes = new Uint8Array() }) => ({
    kind,
    descriptor,
    bytes,
  }));
  for (const { reference, descriptor } of roots) {
    await seed(store, repository, reference.tag, {
      root: descriptor,
      manifests: contents
        .filter(({ kind }) => kind === "manifest")
        .map((one) => ({
          digest: one.descriptor.digest,
          mediaType: one.descriptor.mediaType,
          bytes: one.bytes,
        })),
      blobs: new Map(
        contents.filter(({ kind }) => kind === "blob").map((one) => [one.descriptor.digest, one.bytes]),
      ),
    });
  }
  return yaml;
}
