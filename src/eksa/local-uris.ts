import { type Document, isAlias, isMap, isScalar, isSeq, type Scalar } from "yaml";
import { isRecord } from "../oci/manifest.ts";
import { bundleArtifacts } from "./artifacts.ts";
import { type Bundles, parseBundles } from "./bundles.ts";
import { classify, mentionsOf } from "./classify.ts";
import { parseYamlNodes, type YamlFile } from "./documents.ts";
import { displayUri } from "./uri.ts";

export interface LocalBundles {
  bytes: Uint8Array;
  /** URIs of YAML files that stand as they were, without userinfo and query: there is no file for them. */
  kept: string[];
}

/** The one component that a Bundles' signature covers; it is deprecated, and nobody reads its files. */
const SIGNED = "aws";

/** One URI of a YAML file in a Bundles. */
interface ManifestUri {
  /** From the document's top: `spec`, `versionsBundles`, `0`, … */
  keys: readonly string[];
  uri: string;
  title: string | undefined;
}

/**
 * A Bundles that names its YAML files by where they are on disk: `pathOf` a title, undefined for one that is
 * not there. Nothing but these URIs is changed, not a byte, and none that the Bundles' signature covers.
 */
export function localizeBundles(file: YamlFile, pathOf: (title: string) => string | undefined): LocalBundles {
  const { text, document } = parseYamlNodes(file);
  const edits = new Map<Scalar, string>();
  const kept = new Set<string>();
  for (const { keys, uri, title } of manifestUris(parseBundles(file))) {
    const path = title === undefined ? undefined : pathOf(title);
    const scalar = scalarAt(document, keys);
    if (path === undefined || scalar === undefined) kept.add(displayUri(uri));
    // Where an anchor stands for several places the files there are equal: they come from one URI.
    else if (!edits.has(scalar)) edits.set(scalar, path);
  }
  return { bytes: new TextEncoder().encode(edited(text, edits)), kept: [...kept] };
}

function* manifestUris(bundles: Bundles): Generator<ManifestUri> {
  const titles = new Map<string, string>();
  for (const { uri, title, where } of bundleArtifacts(bundles).manifests) {
    for (const key of where.map((place) => `${indexIn(place)} ${uri}`)) {
      if (!titles.has(key)) titles.set(key, title);
    }
  }
  for (const [index, versionsBundle] of bundles.versionsBundles.entries()) {
    for (const [component, value] of Object.entries(versionsBundle)) {
      if ((!isRecord(value) && !Array.isArray(value)) || component === SIGNED) continue;
      for (const mention of mentionsOf(component, value)) {
        const kind = classify(mention);
        if (kind !== "manifest" && kind !== "eksdRelease") continue;
        const keys = ["spec", "versionsBundles", String(index), ...mention.keys];
        yield { keys, uri: mention.uri, title: titles.get(`${index} ${mention.uri}`) };
      }
    }
  }
}

/** `versionsBundles[2].eksa.components` → 2 */
function indexIn(place: string): string | undefined {
  return /^versionsBundles\[([0-9]+)\]/.exec(place)?.[1];
}

/** The URI itself, whether it stands there as `uri` of a mapping or alone. Of a key's repetitions the last counts. */
function scalarAt(document: Document, keys: readonly string[]): Scalar | undefined {
  let node: unknown = document.contents;
  const target = () => (isAlias(node) ? node.resolve(document) : node);
  const child = (parent: unknown, key: string): unknown => {
    if (isSeq(parent)) return parent.items[Number(key)];
    if (!isMap(parent)) return;
    return parent.items.findLast((pair) => isScalar(pair.key) && pair.key.value === key)?.value;
  };
  for (const key of keys) node = child(target(), key);
  if (isMap(target())) node = child(target(), "uri");
  const found = target();
  return isScalar(found) ? found : undefined;
}

function edited(text: string, edits: ReadonlyMap<Scalar, string>): string {
  const pieces: string[] = [];
  let at = 0;
  const inOrder = [...edits].map(([{ range }, path]) => ({
    start: range?.[0] ?? 0,
    end: range?.[1] ?? 0,
    path,
  }));
  inOrder.sort((a, b) => a.start - b.start);
  for (const { start, end, path } of inOrder) {
    pieces.push(text.slice(at, start), scalarText(path, text.slice(start, end)));
    at = end;
  }
  return [...pieces, text.slice(at)].join("");
}

/** `instead` of that text: quoted where that was, or where the path needs it. */
function scalarText(path: string, instead: string): string {
  const isPlain = /^[A-Za-z0-9/][A-Za-z0-9._/+@-]*$/.test(path) && !/^["']/.test(instead);
  // A block scalar ends with its last line.
  return (isPlain ? path : JSON.stringify(path)) + (instead.endsWith("\n") ? "\n" : "");
}
