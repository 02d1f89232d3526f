import { cancelBody, chunksOf } from "./body.ts";
import { gunzipped, saysGzip } from "./encoding.ts";
import { redactUrl } from "./redact.ts";
import { isRetryable, pause, type RetryPolicy } from "./retry.ts";
import { NetworkError } from "./transport.ts";

/** Asks for a resource from byte `offset` on; fails unless the answer is 200 or 206. */
type OpenAt = (offset: number) => Promise<Response>;

export interface Download {
  url: URL;
  /** What the resource has, in bytes. */
  size: number;
  /** The first byte that is wanted; 0 by default. */
  from?: number;
  openAt: OpenAt;
  policy: RetryPolicy;
}

/**
 * The bytes of a resource, in order and once each, over as many connections as it takes: a broken body
 * goes on with `Range` from where it stopped, asking the first URL again since signed ones expire.
 * So does one that ends early without having said where it would: nobody else notices that it broke.
 * A server that ignores the range sends everything, of which the known part is skipped. One that compresses
 * unasked is understood too; ranges would be of the compressed bytes there, so each try takes all of them.
 * Spec: RFC 9110, 8.4 and 14.
 */
export async function* download(wanted: Download): AsyncGenerator<Uint8Array> {
  const { url, size, openAt, policy } = wanted;
  let offset = wanted.from ?? 0;
  let fromStart = false;
  for (let failures = 0; ; ) {
    const before = offset;
    const asked = fromStart ? 0 : offset;
    try {
      const response = await openAt(asked);
      const isCompressed = saysGzip(response) && sizeOf(response) !== size;
      fromStart ||= isCompressed;
      let skip = offset - (isCompressed ? await wholeOnly(response, url) : firstByteOf(response, asked, url));
      const chunks = chunksOf(response, url, policy.stallAfter);
      for await (const chunk of isCompressed ? gunzipped(chunks, url) : chunks) {
        const fresh = skip === 0 ? chunk : chunk.subarray(Math.min(skip, chunk.length));
        skip -= chunk.length - fresh.length;
        if (fresh.length === 0) continue;
        offset += fresh.length;
        yield fresh;
      }
      if (offset >= size || saysItsEnd(response)) return;
      throw cutShort(url, offset, size);
    } catch (error) {
      // It broke behind the last byte: there is nothing more to ask for.
      if (offset === size) return;
      // What moves is alive: only failures without a byte between them are counted.
      failures = offset > before ? 1 : failures + 1;
      if (policy.signal.aborted || failures >= policy.attempts || !isRetryable(error)) throw error;
      const what = () => `GET ${redactUrl(url)} from byte ${offset}`;
      await pause(policy, { what, error, tries: failures });
    }
  }
}

/** Of the resource as sent; undefined when the answer does not say. */
function sizeOf({ status, headers }: Response): number | undefined {
  const text =
    status === 206 ? headers.get("content-range")?.replace(/^.*\//, "") : headers.get("content-length");
  return /^\d+$/.test(text ?? "") ? Number(text) : undefined;
}

/** Whether a break would show: without either header a body ends where the connection does. Spec: RFC 9112, 6.3. */
function saysItsEnd({ headers }: Response): boolean {
  return headers.has("content-length") || headers.has("transfer-encoding");
}

function cutShort(url: URL, offset: number, size: number): NetworkError {
  return new NetworkError(`${redactUrl(url)} ended after ${offset} bytes of ${size}`, {
    code: "CUT_SHORT",
    retryable: true,
    hint: "check the network between here and there, then run the same command again",
  });
}

/** Where in the resource this answer starts: 0 for a whole one. */
function firstByteOf(response: Response, asked: number, url: URL): number {
  if (response.status !== 206) return 0;
  const range = /^bytes (\d+)-\d+\/(?:\d+|\*)$/.exec(response.headers.get("content-range") ?? "");
  if (range !== null && Number(range[1]) === asked) return asked;
  throw wrongRange(url);
}

/** The same for a compressed answer, of which a part would be of no use. */
async function wholeOnly(response: Response, url: URL): Promise<0> {
  if (response.status !== 206) return 0;
  await cancelBody(response);
  throw wrongRange(url);
}

function wrongRange(url: URL): NetworkError {
  return new NetworkError(`${redactUrl(url)} sent another range than the one asked for`, {
    code: "WRONG_RANGE",
    retryable: true,
    hint: `see what answers for \`${url.host}\`: a cache before it may mix up the parts of a file`,
  });
}
