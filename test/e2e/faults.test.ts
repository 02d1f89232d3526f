import { afterAll, afterEach, beforeAll, beforeEach, describe, test } from "bun:test";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { runExecutable } from "../support/executable.ts";
import { expectFailure, Stage } from "./stage.ts";

/**
 * The failures that people meet most, each with its three parts in full: what, why, what to do. That every other
 * one has them too is looked at by `expectFailure`, wherever a test lets a run fail.
 */
let stage: Stage;
beforeAll(async () => {
  stage = await Stage.set();
});
beforeEach(() => stage.begin());
afterEach(() => stage.end());
afterAll(() => stage.strike());

type Row = [
  name: string,
  files: Record<string, string>,
  words: () => string[],
  code: number,
  ...says: string[],
];

const CLUSTER = "apiVersion: anywhere.eks.amazonaws.com/v1alpha1\nkind: Cluster\n";
const BUNDLES = "apiVersion: anywhere.eks.amazonaws.com/v1alpha1\nkind: Bundles\n";
const exportOf = (...flags: string[]) => ["export", "artifacts", "-o", "out.tar", ...flags];
const importOf = (...flags: string[]) => ["import", "artifacts", "-i", stage.archive, ...flags];

const ROWS: Row[] = [
  [
    "an archive that is not there",
    {},
    () => ["import", "artifacts", "-i", "a.tar", "-r", "127.0.0.1:1"],
    1,
    "error: cannot open a.tar",
    "because: ENOENT",
    "hint: check the path: there is nothing of that name",
  ],
  [
    "a folder in the place of an archive",
    {},
    () => ["list", "images", "-i", ".docker"],
    1,
    "error: cannot open .docker",
    "because: it is not a file",
    "hint: name a file: that is a folder",
  ],
  [
    "a folder in the place of a Release to write into",
    {},
    () => [
      ...["release", "artifacts", "-i", stage.archive, "--uri", "https://a.example/a.tar"],
      ...["--eksa-version", "v0.26.1", "--release-manifest", ".docker"],
    ],
    1,
    "error: cannot read the Release manifest .docker",
    "hint: name a file: that is a folder",
  ],
  [
    "a key that is a folder",
    { "b.yaml": BUNDLES },
    () => exportOf("--bundles-override", "b.yaml", "--signature-key", ".docker"),
    1,
    "error: cannot read the public key in .docker",
    "hint: name a file: that is a folder",
  ],
  [
    "the Bundles of `import images` that is not there",
    {},
    () => ["import", "images", "-i", stage.archive, "-r", "127.0.0.1:1", "-b", "b.yaml"],
    1,
    "error: cannot read the Bundles b.yaml",
    "hint: check the path: there is nothing of that name",
  ],
  [
    "a file that is no archive",
    { "a.tar": "hello" },
    () => ["list", "images", "-i", "a.tar"],
    4,
    "error: cannot read a.tar: it is cut short, or no archive",
    "because: there is no end marker at byte 0, and the file has 5 bytes",
    "hint: copy the file again, and compare its size and checksum with the original's",
  ],
  ...[
    ["PK\x03\x04".repeat(200), "it is a zip file"],
    ["BZh91AY".repeat(200), "it is a bzip2 file"],
    ["no tar ".repeat(200), "it is something else"],
  ].map(
    ([text = "", why]): Row => [
      `a file that is no archive: ${why}`,
      { "a.tar": text },
      () => ["list", "images", "-i", "a.tar"],
      4,
      "error: cannot read a.tar: it is no archive",
      `because: there is no header of a tar at byte 0: ${why}`,
    ],
  ),
  [
    "an output in no folder",
    {},
    () => ["export", "artifacts", "-o", "none/out.tar"],
    1,
    "error: cannot write none/out.tar: there is no folder",
    "hint: create the folder",
  ],
  [
    "an output that is there",
    { "out.tar": "mine" },
    () => exportOf("--bundles-override", stage.bundles, ...stage.online.mirrors),
    1,
    "error: cannot write out.tar: there is another file of that name",
    "hint: choose another name, or replace it with `--force`",
  ],
  [
    "a report in no folder",
    {},
    () => importOf("-r", "127.0.0.1:1", "--report", "none/report.json"),
    1,
    "error: cannot write the report none/report.json",
    "because: ENOENT",
    "hint: choose a place that may be written to",
  ],
  [
    "authorities that are none",
    { "ca.crt": "hello" },
    () => importOf("-r", "127.0.0.1:1", "--ca-file", "ca.crt"),
    1,
    "error: cannot read the certificate authorities in ca.crt: it holds no certificate in PEM form",
    "hint: give one that has the line `-----BEGIN CERTIFICATE-----`",
  ],
  [
    "a Bundles that is not there",
    {},
    () => exportOf("--bundles-override", "b.yaml"),
    1,
    "error: cannot read the Bundles b.yaml",
    "because: ENOENT",
    "hint: check the path: there is nothing of that name",
  ],
  [
    "a Bundles that is no YAML",
    { "b.yaml": "a: [" },
    () => exportOf("--bundles-override", "b.yaml"),
    1,
    "error: cannot read b.yaml as YAML",
    "because: line 1: ",
    "hint: correct the file; of one that somebody publishes, name a corrected copy, or get it anew",
  ],
  [
    "a Bundles of another kind",
    { "b.yaml": CLUSTER },
    () => exportOf("--bundles-override", "b.yaml"),
    1,
    "error: cannot read b.yaml as Bundles (anywhere.eks.amazonaws.com/v1alpha1): it is `Cluster`",
    "hint: name a file of that kind, with `kind: Bundles`",
  ],
  [
    "a Bundles that lacks a field",
    { "b.yaml": `${BUNDLES}spec: {number: 1}\n` },
    () => exportOf("--bundles-override", "b.yaml"),
    1,
    "error: cannot read b.yaml as Bundles",
    "because: spec.versionsBundles: is missing",
    "hint: correct the file",
  ],
  [
    "a Bundles that names what is no image",
    {
      "b.yaml": `${BUNDLES}spec: {number: 1, versionsBundles: [{kubeVersion: "1.31", eksa: {cli: {uri: "reg.example/Team/App:v1", imageDigest: ""}}}]}\n`,
    },
    () => exportOf("--bundles-override", "b.yaml"),
    1,
    "error: cannot use versionsBundles[0].eksa.cli",
    "because: cannot read `reg.example/Team/App:v1` as an image reference",
    "hint: correct the file",
  ],
  [
    "a Release that is not there",
    {},
    () => exportOf("--release-manifest", "r.yaml"),
    1,
    "error: cannot read the Release manifest r.yaml",
    "because: ENOENT",
    "hint: check the path: there is nothing of that name",
  ],
  [
    "a cluster that is not there",
    {},
    () => importOf("-f", "c.yaml"),
    1,
    "error: cannot read the cluster in c.yaml",
    "because: ENOENT",
    "hint: check the path",
  ],
  [
    "a cluster without a mirror",
    { "c.yaml": `${CLUSTER}metadata: {name: c}\nspec: {}\n` },
    () => importOf("-f", "c.yaml"),
    1,
    "error: cannot take the registry from c.yaml: no `spec.registryMirrorConfiguration` in",
    "hint: add one with an `endpoint` at least",
  ],
  [
    "a port that is none",
    {
      "c.yaml": `${CLUSTER}metadata: {name: c}\nspec: {registryMirrorConfiguration: {endpoint: a.example, port: "70000"}}\n`,
    },
    () => importOf("-f", "c.yaml"),
    1,
    "error: cannot read document 1 of c.yaml as Cluster",
    "because: spec.registryMirrorConfiguration.port: registry mirror port 70000 is invalid",
    "hint: correct the file",
  ],
  [
    "a login file that is none",
    { ".docker/config.json": "{" },
    () => importOf("-r", "127.0.0.1:1"),
    1,
    "error: cannot read the credentials in",
    "it is not a docker or podman login file",
    "hint: log in again with `docker login` or `podman login`, or remove the file",
  ],
];

