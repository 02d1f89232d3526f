import { expect } from "bun:test";
import { join } from "node:path";
import { type Digest, digestOf } from "../../src/oci/digest.ts";
import type { ByteStream, Content } from "../../src/oci/plan.ts";
import { upload } from "../../src/registry/upload.ts";
import { UploadManner } from "../../src/registry/upload-manner.ts";
import { pseudoRandomBytes } from "../support/content.ts";
import type { TestRegistry } from "../support/registry.ts";
import { type ConnectOptions, connect } from "./connect.ts";
import type { UploadServer } from "./upload-server.ts";

export const BYTES = pseudoRandomBytes(700_000, "upload");
export const DIGEST = digestOf(BYTES);

/** A stream of pieces, as content comes. */
export async function* inPieces(bytes: Uint8Array): ByteStream & AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 64 * 1024) yield bytes.subarray(at, at + 64 * 1024);
}

/** As a registry's content comes: there is no file that the kernel could send. */
export const STREAMED: Content = { stream: (from) => inPieces(BYTES.subarray(from)), slice: () => undefined };
/** As an archive's: the stream is there as well, but must not be taken over plain HTTP. */
export async function inArchive(folder: string): Promise<Content> {
  const path = join(folder, "archive");
  await Bun.write(path, Buffer.concat([new Uint8Array(512), BYTES, new Uint8Array(512)]));
  const stream = () => {
    throw new Error("the stream was taken");
  };
  const slice = (from = 0, to = BYTES.length) => Bun.file(path).slice(512 + from, 512 + to);
  return { stream, slice };
}

interface Sending extends ConnectOptions {
  content?: Content;
  digest?: Digest;
  size?: number;
  session?: URL;
  manner?: UploadManner;
  warn?: (message: string) => void;
}

/** Sends a blob, `BYTES` unless told otherwise, to the repository `a/b`. */
export function send(url: string, options: Sending = {}): Promise<void> {
  const { content = STREAMED, digest = DIGEST, size = BYTES.length, session, ...rest } = options;
  const { manner = new UploadManner(), warn = () => {} } = options;
  const client = connect({ urls: [url], ...rest }).client(new URL(url).host);
  const target = {
    client,
    repository: "a/b",
    scopes: [{ repository: "a/b", actions: "pull,push" }],
    manner,
    warn,
  } as const;
  return upload(target, { mediaType: "application/octet-stream", digest, size }, { content, session });
}

/** The methods of the requests after the ping. */
export function steps({ requests }: UploadServer): string[] {
  return requests.slice(1).map(({ method }) => method);
}

/** The requests after the ping: the method, and of a chunk which one. */
export function uploadSteps({ requests }: TestRegistry): string[] {
  return requests
    .filter(({ path }) => path !== "/v2/")
    .map(({ method, headers }) => {
      const range = headers.get("content-range");
      return range === null ? method : `${method} ${range}`;
    });
}

export async function expectStored({ store }: TestRegistry): Promise<void> {
  const blob = await store.blob("a/b", DIGEST);
  const body = new Response(blob?.read(0, blob.size));
  expect(digestOf(await body.bytes())).toBe(DIGEST);
}
