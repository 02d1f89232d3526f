import { isRecord } from "../oci/manifest.ts";
import { ABSENT } from "./documents.ts";
import { PLACEHOLDER } from "./images.ts";
import { namesYaml, schemeOf } from "./uri.ts";

/** One mention of something by URI, and the keys that lead to it within its versionsBundle. */
export interface Mention {
  /** The component's key first: never empty. */
  keys: readonly [string, ...string[]];
  uri: string;
  /** The fields beside `uri`; none where the URI is a plain string. */
  fields: Readonly<Record<string, unknown>>;
}

/** Why a mention is left out of an export. */
export const SKIP_REASONS = {
  archive: "archives are not carried",
  placeholder: "a placeholder",
  empty: "the URI is empty",
} as const;

export type MentionKind = "image" | "chart" | "manifest" | "eksdRelease" | keyof typeof SKIP_REASONS;

const CHART_KEYS = new Set(["helmChart", "tinkerbellChart", "tinkerbellCrds"]);
const MANIFEST_KEYS = new Set(["components", "metadata", "clusterTemplate", "manifest"]);
/** eksD names its two manifests by plain strings. */
const EKSD_STRINGS = new Set(["manifestUrl", "components"]);

/** Everything below a component that names a URI, whether or not this program knows the component. */
export function* mentionsOf(component: string, value: unknown): Generator<Mention> {
  yield* walk([component], value);
}

function* walk(keys: Mention["keys"], value: unknown): Generator<Mention> {
  if (typeof value === "string") {
    const [component, key] = keys;
    if (component === "eksD" && keys.length === 2 && EKSD_STRINGS.has(key ?? "")) {
      yield { keys, uri: value, fields: {} };
    }
    return;
  }
  if (isRecord(value) && typeof value.uri === "string") yield { keys, uri: value.uri, fields: value };
  if (typeof value !== "object" || value === null) return;
  for (const [key, child] of Object.entries(value)) yield* walk([...keys, key], child);
}

/** A place below a component that holds something else than it must: without a word, what it names would be dropped. */
export interface Misshapen {
  keys: readonly string[];
  /** What is wrong there. */
  fact: string;
}

/** What of a known component does not have the shape of one. */
export function* misshapenIn(component: string, value: unknown): Generator<Misshapen> {
  if (typeof value === "string" && !ABSENT.has(value)) {
    yield { keys: [component], fact: "it is text, where a component is expected" };
  }
  yield* misshapenBelow([component], value);
}

function* misshapenBelow(keys: Mention["keys"], value: unknown): Generator<Misshapen> {
  if (typeof value !== "object" || value === null) return;
  const isMention = "uri" in value;
  for (const [key, child] of Object.entries(value)) {
    const place = [...keys, key] as const;
    const isEksdString = keys.length === 1 && keys[0] === "eksD" && EKSD_STRINGS.has(key);
    const isText = typeof child === "string";
    if (!isText && (key === "uri" || (isEksdString && !isRecord(child)))) {
      if (child !== null) yield { keys: place, fact: `it is ${shapeOf(child)}, where text is expected` };
    } else if (isText && !isMention && !isEksdString && child.includes("/")) {
      yield { keys: place, fact: "it is text, where a mapping with `uri` is expected" };
    } else yield* misshapenBelow(place, child);
  }
}

function shapeOf(value: unknown): string {
  return Array.isArray(value) ? "a list" : typeof value === "object" ? "a mapping" : `a ${typeof value}`;
}

/** URIs that stand for nothing. */
export function absenceOf(uri: string): "placeholder" | "empty" | undefined {
  if (ABSENT.has(uri)) return "empty";
  return uri === PLACEHOLDER ? "placeholder" : undefined;
}

/** What stands at a mention, told by its position, then by its fields, then by its URI. */
export function classify({ keys, uri, fields }: Mention): MentionKind {
  const key = keys.at(-1) ?? "";
  const unusable = absenceOf(uri);
  if (unusable !== undefined) return unusable;
  if (CHART_KEYS.has(key) || (key === "stack" && keys.includes("tinkerbellStack"))) return "chart";
  if (typeof fields.imageDigest === "string" && fields.imageDigest !== "") return "image";
  // There alone: nowhere else is its signature looked for.
  if (keys.length === 2 && keys[0] === "eksD" && key === "manifestUrl") return "eksdRelease";
  if (MANIFEST_KEYS.has(key)) return "manifest";
  if (fields.sha256 !== undefined || fields.sha512 !== undefined) return "archive";
  if (namesYaml(uri)) return "manifest";
  const scheme = schemeOf(uri);
  return scheme === undefined || scheme === "oci" ? "image" : "archive";
}