test.each(ROWS)("%s", async (_, files, words, code, ...says) => {
  await mkdir(join(stage.work, ".docker"));
  for (const [name, text] of Object.entries(files)) await writeFile(join(stage.work, name), text);
  const result = await runExecutable(words(), { cwd: stage.work, env: { HOME: stage.work } });
  expectFailure(result, code, ...says);
});

describe("an archive that", () => {
  test.each<[string, (bytes: Uint8Array) => Uint8Array, string[], string, string]>([
    [
      "is cut",
      (bytes) => bytes.subarray(0, 5000),
      ["-r", "127.0.0.1:1"],
      "it is cut short",
      "hint: copy the file again",
    ],
    [
      "is packed",
      (bytes) => gzipSync(bytes),
      ["-i", "other.tar", "-r", "127.0.0.1:1"],
      "cannot read several archives at once when one is compressed",
      "hint: save each as a plain tar",
    ],
  ])("%s", async (_, change, flags, why, hint) => {
    const bytes = new Uint8Array(await Bun.file(stage.archive).arrayBuffer());
    const path = join(stage.work, "a.tar");
    await Bun.write(path, change(bytes));
    const result = await runExecutable(["import", "artifacts", "-i", path, ...flags], { cwd: stage.work });
    expectFailure(result, result.status === 2 ? 2 : 4, why, hint);
  });

  test("has a manifest broken, as a file and as it comes", async () => {
    const bytes = Buffer.from(await Bun.file(stage.archive).bytes());
    const manifest = stage.release.artifacts.values().next().value?.manifests.at(-1)?.bytes ?? bytes;
    bytes.write("?", bytes.indexOf(manifest) + manifest.length / 2);
    const path = join(stage.work, "a.tar");
    await Bun.write(path, bytes);
    const line = ["import", "artifacts", "-r", "127.0.0.1:1", "-i"];
    const fact = "cannot verify sha256:";
    expectFailure(await runExecutable([...line, path]), 4, fact, "hint: copy the archive again");
    const piped = await runExecutable([...line, "-"], { stdin: bytes });
    expectFailure(piped, 4, "error: cannot read the archive on stdin", fact, "hint: copy the file again");
    const read = await runExecutable(["list", "images", "-i", path]);
    expectFailure(read, 4, fact, "hint: `eksa-airgap verify artifacts");
  });
});
