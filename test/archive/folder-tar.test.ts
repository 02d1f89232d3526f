import { expect, test } from "bun:test";
import fc from "fast-check";
import { unpackTar } from "modern-tar";
import { tarFolder } from "../../src/archive/folder-tar.ts";

const encoder = new TextEncoder();

function file(path: string, text = path) {
  return { path, bytes: encoder.encode(text) };
}

async function listed(tar: Uint8Array): Promise<string[]> {
  const entries = await unpackTar(tar);
  return entries.map(({ header, data }) => {
    return header.type === "directory" ? header.name : `${header.name}=${new TextDecoder().decode(data)}`;
  });
}

test("each folder comes before what is in it, and that by name, whatever sorts before a slash", async () => {
  const files = [file("a-b"), file("a/z"), file("a/b/c"), file("a.b"), file("A"), file("a/b.c")];
  const names = ["d/A", "d/a", "d/a/b", "d/a/b/c", "d/a/b.c", "d/a/z", "d/a-b", "d/a.b"];
  const expected = [
    "d",
    ...names.map((name) => (/^d\/a(?:\/b)?$/.test(name) ? name : `${name}=${name.slice(2)}`)),
  ];
  expect((await listed(tarFolder("d", files))).map((name) => name.replace(/\/$/, ""))).toEqual(expected);
});

test("equal files give equal bytes in whatever order they come", () => {
  const paths = ["1.31/x/a.yaml", "1.30/x/a.yaml", "bundle-release.yaml", `1.30/${"long".repeat(40)}.yaml`];
  const expected = tarFolder(
    "out/d",
    paths.map((path) => file(path)),
  );
  fc.assert(
    fc.property(fc.shuffledSubarray(paths, { minLength: paths.length }), (shuffled) => {
      const tar = tarFolder(
        "out/d",
        shuffled.map((path) => file(path)),
      );
      expect(Buffer.compare(tar, expected)).toBe(0);
    }),
  );
});

test("a file's name may be long, and its size any", async () => {
  const path = `${"deep/".repeat(30)}x.yaml`;
  const tar = tarFolder("d", [file(path, "x".repeat(512)), file("empty", "")]);
  expect(tar.length % 512).toBe(0);
  const entries = await unpackTar(tar);
  const sizes = entries.flatMap(({ header }) => (header.type === "file" ? [[header.name, header.size]] : []));
  expect(sizes).toEqual([
    [`d/${path}`, 512],
    ["d/empty", 0],
  ]);
});
