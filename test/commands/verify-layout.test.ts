import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Entry, layOut } from "../../src/archive/layout.ts";
import { pathOf } from "../../src/archive/path.ts";
import type { Digest } from "../../src/oci/digest.ts";
import { digestOf } from "../../src/oci/digest.ts";
import { parseReference } from "../../src/oci/reference.ts";
import { resolve } from "../../src/transfer/resolve.ts";
import { someContents, type Written, writeArchive } from "../archive/archives.ts";
import { filesOf, flip, rebuild, tarOf } from "../archive/damage.ts";
import { END, extension, file, header, record } from "../archive/tars.ts";
import { referrer, type TestContent } from "../support/content.ts";
import { MemorySource, rawImage } from "../support/memory.ts";
import { testWithGnuTar, unpackTar } from "../support/tar.ts";
import { verify } from "./judge.ts";

let folder: string;
let good: string;
let bad: string;
let written: Written;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eksa-airgap-verify-layout-"));
  good = join(folder, "good.tar");
  bad = join(folder, "bad.tar");
  written = await writeArchive(good, someContents());
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

describe("a layout that is not this program's is right, and said to be another", () => {
  test("in another order", async () => {
    await rebuild(good, bad, (files) => {
      const index = files.get("index.json") ?? new Uint8Array();
      files.delete("index.json");
      files.set("index.json", index);
    });
    const { problems, notes } = await verify(bad);
    expect(problems).toEqual([]);
    expect(notes).toMatchObject([
      { kind: "layout", file: bad, detail: expect.stringContaining("index.json") },
    ]);
  });

  test("with other bytes in the padding", async () => {
    const { offset, size } = entryOf(digestOfText("tool"));
    await flip(good, bad, offset + size + 5);
    expect(await verify(bad)).toMatchObject({ problems: [], notes: [{ offset: offset + size + 5 }] });
  });

  test("with other metadata in a header", async () => {
    const { headerOffset } = entryOf(digestOfText("tool"));
    const bytes = await readFile(good);
    // The time, and the group to make the checksum right.
    bytes[headerOffset + 146] = "1".charCodeAt(0);
    bytes[headerOffset + 122] = "0".charCodeAt(0) - 1;
    await Bun.write(bad, bytes);
    expect(await verify(bad)).toMatchObject({ problems: [], notes: [{ offset: headerOffset }] });
  });

  test("with zeros after the end", async () => {
    const { size } = written.layout;
    await Bun.write(bad, Buffer.concat([await readFile(good), new Uint8Array(9216)]));
    expect(await verify(bad)).toMatchObject({
      problems: [],
      notes: [{ offset: size, detail: "9216 bytes after the end marker" }],
    });
  });
});

testWithGnuTar()("a layout that GNU tar wrote is right, and said to be another", async () => {
  const [layout, own] = [join(folder, "layout"), join(folder, "gnu.tar")];
  await mkdir(layout);
  await unpackTar(good, layout);
  await Bun.$`tar --format=gnu -C ${layout} -cf ${own} blobs index.json oci-layout`.quiet();
  const { problems, notes } = await verify(own);
  expect(problems).toEqual([]);
  expect(notes).toContainEqual(expect.objectContaining({ kind: "layout", file: own }));
});

/** The files of the good archive, each as `change` has it. */
async function repack(change: (name: string, content: Uint8Array) => Uint8Array[]): Promise<void> {
  const parts = [...filesOf(good)].flatMap(([name, content]) => change(name, content));
  await Bun.write(bad, Buffer.concat([...parts, END]));
}

describe("what an import reads is right here as well:", () => {
  test("names with `./`, and folders", async () => {
    await repack((name, content) => [file(`./${name}`, content)]);
    const bytes = await readFile(bad);
    await Bun.write(bad, Buffer.concat([header("./blobs/", "5"), bytes]));
    expect(await verify(bad)).toMatchObject({ problems: [], notes: [{ kind: "layout" }] });
  });

  test("blobs that are links, and GNU's long names", async () => {
    let stored = 0;
    await repack((name, content) => {
      if (!name.startsWith("blobs/")) return [file(name, content)];
      const store = `store/${stored++}`;
      return [file(store, content), extension("L", `${name}\0`), header("short", "2", `../../${store}`)];
    });
    expect(await verify(bad)).toMatchObject({ problems: [], notes: [{ kind: "layout" }] });
  });

  test("and damage behind a link is found", async () => {
    const digest = digestOfText("tool");
    await repack((name, content) => {
      if (name !== pathOf(digest)) return [file(name, content)];
      return [file("store", "loot"), header(name, "2", "../../store")];
    });
    expect((await verify(bad)).problems).toMatchObject([
      { kind: "corrupt", digest, artifacts: ["public.ecr.aws/eks_anywhere__x/tool:v1"] },
    ]);
  });
});

