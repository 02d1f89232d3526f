import { gunzipWhole, saysGzip } from "./encoding.ts";
import { explain } from "./explain.ts";
import { redactUrl } from "./redact.ts";
import { movingChunks, STALL_AFTER } from "./stall.ts";
import { NetworkError } from "./transport.ts";

/** Milliseconds after which a small body is held to a pace: one that drips is never silent for long. */
const PACE_AFTER = 10 * 60_000;
/** The pace, on the whole: bytes a millisecond. */
const SLOWEST = (4 * 1024) / 1000;

/**
 * Reads a body that must be small, decompressed where it is compressed. Fails when it is longer than `limit`
 * bytes, without reading on, or comes too slowly for longer than `paceAfter` milliseconds.
 */
export async function readBounded(
  response: Response,
  url: URL,
  limit: number,
  paceAfter = PACE_AFTER,
): Promise<Uint8Array> {
  const announced = Number(response.headers.get("content-length") ?? 0);
  if (announced > limit) {
    await cancelBody(response);
    throw tooLong(url, limit);
  }
  const chunks: Uint8Array[] = [];
  let length = 0;
  const started = performance.now();
  for await (const chunk of chunksOf(response, url)) {
    length += chunk.length;
    if (length > limit) throw tooLong(url, limit);
    const elapsed = performance.now() - started;
    if (elapsed > paceAfter + length / SLOWEST) throw tooSlow(url, length, elapsed);
    chunks.push(chunk);
  }
  const bytes = Buffer.concat(chunks, length);
  return saysGzip(response) ? gunzipWhole(bytes, { url, limit }) : bytes;
}

/**
 * The first `limit` bytes of a body that is worth no more than a look, decompressed where it is compressed: of one
 * that breaks off, stands still or drips for longer than `patience` milliseconds, what has come by then.
 */
export async function readStart(
  response: Response,
  url: URL,
  limit: number,
  patience = STALL_AFTER,
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  const started = performance.now();
  try {
    for await (const chunk of chunksOf(response, url, patience)) {
      chunks.push(chunk);
      length += chunk.length;
      if (length >= limit || performance.now() - started > patience) break;
    }
  } catch {}
  const bytes = Buffer.concat(chunks).subarray(0, limit);
  return saysGzip(response) ? gunzipWhole(bytes, { url, limit }) : bytes;
}

/** Drops a body that nobody wants, so that its connection can serve the next request. */
export async function discard(response: Response, url: URL): Promise<void> {
  await readBounded(response, url, 64 * 1024, STALL_AFTER).catch(() => {});
}

/** Ends a body that nobody wants, and with it its connection; one that broke before is as good. */
export async function cancelBody(response: Response): Promise<void> {
  await response.body?.cancel().catch(() => {});
}

/**
 * A body's chunks; a connection that breaks, or that is silent for `stallAfter` milliseconds, fails as a
 * `NetworkError`, in the words of a request that breaks before its headers.
 */
export async function* chunksOf(
  response: Response,
  url: URL,
  stallAfter = STALL_AFTER,
): AsyncGenerator<Uint8Array> {
  if (response.body === null) return;
  try {
    yield* movingChunks(response.body, { url, after: stallAfter });
  } catch (error) {
    throw explain(error, url);
  }
}

function tooSlow(url: URL, length: number, elapsed: number): NetworkError {
  return new NetworkError(`${redactUrl(url)} sent ${length} bytes in ${Math.round(elapsed / 1000)} s`, {
    code: "TOO_SLOW",
    retryable: true,
    hint: "check the network between here and there, then run the same command again",
  });
}

function tooLong(url: URL, limit: number): NetworkError {
  return new NetworkError(`${redactUrl(url)} answered with more than ${limit} bytes`, {
    code: "TOO_LONG",
    retryable: false,
    hint: `see what answers for \`${url.host}\`: a proxy, or a page, in the place of what was asked for`,
  });
}
