import { afterAll, beforeAll, expect } from "bun:test";
import { createHash } from "node:crypto";
import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ArchiveSource } from "../../src/archive/source.ts";
import { type Digest, digestOf } from "../../src/oci/digest.ts";
import type { ByteStream, Node } from "../../src/oci/plan.ts";
import type { TestContent } from "../support/content.ts";
import { runExecutable } from "../support/executable.ts";
import { testWith } from "../support/needs.ts";
import { startRegistry } from "../support/registry.ts";
import { putOnline, releaseOf } from "../support/release.ts";
import { checksum, listTar, readFromTar, unpackTar } from "../support/tar.ts";
import { Writing } from "../support/writing.ts";

const HUGE = 9 * 1024 ** 3;

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eksa-airgap-sizes-"));
});

afterAll(() => rm(folder, { recursive: true, force: true }));

testWith("tar")("a blob known by sha512 has its full name, crosses, and arrives", async () => {
  const content = imageBySha512();
  const release = releaseOf(new Map([["public.ecr.aws/eks-anywhere/long:v1", content]]));
  const [bundles, archive] = [join(folder, "bundles.yaml"), join(folder, "artifacts.tar")];
  await writeFile(bundles, release.yaml);
  const online = await putOnline(release);
  const target = await startRegistry();
  try {
    const from = ["--bundles-override", bundles, ...online.mirrors];
    expect(await runExecutable(["export", "artifacts", "--output", archive, ...from])).toMatchObject({
      status: 0,
    });
    const long = [...content.blobs.keys()].filter((digest) => digest.startsWith("sha512:"));
    expect(long).toHaveLength(2);
    const names = await listTar(archive);
    await unpackTar(archive, folder);
    for (const name of long.map((digest) => `blobs/${digest.replace(":", "/")}`)) {
      expect(names).toContain(name);
      expect(await checksum(join(folder, name), "sha512")).toBe(name.slice("blobs/sha512/".length));
    }
    const to = ["--input", archive, "--registry", target.host];
    expect(await runExecutable(["import", "artifacts", ...to])).toMatchObject({ status: 0 });
    for (const digest of long) {
      const arrived = await fetch(`${target.url}/v2/eks-anywhere/long/blobs/${digest}`);
      const hash = createHash("sha512").update(await arrived.bytes());
      expect(`sha512:${hash.digest("hex")}`).toBe(digest);
    }
  } finally {
    await Promise.all([online.stop(), target.stop()]);
  }
});

/** No registry of ours gives out such content by itself; the specification allows it all the same. */
function imageBySha512(): TestContent {
  const bytesOf = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
  const layer = new Uint8Array(1024);
  const config = bytesOf({ architecture: "amd64", os: "linux", rootfs: { type: "layers", diff_ids: [] } });
  const described = (mediaType: string, bytes: Uint8Array) => {
    return { mediaType, digest: digestOf(bytes, "sha512"), size: bytes.length };
  };
  const mediaType = "application/vnd.oci.image.manifest.v1+json";
  const bytes = bytesOf({
    schemaVersion: 2,
    mediaType,
    config: described("application/vnd.oci.image.config.v1+json", config),
    layers: [described("application/vnd.oci.image.layer.v1.tar", layer)],
  });
  const digest = digestOf(bytes);
  return {
    root: { mediaType, digest, size: bytes.length },
    manifests: [{ digest, mediaType, bytes }],
    blobs: new Map([config, layer].map((blob) => [digestOf(blob, "sha512"), blob])),
  };
}

testWith("tar")("a blob of more than 8 GiB is listed, and what follows it is found", async () => {
  const text = new TextEncoder().encode("what follows\n");
  const huge = blobNode(`sha256:${"0".repeat(64)}`, HUGE);
  const next = blobNode(digestOf(text), text.length);
  const nodes = new Map([huge, next].map((node) => [node.descriptor.digest, node]));
  const archive = join(folder, "huge.tar");
  const writing = await Writing.begin(archive, { roots: [], nodes });
  const { sink, layout } = writing;
  // Its zeros are left to the file system, which keeps them as a hole.
  await sink.put(huge, contentOf());
  await sink.put(next, contentOf(text));
  await writing.commit();

  const names = [huge, next].map(({ descriptor: { digest } }) => `blobs/${digest.replace(":", "/")}`);
  expect((await listTar(archive)).slice(-2)).toEqual(names);
  expect(await readFromTar(archive, names[1] ?? "")).toBe("what follows\n");
  expect((await stat(archive)).size).toBe(layout.size);
  const source = new ArchiveSource(archive);
  expect(source.slice(huge)?.size).toBe(HUGE);
  expect(await source.slice(next)?.text()).toBe("what follows\n");
  source.close();
});

function blobNode(digest: Digest, size: number): Node {
  const descriptor = { mediaType: "application/octet-stream", digest, size };
  return { descriptor, kind: "blob", children: [], repositories: new Set(["example.com/huge"]) };
}

function contentOf(...chunks: Uint8Array[]): { stream(): ByteStream; slice(): undefined } {
  async function* stream(): AsyncGenerator<Uint8Array> {
    yield* chunks;
  }
  return { stream, slice: () => undefined };
}
