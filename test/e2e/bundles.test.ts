import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { chart, image, multiArchImage, type TestContent } from "../support/content.ts";
import { runExecutable } from "../support/executable.ts";
import { testWith } from "../support/needs.ts";
import {
  distroFor,
  type Named,
  namedBy,
  namedByDistro,
  PUBLISHED,
  withDigests,
} from "../support/published-bundles.ts";
import { startRegistry } from "../support/registry.ts";
import { partsOf, putOnline } from "../support/release.ts";
import { checksum, readFromTar } from "../support/tar.ts";

const HOME = "eks-anywhere/bundles";

const FILES = [
  "bundles-main-1.30-1.36.yaml",
  "bundles-release-0.17-1.23-1.27.yaml",
  "bundles-release-0.25-1.29-1.35-with-cloudstack.yaml",
  "bundles-release-0.26-1.29-1.36.yaml",
  "bundles-unit-test-1.18-1.29.yaml",
];

const testWithData = existsSync(PUBLISHED) || process.env.CI !== undefined ? testWith("tar") : test.skip;

testWithData.each(FILES)("exactly what %s names crosses", async (name) => {
  const published = await Bun.file(join(PUBLISHED, name)).text();
  const folder = await mkdtemp(join(tmpdir(), "eksa-airgap-bundles-"));
  const scenario = await prepare(published, folder);
  const online = await putOnline(scenario);
  const target = await startRegistry();
  try {
    const from = ["--bundles-override", "bundles.yaml", ...online.mirrors, "--verbosity", "1"];
    const exported = await runExecutable(["export", "artifacts", "--output", "a.tar", ...from], {
      cwd: folder,
    });
    expect(exported).toMatchObject({ status: 0 });
    expect(leftOut(exported.stderr)).toEqual(sorted(scenario.named.skipped));

    const to = ["--input", "a.tar", "--registry", `http://${target.host}`];
    expect(await runExecutable(["import", "artifacts", ...to], { cwd: folder })).toMatchObject({ status: 0 });
    const { [`${HOME}:bundles-${scenario.number}`]: bundles = "", ...rest } = await held(target.url);
    expect(rest).toEqual(scenario.expected);
    expect(await filesOf(target.url, bundles)).toEqual(sorted(scenario.files));

    const [own] = JSON.parse(await readFromTar(join(folder, "a.tar"), blobName(bundles))).layers;
    expect(own.annotations).toEqual({ "org.opencontainers.image.title": "bundle-release.yaml" });
    expect(own.digest).toBe(`sha256:${await checksum(join(folder, "bundles.yaml"))}`);
    expect(await readFromTar(join(folder, "a.tar"), blobName(own.digest))).toBe(scenario.yaml);
  } finally {
    await Promise.all([online.stop(), target.stop()]);
    await rm(folder, { recursive: true, force: true });
  }
});

interface Scenario {
  yaml: string;
  number: number;
  named: Named;
  artifacts: Map<string, TestContent>;
  documents: Map<string, string>;
  /** `REPOSITORY:TAG` → digest that has to be in the target. */
  expected: Record<string, string>;
  /** Title → text in the Bundles artifact. */
  files: Map<string, string>;
}

