import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import type { Entry } from "../../src/archive/layout.ts";
import { pathOf } from "../../src/archive/path.ts";
import { ArchiveSource } from "../../src/archive/source.ts";
import { type Digest, digestOf } from "../../src/oci/digest.ts";
import { type Contents, someContents, type Written, writeArchive } from "../archive/archives.ts";
import { flip, rebuild, tarOf } from "../archive/damage.ts";
import type { TestContent } from "../support/content.ts";
import { manifestContent, rawImage, rawIndex } from "../support/memory.ts";
import { verify } from "./judge.ts";

const APP = "public.ecr.aws/eks-anywhere/app:v1";
const TOOL = "public.ecr.aws/eks_anywhere__x/tool:v1";

let folder: string;
let good: string;
let bad: string;
let contents: Contents;
let written: Written;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eksa-airgap-verify-"));
  good = join(folder, "good.tar");
  bad = join(folder, "bad.tar");
  contents = someContents();
  written = await writeArchive(good, contents);
});

afterAll(() => rm(folder, { recursive: true }));

function entryOf(digest: Digest): Entry {
  const entry = written.layout.byDigest.get(digest);
  if (entry === undefined) throw new Error(`no ${digest}`);
  return entry;
}

function digestOfText(text: string): Digest {
  return digestOf(new TextEncoder().encode(text));
}

function content(name: string): TestContent {
  const found = contents[name];
  if (found === undefined) throw new Error(`no ${name}`);
  return found;
}

/** Of the index APP: its images, then itself. */
function manifestOf(name: string, position: number): Digest {
  const manifest = content(name).manifests[position];
  if (manifest === undefined) throw new Error(`no manifest ${position}`);
  return manifest.digest;
}

test("an archive that this program wrote is right in every respect", async () => {
  expect(await verify(good)).toMatchObject({ problems: [], notes: [] });
});

