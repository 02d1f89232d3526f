import { gzipSync } from "node:zlib";
import { packTar } from "modern-tar";
import { type Descriptor, MEDIA_TYPE, type Platform } from "../../src/oci/descriptor.ts";
import { type Digest, digestOf } from "../../src/oci/digest.ts";
import type { RegistryStore, StoredManifest } from "../../src/registry/store.ts";

/** A graph of content as plain data; the same arguments give the same bytes. */
export interface TestContent {
  root: Descriptor;
  /** Children before parents. */
  manifests: StoredManifest[];
  blobs: Map<Digest, Uint8Array>;
}

/** Whose media types a manifest speaks. */
type Dialect = "oci" | "docker";

const TYPES = {
  oci: {
    index: MEDIA_TYPE.ociIndex,
    manifest: MEDIA_TYPE.ociManifest,
    config: MEDIA_TYPE.ociConfig,
    layer: "application/vnd.oci.image.layer.v1.tar+gzip",
  },
  docker: {
    index: MEDIA_TYPE.dockerList,
    manifest: MEDIA_TYPE.dockerManifest,
    config: MEDIA_TYPE.dockerConfig,
    layer: "application/vnd.docker.image.rootfs.diff.tar.gzip",
  },
} as const;

const AMD64: Platform = { os: "linux", architecture: "amd64" };
const ARM64: Platform = { os: "linux", architecture: "arm64" };

/** Incompressible, and decided by `seed` alone. Algorithm: mulberry32. */
export function pseudoRandomBytes(size: number, seed: string): Uint8Array {
  let state = Number(Bun.hash.crc32(seed));
  const words = new Uint32Array(Math.ceil(size / 4));
  for (let index = 0; index < words.length; index++) {
    state = (state + 0x6d2b79f5) | 0;
    let word = Math.imul(state ^ (state >>> 15), state | 1);
    word ^= word + Math.imul(word ^ (word >>> 7), word | 61);
    words[index] = word ^ (word >>> 14);
  }
  return new Uint8Array(words.buffer).subarray(0, size);
}

/** A layer that docker can load: its gzip, and the digest of the tar inside. */
export interface Layer {
  bytes: Uint8Array;
  diffId: Digest;
}

/** One file `data/<seed>` of `size` bytes. */
export async function layer(seed: string, size = 1000): Promise<Layer> {
  const tar = await tarOf({ [`data/${seed}`]: pseudoRandomBytes(size, seed) });
  return { bytes: gzipSync(tar), diffId: digestOf(tar) };
}

export interface ImageOptions {
  /** Tells images apart: other seed, other bytes. */
  seed: string;
  /** Default: linux/amd64. */
  platform?: Platform;
  /** Default: `oci`. */
  dialect?: Dialect;
  /** Bytes of the file in each of its own layers. Default: one of 1000. */
  layerSizes?: readonly number[];
  /** Layers below its own, shared with whoever else names them. */
  base?: readonly Layer[];
  /** What a container of it runs. Default: nothing. */
  command?: readonly string[];
}

/** A bare image for one platform. */
export async function image(options: ImageOptions): Promise<TestContent> {
  const { seed, platform = AMD64, dialect = "oci", layerSizes = [1000], base = [], command } = options;
  const own = layerSizes.map((size, index) => layer(`${seed}-${platform.architecture}-${index}`, size));
  const layers = [...base, ...(await Promise.all(own))];
  const types = TYPES[dialect];
  const config = jsonBytes({
    ...platform,
    config: { Labels: { seed }, ...(command && { Cmd: command }) },
    rootfs: { type: "layers", diff_ids: layers.map(({ diffId }) => diffId) },
    history: layers.map(() => ({ created: "1970-01-01T00:00:00Z", created_by: "test" })),
  });
  return manifestOf(types.manifest, {
    config: blob(types.config, config),
    layers: layers.map(({ bytes }) => blob(types.layer, bytes)),
  });
}

export interface MultiArchOptions extends Omit<ImageOptions, "platform"> {
  /** Default: linux/amd64 and linux/arm64. */
  platforms?: readonly Platform[];
  /** Whether each image comes with a build provenance, as buildkit adds one. Default: false. */
  attested?: boolean;
}

/** An index, or in Docker's dialect a manifest list, of one image a platform. */
export async function multiArchImage(options: MultiArchOptions): Promise<TestContent> {
  const { platforms = [AMD64, ARM64], attested = false, ...shared } = options;
  const images: TestContent[] = [];
  for (const platform of platforms) {
    const content = await image({ ...shared, platform });
    images.push({ ...content, root: { ...content.root, platform } });
  }
  const attestations = attested ? images.map(({ root }) => attestation(root)) : [];
  return indexOf(TYPES[options.dialect ?? "oci"].index, [...images, ...attestations]);
}

