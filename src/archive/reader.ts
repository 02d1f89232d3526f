import { statSync } from "node:fs";
import { Fault } from "../oci/fault.ts";
import { type Extent, FileSet } from "./files.ts";
import { BLOCK, broken, decodeHeader, decodePax, END_MARKER_BYTES, padded } from "./header.ts";

/** Extended records are names and numbers: a few hundred bytes. */
const MAX_PAX_BYTES = 64 * 1024;
/** A tar on disk, read by offset. */
export class TarFile {
  readonly path: string;
  /** bytes */
  readonly size: number;
  readonly #files: FileSet;

  constructor(path: string) {
    this.path = path;
    try {
      // Looked at before it is opened: to open a pipe would wait for a writer.
      const found = statSync(path);
      if (!found.isFile()) throw new Fault("it is not a file");
      this.#files = new FileSet([{ path, size: found.size }], "r");
    } catch (cause) {
      throw new Fault(`cannot open ${path}`, { cause });
    }
    this.size = this.#files.size;
  }

  close(): void {
    this.#files.close();
  }

  /**
   * Every file in it by name. Reads headers only. Fails with the offset on a broken header, a name that
   * comes twice, an entry that is neither file nor directory, or an archive that is cut short.
   */
  entries(): Map<string, Extent> {
    const found = new Map<string, Extent>();
    let extended = new Map<string, string>();
    for (let at = 0; ; ) {
      if (at + BLOCK > this.size) throw this.#cutShort(`there is no end marker at byte ${at}`);
      const header = decodeHeader(this.read(at, BLOCK), at);
      if (header === undefined) {
        if (at + END_MARKER_BYTES <= this.size) return found;
        throw this.#cutShort(`half an end marker is at byte ${at}`);
      }
      const isExtension = header.type === "x" || header.type === "g";
      const size = isExtension ? header.size : sizeOf(extended.get("size"), header.size, at);
      const offset = at + BLOCK;
      if (offset + size > this.size) {
        throw this.#cutShort(`\`${header.name}\` at byte ${at} should end at byte ${offset + size}`);
      }
      if (isExtension) {
        if (size > MAX_PAX_BYTES) throw broken(at, `it has ${size} bytes of extended records`);
        // A global header speaks of metadata that we do not use.
        if (header.type === "x") extended = decodePax(this.read(offset, size), at);
      } else {
        this.#enter(found, extended.get("path") ?? header.name, { offset, size, type: header.type, at });
        extended = new Map();
      }
      at = offset + padded(size);
    }
  }

  /** Fails when the file ends before `length` bytes are read. */
  read(offset: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    const got = this.#files.readNow(bytes, offset);
    if (got < length) throw this.#cutShort(`there is nothing at byte ${offset + got}`);
    return bytes;
  }

  /** An extent's bytes, in pieces that fit into memory. */
  chunks(extent: Extent): AsyncGenerator<Uint8Array> {
    return this.#files.chunks(extent);
  }

  slice(extent: Extent): Blob | undefined {
    return this.#files.slice(extent);
  }

  #enter(found: Map<string, Extent>, name: string, entry: Extent & { type: string; at: number }): void {
    if (entry.type === "5") return;
    if (entry.type !== "0") throw broken(entry.at, `\`${name}\` is of type \`${entry.type}\`, not a file`);
    if (found.has(name)) throw broken(entry.at, `\`${name}\` is there twice`);
    found.set(name, { offset: entry.offset, size: entry.size });
  }

  #cutShort(why: string): Fault {
    return new Fault(`cannot read ${this.path}: it is cut short`, {
      cause: new Fault(`${why}, and the file has ${this.size} bytes`),
      hint: "copy the file again, and compare its size and checksum with the original's",
      kind: "mismatch",
    });
  }
}

function sizeOf(extended: string | undefined, plain: number, at: number): number {
  if (extended === undefined) return plain;
  const size = /^\d{1,16}$/.test(extended) ? Number(extended) : Number.NaN;
  if (!Number.isSafeInteger(size)) throw broken(at, "its extended size is not a number of bytes");
  return size;
}
