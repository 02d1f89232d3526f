import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, readFile, rm, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CombinedSource } from "../../src/archive/combined.ts";
import { END_MARKER_BYTES, encodeHeader, padded } from "../../src/archive/header.ts";
import { pathOf } from "../../src/archive/path.ts";
import { ArchiveSource } from "../../src/archive/source.ts";
import { type Digest, digestOf } from "../../src/oci/digest.ts";
import { faultKind } from "../../src/oci/fault.ts";
import type { Plan } from "../../src/oci/plan.ts";
import { formatReference } from "../../src/oci/reference.ts";
import { resolve } from "../../src/transfer/resolve.ts";
import { faultOf, textOf } from "../support/faults.ts";
import { planOf, rawImage } from "../support/memory.ts";
import { inFolder, someContents, type Written, writeArchive } from "./archives.ts";

let folder: string;
let path: string;
let written: Written;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eksa-airgap-source-"));
  path = join(folder, "a.tar");
  written = await writeArchive(path, someContents());
});

afterAll(() => rm(folder, { recursive: true }));

const text = (content: string) => new TextEncoder().encode(content);

/** A tar of files as they are given. */
async function tarOf(files: Readonly<Record<string, string>>): Promise<string> {
  const parts = Object.entries(files).flatMap(([name, content]) => {
    const bytes = text(content);
    return [encodeHeader(name, bytes.length), bytes, new Uint8Array(padded(bytes.length) - bytes.length)];
  });
  const made = join(folder, "made.tar");
  await Bun.write(made, Buffer.concat([...parts, new Uint8Array(END_MARKER_BYTES)]));
  return made;
}

/** An archive whose index is this text. */
async function withIndex(index: unknown): Promise<string> {
  const json = typeof index === "string" ? index : JSON.stringify(index);
  return tarOf({ "oci-layout": "{}", "index.json": json });
}

function opened<T>(archive: string, use: (source: ArchiveSource) => T): T {
  const source = new ArchiveSource(archive);
  try {
    return use(source);
  } finally {
    source.close();
  }
}

test("the roots are read in the order of the index, each with its digest", () => {
  const roots = written.plan.roots.map(({ reference, descriptor }) => [
    formatReference(reference),
    descriptor.digest,
  ]);
  const read = opened(path, ({ references }) =>
    references.map((each) => [
      each.tag === undefined ? formatReference(each) : `${formatReference(each)}`,
      each.digest,
    ]),
  );
  expect(read).toEqual(roots as [string, Digest][]);
});

test("an archive resolves to the plan that it was made from, and holds all of it", async () => {
  const source = new ArchiveSource(path);
  const { plan, failures } = await resolve(source, source.references, { jobs: 4 });
  expect(failures).toEqual([]);
  expect([...plan.nodes.keys()].sort()).toEqual([...written.plan.nodes.keys()].sort());
  source.assertHolds(plan);
  for (const node of plan.nodes.values()) {
    const streamed = Buffer.concat(await Array.fromAsync(await source.open(node)));
    expect(digestOf(streamed)).toBe(node.descriptor.digest);
    expect(digestOf((await source.slice(node)?.bytes()) ?? new Uint8Array())).toBe(node.descriptor.digest);
  }
  source.close();
});

test("writing what was read gives the same archive", async () => {
  await inFolder(async (again) => {
    const source = new ArchiveSource(path);
    await writeArchive(join(again, "b.tar"), someContents(), source);
    source.close();
    expect(Buffer.compare(await readFile(join(again, "b.tar")), await readFile(path))).toBe(0);
  });
});

describe("what an archive lacks is named as damage", () => {
  const blobOf = (plan: Plan) => [...plan.nodes.values()].find(({ kind }) => kind === "blob");

  test("a blob that is not in it", async () => {
    const plan = await planOf({ "a.b/x:1": rawImage(["elsewhere"]) });
    const fault = await opened(path, (source) => faultOf(() => source.assertHolds(plan)));
    expect(fault.kind).toBe("mismatch");
    expect(fault.message).toContain("is not in it");
  });

  test("a blob of another size", async () => {
    const node = blobOf(written.plan);
    if (node === undefined) throw new Error("no blob");
    const larger = { ...node, descriptor: { ...node.descriptor, size: node.descriptor.size + 1 } };
    const plan = { roots: [], nodes: new Map([[node.descriptor.digest, larger]]) };
    const fault = await opened(path, (source) => faultOf(() => source.assertHolds(plan)));
    expect(fault.kind).toBe("mismatch");
    expect(fault.message).toContain(pathOf(node.descriptor.digest));
  });

  test("a manifest whose bytes are not its digest's", async () => {
    const { digest } = rawImage(["x"]).root;
    const index = {
      manifests: [
        { mediaType: "x", digest, size: 2, annotations: { "io.containerd.image.name": "a.b/x:1" } },
      ],
    };
    const archive = await tarOf({
      "oci-layout": "{}",
      "index.json": JSON.stringify(index),
      [pathOf(digest)]: "{}",
    });
    const source = new ArchiveSource(archive);
    const { failures } = await resolve(source, source.references, { jobs: 1 });
    expect(failures.map(({ error }) => faultKind(error))).toEqual(["mismatch"]);
    source.close();
  });
});

