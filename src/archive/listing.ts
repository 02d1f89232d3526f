import { linkTarget, normalName, quoted } from "./entry-name.ts";
import { EntryReader, type TarEntry } from "./entry-reader.ts";
import type { Extent } from "./files.ts";
import { broken, type Header } from "./header.ts";

/** Links that lead from one to the next. */
const MOST_HOPS = 8;

/** What lies behind a header. */
export interface Item {
  /** bytes of content that follow */
  size: number;
  /** `extension`: the content is about the next header, and has to be handed in. */
  kind: "file" | "extension" | "other";
}

/** Who takes the headers of a tar, one after the other. */
export interface HeaderTaker {
  /** Takes the header at byte `at`. */
  add(header: Header, at: number): Item;
  /** Takes the content of the extension that `add` has just told of. */
  extend(body: Uint8Array): void;
}

interface Link {
  target: string;
  /** Where its header is. */
  at: number;
}

/**
 * Puts the headers of a tar together into files by name, in bounded memory, and refuses what cannot be
 * trusted: names that climb out, names that come twice, sparse files, devices, links to anything but a
 * file in the archive. Every failure names the byte of the header.
 */
export class Listing implements HeaderTaker {
  readonly #reader = new EntryReader();
  readonly #files = new Map<string, Extent>();
  readonly #links = new Map<string, Link>();
  readonly #folders = new Set<string>();

  add(header: Header, at: number): Item {
    const entry = this.#reader.add(header, at);
    if (entry === undefined) return { size: header.size, kind: "extension" };
    return { size: entry.size, kind: this.enter(entry) };
  }

  extend(body: Uint8Array): void {
    this.#reader.extend(body);
  }

  /** Every file by name, links among them under the extent that they lead to. `at`: of the end marker. */
  finish(at: number): Map<string, Extent> {
    this.#reader.finish(at);
    const found = new Map(this.#files);
    for (const name of this.#links.keys()) found.set(name, this.follow(name));
    return found;
  }

  /** Takes an entry by itself. Fails on one that cannot be trusted: then it is as if it were not there. */
  enter({ name, type, size, link, at, offset }: TarEntry): "file" | "other" {
    const normal = normalName(name);
    if (normal === undefined) throw broken(at, `${quoted(name)} is no path inside the archive`);
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
      this.#files.set(normal, { offset, size });
      return "file";
    }
    if (size !== 0) throw broken(at, `${quoted(name)} is no file and is said to have content`);
    if (isFolder) this.#folders.add(normal);
    else this.#links.set(normal, { target: this.#targetOf(normal, type, link ?? "", at), at });
    return "other";
  }

  /** Every file that was entered, in order of offset. */
  get files(): ReadonlyMap<string, Extent> {
    return this.#files;
  }

  /** The names that are links. */
  get links(): Iterable<string> {
    return this.#links.keys();
  }

  /** The file that a link leads to, over however many others. Fails when there is none. */
  follow(name: string): Extent {
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

  /** A symbolic link starts from its own folder, a hard one from the root of the archive. */
  #targetOf(name: string, type: string, link: string, at: number): string {
    const target = type === "2" ? linkTarget(name, link) : normalName(link);
    if (target === undefined)
      throw broken(at, `${quoted(name)} links to ${quoted(link)}, outside the archive`);
    return target;
  }

  #isTaken(name: string): boolean {
    return this.#files.has(name) || this.#links.has(name);
  }
}
