import { isMap, isSeq, type Pair, parseDocument, stringify, type YAMLMap } from "yaml";
import { Fault } from "../oci/fault.ts";
import { isRecord } from "../oci/manifest.ts";
import { parseYamlValues, type YamlFile } from "./documents.ts";
import type { Archive } from "./release.ts";

/** An archive of everything that a release needs, as a Release manifest offers it. */
export interface Offer extends Required<Archive> {
  description: string;
}

const FIELD = "airgapArtifacts";

/**
 * A Release manifest in which one of its releases, the `index`th, offers an archive: every other byte stays as it
 * is. One that was offered before is replaced; where it was the same one, the manifest stays what it was.
 */
export function offerArchive(file: YamlFile, index: number, offer: Offer): Uint8Array {
  const expected = parseYamlValues(file);
  const entry = entryOf(expected, index);
  if (entry === undefined) throw tooUnusual(file.source);
  if (Bun.deepEquals(entry[FIELD], offer)) return file.bytes;
  entry[FIELD] = offer;
  // A byte order mark is one of the bytes that stay.
  const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(file.bytes);
  const bytes = new TextEncoder().encode(edited(text, nodeOf(text, index, file.source), offer));
  // Anchors, repeated keys and the like: what was written is not what a reader gets.
  if (!Bun.deepEquals(parseYamlValues({ source: file.source, bytes }), expected))
    throw tooUnusual(file.source);
  return bytes;
}

function edited(text: string, entry: YAMLMap, offer: Offer): string {
  const pair = entry.items.find(({ key }) => textOf(text, key).replace(/^(["'])(.*)\1$/, "$2") === FIELD);
  const [first] = entry.items;
  const start = startOf(pair ?? first);
  if (start === undefined) return text;
  const lineStart = text.lastIndexOf("\n", start - 1) + 1;
  const indent = " ".repeat(start - lineStart - (text.startsWith("\uFEFF") && lineStart === 0 ? 1 : 0));
  const newline = text.includes("\r\n") ? "\r\n" : "\n";
  const written = entry.flow ? `"${FIELD}": ${inLine(offer)}` : inBlock(offer, newline + indent);
  if (pair !== undefined) return text.slice(0, start) + written + text.slice(endOf(text, pair));
  const separator = entry.flow ? ", " : newline + indent;
  return text.slice(0, start) + written + separator + text.slice(start);
}

function nodeOf(text: string, index: number, source: string): YAMLMap {
  const document = parseDocument(text, { uniqueKeys: false, logLevel: "error" });
  const releases = document.getIn(["spec", "releases"]);
  const entry = isSeq(releases) ? releases.items[index] : undefined;
  if (isMap(entry)) return entry;
  throw tooUnusual(source);
}

function startOf(pair: Pair | undefined): number | undefined {
  return rangeOf(pair?.key)?.[0];
}

/** Behind the value; blank lines and comments that come after it are not its own. */
function endOf(text: string, { key, value }: Pair): number {
  let end = rangeOf(value)?.[1] ?? rangeOf(key)?.[1] ?? text.length;
  while (/\s/.test(text[end - 1] ?? "")) end--;
  return end;
}

function rangeOf(node: unknown): readonly number[] | undefined {
  return isRecord(node) && Array.isArray(node.range) ? node.range : undefined;
}

function textOf(text: string, node: unknown): string {
  const [start, end] = rangeOf(node) ?? [];
  return start === undefined ? "" : text.slice(start, end);
}

/** As Go writes it: keys in order, lists not indented. */
function inBlock(offer: Offer, lineStart: string): string {
  // Go's YAML reader follows 1.1, where more words want quotes.
  const form = { version: "1.1", sortMapEntries: true, indentSeq: false, lineWidth: 0 } as const;
  return stringify({ [FIELD]: offer }, form)
    .trimEnd()
    .replaceAll("\n", lineStart);
}

/** JSON is YAML in flow style. */
function inLine(offer: Offer): string {
  const sorted = Object.entries(offer).sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify(Object.fromEntries(sorted));
}

function entryOf(document: unknown, index: number): Record<string, unknown> | undefined {
  const spec = isRecord(document) && isRecord(document.spec) ? document.spec : {};
  const entry: unknown = Array.isArray(spec.releases) ? spec.releases[index] : undefined;
  return isRecord(entry) ? entry : undefined;
}

function tooUnusual(source: string): Fault {
  return new Fault(`cannot edit ${source}: its YAML is of a form that cannot be changed in place`, {
    hint: "write the releases out, without anchors and repeated keys",
  });
}