test("a manifest is asked for by digest, an archive knows no tags", async () => {
  const source = new ArchiveSource(path);
  const fault = await faultOf(() => source.manifest({ registry: "a.b", repository: "x", tag: "1" }));
  expect(fault.message).toContain("a.b/x:1");
  source.close();
});

describe("an index", () => {
  const digest = digestOf(text("{}"));
  const good = { mediaType: "x", digest, size: 2, annotations: { "io.containerd.image.name": "a.b/x:1" } };

  const named = (name: string) => ({ ...good, annotations: { "io.containerd.image.name": name } });

  test("of another tool names by the standard's annotation", async () => {
    const annotations = { "org.opencontainers.image.ref.name": "a.b/y:2" };
    const archive = await withIndex({ manifests: [{ ...good, annotations }] });
    expect(opened(archive, ({ references }) => references)).toEqual([
      { registry: "a.b", repository: "y", tag: "2", digest },
    ]);
  });

  test.each<[string, unknown]>([
    ["that is no JSON", "{"],
    ["that is a list", []],
    ["without manifests", {}],
    ["whose manifests are an object", { manifests: {} }],
    ["with an entry that is no descriptor", { manifests: [7] }],
    ["with a digest that is none", { manifests: [{ ...good, digest: "sha256:../../etc/passwd" }] }],
    ["with a negative size", { manifests: [{ ...good, size: -1 }] }],
    ["with the name of another digest", { manifests: [named(`a.b/x@sha256:${"0".repeat(64)}`)] }],
  ])("%s is damage", async (_, index) => {
    const archive = await withIndex(index);
    const fault = await faultOf(() => new ArchiveSource(archive));
    expect(faultKind(fault)).toBe("mismatch");
    expect(textOf(fault)).toContain("index.json");
  });
});

describe("whose name counts", () => {
  const [containerd, oci] = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];
  const { root } = rawImage(["x"]);

  const readWith = async (annotations: Record<string, string>) => {
    const archive = await withIndex({ manifests: [{ ...root, annotations }] });
    return opened(archive, ({ references }) => references.map(formatReference));
  };

  test.each<[string, Record<string, string>]>([
    ["docker's, beside a tag alone", { [containerd]: "a.b/x:1", [oci]: "1" }],
    ["OCI's, beside a name that is not full", { [containerd]: "x:1", [oci]: "a.b/x:1" }],
    ["OCI's by itself", { [oci]: "a.b/x:1" }],
    ["docker's, where both are full", { [containerd]: "a.b/x:1", [oci]: "a.b/y:2" }],
  ])("%s", async (_, annotations) => {
    expect(await readWith(annotations)).toEqual(["a.b/x:1"]);
  });

  test.each<[string, Record<string, string>, string, string]>([
    ["no name", {}, "has no name", "made.tar oci-archive:NEW.tar:HOST/REPOSITORY:TAG"],
    ["a tag alone", { [oci]: "latest" }, "is called `latest`", "made.tar:latest oci-archive:NEW.tar:HOST"],
    ["no host", { [containerd]: "library/x:1" }, "is called `library/x:1`", "made.tar:library/x:1"],
    ["no tag", { [oci]: "a.b/x" }, "is called `a.b/x`", "skopeo copy"],
    ["dots for a host", { [oci]: "../x" }, "is called `../x`", "skopeo copy"],
  ])("%s is not enough: the root is named, and what to do", async (_, annotations, says, hint) => {
    const fault = await faultOf(() => readWith(annotations));
    expect(faultKind(fault)).toBe("failed");
    expect(textOf(fault)).toContain(`\`manifests[0]\` of its \`index.json\`, ${root.digest}, ${says}`);
    expect(fault.hint).toContain(hint);
  });

  test("several without one are counted", async () => {
    const archive = await withIndex({ manifests: [root, root, root] });
    expect(textOf(await faultOf(() => new ArchiveSource(archive)))).toContain(", and 2 more likewise");
  });

  test("images that docker saved by id have none", async () => {
    const fault = await faultOf(async () => new ArchiveSource(await withIndex({ manifests: null })));
    expect(fault.message).toContain("names no image");
    expect(fault.hint).toContain("docker save HOST/REPOSITORY:TAG");
  });
});

test("a docker archive is refused by that name", async () => {
  const archive = await tarOf({ "manifest.json": "[]", repositories: "{}" });
  const fault = await faultOf(() => new ArchiveSource(archive));
  expect(fault.kind).toBe("failed");
  expect(fault.message).toContain("it is a docker archive");
  expect(fault.hint).toContain(`skopeo copy docker-archive:${archive} oci-archive:`);
});

