/** One way in that a registry offers. Spec: RFC 9110, 11.6.1. */
export interface Challenge {
  /** lower case */
  scheme: string;
  /** Names in lower case. */
  parameters: ReadonlyMap<string, string>;
}

/**
 * Where a bearer challenge sends for a token: on http or https, or a path of the host that was asked. Undefined for
 * anything else, which is read as no address at all.
 */
export function realmOf({ parameters }: Challenge, asked: URL): URL | undefined {
  const realm = parameters.get("realm") ?? "";
  const isAddress = /^(?:https?:\/\/|\/)\S*$/i.test(realm) && URL.canParse(realm, asked.href);
  return isAddress ? new URL(realm, asked) : undefined;
}

/** Longer headers than any registry sends are cut rather than read. */
const LONGEST = 16 * 1024;
const TOKEN = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y;
const QUOTED = /"((?:[^"\\]|\\.)*)"/y;
/** Basic's or Negotiate's data instead of parameters; we only have to step over it. */
const TOKEN68 = /[A-Za-z0-9._~+/-]+=*(?=\s*(?:,|$))/y;

/**
 * Reads a `WWW-Authenticate` header: any number of challenges, also joined in one line, in any case, with
 * commas inside quotes. What cannot be understood ends the list; it never fails.
 */
export function parseChallenges(header: string): Challenge[] {
  const scanner = new Scanner(header.slice(0, LONGEST));
  const challenges: { scheme: string; parameters: Map<string, string> }[] = [];
  for (;;) {
    scanner.skip(/[\s,]*/y);
    const word = scanner.take(TOKEN);
    if (word === undefined) return challenges;
    const parameter = scanner.parameterValue();
    if (parameter !== undefined) {
      // A parameter belongs to the challenge before it; the first of a name counts.
      const { parameters } = challenges.at(-1) ?? { parameters: new Map<string, string>() };
      const name = word.toLowerCase();
      if (!parameters.has(name)) parameters.set(name, parameter);
      continue;
    }
    // An equals sign without a value, e.g. a quote that never ends: the word before it is no scheme.
    if (scanner.take(/\s*=/y) !== undefined) return challenges;
    challenges.push({ scheme: word.toLowerCase(), parameters: new Map() });
    scanner.skip(/\s*/y);
    scanner.takeData();
  }
}

class Scanner {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#text);
    if (match === null) return;
    this.#at = pattern.lastIndex;
    return match[1] ?? match[0];
  }

  skip(pattern: RegExp): void {
    this.take(pattern);
  }

  /** `= value` after a name; undefined, and nothing consumed, when there is no equals sign. */
  parameterValue(): string | undefined {
    const start = this.#at;
    if (this.take(/\s*=\s*(?=["!#$%&'*+.^_`|~0-9A-Za-z/:-])/y) === undefined) return;
    const quoted = this.take(QUOTED);
    if (quoted !== undefined) return quoted.replace(/\\(.)/g, "$1");
    const bare = this.take(/[^\s,"]+/y);
    if (bare === undefined) this.#at = start;
    return bare;
  }

  /** Steps over a challenge's data unless it is the name of a parameter. */
  takeData(): void {
    const start = this.#at;
    const data = this.take(TOKEN68);
    if (data === undefined) return;
    // A bare word before a comma may as well be the next scheme without parameters.
    if (!/[=/+]/.test(data) && data.length < 16) this.#at = start;
  }
}
