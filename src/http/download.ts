import { chunksOf } from "./body.ts";
import { redactUrl } from "./redact.ts";
import { isRetryable, pause, type RetryPolicy } from "./retry.ts";
import { NetworkError } from "./transport.ts";

/** Asks for a resource from byte `offset` on; fails unless the answer is 200 or 206. */
type OpenAt = (offset: number) => Promise<Response>;

export interface Download {
  url: URL;
  openAt: OpenAt;
  policy: RetryPolicy;
}

/**
 * The bytes of a resource, in order and once each, over as many connections as it takes: a broken body
 * goes on with `Range` from where it stopped, asking the first URL again since signed ones expire.
 * A server that ignores the range sends everything, of which the known part is skipped.
 * Spec: RFC 9110, 14.
 */
export async function* download({ url, openAt, policy }: Download): AsyncGenerator<Uint8Array> {
  let offset = 0;
  for (let failures = 0; ; ) {
    const before = offset;
    try {
      const response = await openAt(offset);
      let skip = offset - firstByteOf(response, offset, url);
      for await (const chunk of chunksOf(response, url)) {
        const fresh = skip === 0 ? chunk : chunk.subarray(Math.min(skip, chunk.length));
        skip -= chunk.length - fresh.length;
        if (fresh.length === 0) continue;
        offset += fresh.length;
        yield fresh;
      }
      return;
    } catch (error) {
      // What moves is alive: only failures without a byte between them are counted.
      failures = offset > before ? 1 : failures + 1;
      if (policy.signal.aborted || failures >= policy.attempts || !isRetryable(error)) throw error;
      const what = () => `GET ${redactUrl(url)} from byte ${offset}`;
      await pause(policy, { what, error, tries: failures });
    }
  }
}

/** Where in the resource this answer starts: 0 for a whole one. */
function firstByteOf(response: Response, asked: number, url: URL): number {
  if (response.status !== 206) return 0;
  const range = /^bytes (\d+)-\d+\/(?:\d+|\*)$/.exec(response.headers.get("content-range") ?? "");
  if (range !== null && Number(range[1]) === asked) return asked;
  throw new NetworkError(`${redactUrl(url)} sent another range than the one asked for`, {
    code: "WRONG_RANGE",
    retryable: true,
  });
}
