import { type Descriptor, MEDIA_TYPE } from "../../src/oci/descriptor.ts";
import { type Digest, digestOf } from "../../src/oci/digest.ts";
import type { TestContent } from "./content.ts";
import { manifestContent } from "./memory.ts";
import { type OnlineRelease, putOnline, type Release, releaseOf } from "./release.ts";

const LAYER = "application/vnd.oci.image.layer.v1.tar+gzip";

/** A request for a blob. */
interface Asked {
  digest: Digest;
  /** The first byte wanted. */
  from: number;
  /** Bytes that were offered. */
  bytes: number;
}

/** A release online whose layers are served from memory, in part where that is asked for. */
export interface Served {
  online: OnlineRelease;
  /** The Bundles manifest. */
  yaml: string;
  release: Release;
  layers: ReadonlyMap<Digest, Uint8Array>;
  /** Requests for layers, in order of arrival. */
  asked: Asked[];
  /** Layers that are answered with 404. */
  absent: Set<Digest>;
  /** What is done before a layer is answered; it never is where this never ends. */
  before: ((digest: Digest) => Promise<void> | undefined) | undefined;
  /** Resolves once what was sent before, also by a run that was killed since, is in `asked`. */
  settle(): Promise<void>;
  stop(): Promise<void>;
}

/** Each image is a list of layers, bottom first. Layers may share memory. */
export async function serveRelease(images: Readonly<Record<string, readonly Uint8Array[]>>): Promise<Served> {
  const layers = new Map<Digest, Uint8Array>();
  const artifacts = new Map<string, TestContent>();
  for (const [reference, parts] of Object.entries(images)) {
    artifacts.set(reference, imageOf(reference, parts, layers));
  }
  const release = releaseOf(artifacts);
  const asked: Asked[] = [];
  const absent = new Set<Digest>();
  const online = await putOnline(release, {
    intercept: async (request, { pathname }) => {
      const digest = pathname.slice(pathname.lastIndexOf("/") + 1) as Digest;
      const bytes = layers.get(digest);
      if (bytes === undefined || !pathname.includes("/blobs/")) return;
      const from = Number(/^bytes=(\d+)-$/.exec(request.headers.get("range") ?? "")?.[1] ?? 0);
      asked.push({ digest, from, bytes: bytes.length - from });
      await served.before?.(digest);
      if (absent.has(digest)) return new Response(null, { status: 404 });
      return partOf(bytes, from);
    },
  });
  const served: Served = {
    online,
    yaml: release.yaml,
    release,
    layers,
    asked,
    absent,
    before: undefined,
    // Connections are served in the order they came in.
    settle: async () => void (await fetch(`${online.registry.url}/v2/`, { keepalive: false })),
    stop: () => online.stop(),
  };
  return served;
}

function imageOf(name: string, parts: readonly Uint8Array[], layers: Map<Digest, Uint8Array>): TestContent {
  const config = new TextEncoder().encode(JSON.stringify({ os: "linux", architecture: "amd64", name }));
  const described = (mediaType: string, bytes: Uint8Array): Descriptor => {
    return { mediaType, digest: digestOf(bytes), size: bytes.length };
  };
  const descriptors = parts.map((bytes) => described(LAYER, bytes));
  for (const [index, { digest }] of descriptors.entries()) {
    const bytes = parts[index];
    if (bytes !== undefined) layers.set(digest, bytes);
  }
  const content = manifestContent(MEDIA_TYPE.ociManifest, {
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.ociManifest,
    config: described(MEDIA_TYPE.ociConfig, config),
    layers: descriptors,
  });
  return { ...content, blobs: new Map([[digestOf(config), config]]) };
}

function partOf(bytes: Uint8Array, from: number): Response {
  // Typed arrays over one buffer are sent without a copy.
  const body = bytes.subarray(from) as Uint8Array<ArrayBuffer>;
  if (from === 0) return new Response(body);
  const range = `bytes ${from}-${bytes.length - 1}/${bytes.length}`;
  return new Response(body, { status: 206, headers: { "content-range": range } });
}
