import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { layOut } from "../../src/archive/layout.ts";
import { pathOf } from "../../src/archive/path.ts";
import { BUNDLES_TITLE, wrapBundles } from "../../src/eksa/wrap.ts";
import { type Digest, digestOf } from "../../src/oci/digest.ts";
import type { Plan } from "../../src/oci/plan.ts";
import { joinPlans } from "../../src/transfer/plan.ts";
import { filesOf, rebuild, tarOf } from "../archive/damage.ts";
import { MemorySource, planOf, rawImage, rawIndex } from "../support/memory.ts";
import { verify } from "./judge.ts";

const HOST = "public.ecr.aws/eks-anywhere";
const APP = `${HOST}/app:v2`;
const BUNDLES = `${HOST}/bundles:bundles-1`;

const arm64 = rawImage(["base", "app on arm64"], { platform: { os: "linux", architecture: "arm64" } });
const amd64 = rawImage(["base", "app on amd64"]);
const contents = { [APP]: rawIndex([amd64, arm64]), [`${HOST}/tool:v1`]: rawImage(["base", "tool"]) };
const yaml = new TextEncoder().encode("kind: Bundles\n");

let folder: string;
let base: string;
let delta: string;
let bad: string;
let whole: Plan;
let left: Digest[];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eksa-airgap-verify-delta-"));
  [base, delta, bad] = ["base.tar", "delta.tar", "bad.tar"].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  const wrapped = wrapBundles({ number: 1, files: [{ title: BUNDLES_TITLE, bytes: yaml }] });
  whole = joinPlans([wrapped, await planOf(contents)]);
  await write(base, layOut(whole).entries);
  left = ["base", "tool"].map((text) => digestOf(new TextEncoder().encode(text)));
  const bases = [digestOf(filesOf(base).get("index.json") ?? new Uint8Array())];
  await write(delta, layOut(whole, { bases, leftOut: left }).entries);
});

afterAll(() => rm(folder, { recursive: true }));

async function write(path: string, entries: ReturnType<typeof layOut>["entries"]): Promise<void> {
  const { blobs } = new MemorySource(contents);
  const byPath = new Map([...blobs].map(([digest, bytes]) => [pathOf(digest), bytes]));
  const files = entries.map(({ name, bytes }) => [name, bytes ?? byPath.get(name) ?? fail(name)] as const);
  await Bun.write(path, tarOf(files));
}

function fail(name: string): never {
  throw new Error(`no ${name}`);
}

test("what a delta leaves to its base is said, and not missing; its layout is the one it should have", async () => {
  const index = digestOf(filesOf(base).get("index.json") ?? new Uint8Array());
  const { problems, notes } = await verify(delta);
  expect(problems).toEqual([]);
  expect(notes).toEqual([
    {
      kind: "base",
      file: delta,
      blobs: 2,
      bases: [index],
      detail: `2 blobs are left to its base (index ${index})`,
    },
  ]);
});

test("with its base at hand a delta is whole, and nothing is left to say", async () => {
  expect(await verify(delta, base)).toMatchObject({ problems: [], notes: [] });
  expect(await verify(base, delta)).toMatchObject({ problems: [], notes: [] });
});

test("a blob that neither the delta nor its base has is missing", async () => {
  const lacking = join(folder, "lacking.tar");
  await rebuild(base, lacking, (files) => files.delete(pathOf(left[1] ?? "sha256:")));
  expect((await verify(delta, lacking)).problems).toMatchObject([
    { kind: "missing", file: delta, digest: left[1], artifacts: [`${HOST}/tool:v1`] },
  ]);
});

test("another archive is no base: what it lacks is still left to the base", async () => {
  const other = join(folder, "other.tar");
  const only = await planOf({ [APP]: contents[APP] ?? amd64 });
  await write(other, layOut(only).entries);
  const { problems, notes } = await verify(delta, other);
  expect(problems).toEqual([]);
  expect(notes).toMatchObject([{ kind: "base", blobs: 1 }]);
});

describe("what always travels is missing where it is not there:", () => {
  test.each<[string, Digest, string]>([
    ["a manifest", amd64.root.digest, APP],
    ["a YAML file", digestOf(yaml), BUNDLES],
  ])("%s", async (_, digest, artifact) => {
    await rebuild(delta, bad, (files) => files.delete(pathOf(digest)));
    const { problems } = await verify(bad);
    expect(problems).toContainEqual(
      expect.objectContaining({ kind: "missing", digest, artifacts: [artifact] }),
    );
  });
});

test("a delta that is cut short is truncated, whatever its base may have", async () => {
  const bytes = await Bun.file(delta).bytes();
  const last = layOut(whole, { bases: [], leftOut: left }).entries.at(-1);
  await Bun.write(bad, bytes.subarray(0, bytes.length - 1024 - 512));
  const { problems, notes } = await verify(bad);
  expect(problems).toMatchObject([{ kind: "truncated" }]);
  expect(pathOf(problems[0]?.digest ?? "sha256:")).toBe(last?.name ?? "");
  expect(notes).toMatchObject([{ kind: "base", blobs: 2 }]);
  expect(notes[0]?.detail).toContain("or lost with its end");
});

test("a delta that was packed by another program is said to be laid out otherwise", async () => {
  await rebuild(delta, bad, (files) => {
    const layout = files.get("oci-layout") ?? new Uint8Array();
    files.delete("oci-layout");
    files.set("oci-layout", layout);
  });
  const { problems, notes } = await verify(bad);
  expect(problems).toEqual([]);
  expect(notes.map(({ kind }) => kind)).toEqual(["base", "layout"]);
});
