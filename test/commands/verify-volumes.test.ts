import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { mkdtemp, readdir, readFile, rm, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Entry } from "../../src/archive/layout.ts";
import { volumesOf } from "../../src/archive/volumes.ts";
import { type Digest, digestOf } from "../../src/oci/digest.ts";
import { someContents, type Written, writeArchive } from "../archive/archives.ts";
import { verify } from "./judge.ts";

const SPLIT = 3000;
const PINNED = digestOf(new TextEncoder().encode("x".repeat(2000)));

let folder: string;
let good: Buffer;
let written: Written;
let volumes: string[];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eksa-airgap-verify-volumes-"));
  const whole = join(folder, "whole.tar");
  written = await writeArchive(whole, someContents());
  good = await readFile(whole);
});

beforeEach(() => write(good));

afterAll(() => rm(folder, { recursive: true }));

/** Cuts an archive into volumes. */
async function write(bytes: Uint8Array): Promise<void> {
  for (const name of await readdir(folder)) if (name.startsWith("a.tar.")) await rm(join(folder, name));
  const members = volumesOf(join(folder, "a.tar"), bytes.length, SPLIT);
  volumes = members.map(({ path }) => path);
  for (const [index, path] of volumes.entries()) {
    await Bun.write(path, bytes.slice(index * SPLIT, (index + 1) * SPLIT));
  }
}

function first(): string {
  return volumes[0] ?? "";
}

function entryOf(digest: Digest): Entry {
  const entry = written.layout.byDigest.get(digest);
  if (entry === undefined) throw new Error(`no ${digest}`);
  return entry;
}

test("volumes are verified as the one archive that they are", async () => {
  expect(await verify(first())).toMatchObject({ problems: [], notes: [] });
});

describe("a problem names the volumes that it lies in:", () => {
  test("corrupt content, all that the content lies in", async () => {
    const { offset, size } = entryOf(PINNED);
    const from = Math.floor(offset / SPLIT);
    const to = Math.floor((offset + size - 1) / SPLIT);
    const bytes = Buffer.from(good);
    bytes[offset] = 0;
    await write(bytes);
    const { problems } = await verify(first());
    expect(problems).toMatchObject([
      { kind: "corrupt", digest: PINNED, offset, volumes: volumes.slice(from, to + 1) },
    ]);
  });

  test("a broken header, the one that it is in", async () => {
    const { headerOffset } = entryOf(PINNED);
    const bytes = Buffer.from(good);
    bytes[headerOffset + 130] = 0xff;
    await write(bytes);
    const { problems } = await verify(first());
    expect(problems).toContainEqual(
      expect.objectContaining({
        kind: "corrupt",
        offset: headerOffset,
        volumes: [volumes[Math.floor(headerOffset / SPLIT)] ?? ""],
      }),
    );
  });
});

test("a last volume that is cut short is named, and what was in it", async () => {
  const last = volumes.at(-1) ?? "";
  await truncate(last, 10);
  const { problems } = await verify(first());
  expect(new Set(problems.map(({ kind }) => kind))).toEqual(new Set(["truncated"]));
  const end = problems.find(({ digest }) => digest === undefined);
  expect(end).toMatchObject({ volumes: [last] });
  expect(end?.hint).toContain(`copy \`${last}\` again: it is truncated`);
});

test("a last volume that is missing is named", async () => {
  const last = volumes.at(-1) ?? "";
  await rm(last);
  const { problems } = await verify(first());
  expect(problems.map(({ hint }) => hint ?? "").join("\n")).toContain(`put \`${last}\` beside the others`);
});

test("a volume of another archive behind the last is extra", async () => {
  const bytes = Buffer.concat([good, Buffer.alloc(SPLIT - (good.length % SPLIT)), Buffer.from("other")]);
  await write(bytes);
  const { problems } = await verify(first());
  expect(problems).toMatchObject([{ kind: "extra", detail: expect.stringContaining("the archive ends at") }]);
});
