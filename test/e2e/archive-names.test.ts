import { afterAll, beforeAll, expect } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Descriptor } from "../../src/oci/descriptor.ts";
import { chart, image, multiArchImage, type TestContent } from "../support/content.ts";
import { runExecutable } from "../support/executable.ts";
import { testWith } from "../support/needs.ts";
import { putOnline, releaseOf } from "../support/release.ts";
import { readFromTar } from "../support/tar.ts";

const WINDOWS = { os: "windows", architecture: "amd64" };
const ARM = { os: "linux", architecture: "arm64" };
const HOME = "public.ecr.aws/eks-anywhere";

let folder: string;
let archive: string;
/** In bytewise order of their names. */
let artifacts: Map<string, TestContent>;

beforeAll(async () => {
  artifacts = await inventArtifacts();
  // The order in the Bundles is not that of the archive.
  const release = releaseOf(new Map([...artifacts].reverse()));
  folder = await mkdtemp(join(tmpdir(), "eksa-airgap-names-"));
  archive = join(folder, "artifacts.tar");
  const bundles = join(folder, "bundles.yaml");
  await writeFile(bundles, release.yaml);
  const online = await putOnline(release);
  try {
    const args = ["--bundles-override", bundles, "--eksa-version", "v0.26.0+build.7", ...online.mirrors];
    const run = await runExecutable(["export", "artifacts", "--output", archive, ...args]);
    expect(run).toMatchObject({ status: 0 });
  } finally {
    await online.stop();
  }
});

afterAll(() => rm(folder, { recursive: true, force: true }));

async function inventArtifacts(): Promise<Map<string, TestContent>> {
  const attested = await multiArchImage({ seed: "attested", attested: true });
  const untagged = await image({ seed: "untagged" });
  return new Map([
    ["host.example.com:5000/project/arm:v1", await image({ seed: "arm", platform: ARM })],
    [`${HOME}/attested:v1`, attested],
    [`${HOME}/attested:v1-again`, attested],
    [`${HOME}/chart:0.1.0`, await chart("chart", "0.1.0")],
    [`${HOME}/docker:v1`, await multiArchImage({ seed: "docker", dialect: "docker" })],
    [`${HOME}/untagged@${untagged.root.digest}`, untagged],
    [`${HOME}/windows-and-arm:v1`, await multiArchImage({ seed: "both", platforms: [WINDOWS, ARM] })],
    [`${HOME}/windows:v1`, await image({ seed: "windows", platform: WINDOWS })],
    [`${HOME}/with__underscores:v1`, await image({ seed: "underscores" })],
  ]);
}

testWith("tar")("index.json names the Bundles, then every reference bytewise, and nothing else", async () => {
  const text = await readFromTar(archive, "index.json");
  const index: { manifests: Descriptor[] } = JSON.parse(text);
  const [root] = index.manifests;
  expect(text).toBe(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.index.v1+json",
      manifests: [
        // A tag has no plus sign.
        named(`${HOME}/bundles:bundles-1`, root),
        named(`${HOME}/bundles:v0.26.0_build.7`, root),
        ...[...artifacts].map(([name, content]) => named(name, content.root)),
      ],
    }),
  );
});

/** Two separators in a row are outside the grammar of `org.opencontainers.image.ref.name`. */
function named(name: string, root: Descriptor | undefined): object {
  const annotations = {
    "io.containerd.image.name": name,
    ...(name.includes("__") ? {} : { "org.opencontainers.image.ref.name": name }),
  };
  return { mediaType: root?.mediaType, digest: root?.digest, size: root?.size, annotations };
}

testWith("tar")("manifest.json names what docker can load: tagged Linux images, amd64 first", async () => {
  expect(await readFromTar(archive, "manifest.json")).toBe(
    JSON.stringify([
      loadable("host.example.com:5000/project/arm:v1", "arm64"),
      loadable(`${HOME}/attested:v1`, "amd64"),
      loadable(`${HOME}/attested:v1-again`, "amd64"),
      loadable(`${HOME}/docker:v1`, "amd64"),
      loadable(`${HOME}/windows-and-arm:v1`, "arm64"),
      loadable(`${HOME}/with__underscores:v1`, "amd64"),
    ]),
  );
});

/** The entry of the Linux image for `architecture`, told by its config. */
function loadable(name: string, architecture: string): object {
  const content = artifacts.get(name);
  for (const { bytes } of content?.manifests ?? []) {
    const { config, layers = [] } = parse(bytes);
    const platform = parse(content?.blobs.get(config?.digest ?? "sha256:"));
    if (platform.os !== "linux" || platform.architecture !== architecture) continue;
    const path = ({ digest }: Descriptor) => `blobs/${digest.replace(":", "/")}`;
    return { Config: config && path(config), RepoTags: [name], Layers: layers.map(path) };
  }
  throw new Error(`${name} has no image for ${architecture}`);
}

interface Document {
  config?: Descriptor;
  layers?: Descriptor[];
  os?: string;
  architecture?: string;
}

function parse(bytes: Uint8Array | undefined): Document {
  return bytes === undefined ? {} : JSON.parse(new TextDecoder().decode(bytes));
}
