import type { FileSet } from "./files.ts";

/** Of a whole archive, in hex. */
export interface Checksums {
  sha256: string;
  sha512: string;
}

/** Reads all of an archive, its volumes one after the other. May be aborted. */
export async function checksumsOf(files: FileSet, signal: AbortSignal): Promise<Checksums> {
  const [sha256, sha512] = [new Bun.CryptoHasher("sha256"), new Bun.CryptoHasher("sha512")];
  for await (const chunk of files.chunks({ offset: 0, size: files.size })) {
    signal.throwIfAborted();
    sha256.update(chunk);
    sha512.update(chunk);
  }
  return { sha256: sha256.digest("hex"), sha512: sha512.digest("hex") };
}