describe("damage is named with the artifacts that it befalls and its place", () => {
  test("a flipped bit in a blob", async () => {
    const digest = digestOfText("app on arm64");
    const { offset } = entryOf(digest);
    await flip(good, bad, offset + 3);
    expect((await verify(bad)).problems).toEqual([
      {
        kind: "corrupt",
        file: bad,
        digest,
        offset,
        artifacts: [APP],
        detail: expect.stringContaining("hash to"),
      },
    ]);
  });

  test("a flipped bit in a blob that two artifacts share", async () => {
    const digest = digestOfText("base");
    await flip(good, bad, entryOf(digest).offset);
    expect((await verify(bad)).problems).toMatchObject([{ kind: "corrupt", digest, artifacts: [APP, TOOL] }]);
  });

  test("a flipped bit in a child manifest: what it refers to is not called extra", async () => {
    const digest = manifestOf(APP, 0);
    await flip(good, bad, entryOf(digest).offset + 20);
    expect((await verify(bad)).problems).toMatchObject([{ kind: "corrupt", digest, artifacts: [APP] }]);
  });

  test("a missing blob", async () => {
    const digest = digestOfText("tool");
    await rebuild(good, bad, (files) => files.delete(pathOf(digest)));
    const { problems } = await verify(bad);
    expect(problems).toMatchObject([{ kind: "missing", digest, artifacts: [TOOL] }]);
    expect(problems[0]?.offset).toBeUndefined();
  });

  test("a missing child manifest, and what nobody refers to without it", async () => {
    const digest = manifestOf(APP, 0);
    await rebuild(good, bad, (files) => files.delete(pathOf(digest)));
    const { problems } = await verify(bad);
    expect(problems).toContainEqual(expect.objectContaining({ kind: "missing", digest, artifacts: [APP] }));
    const extra = digestOfText("app on amd64");
    expect(problems).toContainEqual(expect.objectContaining({ kind: "extra", digest: extra }));
  });

  test.each<[string, string]>([
    ["content", pathOf(digestOfText("stray"))],
    ["another file", "stray.txt"],
    ["content whose name is no digest", "blobs/sha256/stray"],
  ])("extra: %s", async (_, name) => {
    const { size } = written.layout;
    await rebuild(good, bad, (files) => files.set(name, new TextEncoder().encode("stray")));
    expect((await verify(bad)).problems).toMatchObject([
      { kind: "extra", offset: size - 1024, artifacts: [], detail: `nobody refers to \`${name}\`` },
    ]);
  });

  test("extra content that is not what its name says is corrupt as well", async () => {
    const digest = digestOfText("stray");
    await rebuild(good, bad, (files) => files.set(pathOf(digest), new TextEncoder().encode("other")));
    expect((await verify(bad)).problems.map(({ kind }) => kind).sort()).toEqual(["corrupt", "extra"]);
  });

  test("a file that is there twice", async () => {
    const files = new Map([["oci-layout", new TextEncoder().encode("{}")]]);
    const bytes = (await readFile(good)).subarray(0, -1024);
    await Bun.write(bad, Buffer.concat([bytes, tarOf(files)]));
    expect((await verify(bad)).problems).toMatchObject([
      { kind: "extra", offset: bytes.length, detail: "`oci-layout` is there twice" },
    ]);
  });

  test("a size that is not what the manifest says", async () => {
    const digest = digestOfText("tool");
    await rebuild(good, bad, (files) => files.set(pathOf(digest), new TextEncoder().encode("too long")));
    expect((await verify(bad)).problems).toMatchObject([
      { kind: "corrupt", digest, artifacts: [TOOL], detail: "it has 8 bytes, and should have 4" },
    ]);
  });

  test("a broken header behind which the next is found: the rest is verified as if it were right", async () => {
    const digest = digestOfText("tool");
    const { headerOffset } = entryOf(digest);
    await flip(good, bad, headerOffset + 146);
    expect((await verify(bad)).problems).toMatchObject([
      { kind: "corrupt", digest, offset: headerOffset, artifacts: [TOOL] },
    ]);
  });

  test("a header that cannot be followed: what lies behind it is missing, what lies before it is verified", async () => {
    const [before, at] = [entryOf(digestOfText("base")), entryOf(digestOfText("tool"))];
    await flip(good, bad, before.offset, at.headerOffset + 124 + 5);
    const { problems } = await verify(bad);
    expect(problems).toContainEqual(
      expect.objectContaining({ kind: "corrupt", offset: at.headerOffset, artifacts: [] }),
    );
    expect(problems).toContainEqual(
      expect.objectContaining({ kind: "corrupt", digest: digestOfText("base"), artifacts: [APP, TOOL] }),
    );
    expect(problems).toContainEqual(
      expect.objectContaining({ kind: "missing", digest: digestOfText("tool"), artifacts: [TOOL] }),
    );
  });
});

describe("a file that is cut short", () => {
  test("names everything that it lost, and verifies the rest", async () => {
    const [base, tool] = [entryOf(digestOfText("base")), entryOf(digestOfText("tool"))];
    const bytes = (await readFile(good)).subarray(0, tool.offset + 1);
    bytes[base.offset] = (bytes[base.offset] ?? 0) ^ 1;
    await Bun.write(bad, bytes);
    const { problems } = await verify(bad);
    const kinds = Map.groupBy(problems, ({ kind }) => kind);
    expect([...kinds.keys()].sort()).toEqual(["corrupt", "truncated"]);
    expect(kinds.get("corrupt")).toMatchObject([{ digest: digestOfText("base") }]);
    const behind = written.layout.entries.filter(({ offset }) => offset >= tool.offset);
    expect(
      kinds
        .get("truncated")
        ?.map(({ digest }) => pathOf(digest ?? "sha256:"))
        .sort(),
    ).toEqual(behind.map(({ name }) => name).sort());
    expect(problems.find(({ digest }) => digest === digestOfText("tool"))).toMatchObject({
      offset: tool.headerOffset,
      artifacts: [TOOL],
    });
  });

  test("in its end marker has lost nothing else", async () => {
    const { size } = written.layout;
    await Bun.write(bad, (await readFile(good)).subarray(0, size - 700));
    expect((await verify(bad)).problems).toMatchObject([
      { kind: "truncated", offset: size - 700, artifacts: [] },
    ]);
  });

  test("in the padding of its last file has lost nothing else either", async () => {
    const { size } = written.layout;
    await Bun.write(bad, (await readFile(good)).subarray(0, size - 1025));
    expect((await verify(bad)).problems).toMatchObject([{ kind: "truncated", offset: size - 1025 }]);
  });

  test("anywhere at all is noticed", async () => {
    const bytes = await readFile(good);
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: bytes.length - 1 }), async (length) => {
        await Bun.write(bad, bytes.subarray(0, length));
        const { problems } = await verify(bad);
        expect(problems).not.toBeEmpty();
        expect(new Set(problems.map(({ kind }) => kind))).toEqual(new Set(["truncated"]));
      }),
      { numRuns: 60 },
    );
  });
});

