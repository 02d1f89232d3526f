import { afterAll, beforeAll, expect } from "bun:test";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chart, multiArchImage, referrer, seed, type TestContent } from "../support/content.ts";
import { podmanIn, runTool, startContainerd, startDockerd, testAsRootWith } from "../support/daemons.ts";
import { runExecutable } from "../support/executable.ts";
import { testWith } from "../support/needs.ts";
import { putOnline, releaseOf } from "../support/release.ts";
import { checksum } from "../support/tar.ts";

const HOME = "public.ecr.aws/eks-anywhere";
const [OCI, DOCKER, CHART] = [`${HOME}/oci:v1`, `${HOME}/docker:v1`, `${HOME}/chart:0.1.0`];

let folder: string;
let archive: string;
let oci: TestContent;
let docker: TestContent;
let helm: TestContent;

beforeAll(async () => {
  oci = await multiArchImage({ seed: "oci", layerSizes: [1000, 5000] });
  docker = await multiArchImage({ seed: "docker", dialect: "docker", layerSizes: [1000, 5000] });
  helm = await chart("chart", "0.1.0");
  const release = releaseOf(
    new Map([
      [OCI, oci],
      [DOCKER, docker],
      [CHART, helm],
    ]),
  );
  folder = await mkdtemp(join(tmpdir(), "eksa-airgap-interop-"));
  archive = join(folder, "artifacts.tar");
  const bundles = join(folder, "bundles.yaml");
  await writeFile(bundles, release.yaml);
  const online = await putOnline(release);
  try {
    // Readers that know nothing of referrers must not stumble over one that has no name.
    const signature = referrer({
      subject: oci.root,
      artifactType: "application/vnd.example",
      body: "signed",
    });
    await seed(online.registry.store, "eks-anywhere/oci", undefined, signature);
    const flags = ["--bundles-override", bundles, "--include-signatures", ...online.mirrors];
    const args = ["--output", archive, ...flags];
    expect(await runExecutable(["export", "artifacts", ...args])).toMatchObject({ status: 0 });
  } finally {
    await online.stop();
  }
});

afterAll(() => rm(folder, { recursive: true, force: true }));

testWith("skopeo")("skopeo copies an OCI image with all its platforms, every digest kept", async () => {
  const to = join(folder, "oci");
  await runTool("skopeo", "--insecure-policy", "copy", "--all", `oci-archive:${archive}:${OCI}`, `dir:${to}`);
  const children = oci.manifests.filter(({ digest }) => digest !== oci.root.digest);
  const files = [
    ...children.map(({ digest }) => `${hex(digest)}.manifest.json`),
    ...[...oci.blobs.keys()].map(hex),
    "manifest.json",
    "version",
  ];
  expect((await readdir(to)).sort()).toEqual(files.sort());
  expect(await checksum(join(to, "manifest.json"))).toBe(hex(oci.root.digest));
  for (const name of files.filter((file) => file !== "version" && file !== "manifest.json")) {
    expect(`${await checksum(join(to, name))} ${name}`).toStartWith(name.slice(0, 64));
  }
});

testWith("skopeo")("skopeo reads a Docker image through manifest.json", async () => {
  const to = join(folder, "docker");
  await runTool("skopeo", "--insecure-policy", "copy", `docker-archive:${archive}:${DOCKER}`, `dir:${to}`);
  const { config, diffIds } = amd64(docker);
  expect(await checksum(join(to, hex(config)))).toBe(hex(config));
  // It unpacks the layers on the way.
  expect(await readdir(to)).toEqual(expect.arrayContaining(diffIds.map(hex)));
});

testWith("skopeo")("skopeo reads a chart", async () => {
  const to = join(folder, "chart");
  await runTool("skopeo", "--insecure-policy", "copy", `oci-archive:${archive}:${CHART}`, `dir:${to}`);
  expect(await checksum(join(to, "manifest.json"))).toBe(hex(helm.root.digest));
});

