import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { digestOf } from "../../src/oci/digest.ts";
import type { TestContent } from "../support/content.ts";
import { runExecutable, startExecutable } from "../support/executable.ts";
import { type OnlineRelease, putOnline, releaseOfRealShape } from "../support/release.ts";
import { checksum, describeTar, listTar, packWithGnuTar, testWithGnuTar, unpackTar } from "../support/tar.ts";

type Intercept = (request: Request, url: URL) => Promise<Response | undefined>;

let folder: string;
let online: OnlineRelease;
let reference: string;
/** What the registry does before it answers: nothing, unless a test wants otherwise. */
let intercept: Intercept | undefined;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eksa-airgap-archive-"));
  const release = await releaseOfRealShape({ versions: ["1.31"] });
  online = await putOnline(release, { intercept: (request, url) => intercept?.(request, url) });
  await writeFile(join(folder, "bundle-release.yaml"), release.yaml);
  reference = join(folder, "reference.tar");
  await exportTo(reference);
});

afterAll(async () => {
  await online.stop();
  await rm(folder, { recursive: true, force: true });
});

function exportArgs(output: string, bundles = join(folder, "bundle-release.yaml")): string[] {
  const inputs = ["--bundles-override", bundles, "--eksa-version", "v0.26.0", ...online.mirrors];
  return ["export", "artifacts", "--output", output, ...inputs];
}

async function exportTo(output: string, ...flags: string[]): Promise<void> {
  expect(await runExecutable([...exportArgs(output), ...flags])).toMatchObject({ status: 0 });
}

describe("the same Bundles gives the same bytes", () => {
  test.each([["1"], ["32"]])("with %s blobs in flight", async (jobs) => {
    const output = join(folder, `jobs-${jobs}.tar`);
    await exportTo(output, "--jobs", jobs);
    expect(await checksum(output)).toBe(await checksum(reference));
  });

  test("whatever the order in which answers come", async () => {
    intercept = async (_request, url) => {
      await Bun.sleep(Number(Bun.hash.crc32(url.pathname)) % 20);
      return undefined;
    };
    try {
      const output = join(folder, "shuffled.tar");
      await exportTo(output, "--jobs", "16");
      expect(await checksum(output)).toBe(await checksum(reference));
    } finally {
      intercept = undefined;
    }
  });

  test("wherever and whenever it is run", async () => {
    const elsewhere = join(folder, "elsewhere");
    await mkdir(elsewhere);
    const copy = join(elsewhere, "renamed.yaml");
    await Bun.write(copy, Bun.file(join(folder, "bundle-release.yaml")));
    await utimes(copy, new Date(86_400_000), new Date(86_400_000));
    const run = await runExecutable(exportArgs("here.tar", "renamed.yaml"), { cwd: elsewhere });
    expect(run).toMatchObject({ status: 0 });
    expect(await checksum(join(elsewhere, "here.tar"))).toBe(await checksum(reference));
    // The input and the output, and nothing beside them.
    expect((await readdir(elsewhere)).sort()).toEqual(["here.tar", "renamed.yaml"]);
  });
});

test("until the last byte is there the only files are a partial one, its journal and its lock", async () => {
  const place = join(folder, "place");
  await mkdir(place);
  const held = Promise.withResolvers<undefined>();
  const asked = Promise.withResolvers<void>();
  let blobs = 0;
  intercept = async (_request, url) => {
    // Not the first: what comes before it is written by then.
    if (!url.pathname.includes("/blobs/") || ++blobs < 50) return;
    asked.resolve();
    return held.promise;
  };
  try {
    const { result } = await startExecutable(exportArgs(join(place, "artifacts.tar")));
    await Promise.race([asked.promise, result]);
    expect((await readdir(place)).sort()).toEqual(
      ["journal", "lock", "partial"].map((end) => `artifacts.tar.${end}`),
    );
    held.resolve(undefined);
    expect(await result).toMatchObject({ status: 0 });
  } finally {
    held.resolve(undefined);
    intercept = undefined;
  }
  expect(await readdir(place)).toEqual(["artifacts.tar"]);
});