/** The entry that a byte lies in, its header and its padding included. */
function placeOf(at: number): Entry | undefined {
  return written.layout.entries.findLast(({ headerOffset }) => headerOffset <= at);
}

test("one flipped bit anywhere is found, and named by its place or by what it befalls", async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 0, max: written.layout.size - 1 }), async (at) => {
      await flip(good, bad, at);
      const { problems, notes } = await verify(bad);
      const entry = placeOf(at);
      const digest = [...written.layout.byDigest].find(([, its]) => its === entry)?.[0];
      const start = entry?.headerOffset ?? 0;
      const isNear = ({ offset = -1 }: { kind: string; offset?: number | undefined }) =>
        offset >= start && offset <= at + 512;
      // What the index says of a root shows in the root itself, and in the table that is made from it.
      const isIndex = entry?.name === "index.json";
      const isNamed = (one: (typeof problems)[number]) =>
        isNear(one) || (isIndex ? one.artifacts.length > 0 : digest !== undefined && one.digest === digest);
      // What is found to be right can be imported.
      if (problems.length === 0) new ArchiveSource(bad).close();
      const told = [...problems.filter(isNamed), ...notes.filter((note) => isIndex || isNear(note))];
      expect(told).not.toBeEmpty();
    }),
    { numRuns: 400 },
  );
});

test("what one archive lacks another of the same run may have", async () => {
  const other = join(folder, "other.tar");
  await rebuild(good, bad, (files) => files.delete(pathOf(digestOfText("tool"))));
  await rebuild(good, other, (files) => files.delete(pathOf(digestOfText("base"))));
  expect((await verify(bad, other)).problems).toEqual([]);
  expect((await verify(other, bad)).problems).toEqual([]);
  expect((await verify(bad, bad)).problems).toMatchObject([{ kind: "missing" }]);
});

test("indexes that are nested without end are not followed", async () => {
  let nested = rawImage(["deep"]);
  for (let depth = 0; depth < 10; depth++) nested = rawIndex([nested]);
  const files = new Map<string, Uint8Array>();
  const encode = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
  const annotations = { "io.containerd.image.name": "public.ecr.aws/a/deep:v1" };
  files.set("oci-layout", encode({}));
  files.set("index.json", encode({ manifests: [{ ...nested.root, annotations }] }));
  for (const { digest, bytes } of nested.manifests) files.set(pathOf(digest), bytes);
  for (const [digest, bytes] of nested.blobs) files.set(pathOf(digest), bytes);
  await Bun.write(bad, tarOf(files));
  expect((await verify(bad)).problems).toMatchObject([
    {
      kind: "corrupt",
      detail: "indexes are nested more than 8 deep",
      artifacts: ["public.ecr.aws/a/deep:v1"],
    },
  ]);
});

test("content whose digest is right but that is no manifest is named where one is wanted", async () => {
  const odd = manifestContent("application/vnd.oci.image.manifest.v1+json", { schemaVersion: 1 });
  const root = { ...odd.root, annotations: { "io.containerd.image.name": "public.ecr.aws/a/odd:v1" } };
  const encode = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
  const files = [
    ["oci-layout", encode({})],
    ["index.json", encode({ manifests: [root] })],
    ...odd.manifests.map(({ digest, bytes }) => [pathOf(digest), bytes] as const),
  ] as const;
  await Bun.write(bad, tarOf(files));
  expect((await verify(bad)).problems).toMatchObject([
    { kind: "corrupt", digest: odd.root.digest, artifacts: ["public.ecr.aws/a/odd:v1"] },
  ]);
});
