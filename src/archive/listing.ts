import { linkTarget, normalName, quoted } from "./entry-name.ts";
import type { Extent } from "./files.ts";
import { BLOCK, broken, decodeLongName, decodePax, type Header } from "./header.ts";

/** Headers of all kinds in one archive. A whole EKS Anywhere release has some thousands. */
const MOST_HEADERS = 500_000;
/** bytes of all names and extended records together */
const MOST_NAME_BYTES = 128 * 1024 * 1024;
/** Extended records are names and numbers: a few hundred bytes. */
const MOST_EXTENSION_BYTES = 64 * 1024;
/** Links that lead from one to the next. */
const MOST_HOPS = 8;

/** What lies behind a header. */
export interface Item {
  /** bytes of content that follow */
  size: number;
  /** `extension`: the content is about the next header, and has to be handed in. */
  kind: "file" | "extension" | "other";
}

interface Link {
  target: string;
  /** Where its header is. */
  at: number;
}

/** What is said of a header before it comes. */
interface Said {
  path?: string;
  linkpath?: string;
  size?: string;
}

/**
 * Puts the headers of a tar together into files by name, in bounded memory, and refuses what cannot be
 * trusted: names that climb out, names that come twice, sparse files, devices, links to anything but a
 * file in the archive. Every failure names the byte of the header.
 */
export class Listing {
  readonly #files = new Map<string, Extent>();
  readonly #links = new Map<string, Link>();
  readonly #folders = new Set<string>();
  #said: Said = {};
  /** The extension whose content is awaited. */
  #extension: { type: string; at: number } | undefined;
  #headers = 0;
  #nameBytes = 0;

  /** Takes the header at byte `at`. */
  add(header: Header, at: number): Item {
    if (++this.#headers > MOST_HEADERS) {
      throw broken(at, `there are more than ${MOST_HEADERS} headers in the archive`);
    }
    if (isExtension(header.type)) {
      if (header.size > MOST_EXTENSION_BYTES) {
        throw broken(at, `it has ${header.size} bytes of extended records`);
      }
      this.#spend(header.size, at);
      this.#extension = { type: header.type, at };
      return { size: header.size, kind: "extension" };
    }
    const { path, linkpath, size } = this.#said;
    this.#said = {};
    const whole: Header = { ...header, name: path ?? header.name, size: sizeOf(size, header.size, at) };
    if (header.link !== undefined) whole.link = linkpath ?? header.link;
    return this.#enter(whole, at);
  }

  /** Takes the content of the extension that `add` has just told of. */
  extend(body: Uint8Array): void {
    const { type, at } = this.#extension ?? { type: "", at: 0 };
    if (type === "L") this.#say("path", decodeLongName(body), at);
    else if (type === "K") this.#say("linkpath", decodeLongName(body), at);
    else this.#takeRecords(decodePax(body, at), type, at);
  }

  /** Every file by name, links among them under the extent that they lead to. `at`: of the end marker. */
  finish(at: number): Map<string, Extent> {
    if (Object.keys(this.#said).length > 0) throw broken(at, "the archive ends where an entry is announced");
    const found = new Map(this.#files);
    for (const name of this.#links.keys()) found.set(name, this.#follow(name));
    return found;
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

  #enter({ name, type, size, link }: Header, at: number): Item {
    const normal = normalName(name);
    if (normal === undefined) throw broken(at, `${quoted(name)} is no path inside the archive`);
    this.#spend(Buffer.byteLength(normal) + Buffer.byteLength(link ?? ""), at);
    // Before there was a type for folders, a slash at the end was their mark.
    const isFolder = type === "5" || (type === "0" && name.endsWith("/"));
    if (type !== "0" && !isFolder && link === undefined) {
      throw broken(at, `${quoted(name)} is of type ${quoted(type)}, not a file`);
    }
    if (normal === "" && !isFolder) throw broken(at, "its name is empty");
    if (this.#isTaken(normal) || (!isFolder && this.#folders.has(normal))) {
      throw broken(at, `${quoted(normal)} is there twice`);
    }
    if (type === "0" && !isFolder) {
      this.#files.set(normal, { offset: at + BLOCK, size });
      return { size, kind: "file" };
    }
    if (size !== 0) throw broken(at, `${quoted(name)} is no file and is said to have content`);
    if (isFolder) this.#folders.add(normal);
    else this.#links.set(normal, { target: this.#targetOf(normal, type, link ?? "", at), at });
    return { size, kind: "other" };
  }

  /** A symbolic link starts from its own folder, a hard one from the root of the archive. */
  #targetOf(name: string, type: string, link: string, at: number): string {
    const target = type === "2" ? linkTarget(name, link) : normalName(link);
    if (target === undefined)
      throw broken(at, `${quoted(name)} links to ${quoted(link)}, outside the archive`);
    return target;
  }

  #follow(name: string): Extent {
    const first = this.#links.get(name);
    let link = first;
    for (let hops = 0; link !== undefined && hops < MOST_HOPS; hops++) {
      const file = this.#files.get(link.target);
      if (file !== undefined) return file;
      const next = this.#links.get(link.target);
      if (next === undefined) {
        throw broken(link.at, `${quoted(name)} links to ${quoted(link.target)}, no file in the archive`);
      }
      link = next;
    }
    throw broken(first?.at ?? 0, `${quoted(name)} is a link to links without an end`);
  }

  #isTaken(name: string): boolean {
    return this.#files.has(name) || this.#links.has(name);
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
