import type { Extent } from "./files.ts";
import { BLOCK, broken, decodeLongName, decodePax, type Header } from "./header.ts";

/** Headers of all kinds in one archive. A whole EKS Anywhere release has some thousands. */
const MOST_HEADERS = 500_000;
/** bytes of all names and extended records together */
const MOST_NAME_BYTES = 128 * 1024 * 1024;
/** Extended records are names and numbers: a few hundred bytes. */
const MOST_EXTENSION_BYTES = 64 * 1024;

/** A header with all that was announced of it, and the place of its content. */
export interface TarEntry extends Extent, Header {
  /** Where its own header starts. */
  at: number;
  /** Where the first header starts that is about it: its own, or one that announces it. */
  headerOffset: number;
}

/** What is said of a header before it comes. */
interface Said {
  path?: string;
  linkpath?: string;
  size?: string;
}

/** Puts each header of a tar together with the extensions before it, in bounded memory. */
export class EntryReader {
  #said: Said = {};
  /** The first extension that is about the next entry. */
  #start: number | undefined;
  /** The extension whose content is awaited. */
  #extension: { type: string; at: number } | undefined;
  #headers = 0;
  #nameBytes = 0;

  /** Takes the header at byte `at`; undefined for an extension, whose content has to be handed in. */
  add(header: Header, at: number): TarEntry | undefined {
    if (++this.#headers > MOST_HEADERS) {
      throw broken(at, `there are more than ${MOST_HEADERS} headers in the archive`);
    }
    if (isExtension(header.type)) {
      if (header.size > MOST_EXTENSION_BYTES) {
        throw broken(at, `it has ${header.size} bytes of extended records`);
      }
      this.#spend(header.size, at);
      this.#extension = { type: header.type, at };
      if (header.type !== "g") this.#start ??= at;
      return;
    }
    const { path, linkpath, size } = this.#said;
    const headerOffset = this.#start ?? at;
    this.#said = {};
    this.#start = undefined;
    const entry: TarEntry = {
      ...header,
      name: path ?? header.name,
      size: sizeOf(size, header.size, at),
      at,
      headerOffset,
      offset: at + BLOCK,
    };
    if (header.link !== undefined) entry.link = linkpath ?? header.link;
    this.#spend(Buffer.byteLength(entry.name) + Buffer.byteLength(entry.link ?? ""), at);
    return entry;
  }

  /** Takes the content of the extension that `add` has just been told of. */
  extend(body: Uint8Array): void {
    const { type, at } = this.#extension ?? { type: "", at: 0 };
    if (type === "L") this.#say("path", decodeLongName(body), at);
    else if (type === "K") this.#say("linkpath", decodeLongName(body), at);
    else this.#takeRecords(decodePax(body, at), type, at);
  }

  /** Fails where an entry is announced and does not come. `at`: of the end marker. */
  finish(at: number): void {
    if (Object.keys(this.#said).length > 0) throw broken(at, "the archive ends where an entry is announced");
  }

  #takeRecords(records: ReadonlyMap<string, string>, type: string, at: number): void {
    for (const key of records.keys()) {
      if (key.startsWith("GNU.sparse.")) throw broken(at, "it announces a sparse file");
    }
    for (const key of ["path", "linkpath", "size"] as const) {
      const value = records.get(key);
      if (value === undefined) continue;
      if (type === "g") throw broken(at, `it gives every entry the same \`${key}\``);
      this.#say(key, value, at);
    }
  }

  /** Readers disagree on which of two counts: neither does. */
  #say(key: keyof Said, value: string, at: number): void {
    if (this.#said[key] !== undefined) throw broken(at, `the \`${key}\` of the next entry is said twice`);
    this.#said[key] = value;
  }

  #spend(bytes: number, at: number): void {
    this.#nameBytes += bytes;
    if (this.#nameBytes > MOST_NAME_BYTES) {
      throw broken(at, `the names in the archive have more than ${MOST_NAME_BYTES} bytes`);
    }
  }
}

/** Of POSIX: `x` and, for all that follow, `g`. Of GNU: `L`, a long name, and `K`, a long link. */
function isExtension(type: string): boolean {
  return type === "x" || type === "g" || type === "L" || type === "K";
}

function sizeOf(said: string | undefined, plain: number, at: number): number {
  if (said === undefined) return plain;
  const size = /^\d{1,16}$/.test(said) ? Number(said) : Number.NaN;
  if (!Number.isSafeInteger(size)) throw broken(at, "its extended size is not a number of bytes");
  return size;
}
