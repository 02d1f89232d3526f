import { type Digest, isDigest } from "../oci/digest.ts";
import type { Defect } from "./defect.ts";
import { quoted } from "./entry-name.ts";
import { EntryReader, type TarEntry } from "./entry-reader.ts";
import { BLOCK, BrokenHeader, decodeHeader, END_MARKER_BYTES, type Header, padded } from "./header.ts";
import { type HeaderTaker, type Item, Listing } from "./listing.ts";
import { pathOf } from "./path.ts";
import { CutShort, Overlong, type TarFile } from "./reader.ts";

/** What the headers of a tar say, as far as they can be followed. */
export interface TarContents {
  /** Every file that is there in full; links by their own names, under the file that they lead to. */
  files: ReadonlyMap<string, TarEntry>;
  /** What is wrong with the structure. */
  defects: readonly Defect[];
  /** Where the file ends too early. */
  cutAt?: number;
  /** The header that cannot be read, nor what follows it be found. */
  brokenAt?: number;
}

/** Broken headers that are gone around. */
const MOST_BROKEN = 100;

/** Reads headers only, up to the first that cannot be followed, or the end. */
export function readContents(tar: TarFile): TarContents {
  const survey = new Survey(tar.size);
  const end: Pick<TarContents, "cutAt" | "brokenAt"> = {};
  for (let broken = 0; ; ) {
    try {
      survey.finish(tar.walk(survey, survey.next));
      break;
    } catch (error) {
      if (error instanceof Overlong) {
        survey.defects.push({ kind: "extra", offset: survey.next, detail: error.message });
        break;
      }
      if (error instanceof CutShort) {
        const isShort = error.offset === tar.size;
        end[isShort ? "cutAt" : "brokenAt"] = error.offset;
        survey.defects.push(...noEnd(survey, error, tar));
        break;
      }
      if (!(error instanceof BrokenHeader) && !isSystemError(error)) throw error;
      const at = survey.next;
      const guessed = ++broken > MOST_BROKEN ? undefined : guess(tar, at);
      const digest = guessed === undefined ? {} : digestIn(guessed.name);
      survey.defects.push({ kind: "corrupt", ...digest, offset: at, detail: error.message });
      if (guessed === undefined || !survey.tries(guessed, at)) {
        end.brokenAt = at;
        break;
      }
    }
  }
  return { files: survey.files(), defects: survey.defects, ...end };
}

/** Takes what a listing takes, and puts on record what it refuses. */
class Survey implements HeaderTaker {
  readonly defects: Defect[] = [];
  /** Where the next header is. */
  next = 0;
  readonly #reader = new EntryReader();
  readonly #listing = new Listing();
  /** By the place of their content. */
  readonly #entries = new Map<number, TarEntry>();
  /** bytes */
  readonly #end: number;

  constructor(end: number) {
    this.#end = end;
  }

  add(header: Header, at: number): Item {
    this.next = at;
    const entry = this.#reader.add(header, at);
    if (entry === undefined) return { size: header.size, kind: "extension" };
    const { name, headerOffset, offset, size } = entry;
    this.next = offset + padded(size);
    if (offset + size > this.#end) {
      const detail = `${quoted(name)} should end at byte ${BigInt(offset) + BigInt(size)}, and the file ends at byte ${this.#end}`;
      this.defects.push({ kind: "truncated", ...digestIn(name), offset: headerOffset, detail });
      return { size, kind: "other" };
    }
    return { size, kind: this.#enter(entry) };
  }

  extend(body: Uint8Array): void {
    this.#reader.extend(body);
    this.next += BLOCK + padded(body.length);
  }

  /** The same for a header that was mended; whether that could be taken. What an extension says is passed over. */
  tries(header: Header, at: number): boolean {
    try {
      const { size, kind } = this.add(header, at);
      if (kind === "extension") this.next = at + BLOCK + padded(size);
      return true;
    } catch (error) {
      if (error instanceof BrokenHeader) return false;
      throw error;
    }
  }

  /** `at`: of the end marker. */
  finish(at: number): void {
    this.next = at;
    this.#reader.finish(at);
  }

  /** Files in order of offset, then links. */
  files(): Map<string, TarEntry> {
    const found = new Map<string, TarEntry>();
    const put = (name: string, offset: number) => {
      const entry = this.#entries.get(offset);
      if (entry !== undefined) found.set(name, entry);
    };
    for (const [name, { offset }] of this.#listing.files) put(name, offset);
    for (const name of this.#listing.links) {
      try {
        put(name, this.#listing.follow(name).offset);
      } catch (error) {
        if (!(error instanceof BrokenHeader)) throw error;
        this.defects.push({ kind: "missing", ...digestIn(name), offset: error.offset, detail: error.why });
      }
    }
    return found;
  }

  #enter(entry: TarEntry): Item["kind"] {
    try {
      const kind = this.#listing.enter(entry);
      if (kind === "file") this.#entries.set(entry.offset, entry);
      return kind;
    } catch (error) {
      if (!(error instanceof BrokenHeader)) throw error;
      const { name, headerOffset } = entry;
      this.defects.push({ kind: "extra", ...digestIn(name), offset: headerOffset, detail: error.why });
      return "other";
    }
  }
}

/** What a header says whose checksum is wrong: believed only if there is another one, or the end, behind it. */
function guess(tar: TarFile, at: number): Header | undefined {
  try {
    const block = tar.read(at, BLOCK).fill(" ".charCodeAt(0), 148, 156);
    const sum = block.reduce((total, byte) => total + byte, 0);
    block.set(new TextEncoder().encode(`${sum.toString(8)}\0`), 148);
    const header = decodeHeader(block, at);
    if (header === undefined) return;
    const next = at + BLOCK + padded(header.size);
    const isEnd = next + END_MARKER_BYTES === tar.size;
    if (decodeHeader(tar.read(next, BLOCK), next) === undefined && !isEnd) return;
    return header;
  } catch {
    return;
  }
}

/** Of an entry that the file ends in no more is said, unless a volume may be what is missing. */
function noEnd({ defects }: Survey, { offset, cause, hint }: CutShort, tar: TarFile): Defect[] {
  const isSplit = tar.volumeAt(0) !== undefined;
  if (!isSplit && defects.some(({ kind }) => kind === "truncated")) return [];
  const why = cause instanceof Error ? cause.message : "it is cut short";
  const kind = offset === tar.size ? "truncated" : "corrupt";
  return [{ kind, offset, detail: why, ...(isSplit && { hint }) }];
}

/** A disk that does not give what is on it. */
function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && "code" in error && "syscall" in error;
}

/** The digest that content goes by in a layout. */
export function digestIn(name: string): { digest?: Digest } {
  const [, algorithm, hex] = /^blobs\/(sha256|sha512)\/([0-9a-f]+)$/.exec(name) ?? [];
  const digest = `${algorithm}:${hex}`;
  return isDigest(digest) && pathOf(digest) === name ? { digest } : {};
}