/** Puts the Bundles into `folder`, with the files that it names by path; invents all the rest. */
async function prepare(published: string, folder: string): Promise<Scenario> {
  const named = namedBy(published);
  const documents = new Map<string, string>();
  for (const uri of named.manifests.values()) {
    documents.set(uri, named.distros.has(uri) ? distroFor(uri) : `# ${uri}\nkind: List\n`);
  }
  const artifacts = await inventContent(named, documents);
  const yaml = withDigests(published, (uri) => artifacts.get(uri)?.root.digest ?? "");
  expect(yaml).not.toBe(published);
  await writeFile(join(folder, "bundles.yaml"), yaml);
  const files = new Map([["bundle-release.yaml", yaml]]);
  for (const [title, uri] of named.manifests) files.set(title, documents.get(uri) ?? "");
  for (const [uri, text] of documents) {
    if (uri.includes("://")) continue;
    await mkdir(join(folder, dirname(uri)), { recursive: true });
    await writeFile(join(folder, uri), text);
    documents.delete(uri);
  }
  const expected = [...artifacts].map(([reference, { root }]) => {
    const { repository, tag } = partsOf(reference);
    return [`${repository}:${tag}`, root.digest];
  });
  const number = Number(/^ {2}number: (\d+)$/m.exec(published)?.[1]);
  return { yaml, number, named, artifacts, documents, expected: Object.fromEntries(expected), files };
}

/** A few contents for many names, so that a mix-up of names shows all the same. */
async function inventContent(
  named: Named,
  documents: Map<string, string>,
): Promise<Map<string, TestContent>> {
  const images = [
    await multiArchImage({ seed: "oci" }),
    await multiArchImage({ seed: "docker", dialect: "docker" }),
    await image({ seed: "bare" }),
  ];
  const charts = [await chart("first", "0.1.0"), await chart("second", "0.1.0")];
  const artifacts = new Map<string, TestContent>();
  const add = (reference: string, pool: TestContent[]) => {
    const content = pool[Number(Bun.hash.crc32(reference)) % pool.length];
    if (content !== undefined) artifacts.set(reference, content);
  };
  for (const [reference, kind] of named.images) add(reference, kind === "chart" ? charts : images);
  for (const url of named.distros) {
    const distro = namedByDistro(documents.get(url) ?? "");
    for (const reference of distro.images) add(reference, images);
    for (const uri of distro.archives) named.skipped.set(uri, "archives are not carried");
  }
  return artifacts;
}

/** URI → reason, as the program says it. */
function leftOut(stderr: string): [string, string][] {
  const lines = stderr.matchAll(/left out (\S+): (.+)$/gm);
  const entries = [...lines].map(([, uri = "", reason = ""]): [string, string] => [uri, reason]);
  // The summary has a number in place of a URI.
  return sorted(new Map(entries.filter(([uri]) => !/^\d+$/.test(uri))));
}

/** `REPOSITORY:TAG` → digest of everything in a registry. */
async function held(url: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  const { repositories } = await json(`${url}/v2/_catalog?n=10000`);
  for (const repository of repositories ?? []) {
    const { tags } = await json(`${url}/v2/${repository}/tags/list?n=10000`);
    for (const tag of tags ?? []) {
      const manifest = await fetch(`${url}/v2/${repository}/manifests/${tag}`);
      found[`${repository}:${tag}`] = `sha256:${sha256(await manifest.bytes())}`;
    }
  }
  return found;
}

/** Title → text of every file in the Bundles artifact. */
async function filesOf(url: string, digest: string): Promise<[string, string][]> {
  const { layers } = await json(`${url}/v2/${HOME}/manifests/${digest}`);
  const files = new Map<string, string>();
  for (const layer of layers ?? []) {
    const blob = await fetch(`${url}/v2/${HOME}/blobs/${layer.digest}`);
    files.set(layer.annotations["org.opencontainers.image.title"] ?? "", await blob.text());
  }
  expect(files.size).toBe(layers?.length ?? 0);
  return sorted(files);
}

interface Answer {
  repositories?: string[];
  tags?: string[];
  layers?: { digest: string; annotations: Record<string, string> }[];
}

async function json(url: string): Promise<Answer> {
  return JSON.parse(await (await fetch(url)).text());
}

function sha256(bytes: Uint8Array): string {
  return new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
}

function blobName(digest: string): string {
  return `blobs/${digest.replace(":", "/")}`;
}

function sorted(entries: Map<string, string>): [string, string][] {
  return [...entries].sort(([a], [b]) => (a < b ? -1 : 1));
}
