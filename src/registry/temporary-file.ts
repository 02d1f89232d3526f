import { rmSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Fault } from "../oci/fault.ts";

const READ_BYTES = 256 * 1024;

/** A file of our own for as long as it takes; others cannot read it, and it is gone even if we are killed. */
export class TemporaryFile {
  readonly #path: string;
  readonly #handle: FileHandle;
  #size = 0;

  private constructor(path: string, handle: FileHandle) {
    this.#path = path;
    this.#handle = handle;
  }

  static async create(): Promise<TemporaryFile> {
    const path = join(tmpdir(), `eksa-airgap-${crypto.randomUUID()}`);
    try {
      const file = new TemporaryFile(path, await open(path, "wx+", 0o600));
      // Elsewhere an open file cannot be removed: there it goes when it is closed.
      if (process.platform !== "win32") rmSync(path);
      return file;
    } catch (cause) {
      throw unwritable(cause);
    }
  }

  async append(bytes: Uint8Array): Promise<void> {
    try {
      for (let done = 0; done < bytes.length; ) {
        const at = this.#size + done;
        done += (await this.#handle.write(bytes, done, bytes.length - done, at)).bytesWritten;
      }
    } catch (cause) {
      throw unwritable(cause);
    }
    this.#size += bytes.length;
  }

  async *read(from: number, to: number): AsyncGenerator<Uint8Array> {
    for (let at = from; at < to; ) {
      const bytes = new Uint8Array(Math.min(READ_BYTES, to - at));
      const { bytesRead } = await this.#handle.read(bytes, 0, bytes.length, at);
      if (bytesRead === 0) throw new Fault(`cannot read on at byte ${at} of a temporary file: it ends there`);
      at += bytesRead;
      yield bytes.subarray(0, bytesRead);
    }
  }

  async close(): Promise<void> {
    await this.#handle.close();
    rmSync(this.#path, { force: true });
  }
}

function unwritable(cause: unknown): Fault {
  return new Fault(`cannot keep a blob in ${tmpdir()} on its way`, {
    cause,
    hint: "let TMPDIR name a folder with more room, or save the archive in a file and import that",
  });
}
