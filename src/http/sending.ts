import { stalled } from "./stall.ts";
import type { HttpRequest } from "./transport.ts";

/** One exchange with a fresh body, ended by the signal. */
export type Ask = (signal: AbortSignal, body: Bun.BodyInit | undefined) => Promise<Response>;

interface Sending extends Pick<HttpRequest, "answers" | "assertBody"> {
  url: URL;
  body: Bun.BodyInit | undefined;
  signal: AbortSignal;
}

/** What cannot be watched is given up on a line that is slower: bytes a millisecond. */
const SLOWEST = (64 * 1024) / 1000;
/**
 * Stall times without a byte taken. The kernel holds megabytes, and asks for more only once a good part of them
 * is through: on a slow line that takes minutes.
 */
const TAKEN_AFTER = 5;
/** Milliseconds between two looks at a body that is on its way, or a quarter of the stall time. */
const LOOK_AFTER = 1000;
/** Stall times that the answer may take once the body is handed over: its end may still be on its way. */
const ANSWER_AFTER = 5;
/** The same of a late answer: to hash a large blob takes minutes. */
const LATE_ANSWER_AFTER = 15;

/**
 * Runs `ask` with a signal that ends it when the server takes no more of the body, or then does not answer.
 * What the runtime sends by itself, e.g. a file, cannot be watched on its way: it has as long as the slowest
 * line would need, while `assertBody` does not fail. The time that a stream takes to come up with bytes does not
 * count.
 * `after`: the stall time in milliseconds.
 */
export async function takenWithin(
  after: number,
  { url, body, answers, assertBody, signal }: Sending,
  ask: Ask,
): Promise<Response> {
  const stall = new AbortController();
  let since = performance.now();
  let limit = Number.POSITIVE_INFINITY;
  const allow = (milliseconds: number) => {
    since = performance.now();
    limit = milliseconds;
  };
  const answerLimit = after * (answers === "late" ? LATE_ANSWER_AFTER : ANSWER_AFTER);
  // One timer for the whole body: one a chunk would cost more than the chunk.
  const timer = setInterval(
    () => {
      const silence = performance.now() - since;
      if (silence > limit) stall.abort(stalled(url, silence, "taken"));
      try {
        assertBody?.();
      } catch (error) {
        stall.abort(error);
      }
    },
    Math.min(after / 4, LOOK_AFTER),
  );
  timer.unref();
  const sent =
    body instanceof ReadableStream
      ? watched(body, {
          onWanted: () => allow(Number.POSITIVE_INFINITY),
          onGiven: () => allow(after * TAKEN_AFTER),
          onEnd: () => allow(answerLimit),
        })
      : body;
  if (!(body instanceof ReadableStream)) allow(answerLimit + sizeOf(body) / SLOWEST);
  try {
    return await ask(AbortSignal.any([signal, stall.signal]), sent);
  } finally {
    clearInterval(timer);
  }
}

interface Watcher {
  onWanted: () => void;
  onGiven: () => void;
  onEnd: () => void;
}

/** The same bytes, none of them fetched before it is wanted. */
function watched(
  body: ReadableStream<Uint8Array>,
  { onWanted, onGiven, onEnd }: Watcher,
): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        onWanted();
        const { done, value } = await reader.read();
        if (done) {
          onEnd();
          return controller.close();
        }
        controller.enqueue(value);
        onGiven();
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  );
}

function sizeOf(body: Bun.BodyInit | undefined): number {
  if (body instanceof Blob) return body.size;
  if (body instanceof ArrayBuffer || ArrayBuffer.isView(body)) return body.byteLength;
  return typeof body === "string" ? body.length : 0;
}