/** A build provenance, as buildkit adds it to an index: platform `unknown/unknown`. */
function attestation(subject: Descriptor): TestContent {
  const config = { architecture: "unknown", os: "unknown", rootfs: { type: "layers", diff_ids: [] } };
  const statement = { _type: "https://in-toto.io/Statement/v0.1", subject: [{ digest: subject.digest }] };
  const content = manifestOf(MEDIA_TYPE.ociManifest, {
    config: blob(MEDIA_TYPE.ociConfig, jsonBytes(config)),
    layers: [blob("application/vnd.in-toto+json", jsonBytes(statement))],
  });
  const annotations = {
    "vnd.docker.reference.type": "attestation-manifest",
    "vnd.docker.reference.digest": subject.digest,
  };
  const platform = { architecture: "unknown", os: "unknown" };
  return { ...content, root: { ...content.root, platform, annotations } };
}

/** A helm chart as helm pushes it; `name` is its folder in the archive, too. `values` is YAML. */
export async function chart(name: string, version: string, values = "{}\n"): Promise<TestContent> {
  const metadata = { apiVersion: "v2", name, version };
  const archive = await tarOf({
    [`${name}/Chart.yaml`]: new TextEncoder().encode(`apiVersion: v2\nname: ${name}\nversion: ${version}\n`),
    [`${name}/values.yaml`]: new TextEncoder().encode(values),
  });
  return manifestOf(MEDIA_TYPE.ociManifest, {
    config: blob("application/vnd.cncf.helm.config.v1+json", jsonBytes(metadata)),
    layers: [blob("application/vnd.cncf.helm.chart.content.v1.tar+gzip", gzipSync(archive))],
  });
}

export interface ReferrerOptions {
  subject: Descriptor;
  artifactType: string;
  body: string;
  annotations?: Record<string, string>;
}

/** An artifact about another manifest: a signature, a list of contents. */
export function referrer({ subject, artifactType, body, annotations }: ReferrerOptions): TestContent {
  return manifestOf(MEDIA_TYPE.ociManifest, {
    artifactType,
    config: blob(MEDIA_TYPE.ociEmpty, new TextEncoder().encode("{}")),
    layers: [blob(artifactType, new TextEncoder().encode(body))],
    subject: { mediaType: subject.mediaType, digest: subject.digest, size: subject.size },
    ...(annotations && { annotations }),
  });
}

/** Puts content straight into a registry, past its HTTP side. */
export async function seed(
  store: RegistryStore,
  repository: string,
  tag: string | undefined,
  content: TestContent,
): Promise<void> {
  for (const [digest, bytes] of content.blobs) {
    if ((await store.blob(repository, digest)) !== undefined) continue;
    const upload = await store.startUpload(repository);
    await upload.append(new Blob([bytes.slice()]).stream());
    await upload.commit(digest);
  }
  for (const manifest of content.manifests) {
    const isRoot = manifest.digest === content.root.digest;
    const { subject }: { subject?: Descriptor } = JSON.parse(new TextDecoder().decode(manifest.bytes));
    await store.putManifest(repository, {
      ...manifest,
      tag: isRoot ? tag : undefined,
      subject: subject?.digest,
    });
  }
}

interface TestBlob {
  descriptor: Descriptor;
  bytes: Uint8Array;
}

function blob(mediaType: string, bytes: Uint8Array): TestBlob {
  return { descriptor: { mediaType, digest: digestOf(bytes), size: bytes.length }, bytes };
}

interface ManifestParts {
  artifactType?: string;
  config: TestBlob;
  layers: TestBlob[];
  subject?: Descriptor;
  annotations?: Record<string, string>;
}

function manifestOf(mediaType: string, parts: ManifestParts): TestContent {
  const { artifactType, config, layers, subject, annotations } = parts;
  const bytes = jsonBytes({
    schemaVersion: 2,
    mediaType,
    artifactType,
    config: config.descriptor,
    layers: layers.map(({ descriptor }) => descriptor),
    subject,
    annotations,
  });
  const root = { mediaType, digest: digestOf(bytes), size: bytes.length };
  return {
    root,
    manifests: [{ digest: root.digest, mediaType, bytes }],
    blobs: new Map([config, ...layers].map(({ descriptor, bytes }) => [descriptor.digest, bytes])),
  };
}

function indexOf(mediaType: string, children: TestContent[]): TestContent {
  const bytes = jsonBytes({ schemaVersion: 2, mediaType, manifests: children.map(({ root }) => root) });
  const root = { mediaType, digest: digestOf(bytes), size: bytes.length };
  return {
    root,
    manifests: [...children.flatMap(({ manifests }) => manifests), { digest: root.digest, mediaType, bytes }],
    blobs: new Map(children.flatMap(({ blobs }) => [...blobs])),
  };
}

async function tarOf(files: Record<string, Uint8Array>): Promise<Uint8Array> {
  const entries = Object.entries(files).map(([name, body]) => ({
    header: { name, size: body.length, mode: 0o644, mtime: new Date(0) },
    body,
  }));
  return packTar(entries);
}

function jsonBytes(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}
