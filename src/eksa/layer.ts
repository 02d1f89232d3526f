import type { Descriptor } from "../oci/descriptor.ts";
import { Fault } from "../oci/fault.ts";
import { type ManifestBytes, parseManifest } from "../oci/manifest.ts";
import type { Source } from "../oci/plan.ts";
import { formatReference, type Reference, repositoryName } from "../oci/reference.ts";
import { verified } from "../oci/verified.ts";

/** The first layer of this type; where there is none, the first of all. Fails on an index and on no layers. */
export function layerOf({ bytes }: ManifestBytes, mediaType?: string): Descriptor {
  const { layers } = parseManifest(bytes);
  const layer = layers.find((one) => one.mediaType === mediaType) ?? layers[0];
  if (layer === undefined) throw new Fault("cannot read an artifact that has no layer");
  return layer;
}

/** A layer of at most `limit` bytes, all of it, once its digest is verified. */
export async function readLayer(
  source: Source,
  reference: Reference,
  { layer, limit }: { layer: Descriptor; limit: number },
): Promise<Uint8Array> {
  const name = formatReference(reference);
  if (layer.size > limit) {
    throw new Fault(`cannot read ${name}: its content has ${layer.size} bytes, where ${limit} are the limit`);
  }
  const repositories = new Set([repositoryName(reference)]);
  const node = { descriptor: layer, kind: "blob", children: [], repositories } as const;
  try {
    return Buffer.concat(await Array.fromAsync(verified(await source.open(node), layer)));
  } catch (cause) {
    throw new Fault(`cannot read ${name}`, { cause });
  }
}
