import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdir, mkdtemp, readdir, rename, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { volumesOf } from "../../src/archive/volumes.ts";
import { digestOf } from "../../src/oci/digest.ts";
import { image, multiArchImage, seed, type TestContent } from "../support/content.ts";
import { podmanIn, runTool, startDockerd, testAsRootWith } from "../support/daemons.ts";
import { type RunResult, runExecutable } from "../support/executable.ts";
import { testWith } from "../support/needs.ts";
import { startRegistry, type TestRegistry } from "../support/registry.ts";
import { testWithGnuTar } from "../support/tar.ts";
import { expectFailure } from "./stage.ts";

const HOME = "public.ecr.aws/eks-anywhere";
const [APP, MULTI] = [`${HOME}/app:v1`, `${HOME}/multi:v1`];

let folder: string;
let app: TestContent;
let multi: TestContent;
/** Where the images come from. */
let origin: TestRegistry;
let origins: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eksa-airgap-foreign-"));
  app = await image({ seed: "app", layerSizes: [1000, 300_000] });
  multi = await multiArchImage({ seed: "multi" });
  origin = await startRegistry();
  origins = new URL(origin.url).host;
  await seed(origin.store, "eks-anywhere/app", "v1", app);
  await seed(origin.store, "eks-anywhere/multi", "v1", multi);
});

afterAll(async () => {
  await origin.stop();
  await rm(folder, { recursive: true, force: true });
});

let count = 0;
const newFile = () => join(folder, `${count++}.tar`);

function skopeo(from: string, to: string): Promise<string> {
  return runTool("skopeo", "--insecure-policy", "copy", "--all", "--src-tls-verify=false", from, to);
}

const fromOrigin = (name: string) => `docker://${origins}/eks-anywhere/${name}:v1`;

async function importInto(target: TestRegistry, input: string): Promise<RunResult> {
  return runExecutable(["import", "artifacts", "-i", input, "-r", target.url]);
}

/** Verifies an archive, imports it, and finds what each repository then holds under `v1`, byte for byte. */
async function expectImported(input: string, contents: Record<string, TestContent>): Promise<void> {
  const verified = await runExecutable(["verify", "artifacts", "-i", input]);
  expect(verified.status, verified.stdout + verified.stderr).toBe(0);
  const target = await startRegistry();
  try {
    const run = await importInto(target, input);
    expect(run.status, run.stderr).toBe(0);
    for (const [repository, { root, manifests, blobs }] of Object.entries(contents)) {
      const base = `${target.url}/v2/eks-anywhere/${repository}`;
      const bytesAt = async (path: string) => (await fetch(`${base}/${path}`)).bytes();
      expect(digestOf(await bytesAt("manifests/v1"))).toBe(root.digest);
      for (const { digest } of manifests) expect(digestOf(await bytesAt(`manifests/${digest}`))).toBe(digest);
      for (const digest of blobs.keys()) expect(digestOf(await bytesAt(`blobs/${digest}`))).toBe(digest);
    }
  } finally {
    await target.stop();
  }
}

async function expectRefused(input: string, ...says: string[]): Promise<void> {
  const target = await startRegistry();
  try {
    expectFailure(await importInto(target, input), 1, ...says);
    expect(await (await fetch(`${target.url}/v2/_catalog`)).json()).toEqual({ repositories: [] });
  } finally {
    await target.stop();
  }
}

/** The image that a tool made of its own accord, as an archive of its own describes it. */
async function contentIn(layout: string): Promise<TestContent> {
  const { manifests } = await Bun.file(join(layout, "index.json")).json();
  const root = manifests[0];
  const blob = async (digest: string) => Bun.file(join(layout, "blobs", digest.replace(":", "/"))).bytes();
  const bytes = await blob(root.digest);
  const { config, layers } = JSON.parse(new TextDecoder().decode(bytes));
  const blobs: TestContent["blobs"] = new Map();
  for (const { digest } of [config, ...layers]) blobs.set(digest, await blob(digest));
  return { root, manifests: [{ digest: root.digest, mediaType: root.mediaType, bytes }], blobs };
}