describe("the archive, read with GNU tar", () => {
  const unpacked = () => join(folder, "unpacked");

  beforeAll(async () => {
    await mkdir(unpacked());
    if (Bun.which("tar") !== null) await unpackTar(reference, unpacked());
  });

  testWithGnuTar("sha256sum")("holds blobs whose checksums are their names", async () => {
    const blobs = (await listTar(reference)).filter((name) => name.startsWith("blobs/"));
    const sums = blobs.map((name) => `${name.slice("blobs/sha256/".length)}  ${name}\n`).join("");
    const check = Bun.spawn(["sha256sum", "--check", "--quiet", "-"], {
      cwd: unpacked(),
      stdin: new Blob([sums]),
      stdout: "pipe",
    });
    expect(await new Response(check.stdout).text()).toBe("");
    expect(await check.exited).toBe(0);
    expect(blobs.length).toBeGreaterThan(300);
    expect(await filesBelow(join(unpacked(), "blobs"))).toBe(blobs.length);
  });

  testWithGnuTar()("has the graph first, then blobs in order of first use by the roots", async () => {
    expect(await listTar(reference)).toEqual(await canonicalNames(unpacked()));
  });

  testWithGnuTar()("says nothing of who wrote it, and when", async () => {
    for (const line of await describeTar(reference)) {
      expect(line).toMatch(
        /^-rw-r--r-- 0\/0 +\d+ 1970-01-01 00:00:00 (oci-layout|index\.json|manifest\.json|blobs\/\S+)$/,
      );
    }
  });

  testWithGnuTar()("is what GNU tar writes of the same files in the same order", async () => {
    const own = join(folder, "gnu.tar");
    await packWithGnuTar(unpacked(), await canonicalNames(unpacked()), own);
    expect(await checksum(own)).toBe(await checksum(reference));
  });

  testWithGnuTar()("is an OCI image layout of version 1.0.0", async () => {
    expect(await Bun.file(join(unpacked(), "oci-layout")).text()).toBe('{"imageLayoutVersion":"1.0.0"}');
  });
});

test("a known release has a known checksum", async () => {
  const image = plainImage();
  const manifest = "https://assets.example.com/plain/components.yaml";
  const small = await putOnline({
    artifacts: new Map([["public.ecr.aws/eks-anywhere/plain:v1", image]]),
    documents: new Map([[manifest, "kind: List\n"]]),
  });
  try {
    const bundles = join(folder, "small.yaml");
    await writeFile(bundles, plainBundles(image.root.digest, manifest));
    const output = join(folder, "small.tar");
    const args = ["--output", output, "--bundles-override", bundles, ...small.mirrors];
    expect(await runExecutable(["export", "artifacts", ...args])).toMatchObject({ status: 0 });
    // Computed apart from this program, from the description of the format alone. Frozen: with another
    // value no published checksum of an archive holds any more.
    expect(await checksum(output)).toBe("58daa28e8a2e544dc977f26190c945f90c7b9ba84aff71a0329b0722ec7d3913");
  } finally {
    await small.stop();
  }
});

function plainBundles(digest: string, manifest: string): string {
  return `apiVersion: anywhere.eks.amazonaws.com/v1alpha1
kind: Bundles
spec:
  number: 1
  versionsBundles:
  - eksa:
      clusterController:
        imageDigest: ${digest}
        uri: public.ecr.aws/eks-anywhere/plain:v1
      components:
        uri: ${manifest}
    kubeVersion: "1.31"
`;
}

/** An image spelled out to the byte, with nothing compressed: no library has a say in it. */
function plainImage(): TestContent {
  const bytesOf = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
  const described = (mediaType: string, bytes: Uint8Array) => {
    return { mediaType, digest: digestOf(bytes), size: bytes.length };
  };
  const layer = new Uint8Array(1024);
  const config = bytesOf({
    architecture: "amd64",
    os: "linux",
    rootfs: { type: "layers", diff_ids: [digestOf(layer)] },
  });
  const mediaType = "application/vnd.oci.image.manifest.v1+json";
  const manifest = bytesOf({
    schemaVersion: 2,
    mediaType,
    config: described("application/vnd.oci.image.config.v1+json", config),
    layers: [described("application/vnd.oci.image.layer.v1.tar", layer)],
  });
  return {
    root: described(mediaType, manifest),
    manifests: [{ digest: digestOf(manifest), mediaType, bytes: manifest }],
    blobs: new Map([config, layer].map((bytes) => [digestOf(bytes), bytes])),
  };
}

interface Document {
  manifests?: { digest: string }[];
  config?: { digest: string };
  layers?: { digest: string }[];
}

/** The names in their order, from nothing but the unpacked JSON. */
async function canonicalNames(layout: string): Promise<string[]> {
  const manifests = new Set<string>();
  const blobs = new Set<string>();
  const read = async (name: string): Promise<Document> => Bun.file(join(layout, name)).json();
  const visit = async (digest: string): Promise<void> => {
    const name = nameOf(digest);
    if (manifests.has(name)) return;
    manifests.add(name);
    const { manifests: children = [], config, layers = [] } = await read(name);
    for (const child of children) await visit(child.digest);
    for (const blob of config === undefined ? layers : [config, ...layers]) blobs.add(nameOf(blob.digest));
  };
  for (const { digest } of (await read("index.json")).manifests ?? []) await visit(digest);
  return ["oci-layout", "index.json", "manifest.json", ...[...manifests].sort(), ...blobs];
}

function nameOf(digest: string): string {
  return `blobs/${digest.replace(":", "/")}`;
}

async function filesBelow(directory: string): Promise<number> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).length;
}