describe("what an import refuses is a problem, and the rest is verified all the same:", () => {
  test.each<[string, Uint8Array[], string, string]>([
    ["a name that climbs out", [file("../x", "y")], "extra", "is no path inside the archive"],
    ["a device", [header("dev", "3")], "extra", "is of type `3`"],
    ["a link out of the archive", [header("x", "2", "../x")], "extra", "outside the archive"],
    ["a link to nothing", [header("x", "2", "y")], "missing", "no file in the archive"],
    ["a sparse file", [extension("x", record("GNU.sparse.size", "1"))], "corrupt", "a sparse file"],
    [
      "one size for all",
      [extension("g", record("size", "1"))],
      "corrupt",
      "it gives every entry the same `size`",
    ],
  ])("%s", async (_, parts, kind, says) => {
    await flip(good, bad, entryOf(digestOfText("tool")).offset);
    const bytes = await readFile(bad);
    await Bun.write(bad, Buffer.concat([...parts, bytes]));
    const { problems } = await verify(bad);
    expect(problems).toMatchObject([
      { kind, detail: expect.stringContaining(says) },
      { kind: "corrupt", digest: digestOfText("tool") },
    ]);
  });
});

test("an end marker that is not empty: no reader would take it", async () => {
  const { size } = written.layout;
  await flip(good, bad, size - 1);
  expect((await verify(bad)).problems).toMatchObject([{ kind: "corrupt", offset: size - 1024 }]);
});

test("two names of a root that contradict each other", async () => {
  await rebuild(good, bad, (files) => {
    const text = new TextDecoder().decode(files.get("index.json"));
    files.set(
      "index.json",
      new TextEncoder().encode(text.replace("eks-anywhere/app:v1", "eks-anywhere/app:v2")),
    );
  });
  expect((await verify(bad)).problems).toContainEqual(
    expect.objectContaining({
      kind: "corrupt",
      detail: expect.stringMatching(/app:v\d is also .*app:v\d/),
    }),
  );
});

test("an archive with nameless roots is in this program's layout as well", async () => {
  const path = join(folder, "nameless.tar");
  const subject = rawImage(["signed"]);
  const signature = referrer({ subject: subject.root, artifactType: "application/x.test", body: "{}" });
  const [name, own] = ["public.ecr.aws/a/app:v1", `public.ecr.aws/a/app@${signature.root.digest}`];
  const source = new MemorySource({ [name]: subject, [own]: signature });
  const nameless = [parseReference(own)];
  const { plan } = await resolve(source, [parseReference(name)], { jobs: 1, nameless });
  const files = layOut(plan).entries.map((entry) => {
    const digest = [...plan.nodes.keys()].find((each) => pathOf(each) === entry.name);
    return [entry.name, entry.bytes ?? source.blobs.get(digest ?? "sha256:") ?? new Uint8Array()] as const;
  });
  await Bun.write(path, tarOf(files));
  expect(await verify(path)).toMatchObject({ problems: [], notes: [] });
});

describe("what a referrer is about", () => {
  const signed = rawImage(["signed"]);
  const NAME = "public.ecr.aws/a/sbom:v1";
  const about = (subject: TestContent) =>
    referrer({ subject: subject.root, artifactType: "application/spdx+json", body: "{}" });

  test("may be absent", async () => {
    const path = join(folder, "absent.tar");
    await writeArchive(path, { [NAME]: about(signed) });
    expect(await verify(path)).toMatchObject({ problems: [], notes: [] });
  });

  test("is not extra where it is there, and is checked like the rest", async () => {
    const path = join(folder, "there.tar");
    await writeArchive(path, { [NAME]: about(signed) });
    const blobs = [...signed.blobs, ...signed.manifests.map(({ digest, bytes }) => [digest, bytes] as const)];
    await rebuild(path, bad, (files) => {
      for (const [digest, bytes] of blobs) files.set(pathOf(digest), bytes);
    });
    expect((await verify(bad)).problems).toEqual([]);
    await rebuild(bad, bad, (files) => files.delete(pathOf(digestOfText("signed"))));
    expect((await verify(bad)).problems).toMatchObject([{ kind: "missing", digest: digestOfText("signed") }]);
  });
});