async function unpacked(archive: string): Promise<string> {
  const layout = `${archive}.layout`;
  await mkdir(layout);
  await runTool("tar", "-xf", archive, "-C", layout);
  return layout;
}

describe("imported, every digest kept, is an archive by", () => {
  testWith("skopeo")("skopeo, of one platform and of all", async () => {
    const [one, all] = [newFile(), newFile()];
    await skopeo(fromOrigin("app"), `oci-archive:${one}:${APP}`);
    await skopeo(fromOrigin("multi"), `oci-archive:${all}:${MULTI}`);
    await expectImported(one, { app });
    await expectImported(all, { multi });
  });

  testAsRootWith("podman")("podman save", async () => {
    const archive = newFile();
    const podman = await podmanIn(join(folder, "podman"));
    const name = `${origins}/eks-anywhere/app:v1`;
    await runTool(...podman, "pull", "--quiet", "--tls-verify=false", name);
    await runTool(...podman, "tag", name, APP);
    await runTool(...podman, "save", "--quiet", "--format", "oci-archive", "-o", archive, APP);
    // It packs the layers anew: the digests that count are those in the archive.
    await expectImported(archive, { app: await contentIn(await unpacked(archive)) });
  });

  describe.each(["gnu", "pax", "ustar", "v7"])("GNU tar, %s,", (format) => {
    testWithGnuTar("skopeo")("of a layout's folder", async () => {
      const [layout, archive] = [join(folder, `layout-${format}`), newFile()];
      await skopeo(fromOrigin("app"), `oci:${layout}:${APP}`);
      await skopeo(fromOrigin("multi"), `oci:${layout}:${MULTI}`);
      await runTool("tar", `--format=${format}`, "-cf", archive, "-C", layout, ".");
      await expectImported(archive, { app, multi });
    });

    testWithGnuTar("umoci")("of a layout by umoci", async () => {
      const [layout, archive] = [join(folder, `umoci-${format}`), newFile()];
      await runTool("umoci", "init", "--layout", layout);
      await runTool("umoci", "new", "--image", `${layout}:${HOME}/empty:v1`);
      await runTool("tar", `--format=${format}`, "-cf", archive, "-C", layout, ".");
      await expectImported(archive, { empty: await contentIn(layout) });
    });
  });

  testWithGnuTar("skopeo")("GNU tar of a layout whose blobs are links", async () => {
    const [layout, archive] = [join(folder, "linked"), newFile()];
    await skopeo(fromOrigin("app"), `oci:${layout}:${APP}`);
    await mkdir(join(layout, "store"));
    for (const name of await readdir(join(layout, "blobs/sha256"))) {
      await rename(join(layout, "blobs/sha256", name), join(layout, "store", name));
      await symlink(`../../store/${name}`, join(layout, "blobs/sha256", name));
    }
    await runTool("tar", "-cf", archive, "-C", layout, ".");
    await expectImported(archive, { app });
  });

  testWithGnuTar("skopeo")("docker save, which names by an annotation of its own", async () => {
    const [layout, archive] = [join(folder, "docker-layout"), newFile()];
    await skopeo(fromOrigin("multi"), `oci:${layout}:v1`);
    // As docker 26 writes it.
    const index = await Bun.file(join(layout, "index.json")).json();
    index.manifests[0].annotations["io.containerd.image.name"] = MULTI;
    await Bun.write(join(layout, "index.json"), JSON.stringify(index));
    await Bun.write(join(layout, "manifest.json"), "[]");
    await Bun.write(join(layout, "repositories"), "{}");
    // Nobody refers to these but readers of older formats.
    const description = '{"id":"61d5dadba831","os":"linux"}';
    const stray = digestOf(new TextEncoder().encode(description));
    await Bun.write(join(layout, "blobs", stray.replace(":", "/")), description);
    const names = ["blobs", "index.json", "manifest.json", "oci-layout", "repositories"];
    await runTool("tar", "-cf", archive, "-C", layout, ...names);
    await expectImported(archive, { multi });
    const { stdout } = await runExecutable(["verify", "artifacts", "-i", archive, "-o", "json"]);
    const { notes } = JSON.parse(stdout);
    expect(notes).toContainEqual({
      kind: "layout",
      file: archive,
      offset: expect.any(Number),
      detail: `nobody refers to \`blobs/${stray.replace(":", "/")}\``,
    });
    await Bun.write(join(layout, "blobs", stray.replace(":", "/")), `${description} `);
    await runTool("tar", "-cf", archive, "-C", layout, ...names);
    const { status, stdout: found } = await runExecutable(["verify", "artifacts", "-i", archive]);
    expect([status, found]).toEqual([4, expect.stringContaining(`corrupt: ${stray}`)]);
  });

  testWith("skopeo")("anybody, cut into volumes", async () => {
    const archive = newFile();
    await skopeo(fromOrigin("app"), `oci-archive:${archive}:${APP}`);
    const bytes = await Bun.file(archive).bytes();
    await rm(archive);
    let start = 0;
    for (const { path, size } of volumesOf(archive, bytes.length, 100_000)) {
      await Bun.write(path, bytes.slice(start, start + size));
      start += size;
    }
    await expectImported(`${archive}.000`, { app });
    await expectImported(archive, { app });
    expectFailure(
      await importInto(origin, `${archive}.001`),
      2,
      `hint: name the first one, \`${archive}.000\``,
    );
    await rm(`${archive}.001`);
    expectFailure(await importInto(origin, archive), 4, `its volume ${archive}.001 is missing`);
  });
});

