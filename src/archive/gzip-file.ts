import { closeSync, existsSync, fsyncSync, openSync, realpathSync, renameSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { createGzip, type Gzip } from "node:zlib";
import { Fault } from "../oci/fault.ts";
import { type Lock, lockOutput } from "./lock.ts";
import { writePipe } from "./pipe-file.ts";

/** Most of what is in an archive is compressed already. */
const LEVEL = 1;

/**
 * A file that is compressed while it is written, from its start to its end: until then it is `OUTPUT.unfinished`, and
 * what an earlier run left there is of no use, unlike a `.partial`. A link of the final name is followed.
 */
export class GzipFile {
  readonly #output: string;
  readonly #lock: Lock;
  /** Undefined once it is closed. */
  #file: number | undefined;
  readonly #gzip: Gzip = createGzip({ level: LEVEL });
  /** All that comes out of it is in the file. */
  readonly #written: Promise<void>;
  #failure: Fault | undefined;

  /** Fails where another run is writing it. */
  constructor(path: string) {
    this.#output = existsSync(path) ? realpathSync(path) : path;
    try {
      this.#lock = lockOutput(this.#output);
    } catch (cause) {
      throw cause instanceof Fault ? cause : this.#cannotWrite(cause);
    }
    try {
      rmSync(this.#unfinished, { force: true });
      this.#file = openSync(this.#unfinished, "wx");
    } catch (cause) {
      this.#lock.release();
      throw this.#cannotWrite(cause);
    }
    this.#written = this.#drain(this.#file);
    this.#written.catch(() => {});
  }

  /** Resolves once the bytes are somebody else's to change. */
  async write(bytes: Uint8Array): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    await new Promise<void>((resolve, reject) => {
      this.#gzip.write(bytes, (error) => (error ? reject(this.#failure ?? error) : resolve()));
    });
  }

  /** Gives the file its name. */
  async commit(): Promise<void> {
    this.#gzip.end();
    await this.#written;
    try {
      if (this.#file !== undefined) fsyncSync(this.#file);
      this.#closeFile();
      renameSync(this.#unfinished, this.#output);
    } catch (cause) {
      throw this.#cannotWrite(cause);
    }
  }

  /** Takes away what has no name yet. */
  async close(): Promise<void> {
    this.#gzip.destroy();
    await this.#written.catch(() => {});
    this.#closeFile();
    rmSync(this.#unfinished, { force: true });
    this.#lock.release();
  }

  get #unfinished(): string {
    return `${this.#output}.unfinished`;
  }

  async #drain(file: number): Promise<void> {
    try {
      for await (const piece of this.#gzip) await writePipe(file, piece);
    } catch (cause) {
      this.#failure ??= this.#cannotWrite(cause);
      this.#gzip.destroy(this.#failure);
      throw this.#failure;
    }
  }

  #closeFile(): void {
    if (this.#file !== undefined) closeSync(this.#file);
    this.#file = undefined;
  }

  #cannotWrite(cause: unknown): Fault {
    return new Fault(`cannot write ${this.#output}`, {
      cause,
      hint: `see that there is room in ${dirname(this.#output)} and that it may be written to, or name another place with \`--output\``,
    });
  }
}
