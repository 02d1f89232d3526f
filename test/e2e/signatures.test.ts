import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { MEDIA_TYPE } from "../../src/oci/descriptor.ts";
import { type Digest, hexOf } from "../../src/oci/digest.ts";
import { chart, image, multiArchImage, referrer, seed, type TestContent } from "../support/content.ts";
import { fastFolder, startDockerRegistry } from "../support/docker-registry.ts";
import { type RunResult, runExecutable } from "../support/executable.ts";
import { testWith } from "../support/needs.ts";
import { startRegistry } from "../support/registry.ts";
import { type OnlineRelease, putOnline, releaseOf } from "../support/release.ts";
import { checksum } from "../support/tar.ts";

const HOST = "public.ecr.aws";
const APP = "eks-anywhere/app";
const SIGNATURE = "application/vnd.example.signature.v1";
const SBOM = "application/vnd.example.sbom.v1";

let folder: string;
let bundles: string;
let online: OnlineRelease;
let app: TestContent;
/** One of the images in `app`. */
let child: Digest;
let cosign: TestContent;
/** About the index, about a child, and about the one before. */
let signature: TestContent;
let sbom: TestContent;
let signedSbom: TestContent;
let archive: string;

beforeAll(async () => {
  folder = await mkdtemp(join(fastFolder(), "eksa-airgap-signatures-"));
  bundles = join(folder, "bundle-release.yaml");
  archive = join(folder, "signed.tar");
  app = await multiArchImage({ seed: "app" });
  const [manifest] = app.manifests;
  if (manifest === undefined) throw new Error("the image has no manifest");
  child = manifest.digest;
  const { mediaType, bytes } = manifest;
  signature = referrer({ subject: app.root, artifactType: SIGNATURE, body: "app" });
  sbom = referrer({
    subject: { mediaType, digest: child, size: bytes.length },
    artifactType: SBOM,
    body: "contents",
    annotations: { "org.example.tool": "test" },
  });
  signedSbom = referrer({ subject: sbom.root, artifactType: SIGNATURE, body: "contents" });
  cosign = await image({ seed: "cosign" });
  const release = releaseOf(
    new Map([
      [`${HOST}/${APP}:v1`, app],
      [`${HOST}/eks-anywhere/unsigned:0.1.0`, await chart("unsigned", "0.1.0")],
    ]),
  );
  await writeFile(bundles, release.yaml);
  online = await putOnline(release);
  for (const content of [signature, sbom, signedSbom]) {
    await seed(online.registry.store, APP, undefined, content);
  }
  await seed(online.registry.store, APP, `sha256-${hexOf(app.root.digest)}.sig`, cosign);
  expect(await exportTo(archive, online.mirrors, "--include-signatures")).toMatchObject({ status: 0 });
});

afterAll(async () => {
  await online.stop();
  await rm(folder, { recursive: true, force: true });
});

function exportTo(output: string, mirrors: readonly string[], ...flags: string[]): Promise<RunResult> {
  return runExecutable([
    "export",
    "artifacts",
    "-o",
    output,
    "--bundles-override",
    bundles,
    ...mirrors,
    ...flags,
  ]);
}

function importTo(host: string, ...flags: string[]): Promise<RunResult> {
  return runExecutable(["import", "artifacts", "-i", archive, "-r", host, "-v", "4", ...flags]);
}

function puts({ stderr }: RunResult): string[] {
  return stderr.split("\n").filter((line) => line.startsWith("PUT "));
}

interface Listed {
  manifests: {
    digest: Digest;
    mediaType: string;
    size: number;
    artifactType: string;
    annotations?: object;
  }[];
}

/** A signature verifier's view: who refers to a manifest, with what is read where the content is. */
async function referrersAt(url: string, path: string): Promise<Listed["manifests"]> {
  const response = await fetch(`${url}/v2/${APP}/${path}`, { headers: { accept: MEDIA_TYPE.ociIndex } });
  expect([path, response.status]).toEqual([path, 200]);
  expect(response.headers.get("content-type")).toBe(MEDIA_TYPE.ociIndex);
  const { manifests }: Listed = JSON.parse(await response.text());
  for (const { digest, mediaType, size } of manifests) {
    const manifest = await fetch(`${url}/v2/${APP}/manifests/${digest}`, { headers: { accept: mediaType } });
    expect((await manifest.bytes()).length).toBe(size);
  }
  return manifests;
}

/** Everything can be found that could be found at the source; `pathOf` says where a list is. */
async function expectSigned(url: string, pathOf: (digest: Digest) => string): Promise<void> {
  const listed = (digest: Digest) => referrersAt(url, pathOf(digest));
  expect(await listed(app.root.digest)).toEqual([{ ...signature.root, artifactType: SIGNATURE }]);
  expect(await listed(child)).toEqual([
    { ...sbom.root, artifactType: SBOM, annotations: { "org.example.tool": "test" } },
  ]);
  expect(await listed(sbom.root.digest)).toEqual([{ ...signedSbom.root, artifactType: SIGNATURE }]);
  const tag = `sha256-${hexOf(app.root.digest)}.sig`;
  const named = await fetch(`${url}/v2/${APP}/manifests/${tag}`, {
    headers: { accept: MEDIA_TYPE.ociManifest },
  });
  expect(named.headers.get("docker-content-digest")).toBe(cosign.root.digest);
}

