import {
  type Descriptor,
  isImageConfigType,
  isIndexType,
  isManifestType,
  MEDIA_TYPE,
  type Platform,
} from "./descriptor.ts";
import { isDigest } from "./digest.ts";
import { Fault } from "./fault.ts";

/** Registries refuse larger ones on push. distribution `handlers/manifests.go`: 4 MiB. */
export const MAX_MANIFEST_BYTES = 4 * 1024 * 1024;

const PUSH_AGAIN = "have it pushed again by a client that keeps to the specification";

/** A manifest or an index, read but not changed: its raw bytes stay what counts. */
export interface Manifest {
  /** The true type: the document's own field, else inferred from its shape. */
  mediaType: string;
  artifactType?: string;
  /** Child manifests of an index, in its order. */
  manifests: Descriptor[];
  /** Absent in an index. */
  config?: Descriptor;
  /** Layers of an image or artifact manifest, in its order. */
  layers: Descriptor[];
  /** The manifest that this one is about, which makes it a referrer: no child, and it may be absent. */
  subject?: Descriptor;
}

/** Raw bytes of a manifest, and what they are. */
export interface ManifestBytes {
  descriptor: Descriptor;
  bytes: Uint8Array;
}

/**
 * Reads a manifest of any kind that this program can carry.
 * Fails on Docker's schema 1, on anything else that is no manifest, and on descriptors that cannot be true.
 * Spec: image-spec manifest.md, image-index.md.
 */
export function parseManifest(bytes: Uint8Array): Manifest {
  if (bytes.length > MAX_MANIFEST_BYTES) {
    throw new Fault(`cannot read a manifest of ${bytes.length} bytes: the limit is ${MAX_MANIFEST_BYTES}`, {
      hint: PUSH_AGAIN,
    });
  }
  const document = parseDocument(bytes, "a manifest");
  if (document.schemaVersion === 1) {
    throw new Fault("cannot carry a manifest of Docker schema 1", {
      hint: "push the image again with a current client: registries and runtimes no longer read this format",
    });
  }
  const mediaType = mediaTypeOf(document);
  assertUnambiguous(document, mediaType);
  const manifest: Manifest = { mediaType, manifests: [], layers: [] };
  if (typeof document.artifactType === "string") manifest.artifactType = document.artifactType;
  if (isIndexType(mediaType)) {
    manifest.manifests = descriptors(document.manifests, "manifests");
  } else {
    manifest.config = parseDescriptor(document.config, "config");
    manifest.layers = descriptors(document.layers, "layers");
  }
  const { subject } = document;
  if (subject !== undefined && subject !== null) manifest.subject = parseDescriptor(subject, "subject");
  return manifest;
}

/** Everything a manifest refers to and cannot do without, in the order a reader meets it. */
export function childrenOf(manifest: Manifest): Descriptor[] {
  const config = manifest.config === undefined ? [] : [manifest.config];
  return [...manifest.manifests, ...config, ...manifest.layers];
}

/** A manifest's own descriptor; `artifactType` falls back to the config's type as image-spec says. */
export function describe(manifest: Manifest, digest: Descriptor["digest"], size: number): Descriptor {
  const descriptor: Descriptor = { mediaType: manifest.mediaType, digest, size };
  const config = manifest.config?.mediaType;
  if (manifest.artifactType !== undefined) descriptor.artifactType = manifest.artifactType;
  else if (config !== undefined && !isImageConfigType(config)) descriptor.artifactType = config;
  return descriptor;
}

function parseDocument(bytes: Uint8Array, what: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new Fault(`cannot read ${what}: it is not JSON`, { cause, hint: PUSH_AGAIN });
  }
  if (!isRecord(value)) throw new Fault(`cannot read ${what}: it is not a JSON object`, { hint: PUSH_AGAIN });
  return value;
}

