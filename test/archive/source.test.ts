import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
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
    ["with an entry without a name", { manifests: [{ ...good, annotations: {} }] }],
    [
      "with a name that is none",
      { manifests: [{ ...good, annotations: { "io.containerd.image.name": "../x" } }] },
    ],
  ])("%s is damage", async (_, index) => {
    const archive = await withIndex(index);
    const fault = await faultOf(() => new ArchiveSource(archive));
    expect(faultKind(fault)).toBe("mismatch");
    expect(textOf(fault)).toContain("index.json");
  });
});

test("a tar of something else is no archive, and not called damaged", async () => {
  const archive = await tarOf({ "readme.txt": "hello" });
  const fault = await faultOf(() => new ArchiveSource(archive));
  expect(fault.kind).toBe("failed");
  expect(textOf(fault)).toContain("make it with `eksa-airgap export artifacts`");
});
