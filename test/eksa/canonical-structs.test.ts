import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { type Canonical, canonicalise } from "../../src/eksa/canonical-structs.ts";
import { parseYamlSource } from "../../src/eksa/documents.ts";
import { SIGNED_BUNDLES, SIGNED_EKSD_RELEASE } from "../../src/eksa/signed-structs.ts";
import { digestOf } from "../../src/oci/digest.ts";
import { CANONICAL_FIXTURES } from "../support/canonical-fixtures.ts";
import { faultOf } from "../support/faults.ts";
import { PUBLISHED } from "../support/published-bundles.ts";

const absent = !existsSync(PUBLISHED) && process.env.CI === undefined;

function canonical(yaml: string, type = SIGNED_BUNDLES): Canonical {
  return canonicalise(parseYamlSource({ source: "a.yaml", bytes: new TextEncoder().encode(yaml) }), type);
}

describe("the canonical form of", () => {
  test.each(CANONICAL_FIXTURES)("$name", ({ kind, yaml, canonical: expected }) => {
    const { bytes, unknown } = canonical(yaml, kind === "Bundles" ? SIGNED_BUNDLES : SIGNED_EKSD_RELEASE);
    expect(new TextDecoder().decode(bytes)).toBe(expected);
    expect(unknown).toEqual([]);
  });

  test("a document stays the same whatever is done to what is not signed", () => {
    const spec = 'number: 1, versionsBundles: [{kubeVersion: "1.31", eksD: {channel: 1-31}';
    const signed = canonical(`spec: {${spec}}]}\n`);
    const moved = canonical(
      `spec: {${spec.replace("channel", "components: a, manifestUrl: b, channel")}, vSphere: {manager: {uri: mine}}}]}\nstatus: []\nmetadata: {annotations: {a: b}, generation: x, uid: y}\n`,
    );
    expect(moved).toEqual(signed);
  });
});

/** sha256 of what upstream's own functions hashed: see `CANONICAL_FIXTURES`. */
const DIGESTS = [
  ["bundles-main-1.30-1.36.yaml", "7305b6ae7feaab377212c5424cf7d1e253527f7ad13662c4b1a8581ebe48d137"],
  ["bundles-release-0.17-1.23-1.27.yaml", "ba7c50793809b7c526fd5c929d1a0b6c57bf083ebb5836268cdc7578388d8ca6"],
  [
    "bundles-release-0.25-1.29-1.35-with-cloudstack.yaml",
    "7ef227588d600757a62166ababa0bb63a77de099d50817d821042bfa5c8b0868",
  ],
  ["bundles-release-0.26-1.29-1.36.yaml", "1c372ea51ab94a3d9f78084c1cc833c8275039feee71cd62ef3bf818abc411da"],
  ["bundles-unit-test-1.18-1.29.yaml", "31bd9ccff078a8775cd51a23a6a5cc9a7d0c0d67024854a4d50766bca16b4275"],
  [
    "eksd-release-kubernetes-1-20-eks-1-controllers.yaml",
    "5251c77297c3b1a01b5a8654c978db7fe953ffd04e0b37b89388904954dc94d3",
  ],
  [
    "eksd-release-kubernetes-1-21-eks-4.yaml",
    "441a3ed2ffaeb3e4b41fef41543c93170003a723a3a8caefa4c94a9c95750d22",
  ],
] as const;

describe.skipIf(absent)("published documents", () => {
  test.each(DIGESTS)("%s has the canonical form that upstream gives it", async (name, digest) => {
    const type = name.startsWith("bundles") ? SIGNED_BUNDLES : SIGNED_EKSD_RELEASE;
    const { bytes, unknown } = canonical(await Bun.file(join(PUBLISHED, name)).text(), type);
    expect(digestOf(bytes)).toBe(`sha256:${digest}`);
    // An image format of old: no struct has it any more, and nothing published since is without a struct.
    const retired = [0, 1, 2, 3].map((index) => `spec.versionsBundles[${index}].eksD.ova.ubuntu`);
    expect(unknown).toEqual(name.includes("unit-test") ? retired : []);
  });
});

describe("what the structs do not have", () => {
  test("is named, where it would be signed", () => {
    const { unknown, bytes } = canonical(
      "extra: 1\nmetadata: {clusterName: a, labels: {yes: a, b: c}}\nspec:\n  number: 1\n  more: {a: b}\n  versionsBundles:\n  - {newProvider: {manager: {uri: a}}, eksD: {kindnode: {}, kindNode: {sha: 1}, raw: {ubuntu: ~}}}\n  - {Docker: {}, <<: {}}\n",
    );
    expect(unknown.sort()).toEqual([
      "extra",
      "metadata.clusterName",
      // To Go it is `true`.
      "metadata.labels.yes",
      "spec.more",
      "spec.versionsBundles[0].eksD.kindNode.sha",
      "spec.versionsBundles[0].eksD.kindnode",
      "spec.versionsBundles[0].eksD.raw.ubuntu",
      "spec.versionsBundles[0].newProvider",
      "spec.versionsBundles[1].<<",
      "spec.versionsBundles[1].Docker",
    ]);
    expect(new TextDecoder().decode(bytes)).not.toMatch(/extra|newProvider|ubuntu|sha/);
  });

  test("is nobody's business where it is not signed", () => {
    const unsigned = "status: {extra: 1}\nmetadata: {annotations: {a: b}}\n";
    expect(canonical(`${unsigned}spec: {versionsBundles: [{docker: {extra: 1}}]}\n`).unknown).toEqual([]);
  });
});

describe("what Go could not read fails naming the field:", () => {
  test.each([
    ['{number: "1"}', "spec.number: expected a whole number, found `1`"],
    ["{number: 1.5}", "spec.number: expected a whole number, found `1.5`"],
    ["{number: 1e30}", "spec.number: expected a whole number, found `1e30`"],
    ["{number: []}", "spec.number: expected a whole number, found a list"],
    ["{cliMinVersion: {a: b}}", "spec.cliMinVersion: expected a string, found a mapping"],
    ["{versionsBundles: {a: b}}", "spec.versionsBundles: expected a list, found a mapping"],
    ["{versionsBundles: [a]}", "spec.versionsBundles[0]: expected a mapping, found `a`"],
    [
      "{versionsBundles: [{eksD: {kindNode: {arch: amd64}}}]}",
      "spec.versionsBundles[0].eksD.kindNode.arch: expected a list, found `amd64`",
    ],
    ["[]", "spec: expected a mapping, found a list"],
  ])("%s", async (spec, message) => {
    const fault = await faultOf(() => canonical(`spec: ${spec}\n`));
    expect(fault.message).toBe(message);
  });
});
