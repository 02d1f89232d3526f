import { createHash } from "node:crypto";
import { MEDIA_TYPE } from "../../src/oci/descriptor.ts";
import { type Digest, digestOf } from "../../src/oci/digest.ts";
import { pseudoRandomBytes } from "../support/content.ts";

const HOST = "public.ecr.aws";
const REPOSITORY = "large/one";
const BLOCK = pseudoRandomBytes(1024 * 1024, "large");

interface LargeSource {
  /** `--mirror HOST=URL` */
  mirror: string;
  bundles: string;
  layer: { digest: Digest; size: number };
  /** Bytes of the layer that were handed out so far. */
  given: number;
  stop(): Promise<void>;
}

/** A registry of one image with one layer of `size` bytes, which it makes up as it goes. */
export function startLargeSource(size: number): LargeSource {
  const layer = { digest: digestOfBlocks(size), size };
  const config = jsonBytes({ architecture: "amd64", os: "linux", rootfs: { type: "layers", diff_ids: [] } });
  const manifest = jsonBytes({
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.ociManifest,
    config: { mediaType: MEDIA_TYPE.ociConfig, digest: digestOf(config), size: config.length },
    layers: [{ mediaType: "application/vnd.oci.image.layer.v1.tar", ...layer }],
  });
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 0,
    fetch({ url, headers }) {
      const { pathname } = new URL(url);
      if (pathname === "/v2/") return new Response("{}");
      if (pathname.includes("/manifests/")) {
        return new Response(manifest, { headers: { "content-type": MEDIA_TYPE.ociManifest } });
      }
      if (pathname.endsWith(digestOf(config))) return new Response(config);
      const from = Number(/^bytes=(\d+)-$/.exec(headers.get("range") ?? "")?.[1] ?? 0);
      const body = streamOf(size, from, (bytes) => {
        source.given += bytes;
      });
      const length = { "content-length": String(size - from) };
      if (from === 0) return new Response(body, { headers: length });
      const range = { "content-range": `bytes ${from}-${size - 1}/${size}` };
      return new Response(body, { status: 206, headers: { ...length, ...range } });
    },
  });
  const source: LargeSource = {
    mirror: `${HOST}=http://127.0.0.1:${server.port}`,
    bundles: `apiVersion: anywhere.eks.amazonaws.com/v1alpha1
kind: Bundles
spec: {number: 1, versionsBundles: [{kubeVersion: "1.31", large: {one: {uri: "${HOST}/${REPOSITORY}:v1"}}}]}
`,
    layer,
    given: 0,
    stop: () => server.stop(true),
  };
  return source;
}

function streamOf(size: number, from: number, onGiven: (bytes: number) => void): ReadableStream<Uint8Array> {
  const left = blocks(size, from);
  return new ReadableStream({
    pull(controller) {
      const { done, value } = left.next();
      if (done === true) return controller.close();
      onGiven(value.length);
      controller.enqueue(value);
    },
  });
}

function* blocks(size: number, from = 0): Generator<Uint8Array> {
  for (let at = from; at < size; ) {
    const block = BLOCK.subarray(at % BLOCK.length, (at % BLOCK.length) + size - at);
    yield block;
    at += block.length;
  }
}

function digestOfBlocks(size: number): Digest {
  const hash = createHash("sha256");
  for (const block of blocks(size)) hash.update(block);
  return `sha256:${hash.digest("hex")}`;
}

function jsonBytes(value: unknown): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(JSON.stringify(value));
}
