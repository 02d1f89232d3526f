import { expect, test } from "bun:test";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { END_MARKER_BYTES, encodeHeader, padded } from "../../src/archive/header.ts";
import { layOut } from "../../src/archive/layout.ts";
import { ArchiveSource } from "../../src/archive/source.ts";
import { digestOf } from "../../src/oci/digest.ts";
import type { Plan } from "../../src/oci/plan.ts";
import { formatReference, parseReference } from "../../src/oci/reference.ts";
import { resolve } from "../../src/transfer/resolve.ts";
import { transfer } from "../../src/transfer/transfer.ts";
import { referrer } from "../support/content.ts";
import { faultOf, textOf } from "../support/faults.ts";
import { MemorySource, rawImage, rawIndex } from "../support/memory.ts";
import { Writing } from "../support/writing.ts";
import { inFolder } from "./archives.ts";

const image = rawIndex([rawImage(["base", "app"])]);
const artifactType = "application/vnd.example.signature";
const signature = referrer({ subject: image.root, artifactType, body: "signed" });
const countersigned = referrer({ subject: signature.root, artifactType, body: "signed as well" });
const cosignTag = `public.ecr.aws/eks-anywhere/app:${image.root.digest.replace(":", "-")}.sig`;
const cosignLayer = "application/vnd.dev.cosign.simplesigning.v1+json";

const SIGNED = {
  "public.ecr.aws/eks-anywhere/app:v1": image,
  [cosignTag]: rawImage(["{}"], { layerType: cosignLayer }),
};
const NAMELESS = Object.fromEntries(
  [signature, countersigned].map((content) => [
    `public.ecr.aws/eks-anywhere/app@${content.root.digest}`,
    content,
  ]),
);

async function signedPlan(): Promise<{ plan: Plan; source: MemorySource }> {
  const source = new MemorySource({ ...SIGNED, ...NAMELESS });
  const [names, nameless] = [SIGNED, NAMELESS].map((contents) => Object.keys(contents).sort());
  const { plan, failures } = await resolve(source, (names ?? []).map(parseReference), {
    jobs: 2,
    nameless: (nameless ?? []).map(parseReference),
  });
  expect(failures).toEqual([]);
  return { plan, source };
}

async function write(path: string): Promise<Plan> {
  const { plan, source } = await signedPlan();
  const writing = await Writing.begin(path, plan);
  const signal = new AbortController().signal;
  const options = { jobs: 3, onFailure: "stop", listener: () => {}, signal } as const;
  expect(await transfer(plan, source, writing.sink, options)).toEqual({ lost: [] });
  await writing.commit();
  return plan;
}

test("these bytes are frozen: an archive with signatures is the same on every machine", async () => {
  await inFolder(async (folder) => {
    const path = join(folder, "a.tar");
    await write(path);
    const bytes = await readFile(path);
    expect(bytes).toHaveLength(18_944);
    expect(digestOf(bytes)).toBe("sha256:604a2d3555b579d15ba0292a040e8bb93e203984343604fa9d5ad030ad17dc8f");
  });
});

test("a referrer's entry has no name, only the repository that it belongs to", async () => {
  const { plan } = await signedPlan();
  const { entries } = layOut(plan);
  const text = (name: string) => {
    return new TextDecoder().decode(entries.find((entry) => entry.name === name)?.bytes);
  };
  const { manifests } = JSON.parse(text("index.json"));
  expect(
    manifests.slice(0, 2).map((entry: { annotations: object }) => Object.keys(entry.annotations)[0]),
  ).toEqual(["io.containerd.image.name", "io.containerd.image.name"]);
  expect(manifests.slice(2)).toEqual(
    [signature, countersigned]
      .map(({ root: { mediaType, digest, size } }) => ({
        mediaType,
        digest,
        size,
        annotations: { "dev.eksa-airgap.repository": "public.ecr.aws/eks-anywhere/app" },
      }))
      .sort((a, b) => (a.digest < b.digest ? -1 : 1)),
  );
  // docker is offered the image and nothing that only looks like one.
  const loadable: { RepoTags: string[] }[] = JSON.parse(text("manifest.json"));
  expect(loadable.map(({ RepoTags }) => RepoTags)).toEqual([["public.ecr.aws/eks-anywhere/app:v1"]]);
});

test("what is read back is what was written, the nameless apart from the named", async () => {
  await inFolder(async (folder) => {
    const path = join(folder, "a.tar");
    const written = await write(path);
    const archive = new ArchiveSource(path);
    try {
      expect(archive.references.map(formatReference)).toEqual(Object.keys(SIGNED).sort());
      expect(archive.nameless.map(formatReference)).toEqual(Object.keys(NAMELESS).sort());
      const { nameless } = archive;
      const { plan, failures } = await resolve(archive, archive.references, { jobs: 2, nameless });
      expect(failures).toEqual([]);
      expect([...plan.nodes.keys()]).toEqual([...written.nodes.keys()]);
      expect(plan.roots.map((root) => root.nameless ?? false)).toEqual([false, false, true, true]);
      expect(plan.nodes.get(signature.root.digest)?.subject).toBe(image.root.digest);
      archive.assertHolds(plan);
    } finally {
      archive.close();
    }
  });
});

test.each([
  ["no place", {}, "failed", "has no name"],
  ["a place with a tag", { "dev.eksa-airgap.repository": "a.b/x:v1" }, "mismatch", "a repository with a tag"],
  ["a place that is none", { "dev.eksa-airgap.repository": "../../x" }, "mismatch", "is not a registry host"],
])("an entry without a name and with %s is refused", async (_, annotations, kind, says) => {
  await inFolder(async (folder) => {
    const { mediaType, digest, size } = signature.root;
    const index = JSON.stringify({ manifests: [{ mediaType, digest, size, annotations }] });
    const files = { "oci-layout": "{}", "index.json": index };
    const parts = Object.entries(files).flatMap(([name, text]) => {
      const bytes = new TextEncoder().encode(text);
      return [encodeHeader(name, bytes.length), bytes, new Uint8Array(padded(bytes.length) - bytes.length)];
    });
    const path = join(folder, "a.tar");
    await Bun.write(path, Buffer.concat([...parts, new Uint8Array(END_MARKER_BYTES)]));
    const fault = await faultOf(() => new ArchiveSource(path));
    expect(fault.kind as string).toBe(kind);
    expect(textOf(fault)).toContain(says);
  });
});
