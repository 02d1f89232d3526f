import type { Descriptor } from "./descriptor.ts";
import { algorithmOf } from "./digest.ts";
import { Fault } from "./fault.ts";
import type { ByteStream } from "./plan.ts";

/**
 * Passes bytes on while hashing them. Fails as soon as there are more than the descriptor says, and at
 * the end when there are fewer or the digest differs: the last chunk is out by then, so a consumer must
 * not take the content for good before the iteration has ended.
 */
export async function* verified(
  stream: ByteStream,
  { digest, size }: Descriptor,
): AsyncGenerator<Uint8Array> {
  const hasher = new Bun.CryptoHasher(algorithmOf(digest));
  let seen = 0;
  for await (const chunk of stream) {
    seen += chunk.length;
    if (seen > size) throw mismatch(digest, `more than ${size} bytes came`);
    hasher.update(chunk);
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
