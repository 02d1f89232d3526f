import { type GenericIssue, type GenericSchema, getDotPath, safeParse } from "valibot";
import {
  Composer,
  type Document,
  isMap,
  isScalar,
  LineCounter,
  type Node,
  Parser,
  parseDocument,
  type ToJSOptions,
  visit,
} from "yaml";
import { Fault } from "../oci/fault.ts";
import { isRecord } from "../oci/manifest.ts";
import { MEND } from "./failures.ts";
import { mergeKeys } from "./merge-keys.ts";
import { assertBounded, MAX_DEPTH } from "./yaml-bounds.ts";

/** A YAML document as it came, and what to call it in messages. */
export interface YamlFile {
  source: string;
  bytes: Uint8Array;
}

/** One kind of Kubernetes-style document; scalars reach the schema as the strings that the source shows. */
export interface DocumentType<T> {
  apiVersion: string;
  kind: string;
  schema: GenericSchema<unknown, T>;
  /** What to say of a value instead of what the schema expects; undefined where it has no words of its own. */
  rephrase?: (path: string, input: unknown) => string | undefined;
}

/** One of the documents of a file, not yet known to be of any kind. */
export interface NumberedDocument {
  /** `document 2 of FILE` */
  source: string;
  content: unknown;
}

/** A scalar as the source shows it: the text between the quotes, if it has any. */
export interface SourceScalar {
  text: string;
  /** Neither quoted nor a block: YAML may take it for something else than a string. */
  isPlain: boolean;
  /** As written out, in full: `tag:yaml.org,2002:int`. */
  tag?: string | undefined;
}

/** A mapping in the order of its source. */
export type SourceMapping = Map<string, SourceTree>;
export type SourceTree = SourceScalar | SourceMapping | SourceTree[] | null;

/** How YAML 1.1, which EKS Anywhere reads, writes what is not there. */
export const ABSENT: ReadonlySet<unknown> = new Set(["", "~", "null", "Null", "NULL"]);

/** Sixty times the largest Bundles published so far. */
export const MAX_DOCUMENT_BYTES = 16 * 1024 * 1024;
const MAX_DOCUMENTS = 1000;
const MAX_ALIASES = 100;
const MAX_ISSUES = 8;

/** With YAML's failsafe schema: an unquoted `1.30` stays "1.30", where the core schema makes it 1.3. */
const OPTIONS = {
  schema: "failsafe",
  prettyErrors: false,
  // Not "silent", which would let a second document pass.
  logLevel: "error",
  // The last one counts, as for EKS Anywhere, whose own test data repeats a key. And the library would
  // compare every key with every other: minutes for a hostile mapping.
  uniqueKeys: false,
} as const;

/** Reads the one document of `file`. Fails when it is of another kind, or not what the schema wants. */
export function parseYamlDocument<T>(file: YamlFile, type: DocumentType<T>): T {
  const text = decode(file);
  const lines = new LineCounter();
  const content = toPlain(file.source, lines, () => parseDocument(text, { ...OPTIONS, lineCounter: lines }));
  return readAs({ source: file.source, content }, type);
}

/**
 * The one document of `file` with its numbers, booleans and nulls: for what is passed on as it is. Where it is
 * read as a kind of document, `parseYamlDocument` is the way.
 */
export function parseYamlValues(file: YamlFile): unknown {
  const text = decode(file);
  const lines = new LineCounter();
  const options = { ...OPTIONS, schema: "core", lineCounter: lines } as const;
  return toPlain(file.source, lines, () => parseDocument(text, options));
}

/** The text of `file`, and the nodes of its one document with their places in that text. */
export function parseYamlNodes(file: YamlFile): { text: string; document: Document } {
  const text = decode(file);
  const lines = new LineCounter();
  const parse = () => parseDocument(text, { ...OPTIONS, lineCounter: lines });
  return { text, document: checked(file.source, lines, parse) };
}

/** Reads every document of `file` that holds anything, merge keys (`<<`) followed. */
export function parseYamlDocuments(file: YamlFile): NumberedDocument[] {
  const lines = new LineCounter();
  const tokens = new Parser(lines.addNewLine).parse(decode(file));
  const found: NumberedDocument[] = [];
  let number = 0;
  for (const document of new Composer({ ...OPTIONS, lineCounter: lines }).compose(tokens)) {
    number += 1;
    if (number > MAX_DOCUMENTS) {
      throw new Fault(`cannot read ${file.source}: it holds more than ${MAX_DOCUMENTS} documents`, {
        hint: MEND,
      });
    }
    const source = `document ${number} of ${file.source}`;
    const content = toPlain(source, lines, () => document);
    if (content !== null && content !== "") found.push({ source, content: mergeKeys(source, content) });
  }
  return found;
}

/** The one document of `file` for whoever has to tell `1.30` from `"1.30"`. */
export function parseYamlSource(file: YamlFile): SourceTree {
  const lines = new LineCounter();
  const text = decode(file);
  const parse = () => {
    const document = parseDocument(text, { ...OPTIONS, lineCounter: lines });
    visit(document, {
      Scalar(role, scalar) {
        const { value, type, tag } = scalar;
        const text = typeof value === "string" ? value : "";
        if (role !== "key") scalar.value = { text, isPlain: type === "PLAIN", tag } satisfies SourceScalar;
      },
    });
    return document;
  };
  return toPlain(file.source, lines, parse, { mapAsMap: true }) as SourceTree;
}

