import { type Descriptor, MEDIA_TYPE, type Platform } from "../../src/oci/descriptor.ts";
import { type Digest, digestOf } from "../../src/oci/digest.ts";
import { Fault } from "../../src/oci/fault.ts";
import { describe, type ManifestBytes, parseManifest } from "../../src/oci/manifest.ts";
import type { ByteStream, Node, Plan, Source } from "../../src/oci/plan.ts";
import { formatReference, parseReference, type Reference, repositoryName } from "../../src/oci/reference.ts";
import { resolve } from "../../src/transfer/resolve.ts";
import type { TestContent } from "./content.ts";

/** Content in memory as a source, under the references it is given. */
export class MemorySource implements Source {
  /** References of the manifests that were asked for, in order. */
  readonly asked: string[] = [];
  readonly blobs = new Map<Digest, Uint8Array>();
  /** `REPOSITORY:TAG` and `REPOSITORY@DIGEST` → manifest. */
  readonly manifests = new Map<string, Uint8Array>();

  constructor(contents: Readonly<Record<string, TestContent>>) {
    for (const [text, content] of Object.entries(contents)) {
      const reference = parseReference(text);
      for (const { digest, bytes } of content.manifests) {
        this.manifests.set(`${repositoryName(reference)}@${digest}`, bytes);
        if (digest === content.root.digest) this.manifests.set(formatReference(reference), bytes);
      }
      for (const [digest, bytes] of content.blobs) this.blobs.set(digest, bytes);
    }
  }

  async manifest(reference: Reference): Promise<ManifestBytes> {
    const name =
      reference.digest === undefined
        ? formatReference(reference)
        : `${repositoryName(reference)}@${reference.digest}`;
    this.asked.push(name);
    const bytes = this.manifests.get(name);
    if (bytes === undefined) throw new Fault(`cannot find ${name}`);
    return { descriptor: describe(parseManifest(bytes), digestOf(bytes), bytes.length), bytes };
  }

  async open(node: Node, from = 0): Promise<ByteStream> {
    const bytes = this.blobs.get(node.descriptor.digest);
    if (bytes === undefined) throw new Fault(`cannot find ${node.descriptor.digest}`);
    return inPieces(bytes.subarray(from), 7);
  }
}

export async function* inPieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.slice(at, at + size);
}

/** The plan of what lies under the references, which must all be there. */
export async function planOf(contents: Readonly<Record<string, TestContent>>): Promise<Plan> {
  const references = Object.keys(contents).map(parseReference);
  const { plan, failures } = await resolve(new MemorySource(contents), references, { jobs: 4 });
  for (const { error } of failures) throw error;
  return plan;
}

export interface RawImageOptions {
  platform?: Platform;
  /** Of the manifest. Default: OCI's. */
  mediaType?: string;
  /** Default: an OCI image config's. */
  configType?: string;
  /** Default: an OCI tar without compression. */
  layerType?: string;
}

/** An image of bytes as they are: without compression they are the same whatever runtime makes them. */
export function rawImage(layers: readonly string[], options: RawImageOptions = {}): TestContent {
  const { platform = { os: "linux", architecture: "amd64" }, mediaType = MEDIA_TYPE.ociManifest } = options;
  const { configType = MEDIA_TYPE.ociConfig, layerType = "application/vnd.oci.image.layer.v1.tar" } = options;
  const blobs = new Map<Digest, Uint8Array>();
  const blob = (type: string, text: string): Descriptor => {
    const bytes = new TextEncoder().encode(text);
    blobs.set(digestOf(bytes), bytes);
    return { mediaType: type, digest: digestOf(bytes), size: bytes.length };
  };
  const document = {
    schemaVersion: 2,
    mediaType,
    config: blob(configType, JSON.stringify({ ...platform, rootfs: { type: "layers" }, of: layers })),
    layers: layers.map((text) => blob(layerType, text)),
  };
  const content = manifestContent(mediaType, document);
  return { ...content, root: { ...content.root, platform }, blobs };
}

/** An index of other content; each child is listed with the platform of its root descriptor. */
export function rawIndex(
  children: readonly TestContent[],
  annotations?: Record<string, string>,
): TestContent {
  const manifests = children.map(({ root }) => root);
  const mediaType = MEDIA_TYPE.ociIndex;
  const content = manifestContent(mediaType, { schemaVersion: 2, mediaType, manifests, annotations });
  return {
    ...content,
    manifests: [...children.flatMap((child) => child.manifests), ...content.manifests],
    blobs: new Map(children.flatMap((child) => [...child.blobs])),
  };
}

/** A manifest of any shape, and nothing of what it refers to. */
export function manifestContent(mediaType: string, document: unknown): TestContent {
  const bytes = new TextEncoder().encode(JSON.stringify(document));
  const root = { mediaType, digest: digestOf(bytes), size: bytes.length };
  return { root, manifests: [{ digest: root.digest, mediaType, bytes }], blobs: new Map() };
}
