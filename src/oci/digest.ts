import { Fault } from "./fault.ts";

/** `algorithm:hex`, lower case. Spec: image-spec descriptor.md, "Digests". */
export type Digest = `sha256:${string}` | `sha512:${string}`;

type Algorithm = "sha256" | "sha512";

const HEX_LENGTH: Record<Algorithm, number> = { sha256: 64, sha512: 128 };
const LOWER_HEX = /^[0-9a-f]+$/;

/** Whether `text` is a digest of an algorithm that the specification registers. */
export function isDigest(text: string): text is Digest {
  const algorithm = text.slice(0, 6);
  if (algorithm !== "sha256" && algorithm !== "sha512") return false;
  return text[6] === ":" && text.length === 7 + HEX_LENGTH[algorithm] && LOWER_HEX.test(text.slice(7));
}

/** Fails when `text` is not a digest that content can be checked against. */
export function parseDigest(text: string): Digest {
  if (isDigest(text)) return text;
  throw new Fault(`cannot read \`${clip(text)}\` as a digest`, {
    hint: "a digest is `sha256:` and 64, or `sha512:` and 128, lower-case hexadecimal digits",
    kind: "mismatch",
  });
}

export function algorithmOf(digest: Digest): Algorithm {
  return digest.startsWith("sha512") ? "sha512" : "sha256";
}

/** The hexadecimal part. */
export function hexOf(digest: Digest): string {
  return digest.slice(7);
}

export function digestOf(bytes: Uint8Array, algorithm: Algorithm = "sha256"): Digest {
  return `${algorithm}:${new Bun.CryptoHasher(algorithm).update(bytes).digest("hex")}`;
}

function clip(text: string): string {
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}
