import { describe, expect, test } from "bun:test";
import { type Offer, offerArchive } from "../../src/eksa/offer.ts";
import { parseRelease } from "../../src/eksa/release.ts";

const OFFER: Offer = {
  name: "artifacts.tar",
  description: "what the release needs: all of it",
  os: "linux",
  arch: ["amd64", "arm64"],
  uri: "https://assets.example/v2/artifacts.tar",
  sha256: "0".repeat(64),
  sha512: "1e".repeat(64),
};
const HEAD = `apiVersion: anywhere.eks.amazonaws.com/v1alpha1
kind: Release
metadata:
  creationTimestamp: null   # never set
spec:
  latestVersion: v0.2.0
`;
const BLOCK = `airgapArtifacts:
      arch:
      - amd64
      - arm64
      description: "what the release needs: all of it"
      name: artifacts.tar
      os: linux
      sha256: "${OFFER.sha256}"
      sha512: ${OFFER.sha512}
      uri: https://assets.example/v2/artifacts.tar`;

function file(text: string) {
  return { source: "manifest.yaml", bytes: new TextEncoder().encode(text) };
}

function offered(text: string, index = 1): string {
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(offerArchive(file(text), index, OFFER));
}

/** Two releases, of which the second is `second`. */
function manifest(second: string): string {
  return `${HEAD}  releases:
  # The first one.
  - version: v0.1.0
    bundleManifestUrl: https://assets.example/1.yaml
    number: 1

${second}
  # The end.
status: {}
`;
}

const ENTRY = `  - bundleManifestUrl: 'https://assets.example/2.yaml'   # quoted
    date: 2026-01-02 00:00:00 +0000 UTC
    number: 2
    extraField: {a: [1, 2]}
    version: v0.2.0`;

test("the entry goes where Go would write it, and every other byte stays", () => {
  const expected = manifest(ENTRY.replace("- ", `- ${BLOCK}\n    `));
  expect(offered(manifest(ENTRY))).toBe(expected);
  const { releases } = parseRelease(file(expected));
  expect(releases.map(({ airgapArtifacts }) => airgapArtifacts?.uri)).toEqual([undefined, OFFER.uri]);
  expect(releases[1]?.airgapArtifacts).toMatchObject({ sha256: OFFER.sha256, sha512: OFFER.sha512 });
});

test("the same entry once more changes nothing, wherever it stands and however it is written", () => {
  const once = offered(manifest(ENTRY));
  expect(offered(once)).toBe(once);
  const elsewhere = manifest(`${ENTRY}\n    airgapArtifacts: ${JSON.stringify(OFFER)} # by hand`);
  expect(offered(elsewhere)).toBe(elsewhere);
});

describe("an earlier entry is replaced", () => {
  const before = "  - version: v0.2.0\n    number: 2\n    ";
  const after = "\n\n    # Of the next one.\n    bundleManifestUrl: https://assets.example/2.yaml";
  test.each([
    [
      "of many lines",
      "airgapArtifacts:\n      uri: https://old.example/a\n      # old\n      sha256: 'ab' # older",
    ],
    ["in one line", "airgapArtifacts: {uri: https://old.example/a}"],
    ["that is empty", "airgapArtifacts: {}"],
    ["that is nothing", "airgapArtifacts:"],
    ["whose name is quoted", '"airgapArtifacts": {uri: x}'],
  ])("%s", (_, old) => {
    expect(offered(manifest(before + old + after))).toBe(manifest(before + BLOCK + after));
  });

  test("and a comment behind it stays", () => {
    const [first, ...rest] = BLOCK.split("\n");
    const text = offered(manifest(`${before}airgapArtifacts: {} # none yet${after}`));
    expect(text).toBe(manifest(`${before}${[first, ...rest].join("\n")} # none yet${after}`));
  });
});

describe("a manifest of another form keeps it", () => {
  test("in one line", () => {
    const text = manifest('  - {version: v0.2.0, number: 2, "bundleManifestUrl": "https://a.example/2"}');
    const written = offered(text);
    expect(written).toStartWith(manifest("  - {").slice(0, -"\n  # The end.\nstatus: {}\n".length));
    expect(written).toEndWith(
      'version: v0.2.0, number: 2, "bundleManifestUrl": "https://a.example/2"}\n  # The end.\nstatus: {}\n',
    );
    expect(parseRelease(file(written)).releases[1]?.airgapArtifacts?.uri).toBe(OFFER.uri);
    expect(offered(written)).toBe(written);
  });

  test("in JSON", () => {
    const releases = [{ version: "v0.1.0", number: 1, bundleManifestUrl: "https://a.example/1" }];
    const type = { apiVersion: "anywhere.eks.amazonaws.com/v1alpha1", kind: "Release" };
    const text = JSON.stringify({ ...type, spec: { latestVersion: "v0.1.0", releases } }, undefined, 2);
    const written = offered(text, 0);
    const { spec } = JSON.parse(written);
    expect(spec.releases).toEqual([{ ...releases[0], airgapArtifacts: OFFER }]);
    expect(written.replace(/"airgapArtifacts": \{.*?\}, /, "")).toBe(text);
  });

  test("with the line ends of Windows and a byte order mark", () => {
    const windows = (text: string) => `\uFEFF${text.replaceAll("\n", "\r\n")}`;
    const expected = manifest(ENTRY.replace("- ", `- ${BLOCK}\n    `));
    expect(offered(windows(manifest(ENTRY)))).toBe(windows(expected));
  });

  test("with a dash on a line of its own, and lists indented", () => {
    const entry = "    -\n        version: v0.2.0\n        number: 2\n        bundleManifestUrl: x";
    const text = manifest(entry).replace(
      / {2}- version: v0\.1\.0\n {4}bundle(.*)\n {4}/,
      "    - version: v0.1.0\n      bundle$1\n      ",
    );
    const written = offered(text);
    expect(written).toContain(`    -\n        airgapArtifacts:\n          arch:\n          - amd64\n`);
    expect(written).toContain("\n        version: v0.2.0\n");
  });
});

test.each([
  ["an alias", manifest("  - *first").replace("- version: v0.1.0", "- &first\n    version: v0.1.0")],
  [
    "a list that is given twice",
    `${manifest(ENTRY)}`.replace(
      "status: {}",
      "spec:\n  latestVersion: v1\n  releases:\n  - {version: v1, number: 1, bundleManifestUrl: a}\n  - {version: v2, number: 2, bundleManifestUrl: b}",
    ),
  ],
])("what cannot be changed in place is refused: %s", (_, text) => {
  expect(() => offered(text)).toThrow("cannot edit manifest.yaml");
});
