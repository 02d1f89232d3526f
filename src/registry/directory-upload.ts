import { open } from "node:fs/promises";
import { algorithmOf, type Digest, hexOf } from "../oci/digest.ts";
import type { ByteStream } from "../oci/plan.ts";
import { RegistryError } from "./errors.ts";
import type { Upload } from "./store.ts";

/** What the directory does when an upload ends. */
interface Ending {
  commit(digest: Digest): Promise<void>;
  cancel(): Promise<void>;
}

/** A file that grows, hashed while it does. */
export class DirectoryUpload implements Upload {
  readonly id: string;
  readonly #path: string;
  readonly #ending: Ending;
  readonly #sha256 = new Bun.CryptoHasher("sha256");
  #size = 0;
  #busy = false;

  constructor(id: string, path: string, ending: Ending) {
    this.id = id;
    this.#path = path;
    this.#ending = ending;
  }

  get size(): number {
    return this.#size;
  }

  async append(bytes: ByteStream): Promise<void> {
    await this.#alone(async () => {
      const file = await open(this.#path, "r+");
      try {
        for await (const chunk of bytes) {
          await writeAll(file, chunk, this.#size);
          this.#sha256.update(chunk);
          this.#size += chunk.length;
        }
      } finally {
        await file.close();
      }
    });
  }

  async commit(digest: Digest): Promise<void> {
    await this.#alone(async () => {
      const got = await this.#hash(digest);
      if (got === hexOf(digest)) return this.#ending.commit(digest);
      await this.#ending.cancel();
      throw new RegistryError("DIGEST_INVALID", `the ${this.#size} bytes are not ${digest}`, {
        detail: { expected: digest, got },
      });
    });
  }

  async cancel(): Promise<void> {
    await this.#ending.cancel();
  }

  async #hash(digest: Digest): Promise<string> {
    if (algorithmOf(digest) === "sha256") return this.#sha256.copy().digest("hex");
    const hasher = new Bun.CryptoHasher(algorithmOf(digest));
    for await (const chunk of Bun.file(this.#path).stream()) hasher.update(chunk);
    return hasher.digest("hex");
  }

  /** Two requests that write to one upload would mix their bytes. */
  async #alone(work: () => Promise<void>): Promise<void> {
    if (this.#busy) throw new RegistryError("BLOB_UPLOAD_INVALID", "another request writes to this upload");
    this.#busy = true;
    try {
      await work();
    } finally {
      this.#busy = false;
    }
  }
}

type File = Awaited<ReturnType<typeof open>>;

async function writeAll(file: File, chunk: Uint8Array, position: number): Promise<void> {
  for (let written = 0; written < chunk.length; ) {
    const { bytesWritten } = await file.write(chunk, written, chunk.length - written, position + written);
    written += bytesWritten;
  }
}
