import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";

/**
 * What a user sees of a failure has three parts: what cannot be done, why, and what to do about it. That a run
 * ends so is looked at wherever a test lets one fail (`expectFailure`); here, that every place that makes a
 * failure has thought of the third part.
 */
const SOURCE = resolve(import.meta.dir, "../src");

/** One of many artifacts fails: the run ends with what to do about all that are missing. */
const OF_AN_ARTIFACT = "`failWith` ends the run with a hint";
/** Part of the verdict of `verify artifacts`, which ends with a hint of its own. */
const IN_A_VERDICT = "`verify artifacts` reports it";
/** Wrapped where it is caught, by what knows what to do. */
const WRAPPED = "the one who catches it gives a hint";
/** A mistake of this program's own. */
const NEVER = "nothing from outside leads there";

/** Places that say what and why, and leave it to others what to do. */
const WITHOUT_HINT: Readonly<Record<string, readonly [reason: string, ...messages: string[]]>> = {
  "archive/combined.ts": [NEVER, "cannot find", "cannot find"],
  "archive/header.ts": [WRAPPED, "offset"],
  "archive/inspection.ts": [IN_A_VERDICT, "cannot find", "digest"],
  "archive/pipe-sink.ts": [NEVER, "cannot place"],
  "archive/pipe-source.ts": [NEVER, "cannot find", "cannot read on"],
  "archive/remote.ts": [WRAPPED, "cannot find", "cannot read"],
  "archive/sink.ts": [NEVER, "cannot place"],
  "archive/source.ts": [NEVER, "cannot find"],
  "commands/agreement.ts": [OF_AN_ARTIFACT, "cannot accept"],
  "commands/folder.ts": [WRAPPED, "cannot use"],
  "commands/held-packages.ts": [WRAPPED, "cannot read"],
  "commands/prepackaged.ts": [WRAPPED, "facts"],
  "commands/remote-file.ts": [WRAPPED, "cannot read on", "cannot read a part"],
  "eksa/layer.ts": [OF_AN_ARTIFACT, "cannot read", "cannot read"],
  "eksa/wrap.ts": [NEVER, "cannot wrap"],
  "oci/verified.ts": [OF_AN_ARTIFACT, "cannot verify"],
  "registry/audit.ts": [IN_A_VERDICT, "cannot find all"],
  "registry/client.ts": [NEVER, "cannot reach"],
  "registry/referrers.ts": [OF_AN_ARTIFACT, "cannot list", "cannot list"],
  "registry/sink.ts": [NEVER, "cannot tag", "cannot send"],
  "registry/source.ts": [NEVER, "cannot find"],
  "registry/temporary-file.ts": [OF_AN_ARTIFACT, "cannot read on"],
  "registry/upload-body.ts": [OF_AN_ARTIFACT, "cannot send", "cannot send"],
  "registry/upload-refusal.ts": [OF_AN_ARTIFACT, "said"],
  "registry/upload-window.ts": [OF_AN_ARTIFACT, "cannot read", "cannot read"],
  "registry/upload.ts": [OF_AN_ARTIFACT, "cannot upload", "cannot keep"],
  "transfer/prune.ts": [OF_AN_ARTIFACT, "cannot find"],
  "transfer/referrers.ts": [OF_AN_ARTIFACT, "cannot follow", "cannot trust"],
  "transfer/resolve.ts": [OF_AN_ARTIFACT, "cannot follow", "cannot trust", "cannot read"],
};

interface Site {
  file: string;
  /** `src/oci/manifest.ts:12` */
  place: string;
  /** What is between its parentheses. */
  text: string;
  /** What is before it. */
  before: string;
}

const FILES = readdirSync(SOURCE, { recursive: true, encoding: "utf8" })
  .filter((path) => path.endsWith(".ts"))
  .sort()
  .map((file) => ({ file, source: readFileSync(join(SOURCE, file), "utf8") }));

/** Where an object of one of these classes is made. */
function sitesOf(classes: readonly string[]): Site[] {
  const pattern = new RegExp(`\\bnew (?:${classes.join("|")})\\(`, "g");
  return FILES.flatMap(({ file, source }) =>
    [...source.matchAll(pattern)].map((match) => {
      const line = source.slice(0, match.index).split("\n").length;
      const before = source.slice(Math.max(0, match.index - 20), match.index);
      const text = argumentsAt(source, match.index + match[0].length);
      return { file, place: `src/${file}:${line}`, text, before };
    }),
  );
}

/** Up to the parenthesis that closes what was open at `start`. */
function argumentsAt(source: string, start: number): string {
  let depth = 1;
  let end = start;
  for (; depth > 0; end++) {
    if (source[end] === "(") depth += 1;
    if (source[end] === ")") depth -= 1;
  }
  return source
    .slice(start, end - 1)
    .trim()
    .replaceAll(/\s+/g, " ");
}

const KINDS = FILES.flatMap(({ source }) =>
  [...source.matchAll(/\bclass (\w+) extends (?:\w*Fault|CutShort)\b/g)].map(([, name = ""]) => name),
);
const FAULTS = sitesOf(["Fault", ...KINDS]);

/** A fact behind a failure, and not itself one: a cause of something that has a hint. */
function isFact({ text, before }: Site): boolean {
  return /cause: $/.test(before) || /^[`"](?!cannot)/.test(text);
}

/** Whether it hands on what failed below it, with the hint of that, or the one for the system's own errors. */
function wraps({ text }: Site): boolean {
  return /\bcause\b(?!: new)/.test(text);
}

describe("every failure that a user can reach", () => {
  const bare = FAULTS.filter((site) => !/\bhint\b/.test(site.text) && !isFact(site) && !wraps(site));

  test("says what to do, or is told by one that does", () => {
    expect(FAULTS.length).toBeGreaterThan(250);
    const unknown = bare.filter(({ file, text }) => {
      const [, ...messages] = WITHOUT_HINT[file] ?? [""];
      return !messages.some((message) => text.replace(/^[`"]/, "").startsWith(message));
    });
    expect(unknown.map(({ place, text }) => `${place} ${text}`)).toEqual([]);
  });

  test("and the exceptions are no more than there are", () => {
    const counts = Map.groupBy(bare, ({ file }) => file);
    for (const [file, [, ...messages]] of Object.entries(WITHOUT_HINT)) {
      expect({ file, count: counts.get(file)?.length }).toEqual({ file, count: messages.length });
    }
  });

  test("of the network says what to do", () => {
    const sites = sitesOf(["NetworkError"]);
    expect(sites.length).toBeGreaterThan(10);
    const silent = sites.filter(({ text }) => !/\bhint\b/.test(text));
    expect(silent.map(({ place, text }) => `${place} ${text}`)).toEqual([]);
  });
});
