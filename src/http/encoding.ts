import { pipeline } from "node:stream";
import { createGunzip, gunzipSync } from "node:zlib";
import { redactUrl } from "./redact.ts";
import { NetworkError } from "./transport.ts";

/** Whether an answer says that it is compressed; we ask for `identity`, but not everybody listens. */
export function saysGzip(response: Response): boolean {
  const encoding = response.headers.get("content-encoding")?.trim().toLowerCase();
  return encoding === "gzip" || encoding === "x-gzip";
}

/** The bytes behind a compressed body; fails with what the body fails with. */
export async function* gunzipped(chunks: AsyncIterable<Uint8Array>, url: URL): AsyncGenerator<Uint8Array> {
  const gunzip = createGunzip();
  // Without it the failure would be nobody's; it arrives through the iteration as well.
  pipeline(chunks, gunzip, () => {});
  try {
    yield* gunzip;
  } catch (error) {
    throw error instanceof NetworkError ? error : notGzip(url);
  }
}

/** The same for a body that is all there. One that only says that it is compressed stays as it is. */
export function gunzipWhole(bytes: Uint8Array, { url, limit }: { url: URL; limit: number }): Uint8Array {
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  try {
    return gunzipSync(bytes, { maxOutputLength: limit });
  } catch {
    throw notGzip(url);
  }
}

function notGzip(url: URL): NetworkError {
  return new NetworkError(`${redactUrl(url)} answered with a body that cannot be decompressed`, {
    code: "ENCODING",
    retryable: false,
    hint: `see what answers for \`${url.host}\`: a proxy or a cache before it may spoil what it compresses`,
  });
}
