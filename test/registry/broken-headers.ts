import fc from "fast-check";

/** Headers as a hostile or a broken server may send them: real ones with pieces cut out, doubled and swapped. */
export function broken(...samples: string[]): fc.Arbitrary<string> {
  const pieces = fc.constantFrom(
    ...samples.flatMap((sample) => sample.split(/(?=[\s,;="<>/:-])/)),
    '"',
    "\\",
    "=",
    ",",
  );
  return fc.oneof(
    fc.array(pieces, { maxLength: 30 }).map((parts) => parts.join("")),
    fc.string({ unit: "binary-ascii", maxLength: 60 }),
    fc.constantFrom(...samples),
  );
}

/** What a header may carry at all. */
export function sendable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, " ").trim();
}