testAsRootWith("podman")("podman pulls an OCI image under its name and digest", async () => {
  const podman = await podmanIn(join(folder, "podman-pull"));
  await runTool(...podman, "pull", "--quiet", "--arch", "amd64", `oci-archive:${archive}:${OCI}`);
  const [image] = JSON.parse(await runTool(...podman, "image", "inspect", OCI));
  expect(image).toMatchObject({ Id: hex(amd64(oci).config), RepoTags: [OCI] });
  expect(image.RepoDigests).toContain(`${HOME}/oci@${oci.root.digest}`);
});

testAsRootWith("podman")("podman loads the images of both kinds, and nothing else", async () => {
  const podman = await podmanIn(join(folder, "podman-load"));
  await runTool(...podman, "load", "--quiet", "--input", archive);
  expect(await loadedImages(podman)).toEqual([
    { Id: hex(amd64(docker).config), RepoTags: [DOCKER], Layers: amd64(docker).diffIds },
    { Id: hex(amd64(oci).config), RepoTags: [OCI], Layers: amd64(oci).diffIds },
  ]);
});

testAsRootWith("dockerd", "docker")("docker loads the images of both kinds, and nothing else", async () => {
  const daemon = await startDockerd();
  try {
    await runTool(...daemon.client, "load", "--quiet", "--input", archive);
    expect(await loadedImages(daemon.client)).toEqual([
      { Id: amd64(docker).config, RepoTags: [DOCKER], Layers: amd64(docker).diffIds },
      { Id: amd64(oci).config, RepoTags: [OCI], Layers: amd64(oci).diffIds },
    ]);
  } finally {
    await daemon.stop();
  }
});

testAsRootWith("containerd", "ctr")("containerd imports every name with all its content", async () => {
  const { client: ctr, stop } = await startContainerd();
  try {
    await runTool(...ctr, "images", "import", "--all-platforms", "--no-unpack", archive);
    const listed = lines(await runTool(...ctr, "images", "list")).slice(1);
    const found = new Map(listed.map((line) => [line.split(/\s+/)[0], /sha256:\S+/.exec(line)?.[0]]));
    const [first, ...others] = [...found];
    expect(first?.[0]).toBe(`${HOME}/bundles:bundles-1`);
    expect(others).toEqual([
      [CHART, helm.root.digest],
      [DOCKER, docker.root.digest],
      [OCI, oci.root.digest],
    ]);
    const held = lines(await runTool(...ctr, "content", "list", "--quiet"));
    expect(held).toEqual(expect.arrayContaining([oci, docker, helm].flatMap(digestsOf)));
  } finally {
    await stop();
  }
});

interface LoadedImage {
  Id: string;
  RepoTags: string[];
  Layers: string[];
}

/** What docker and podman alike say of all images they hold, by name. */
async function loadedImages(client: readonly string[]): Promise<LoadedImage[]> {
  const ids = lines(await runTool(...client, "images", "--quiet", "--no-trunc"));
  const images: { Id: string; RepoTags: string[]; RootFS: { Layers: string[] } }[] = JSON.parse(
    await runTool(...client, "image", "inspect", ...ids),
  );
  return images
    .map(({ Id, RepoTags, RootFS: { Layers } }) => ({ Id, RepoTags, Layers }))
    .sort((a, b) => (a.RepoTags.join() < b.RepoTags.join() ? -1 : 1));
}

/** The config, and what it says of the layers, of the image for linux/amd64. */
function amd64({ blobs }: TestContent): { config: string; diffIds: string[] } {
  for (const [digest, bytes] of blobs) {
    const text = new TextDecoder().decode(bytes);
    if (text.startsWith("{") && text.includes('"amd64"')) {
      return { config: digest, diffIds: JSON.parse(text).rootfs.diff_ids };
    }
  }
  throw new Error("there is no image for amd64");
}

function digestsOf({ manifests, blobs }: TestContent): string[] {
  return [...manifests.map(({ digest }) => digest), ...blobs.keys()];
}

function hex(digest: string): string {
  return digest.replace("sha256:", "");
}

function lines(text: string): string[] {
  return text.split("\n").filter((line) => line !== "");
}
