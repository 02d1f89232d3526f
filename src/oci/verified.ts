import type { Descriptor } from "./descriptor.ts";
import { algorithmOf } from "./digest.ts";
import { Fault } from "./fault.ts";
import type { ByteStream } from "./plan.ts";

/** The hash of a content's first `seen` bytes: a later reading can go on from there. */
export interface Mark {
  seen: number;
  hasher: Bun.CryptoHasher;
}

export interface Marking {
  /** What lies before the stream, and was hashed by an earlier reading. Default: nothing does. */
  after?: Mark | undefined;
  /** Given a mark every so many bytes. Default: nobody is. */
  onMark?: (mark: Mark) => void;
}

/** bytes between two marks */
const MARK_EVERY = 16 * 1024 * 1024;

/**
 * Passes bytes on while hashing them. Fails as soon as there are more than the descriptor says, and at
 * the end when there are fewer or the digest differs: the last chunk is out by then, so a consumer must
 * not take the content for good before the iteration has ended.
 */
export async function* verified(
  stream: ByteStream,
  { digest, size }: Descriptor,
  { after, onMark }: Marking = {},
): AsyncGenerator<Uint8Array> {
  const hasher = after?.hasher.copy() ?? new Bun.CryptoHasher(algorithmOf(digest));
  let seen = after?.seen ?? 0;
  let marked = seen;
  for await (const chunk of stream) {
    seen += chunk.length;
    if (seen > size) throw mismatch(digest, `more than ${size} bytes came`);
    hasher.update(chunk);
    if (onMark !== undefined && seen - marked >= MARK_EVERY) {
      onMark({ seen, hasher: hasher.copy() });
      marked = seen;
    }
    yield chunk;
  }
  if (seen < size) throw mismatch(digest, `after ${seen} bytes of ${size} there were no more`);
  const got = hasher.digest("hex");
  if (!digest.endsWith(got)) throw mismatch(digest, `the ${seen} bytes hash to ${got}`);
}

/** Fails unless `bytes` are what the digest names. */
export function assertDigest(bytes: Uint8Array, digest: Descriptor["digest"]): void {
  const got = new Bun.CryptoHasher(algorithmOf(digest)).update(bytes).digest("hex");
  if (!digest.endsWith(`:${got}`)) throw mismatch(digest, `the ${bytes.length} bytes hash to ${got}`);
}

function mismatch(digest: string, why: string): Fault {
  return new Fault(`cannot verify ${digest}: ${why}`, { kind: "mismatch" });
}