const byApi = (digest: Digest) => `referrers/${digest}`;
const byTag = (digest: Digest) => `manifests/sha256-${hexOf(digest)}`;

test("into a registry with the referrers API: it lists them, and no other tag appears", async () => {
  const target = await startRegistry();
  try {
    expect(await importTo(target.host)).toMatchObject({ status: 0 });
    await expectSigned(target.url, byApi);
    expect(await target.store.tags(APP)).toEqual([`sha256-${hexOf(app.root.digest)}.sig`, "v1"]);
    const again = await importTo(target.host);
    expect(again.status).toBe(0);
    expect(puts(again)).toEqual([]);
  } finally {
    await target.stop();
  }
});

testWith("docker-registry")(
  "into a registry without it: the lists are under tags, from which an export gives the same bytes",
  async () => {
    const target = await startDockerRegistry({ parent: fastFolder() });
    try {
      expect(await importTo(target.host)).toMatchObject({ status: 0 });
      await expectSigned(target.url, byTag);
      const list = await fetch(`${target.url}/v2/${APP}/tags/list`);
      const { tags }: { tags: string[] } = JSON.parse(await list.text());
      const lists = [app.root.digest, child, sbom.root.digest].map((digest) => `sha256-${hexOf(digest)}`);
      expect(tags.sort()).toEqual([...lists, `sha256-${hexOf(app.root.digest)}.sig`, "v1"].sort());
      const again = await importTo(target.host);
      expect(again.status).toBe(0);
      expect(puts(again)).toEqual([]);

      const copy = join(folder, "copy.tar");
      const mirror = ["--mirror", `${HOST}=${target.url}`];
      expect(await exportTo(copy, mirror, "--include-signatures")).toMatchObject({ status: 0 });
      expect(await checksum(copy)).toBe(await checksum(archive));
    } finally {
      await target.stop();
    }
  },
);

test("the same content gives the same bytes, whatever is in flight", async () => {
  const other = join(folder, "one-by-one.tar");
  await exportTo(other, online.mirrors, "--include-signatures", "--jobs", "1");
  expect(await checksum(other)).toBe(await checksum(archive));
});

test("a dry run names the signatures", async () => {
  const { stdout } = await exportTo("unused.tar", online.mirrors, "--include-signatures", "--dry-run");
  for (const { root } of [signature, sbom, signedSbom])
    expect(stdout).toContain(`${HOST}/${APP}@${root.digest}`);
  expect(stdout).toContain(`sha256-${hexOf(app.root.digest)}.sig`);
});

describe("without `--include-signatures`", () => {
  test("nothing of it is asked for or fetched", async () => {
    const before = online.registry.requests.length;
    const plain = join(folder, "plain.tar");
    expect(await exportTo(plain, online.mirrors)).toMatchObject({ status: 0 });
    const paths = online.registry.requests.slice(before).map(({ path }) => path);
    expect(paths.length).toBeGreaterThan(0);
    expect(paths.filter((path) => /\/referrers\/|sha256-/.test(path))).toEqual([]);
    const bytes = await Bun.file(plain).text();
    for (const { root } of [signature, sbom, signedSbom, cosign])
      expect(bytes).not.toContain(hexOf(root.digest));
  });
});

test("a signature that is listed and cannot be read fails by name, before the first blob", async () => {
  const lost = await startRegistry({
    intercept: (_, url) =>
      url.pathname.endsWith(`/manifests/${sbom.root.digest}`) ? new Response("", { status: 404 }) : undefined,
  });
  try {
    for (const content of [app, signature, sbom]) {
      await seed(lost.store, APP, content === app ? "v1" : undefined, content);
    }
    await seed(lost.store, "eks-anywhere/unsigned", "0.1.0", await chart("unsigned", "0.1.0"));
    const output = join(folder, "lost.tar");
    const result = await exportTo(output, ["--mirror", `${HOST}=${lost.url}`], "--include-signatures");
    expect(result.status).toBe(1);
    expect(result.stderr).toContain(`cannot read ${HOST}/${APP}@${sbom.root.digest}`);
    expect(result.stderr).toContain("cannot export: 1 images, charts and signatures cannot be found");
    expect(await Bun.file(output).exists()).toBe(false);
    const blobs = lost.requests.filter(({ path }) => path.includes("/blobs/"));
    const layers = new Set([...app.blobs.keys()].filter((_, index) => index % 2 === 1));
    expect(blobs.filter(({ path }) => [...layers].some((digest) => path.endsWith(digest)))).toEqual([]);
  } finally {
    await lost.stop();
  }
});
