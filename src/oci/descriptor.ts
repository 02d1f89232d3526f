import type { Digest } from "./digest.ts";

/** Spec: image-spec image-index.md, "platform". */
export interface Platform {
  os: string;
  architecture: string;
  variant?: string;
}

/** Names content by what it is. Spec: image-spec descriptor.md. */
export interface Descriptor {
  mediaType: string;
  digest: Digest;
  /** bytes */
  size: number;
  artifactType?: string;
  platform?: Platform;
  annotations?: Record<string, string>;
  /** Where a foreign layer may also be had. */
  urls?: string[];
}

export const MEDIA_TYPE = {
  ociIndex: "application/vnd.oci.image.index.v1+json",
  ociManifest: "application/vnd.oci.image.manifest.v1+json",
  ociConfig: "application/vnd.oci.image.config.v1+json",
  ociEmpty: "application/vnd.oci.empty.v1+json",
  dockerList: "application/vnd.docker.distribution.manifest.list.v2+json",
  dockerManifest: "application/vnd.docker.distribution.manifest.v2+json",
  dockerConfig: "application/vnd.docker.container.image.v1+json",
} as const;

/** The manifests this program understands, as an `Accept` header wants them. */
export const MANIFEST_MEDIA_TYPES: readonly string[] = [
  MEDIA_TYPE.ociIndex,
  MEDIA_TYPE.ociManifest,
  MEDIA_TYPE.dockerList,
  MEDIA_TYPE.dockerManifest,
];

export function isIndexType(mediaType: string): boolean {
  return mediaType === MEDIA_TYPE.ociIndex || mediaType === MEDIA_TYPE.dockerList;
}

export function isManifestType(mediaType: string): boolean {
  return MANIFEST_MEDIA_TYPES.includes(mediaType);
}

/** Whether a config of this type makes its manifest a runnable image. */
export function isImageConfigType(mediaType: string): boolean {
  return mediaType === MEDIA_TYPE.ociConfig || mediaType === MEDIA_TYPE.dockerConfig;
}