/** Fails when a document is of another kind than `type`, or not what its schema wants. */
export function readAs<T>({ source, content }: NumberedDocument, type: DocumentType<T>): T {
  const wanted = `${type.kind} (${type.apiVersion})`;
  if (!isRecord(content)) {
    const what = content === null || ABSENT.has(content) ? "empty" : "not a YAML mapping";
    throw new Fault(`cannot read ${source} as ${wanted}: it is ${what}`, { hint: MEND });
  }
  if (!isOfType(content, type)) {
    throw new Fault(`cannot read ${source} as ${wanted}: it is ${describeKind(content)}`, {
      hint: `name a file of that kind, with \`kind: ${type.kind}\` and \`apiVersion: ${type.apiVersion}\``,
    });
  }
  const result = safeParse(type.schema, content);
  if (result.success) return result.output;
  const facts = result.issues.slice(0, MAX_ISSUES).map((issue) => describeIssue(issue, type.rephrase));
  throw new Fault(`cannot read ${source} as ${wanted}`, { cause: new Error(facts.join("; ")), hint: MEND });
}

export function isOfType(content: unknown, { apiVersion, kind }: DocumentType<unknown>): boolean {
  return isRecord(content) && content.apiVersion === apiVersion && content.kind === kind;
}

/** `\`Cluster\` (\`example.com/v1\`)` */
export function describeKind(content: unknown): string {
  if (!isRecord(content)) return show(content);
  if (Object.keys(content).length === 0) return "empty";
  const { kind, apiVersion } = content;
  return ABSENT.has(kind ?? "") && ABSENT.has(apiVersion ?? "")
    ? "without a `kind` and an `apiVersion`"
    : `${show(kind)} (${show(apiVersion)})`;
}

function decode({ source, bytes }: YamlFile): string {
  if (bytes.length > MAX_DOCUMENT_BYTES) {
    throw new Fault(
      `cannot read ${source}: ${bytes.length} bytes, where ${MAX_DOCUMENT_BYTES} are the limit of a YAML file`,
      { hint: "see what it is: neither a release nor a cluster has a file so large" },
    );
  }
  if (isUtf16(bytes))
    throw new Fault(`cannot read ${source} as YAML: it is UTF-16`, { hint: "save it as UTF-8" });
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    assertBounded(text);
    return text;
  } catch (cause) {
    throw new Fault(`cannot read ${source} as YAML`, { cause, hint: MEND });
  }
}

/** By its byte order mark, or by the first letter, which no document of ours has beyond ASCII. */
function isUtf16([first, second]: Uint8Array): boolean {
  const isMarked = (first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff);
  return isMarked || (first === 0) !== (second === 0);
}

/** Fails naming the line. */
function toPlain(
  source: string,
  lines: LineCounter,
  parse: () => Document,
  options: Pick<ToJSOptions, "mapAsMap"> = {},
): unknown {
  try {
    return checked(source, lines, parse).toJS({ ...options, maxAliasCount: MAX_ALIASES });
  } catch (cause) {
    throw cause instanceof Fault ? cause : new Fault(`cannot read ${source} as YAML`, { cause, hint: MEND });
  }
}

function checked(source: string, lines: LineCounter, parse: () => Document): Document {
  try {
    const document = parse();
    const [error] = document.errors;
    if (error !== undefined) throw new Error(`line ${lines.linePos(error.pos[0]).line}: ${reasonOf(error)}`);
    assertPlain(document, lines);
    return document;
  } catch (cause) {
    throw new Fault(`cannot read ${source} as YAML`, { cause, hint: MEND });
  }
}

function reasonOf(error: { code: string; message: string }): string {
  // What the library says of brackets in brackets without end.
  if (error.message.startsWith("Maximum call stack")) return `nested deeper than ${MAX_DEPTH}`;
  return error.code === "MULTIPLE_DOCS" ? "a second document starts, where one is expected" : error.message;
}

/** Refuses what would loop, blow up or lose a value once it is plain data. */
function assertPlain(document: Document, lines: LineCounter): void {
  let aliases = 0;
  visit(document, {
    Alias(_key, alias, path) {
      aliases += 1;
      if (aliases > MAX_ALIASES) throw problem(lines, alias, `more than ${MAX_ALIASES} aliases`);
      const target = alias.resolve(document);
      if (target === undefined) throw problem(lines, alias, `the anchor \`${alias.source}\` is not defined`);
      if (path.includes(target)) throw problem(lines, alias, `\`${alias.source}\` contains itself`);
    },
    Collection(_key, collection, path) {
      // A mapping puts a pair between itself and its value.
      if (path.length > 2 * MAX_DEPTH) throw problem(lines, collection, `nested deeper than ${MAX_DEPTH}`);
      if (isMap(collection) && !collection.items.every(({ key }) => isScalar(key))) {
        throw problem(lines, collection, "a key is not a string");
      }
    },
  });
}

function problem(lines: LineCounter, node: Node, reason: string): Error {
  return new Error(`line ${lines.linePos(node.range?.[0] ?? 0).line}: ${reason}`);
}

function describeIssue(issue: GenericIssue, rephrase: DocumentType<unknown>["rephrase"]): string {
  const path = getDotPath(issue)?.replace(/\.(\d+)(?=\.|$)/g, "[$1]") ?? "the document";
  const words = rephrase?.(path, issue.input);
  if (words !== undefined) return `${path}: ${words}`;
  if (issue.input === undefined) return `${path}: is missing`;
  return `${path}: expected ${issue.message}, found ${show(issue.input)}`;
}

export function show(value: unknown): string {
  if (value === undefined || value === null || value === "") return "nothing";
  if (typeof value === "string" && /@|PRIVATE KEY/.test(value)) return "what may hold a secret";
  if (typeof value === "string") return `\`${value.length > 60 ? `${value.slice(0, 60)}…` : value}\``;
  return Array.isArray(value) ? "a list" : "a mapping";
}