describe("refused, with what to do, is an archive by", () => {
  testWith("skopeo")("skopeo without a full name; done as the hint says, it is imported", async () => {
    const [nameless, tagged, named] = [newFile(), newFile(), newFile()];
    await skopeo(fromOrigin("app"), `oci-archive:${nameless}`);
    await skopeo(fromOrigin("app"), `oci-archive:${tagged}:latest`);
    const verified = await runExecutable(["verify", "artifacts", "-i", nameless]);
    expect(verified.status).toBe(4);
    expect(verified.stderr).toContain("hint: give it one: `skopeo copy --all");
    expect(verified.stdout).toMatch(/has no name$/m);
    expect(verified.stderr).not.toContain("copy the archive again");
    await expectRefused(
      nameless,
      app.root.digest,
      "has no name",
      `skopeo copy --all oci-archive:${nameless} `,
    );
    await expectRefused(tagged, "is called `latest`", `skopeo copy --all oci-archive:${tagged}:latest `);
    await skopeo(`oci-archive:${tagged}:latest`, `oci-archive:${named}:${APP}`);
    await expectImported(named, { app });
  });

  testWith("skopeo")("skopeo for docker; done as the hint says, it is read", async () => {
    const [archive, turned] = [newFile(), newFile()];
    await skopeo(fromOrigin("app"), `docker-archive:${archive}:${APP}`);
    await expectRefused(archive, "it is a docker archive", `skopeo copy docker-archive:${archive} `);
    await skopeo(`docker-archive:${archive}`, `oci-archive:${turned}:${APP}`);
    await expectImported(turned, { app: await contentIn(await unpacked(turned)) });
  });

  testAsRootWith("dockerd", "docker")("docker save", async () => {
    const archive = newFile();
    const { client, stop } = await startDockerd();
    try {
      await runTool(...client, "pull", "--quiet", `${origins}/eks-anywhere/app:v1`);
      await runTool(...client, "tag", `${origins}/eks-anywhere/app:v1`, APP);
      await runTool(...client, "save", "-o", archive, APP);
    } finally {
      await stop();
    }
    // A newer docker writes an OCI layout.
    const isLayout = (await runTool("tar", "-tf", archive)).includes("index.json");
    if (isLayout) await expectImported(archive, { app: await contentIn(await unpacked(archive)) });
    else await expectRefused(archive, "it is a docker archive");
  });
});

test("an archive with a name that climbs out is refused, and nothing is sent", async () => {
  const archive = newFile();
  await Bun.$`tar -P -cf ${archive} -C ${import.meta.dir} ../e2e/stage.ts`.quiet();
  const target = await startRegistry();
  try {
    const says = "cannot read the tar header at byte 0: `../e2e/stage.ts` is no path inside the archive";
    expectFailure(await importInto(target, archive), 4, says);
  } finally {
    await target.stop();
  }
});
