import { Fault } from "../oci/fault.ts";
import { compareBytewise } from "../oci/reference.ts";
import { formatScalar, type GoScalar, resolveScalar } from "./canonical-scalars.ts";
import { type SourceMapping, type SourceTree, show } from "./documents.ts";

/** A Go type, as far as `encoding/json` sees it. */
export type GoType =
  | { kind: "string" | "int" | "bool" }
  | { kind: "list" | "map" | "pointer"; of: GoType }
  | GoStruct;

/** A struct by the names in its `json` tags. */
export interface GoStruct {
  kind: "struct";
  /** Written whatever they hold: an empty struct as `{}`. */
  always: Readonly<Record<string, GoType>>;
  /** `omitempty`. It has no effect on a struct: such a field belongs to `always`. */
  omitEmpty: Readonly<Record<string, GoType>>;
  /** Known, and deleted before signing: never looked into. */
  unsigned: ReadonlySet<string>;
}

export interface Canonical {
  /** What is signed. */
  bytes: Uint8Array;
  /** Paths of fields that the structs do not have: whoever signed may have had them. */
  unknown: string[];
}

type Json = null | string | number | boolean | Json[] | { [key: string]: Json };

export const STRING: GoType = { kind: "string" };
export const INT: GoType = { kind: "int" };
export const BOOL: GoType = { kind: "bool" };
export const list = (of: GoType): GoType => ({ kind: "list", of });
export const map = (of: GoType): GoType => ({ kind: "map", of });
export const pointer = (of: GoType): GoType => ({ kind: "pointer", of });

export function struct(fields: {
  always?: GoStruct["always"];
  omitEmpty?: GoStruct["omitEmpty"];
  unsigned?: readonly string[];
}): GoStruct {
  const { always = {}, omitEmpty = {}, unsigned = [] } = fields;
  return { kind: "struct", always, omitEmpty, unsigned: new Set(unsigned) };
}

/**
 * A document as Go would write it after reading it into `type`: compact JSON, keys sorted, what is unsigned
 * gone. Fails where Go could not read it. Source: `getBundleDigest` in eks-anywhere's pkg/signature/manifest.go
 */
export function canonicalise(tree: SourceTree | undefined, type: GoStruct): Canonical {
  const unknown: string[] = [];
  const json = JSON.stringify(encode(tree, type, { path: "", unknown }));
  // Go escapes for HTML, and two line separators for JavaScript.
  const escaped = json.replaceAll(
    /[<>&\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
  return { bytes: new TextEncoder().encode(escaped), unknown };
}

/** Where in a document, and what has been found on the way. */
interface Place {
  path: string;
  unknown: string[];
}

/** What is not there is the type's zero value; so is null, as `encoding/json` reads it. */
function encode(tree: SourceTree | undefined, type: GoType, place: Place): Json {
  switch (type.kind) {
    case "pointer":
      return isNull(tree) ? null : encode(tree, type.of, place);
    case "struct":
      return encodeStruct(mappingAt(tree, place) ?? new Map<string, SourceTree>(), type, place);
    case "map":
      return encodeMap(mappingAt(tree, place), type.of, place);
    case "list":
      if (isNull(tree)) return null;
      if (!Array.isArray(tree)) throw misread(tree, "a list", place);
      return tree.map((each, index) => encode(each, type.of, { ...place, path: `${place.path}[${index}]` }));
    default:
      return encodeScalar(tree, type.kind, place);
  }
}

function encodeStruct(mapping: SourceMapping, { always, omitEmpty, unsigned }: GoStruct, place: Place): Json {
  const json: [string, Json][] = [];
  for (const [key, type] of Object.entries(always)) {
    json.push([key, encode(mapping.get(key), type, below(place, key))]);
  }
  for (const [key, type] of Object.entries(omitEmpty)) {
    const value = encode(mapping.get(key), type, below(place, key));
    if (!isEmpty(value, type)) json.push([key, value]);
  }
  for (const key of mapping.keys()) {
    const isKnown = Object.hasOwn(always, key) || Object.hasOwn(omitEmpty, key) || unsigned.has(key);
    if (!isKnown) place.unknown.push(below(place, key).path);
  }
  return sorted(json);
}

function encodeMap(mapping: SourceMapping | undefined, of: GoType, place: Place): Json {
  if (mapping === undefined) return null;
  return sorted(
    [...mapping].map(([key, value]) => {
      const entry = below(place, key);
      // Go makes other keys of `1.30` and `yes`, if they are not in quotes.
      if (typeof resolveScalar({ text: key, isPlain: true }) !== "string") place.unknown.push(entry.path);
      return [key, encode(value, of, entry)];
    }),
  );
}

function encodeScalar(tree: SourceTree | undefined, kind: "string" | "int" | "bool", place: Place): Json {
  if (tree instanceof Map || Array.isArray(tree)) throw misread(tree, NOUNS[kind], place);
  const value = isNull(tree) ? null : resolveScalar(tree);
  if (kind === "string") return formatScalar(value);
  if (kind === "bool" && (value === null || typeof value === "boolean")) return value ?? false;
  const number = kind === "int" ? wholeNumber(value) : undefined;
  if (number === undefined) throw misread(tree, NOUNS[kind], place);
  return number;
}

const INT64 = 2n ** 63n;
const NOUNS = { string: "a string", int: "a whole number", bool: "`true` or `false`" };

/** An int64, rounded to a float64: on its way to the bytes that are signed Go does that, too. */
function wholeNumber(value: GoScalar): number | undefined {
  if (value === null) return 0;
  const isWhole = typeof value === "bigint" || (typeof value === "number" && Number.isInteger(value));
  return isWhole && value > -INT64 && value < INT64 ? Number(value) : undefined;
}

function isEmpty(value: Json, { kind }: GoType): boolean {
  if (kind === "pointer") return value === null;
  if (typeof value !== "object") return value === "" || value === 0 || value === false;
  return kind !== "struct" && (value === null || Object.keys(value).length === 0);
}

/** Undefined where there is none. */
function mappingAt(tree: SourceTree | undefined, place: Place): SourceMapping | undefined {
  if (isNull(tree)) return;
  if (tree instanceof Map) return tree;
  throw misread(tree, "a mapping", place);
}

function isNull(tree: SourceTree | undefined): tree is null | undefined {
  if (tree === undefined || tree === null) return true;
  return !(tree instanceof Map || Array.isArray(tree)) && resolveScalar(tree) === null;
}

function sorted(entries: [string, Json][]): Json {
  return Object.fromEntries(entries.sort(([a], [b]) => compareBytewise(a, b)));
}

function below(place: Place, key: string): Place {
  return { ...place, path: place.path === "" ? key : `${place.path}.${key}` };
}

function misread(tree: SourceTree | undefined, expected: string, { path }: Place): Fault {
  const found = tree instanceof Map ? "a mapping" : Array.isArray(tree) ? "a list" : show(tree?.text);
  return new Fault(`${path || "the document"}: expected ${expected}, found ${found}`);
}
