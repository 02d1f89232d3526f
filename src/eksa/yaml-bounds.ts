import { Lexer } from "yaml";

/** Over twenty times those of the largest Bundles; each takes up to a kilobyte once it is parsed. */
const MAX_TOKENS = 1_000_000;
/** Of collections in collections. The library takes half a minute and two gigabytes for 5000. */
export const MAX_DEPTH = 64;

/** The lexer's mark before a plain or block scalar. Source: yaml, src/parse/cst.ts. */
const SCALAR = "\x1f";
/** And that before a document. */
const DOCUMENT = "\x02";
/** What stands for nothing in the source; the last ends a flow collection that was cut off. */
const MARKS = new Set([SCALAR, DOCUMENT, "\x18"]);

/** Refuses, before anything is made of it, a YAML text of which too much would be made. */
export function assertBounded(text: string): void {
  const nesting = new Nesting();
  let tokens = 0;
  let offset = 0;
  for (const token of new Lexer().lex(text)) {
    tokens += 1;
    if (tokens > MAX_TOKENS) throw new Error(`it has more than ${MAX_TOKENS} tokens`);
    nesting.see(token);
    if (nesting.depth > MAX_DEPTH) {
      const line = text.slice(0, offset).split("\n").length;
      throw new Error(`line ${line}: nested deeper than ${MAX_DEPTH}`);
    }
    if (!MARKS.has(token)) offset += token.length;
  }
}

/** How deep the tokens so far are, at the least: by brackets, by indentation, and by `- - a: b:` in a line. */
class Nesting {
  #last = "";
  #brackets = 0;
  /** Of the lines above that the current one may be in. */
  readonly #indents: number[] = [];
  /** Of a line of which nothing but this is seen so far. */
  #indent: number | undefined = 0;
  #inLine = 0;

  get depth(): number {
    return Math.max(this.#brackets, this.#indents.length, this.#inLine);
  }

  see(token: string): void {
    const isText = this.#last === SCALAR;
    this.#last = token;
    const endsLine = token.endsWith("\n");
    if (endsLine) this.#indent = 0;
    if (isText || endsLine) return;
    if (this.#indent !== undefined) this.#begin(token, this.#indent);
    if (token === "[" || token === "{") this.#brackets += 1;
    else if (token === "]" || token === "}") this.#brackets = Math.max(0, this.#brackets - 1);
    else if (this.#brackets === 0 && /^[-?:]$/.test(token)) this.#inLine += 1;
  }

  /** Neither a blank line nor a comment ends what the lines above began. */
  #begin(token: string, indent: number): void {
    if (/^ +$/.test(token)) this.#indent = token.length;
    else if (token !== DOCUMENT && !token.startsWith("#")) {
      this.#indent = undefined;
      this.#inLine = 0;
      while ((this.#indents.at(-1) ?? -1) >= indent) this.#indents.pop();
      this.#indents.push(indent);
    }
  }
}