function mediaTypeOf(document: Record<string, unknown>): string {
  const { mediaType } = document;
  if (typeof mediaType === "string" && mediaType !== "") {
    if (isManifestType(mediaType)) return mediaType;
    throw new Fault(`cannot carry a manifest of type \`${mediaType.slice(0, 100)}\``, { hint: PUSH_AGAIN });
  }
  // OCI made the field optional; the shape then tells. Docker's types always carry it.
  if (Array.isArray(document.manifests)) return MEDIA_TYPE.ociIndex;
  if (isRecord(document.config) && Array.isArray(document.layers)) return MEDIA_TYPE.ociManifest;
  throw new Fault("cannot read a manifest: it is neither an image manifest nor an index", {
    hint: PUSH_AGAIN,
  });
}

/**
 * What one client reads as an image and another as an index hides content from whoever checks it
 * (CVE-2021-41190). Refused as skopeo and distribution do; containerd lets an empty list pass.
 * Spec: image-spec manifest.md, `mediaType`.
 */
function assertUnambiguous(document: Record<string, unknown>, mediaType: string): void {
  const isIndex = isIndexType(mediaType);
  const foreign = isIndex ? ["config", "layers", "fsLayers"] : ["manifests", "fsLayers"];
  const found = foreign.find((field) => document[field] !== undefined && document[field] !== null);
  if (found === undefined) return;
  const what = isIndex ? "an index" : "an image manifest";
  throw new Fault(
    `cannot read a manifest: it is ${what}, and has \`${found}\` as if it were something else`,
    {
      hint: "build and push it again: such a manifest means different things to different clients",
    },
  );
}

function descriptors(value: unknown, field: string): Descriptor[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value))
    throw new Fault(`cannot read a manifest: \`${field}\` is not a list`, { hint: PUSH_AGAIN });
  return value.map((item, index) => parseDescriptor(item, `${field}[${index}]`));
}

/** Fails naming `where`; keeps only the fields that mean something to us. */
export function parseDescriptor(value: unknown, where: string): Descriptor {
  if (!isRecord(value))
    throw new Fault(`cannot read a manifest: \`${where}\` is not a descriptor`, { hint: PUSH_AGAIN });
  const { mediaType, digest, size, platform, annotations, artifactType, urls } = value;
  if (typeof mediaType !== "string")
    throw new Fault(`cannot read a manifest: \`${where}\` has no mediaType`, { hint: PUSH_AGAIN });
  if (typeof digest !== "string" || !isDigest(digest)) {
    throw new Fault(`cannot read a manifest: the digest of \`${where}\` is not one that can be checked`, {
      hint: PUSH_AGAIN,
    });
  }
  if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0) {
    throw new Fault(`cannot read a manifest: the size of \`${where}\` is not a number of bytes`, {
      hint: PUSH_AGAIN,
    });
  }
  const descriptor: Descriptor = { mediaType, digest, size };
  if (typeof artifactType === "string") descriptor.artifactType = artifactType;
  const parsed = parsePlatform(platform);
  if (parsed !== undefined) descriptor.platform = parsed;
  if (isRecord(annotations)) descriptor.annotations = stringsOf(annotations);
  if (Array.isArray(urls) && urls.length > 0) descriptor.urls = urls.filter((url) => typeof url === "string");
  return descriptor;
}

/** What an image config says that the image runs on. */
export function parseConfigPlatform(bytes: Uint8Array): Platform | undefined {
  return parsePlatform(parseDocument(bytes, "an image config"));
}

/** The platform in an index entry or an image config; undefined when it names none. */
function parsePlatform(value: unknown): Platform | undefined {
  if (!isRecord(value) || typeof value.os !== "string" || typeof value.architecture !== "string") return;
  const platform: Platform = { os: value.os, architecture: value.architecture };
  if (typeof value.variant === "string" && value.variant !== "") platform.variant = value.variant;
  return platform;
}

function stringsOf(record: Record<string, unknown>): Record<string, string> {
  const entries = Object.entries(record).filter((entry): entry is [string, string] => {
    return typeof entry[1] === "string";
  });
  return Object.fromEntries(entries);
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
