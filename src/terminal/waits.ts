import type { Digest } from "../oci/digest.ts";
import { sanitizeLine } from "./sanitize.ts";
import { formatDuration } from "./units.ts";

/** Alone, a shorter wait is nobody's business: milliseconds. Several of a kind are, once they come to as much. */
const NOTEWORTHY = 1000;
/**
 * How long a note is shown and not said again, and short waits are added up: milliseconds. The next of the lines that
 * come every five seconds still finds it.
 */
const LIFETIME = 6000;

/** Something is tried again, or held back, after a while. */
export interface Wait {
  milliseconds: number;
  /** The blob or manifest that it befalls; absent where it befalls all that is meant for a host. */
  digest?: Digest | undefined;
}

interface Note {
  text: string;
  digest: Digest | undefined;
  isWait: boolean;
  /** Milliseconds that it comes to so far. */
  sum: number;
  endsAt: number;
  forgottenAt: number;
  toldAt: number;
}

/** What holds things up at the moment, by blob or by reason. */
export class Waits {
  readonly #now: () => number;
  readonly #notes = new Map<string, Note>();

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Returns what to say of it where that is news: worth a word, and not said just now. */
  add(text: string, wait?: Wait): string | undefined {
    const now = this.#now();
    for (const [key, { forgottenAt }] of this.#notes) if (forgottenAt <= now) this.#notes.delete(key);
    const [reason, digest, milliseconds] = [sanitizeLine(text), wait?.digest, wait?.milliseconds ?? 0];
    const key = digest ?? reason;
    const before = this.#notes.get(key);
    const endsAt = Math.max(before?.endsAt ?? 0, now + milliseconds);
    const note: Note = {
      text: reason,
      digest,
      isWait: wait !== undefined,
      sum: (before?.sum ?? 0) + milliseconds,
      endsAt,
      forgottenAt: Math.max(endsAt, now + LIFETIME),
      toldAt: before?.toldAt ?? Number.NEGATIVE_INFINITY,
    };
    this.#notes.set(key, note);
    if (!isNoteworthy(note) || now - note.toldAt < LIFETIME) return;
    note.toldAt = now;
    return formatNote(note, now);
  }

  /** What has held up a blob that is there, or lost, holds nothing up any more. */
  forget(digest: Digest): void {
    this.#notes.delete(digest);
  }

  /** What befalls one of these blobs, by its digest; and everything else, each text once. */
  among(digests: ReadonlySet<Digest>): { own: ReadonlyMap<Digest, string>; others: string[] } {
    const now = this.#now();
    const own = new Map<Digest, string>();
    const others = new Set<string>();
    for (const note of this.#notes.values()) {
      if (note.forgottenAt <= now || !isNoteworthy(note)) continue;
      const text = formatNote(note, now);
      if (note.digest !== undefined && digests.has(note.digest)) own.set(note.digest, text);
      else others.add(text);
    }
    return { own, others: [...others] };
  }
}

function isNoteworthy({ isWait, sum }: Note): boolean {
  return !isWait || sum >= NOTEWORTHY;
}

/** `waiting 3 s: REASON`; once that is over, or where it was too short to count down, the reason. */
function formatNote({ text, digest, isWait, endsAt }: Note, now: number): string {
  const left = Math.round(endsAt - now);
  if (left > NOTEWORTHY / 2) return `waiting ${formatDuration(Math.ceil(left / 1000) * 1000)}: ${text}`;
  return isWait && digest !== undefined ? `tried again: ${text}` : text;
}
