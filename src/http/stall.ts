import { NetworkError } from "./transport.ts";

/** Milliseconds without a byte after which a server is taken for gone. */
export const STALL_AFTER = 60_000;

/** Runs `ask` with a signal that ends it when there is no answer within `after` milliseconds. */
export async function answeredWithin(
  after: number,
  { url, signal }: { url: URL; signal: AbortSignal },
  ask: (signal: AbortSignal) => Promise<Response>,
): Promise<Response> {
  const stall = new AbortController();
  const timer = setTimeout(() => stall.abort(stalled(url, after)), after);
  timer.unref();
  try {
    return await ask(AbortSignal.any([signal, stall.signal]));
  } finally {
    clearTimeout(timer);
  }
}

/**
 * The chunks of a body; fails when `after` milliseconds pass between two of them. The time that the reader
 * takes for a chunk does not count: it is the server that is watched.
 */
export async function* movingChunks(
  body: ReadableStream<Uint8Array>,
  { url, after }: { url: URL; after: number },
): AsyncGenerator<Uint8Array> {
  const reader = body.getReader();
  let waitingSince = Number.POSITIVE_INFINITY;
  let isStalled = false;
  // One timer for the whole body: one a chunk would cost more than the chunk.
  const timer = setInterval(() => {
    if (performance.now() - waitingSince < after) return;
    isStalled = true;
    // Ends the pending read too, as if the body were over.
    reader.cancel().catch(() => {});
  }, after / 4);
  timer.unref();
  try {
    for (;;) {
      waitingSince = performance.now();
      const { done, value } = await reader.read();
      waitingSince = Number.POSITIVE_INFINITY;
      if (isStalled) throw stalled(url, after);
      if (done) return;
      yield value;
    }
  } finally {
    clearInterval(timer);
    await reader.cancel().catch(() => {});
  }
}

export function isStall(error: unknown): boolean {
  return error instanceof NetworkError && error.code === "STALLED";
}

/** `verb`: what the server has not done for `after` milliseconds. */
export function stalled(url: URL, after: number, verb: "sent" | "taken" = "sent"): NetworkError {
  return new NetworkError(`\`${url.host}\` has ${verb} nothing for ${Math.round(after / 1000)} s`, {
    code: "STALLED",
    retryable: true,
    hint: "check the network between here and there; what has arrived is not lost",
  });
}
