import { read, write } from "node:fs";
import type { ByteStream } from "../oci/plan.ts";

/** A pipe gives at most this much at once on Linux. */
const READ_BYTES = 64 * 1024;
/** Milliseconds before a pipe that does not block is asked again. */
const PAUSE = 1;

/**
 * What comes out of a file or a pipe, from where it stands on; the next piece is read while the last one is used.
 * A read that is under way when `signal` fires is given up: nobody may read from the file after that.
 */
export async function* readPipe(file: number, signal: AbortSignal): ByteStream & AsyncGenerator<Uint8Array> {
  const next = () => {
    const reading = unlessAborted(readOnce(file, signal), signal);
    // It may fail while the piece before it is still in use.
    reading.catch(() => {});
    return reading;
  };
  for (let pending = next(); ; ) {
    const bytes = await pending;
    if (bytes.length === 0) return;
    pending = next();
    yield bytes;
  }
}

/** Writes all of it in order. Fails with the system's error, `EPIPE` when nobody reads any more. */
export async function writePipe(file: number, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    done += await whenReady<number>((settle) => write(file, bytes, done, bytes.length - done, null, settle));
  }
}

/** A race with one promise for all reads would keep every piece alive. */
async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const abort = () => reject(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  work.then(resolve, reject);
  try {
    return await promise;
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

async function readOnce(file: number, signal: AbortSignal): Promise<Uint8Array> {
  const bytes = new Uint8Array(READ_BYTES);
  const got = await whenReady<number>((settle) => read(file, bytes, 0, bytes.length, null, settle), signal);
  // What is kept for a while must not keep a large and mostly empty buffer alive.
  return got < READ_BYTES / 2 ? bytes.slice(0, got) : bytes.subarray(0, got);
}

type Settle<T> = (error: NodeJS.ErrnoException | null, result: T) => void;

/** Somebody else, e.g. a shell's other program, may have made the pipe one that does not block. */
async function whenReady<T>(operation: (settle: Settle<T>) => void, signal?: AbortSignal): Promise<T> {
  for (;;) {
    const result = await new Promise<{ value: T } | "busy">((resolve, reject) => {
      operation((error, value) => {
        if (error === null) resolve({ value });
        else if (error.code === "EAGAIN" || error.code === "EINTR") resolve("busy");
        else reject(error);
      });
    });
    if (result !== "busy") return result.value;
    signal?.throwIfAborted();
    await Bun.sleep(PAUSE);
  }
}
