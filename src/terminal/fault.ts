import { causes, type FaultKind, faultKind } from "../oci/fault.ts";
import { sanitize } from "./sanitize.ts";
import { type Painting, paint } from "./style.ts";
import { systemHint } from "./system-hints.ts";

/** Foreign text longer than this says nothing more to a person. */
const LONGEST_TEXT = 2000;
const MOST_CAUSES = 16;
/** More is no reading for a person, and buries what was said before: kinds of failures, and failures of a kind. */
const MOST_KINDS = 20;
const MOST_OF_A_KIND = 20;

/** An error as plain, safe text. */
export interface FaultText {
  message: string;
  /** The facts behind it, outermost first, each once. */
  because: string[];
  /** What to do about it, each once. */
  hints: string[];
  kind: FaultKind;
}

/** One of many failures: what it befell, and why. */
export interface Failure {
  /** An artifact's name. */
  what: string;
  error: unknown;
}

export function describeFault(error: unknown): FaultText {
  const chain = linksOf(error);
  const [message = "unknown error", ...facts] = chain.map(textOf);
  const because: string[] = [];
  for (const fact of facts) {
    if (![message, ...because].some((said) => said.includes(fact))) because.push(fact);
  }
  const said = chain.map(hintOf).filter((hint) => hint !== undefined);
  const hints = said.length > 0 ? said : chain.flatMap((link) => systemHint(link) ?? []);
  return { message, because, hints: [...new Set(hints)], kind: faultKind(error) };
}

/** `error: …`, then a `because:` for each cause and a `hint:` for each way out; no final line feed. */
export function formatFault(error: unknown, painting: Painting): string {
  return formatText(describeFault(error), [], painting);
}

/** Those of many failures that are shown: the first ones of the first kinds. */
export function shownFailures(failures: readonly Failure[]): Failure[] {
  return shownKinds(failures).flatMap((kind) => kind.slice(0, MOST_OF_A_KIND));
}

/** The same for those of many failures that are shown; such as differ only in what they befell share one header. */
export function formatFailures(failures: readonly Failure[], painting: Painting): string {
  return shownKinds(failures)
    .map((kind) => formatKind(kind, painting))
    .join("\n");
}

function shownKinds(failures: readonly Failure[]): Failure[][] {
  const kinds = Map.groupBy(failures, ({ what, error }) => likeness(what, describeFault(error)));
  return [...kinds.values()].slice(0, MOST_KINDS);
}

function formatKind(kind: readonly Failure[], painting: Painting): string {
  const names = [...new Set(kind.map(({ what }) => sanitize(what)))];
  const [first] = kind;
  const text = describeFault(first?.error);
  const [name = ""] = names;
  const named = name !== "" && text.message.includes(name);
  if (named && names.length === 1) return formatText(text, [], painting);
  const message = named ? text.message.replace(name, `these ${names.length}`) : text.message;
  const shown = names.slice(0, MOST_OF_A_KIND);
  const left = names.length - shown.length;
  if (left > 0) shown.push(`and ${left} more`);
  return formatText({ ...text, message }, shown, painting);
}

function formatText({ message, because, hints }: FaultText, names: string[], painting: Painting): string {
  const lines = [
    `${paint("error:", "red", painting)} ${message}`,
    ...names.map((name) => `  ${name}`),
    ...because.map((fact) => `  ${paint("because:", "dim", painting)} ${fact}`),
    ...hints.map((hint) => `  ${paint("hint:", "cyan", painting)} ${hint}`),
  ];
  // Foreign text has line feeds too: indented, it cannot pass for a line of ours.
  return lines.map((line) => line.replaceAll("\n", "\n    ")).join("\n");
}

/** What failures have in common once the names, the paths and the digests in them are left out. */
function likeness(what: string, { message, because, hints }: FaultText): string {
  const name = sanitize(what);
  const common = (text: string) =>
    (name === "" ? text : text.replaceAll(name, "*"))
      .replaceAll(/\b([a-z]+:\/\/[^\s/]+)\/[^\s)]*/gi, "$1/*")
      .replaceAll(/\bsha(?:256|512):[0-9a-f]+/g, "*");
  return JSON.stringify([common(message), because.map(common), hints.map(common)]);
}

/** The chain of causes, and below an AggregateError the errors it holds. */
function linksOf(error: unknown): unknown[] {
  const links = causes(error).flatMap((link) =>
    link instanceof AggregateError ? [link, ...link.errors.slice(0, MOST_CAUSES).flatMap(causes)] : [link],
  );
  return links.slice(0, MOST_CAUSES);
}

function textOf(link: unknown): string {
  // Cut before it is searched for secrets, and again without what was invisible in it.
  const text = sanitize(rawTextOf(link).slice(0, 4 * LONGEST_TEXT)).trim();
  return text.length > LONGEST_TEXT ? `${text.slice(0, LONGEST_TEXT)}…` : text;
}

function rawTextOf(link: unknown): string {
  if (!(link instanceof Error)) return typeof link === "string" && link !== "" ? link : "unknown error";
  const message = link.message === "" ? link.name : link.message;
  // The system's own code tells what to search for; a NetworkError's is for branching, its words say the same.
  const isOurs = link.name === "NetworkError";
  const code = !isOurs && "code" in link && typeof link.code === "string" ? link.code : "";
  return message.includes(code) ? message : `${message} (${code})`;
}

function hintOf(link: unknown): string | undefined {
  if (!(link instanceof Error && "hint" in link)) return;
  return typeof link.hint === "string" && link.hint !== "" ? sanitize(link.hint).trim() : undefined;
}
