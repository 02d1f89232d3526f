import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { bundleArtifacts } from "../../src/eksa/artifacts.ts";
import { parseBundles } from "../../src/eksa/bundles.ts";
import { localizeBundles } from "../../src/eksa/local-uris.ts";
import { bundlesOfRealShape } from "../support/bundles.ts";
import { PUBLISHED } from "../support/published-bundles.ts";

const absent = !existsSync(PUBLISHED) && process.env.CI === undefined;
const HEAD = "apiVersion: anywhere.eks.amazonaws.com/v1alpha1\nkind: Bundles\nspec:\n  number: 1\n";
/** What the signature of a Bundles does not cover. Source: EKS Anywhere, pkg/constants/constants.go. */
const UNSIGNED = [
  ..."bootstrap bottlerocketBootstrapContainers bottlerocketHostContainers certManager cilium".split(" "),
  ..."cloudStack clusterAPI controlPlane docker eksa etcdadmBootstrap etcdadmController flux".split(" "),
  ..."haproxy kindnetd nutanix packageController snow tinkerbell upgrader vSphere".split(" "),
];

function localize(text: string, pathOf = (title: string): string | undefined => `/d/${title}`) {
  const { bytes, kept } = localizeBundles(
    { source: "b.yaml", bytes: new TextEncoder().encode(text) },
    pathOf,
  );
  return { text: new TextDecoder().decode(bytes), kept };
}

function signedPart(text: string): unknown {
  const document = parse(text, { uniqueKeys: false });
  for (const versionsBundle of document.spec.versionsBundles) {
    for (const component of UNSIGNED) delete versionsBundle[component];
    delete versionsBundle.eksD.components;
    delete versionsBundle.eksD.manifestUrl;
  }
  return document;
}

/** Nothing but URIs of YAML files is other than it was, and of those nothing else on the line. */
function expectOnlyUris(before: string, after: string): void {
  const [old, now] = [before.split("\n"), after.split("\n")];
  expect(now.length).toBe(old.length);
  const changed = old.flatMap((line, index) =>
    line === now[index] ? [] : [[line, now[index] ?? ""] as const],
  );
  for (const [line, other] of changed) {
    expect(other.replace(/(: )\/d\/\S+\.yaml$/, "$1URI")).toBe(line.replace(/(: )\S+\.yaml$/, "$1URI"));
  }
  const bytes = new TextEncoder().encode(before);
  const { manifests } = bundleArtifacts(parseBundles({ source: "b.yaml", bytes }));
  const places = manifests.flatMap(({ where }) => where).filter((place) => !/\]\.aws\./.test(place));
  expect(changed.length).toBe(places.length);
  expect(signedPart(after)).toEqual(signedPart(before));
}

test("each file is named by its path, and nothing that is signed changes", () => {
  const { yaml } = bundlesOfRealShape();
  const { text, kept } = localize(yaml);
  expect(kept).toEqual([]);
  expectOnlyUris(yaml, text);
  const { spec } = parse(text);
  expect(spec.versionsBundles[1].eksD.manifestUrl).toStartWith("/d/1.31/eks-distro/kubernetes-1-31-eks-");
  expect(spec.versionsBundles[1].eksa.components.uri).toBe(
    "/d/1.31/eks-anywhere-cluster-controller/eksa-components.yaml",
  );
});

describe.skipIf(absent)("of the published Bundles too", () => {
  const names = absent ? [] : readdirSync(PUBLISHED).filter((name) => name.startsWith("bundles-"));
  test.each(names)("%s", (name) => {
    const yaml = readFileSync(join(PUBLISHED, name), "utf8");
    const { text, kept } = localize(yaml);
    expect(kept).toEqual([]);
    expectOnlyUris(yaml, text);
  });
});

describe("however a URI is written", () => {
  test.each<[string, string, string]>([
    ["plain, with a comment", "{\n      uri: https://x/a.yaml } # b", "{\n      uri: /d/1.31/c/a.yaml } # b"],
    ["in single quotes", "{uri: 'https://x/a.yaml'}", '{uri: "/d/1.31/c/a.yaml"}'],
    ["as JSON", '{"uri":"https://x/a.yaml","n":"1"}', '{"uri":"/d/1.31/c/a.yaml","n":"1"}'],
    [
      "as a block",
      "\n      uri: >-\n        https://x/a.yaml\n      n: 1",
      "\n      uri: /d/1.31/c/a.yaml\n      n: 1",
    ],
    ["with an anchor and a tag", "{uri: &a !!str https://x/a.yaml}", "{uri: &a !!str /d/1.31/c/a.yaml}"],
    [
      "as an alias",
      "{a: {uri: &a https://x/a.yaml}, b: {uri: *a}}",
      "{a: {uri: &a /d/1.31/c/a.yaml}, b: {uri: *a}}",
    ],
    [
      "twice, where the last counts",
      "{uri: https://x/b.yaml, uri: https://x/a.yaml}",
      "{uri: https://x/b.yaml, uri: /d/1.31/c/a.yaml}",
    ],
  ])("%s", (_, before, after) => {
    const document = (value: string) => `${HEAD}  versionsBundles:\n  - kubeVersion: 1.31\n    c: ${value}\n`;
    expect(localize(document(before))).toEqual({ text: document(after), kept: [] });
  });

  test("a path that YAML would misread is quoted", () => {
    const text = `${HEAD}  versionsBundles: [{kubeVersion: 1.31, c: {uri: https://x/a.yaml}}]\n`;
    const path = '/d/it\'s, a: #"folder"/a.yaml';
    expect(parse(localize(text, () => path).text).spec.versionsBundles[0].c.uri).toBe(path);
  });

  test("what is no YAML file, and what there is no file for, stays", () => {
    const text = `${HEAD}  versionsBundles:
  - kubeVersion: 1.31
    a: {uri: public.ecr.aws/x:1, imageDigest: ""}
    b: {uri: https://x/b.tar.gz, sha256: ab}
    c: {uri: https://user:secret@x/c.yaml?key=secret}
    d: {uri: ""}
`;
    expect(localize(text, () => undefined)).toEqual({ text, kept: ["https://x/c.yaml"] });
  });
});