test("an index whose platforms are not all there is refused, with the tools that leave some out", async () => {
  const source = new ArchiveSource(path);
  const absent = { registry: "a.b", repository: "x", digest: rawImage(["elsewhere"]).root.digest };
  const fault = await faultOf(() => source.manifest(absent));
  expect(fault.kind).toBe("mismatch");
  expect(fault.message).toContain("is not in it");
  expect(fault.hint).toContain("`docker save` keeps only those that were pulled");
  source.close();
});

test("a tar of something else is no archive, and not called damaged", async () => {
  const archive = await tarOf({ "readme.txt": "hello" });
  const fault = await faultOf(() => new ArchiveSource(archive));
  expect(fault.kind).toBe("failed");
  expect(textOf(fault)).toContain("make it with `eksa-airgap export artifacts`");
});

function lackingIn(archives: string[], plan: Plan): void {
  const source = new CombinedSource(archives);
  try {
    source.lacking(plan);
  } finally {
    source.close();
  }
}

test("a volume of another set, though it fits in structure, is named", async () => {
  await inFolder(async (folder) => {
    const contents = (letter: string) => ({
      "example.com/a/b:v1": rawImage([letter.repeat(9000), letter.repeat(9001), letter.repeat(9002)]),
    });
    const [one, other] = [join(folder, "one.tar"), join(folder, "other.tar")];
    const { plan } = await writeArchive(one, contents("x"));
    await writeArchive(other, contents("y"));
    const mixed = join(folder, "mixed.tar");
    const [ours, theirs] = await Promise.all([one, other].map((path) => Bun.file(path).bytes()));
    if (ours === undefined || theirs === undefined || ours.length !== theirs.length)
      throw new Error("unlike");
    const cut = Math.ceil(ours.length / 3 / 512) * 512;
    for (const [index, bytes] of [ours, theirs, ours].entries()) {
      await Bun.write(`${mixed}.00${index}`, bytes.subarray(index * cut, (index + 1) * cut));
    }
    const fault = await faultOf(() => lackingIn([mixed], plan));
    expect(fault.kind).toBe("mismatch");
    expect(fault.message).toContain(`its volume ${mixed}.001 does not fit`);
    expect(textOf(fault)).toContain("belongs to nothing in this archive");
  });
});

test("of several archives that lack a blob together no volume is blamed that is right", async () => {
  await inFolder(async (folder) => {
    const contents = { "example.com/a/b:v1": rawImage(["x".repeat(9000), "y".repeat(9001)]) };
    const others = { "example.com/c/d:v1": rawImage(["z".repeat(9000)]) };
    const [lossy, whole] = [join(folder, "lossy.tar"), join(folder, "whole.tar")];
    const { layout } = await writeArchive(lossy, contents);
    await writeArchive(whole, others);
    const plan = await planOf({ ...contents, ...others });
    const lost = layout.entries.find(({ size }) => size === 9001);
    if (lost === undefined) throw new Error("no such blob");
    const bytes = Buffer.from(await Bun.file(lossy).bytes());
    const rest = [bytes.subarray(0, lost.headerOffset), bytes.subarray(lost.offset + padded(9001))];
    await Bun.write(`${lossy}.000`, Buffer.concat(rest));
    await rm(lossy);
    const fault = await faultOf(() => lackingIn([`${lossy}.000`, whole], plan));
    expect(fault.message).toContain(
      `cannot read ${lossy}.000, ${whole}: \`${lost.name}\` is in none of them`,
    );
    expect(fault).toMatchObject({ kind: "mismatch", hint: expect.stringContaining("verify artifacts") });
  });
});

test("what is packed cannot be read by offset, and is told so", async () => {
  await inFolder(async (folder) => {
    const path = join(folder, "a.tar");
    await Bun.write(path, Bun.gzipSync(new Uint8Array(2000)));
    const fault = await faultOf(() => new ArchiveSource(path));
    expect(textOf(fault)).toMatch(/it is packed with gzip[\s\S]*unpack it first/);
  });
});

test("an archive that becomes shorter while it is read gives no slice and no stream of what is gone", async () => {
  await inFolder(async (folder) => {
    const path = join(folder, "a.tar");
    const { plan } = await writeArchive(path, someContents());
    const source = new ArchiveSource(path);
    const blob = [...plan.nodes.values()].findLast(({ kind }) => kind === "blob");
    if (blob === undefined) throw new Error("no blob");
    expect(source.slice(blob)?.size).toBe(blob.descriptor.size);
    await truncate(path, 1000);
    const reads = [() => source.slice(blob), async () => Array.fromAsync(await source.open(blob))];
    for (const read of reads) {
      const fault = await faultOf(read);
      expect([fault.kind, fault.message]).toEqual([
        "mismatch",
        `cannot read ${path} any more: it has become shorter`,
      ]);
    }
    source.close();
  });
});
