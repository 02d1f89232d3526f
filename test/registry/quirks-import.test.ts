import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { seed } from "../support/content.ts";
import { rawImage } from "../support/memory.ts";
import type { Quirks } from "../support/quirks.ts";
import {
  type Contents,
  expectedArchive,
  importInto,
  leaks,
  missingIn,
  openStage,
  type Stage,
  someContents,
  startTarget,
  toldBy,
} from "./quirks-carry.ts";
import { AS_TARGET, EITHER_WAY } from "./quirks-cases.ts";

let folder: string;
let contents: Contents;
/** What every export must give, to the byte. */
let archive: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eksa-airgap-quirks-archive-"));
  contents = await someContents();
  archive = await expectedArchive(folder, contents);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

let stage: Stage;
beforeEach(async () => {
  stage = await openStage();
});
afterEach(() => stage.stop());

describe("everything arrives at a registry that", () => {
  test.each([...EITHER_WAY, ...AS_TARGET])("%s", async (_, quirks) => {
    const target = await startTarget(stage, quirks);
    await importInto(target, archive);
    expect(await missingIn(target, contents)).toEqual([]);
    expect(leaks(undefined, target)).toEqual([]);
  });

  // What a registry has lost again cannot be had from a pipe twice.
  const outOfPipe = [...EITHER_WAY, ...AS_TARGET].filter(([, { forgetsBlobsOnce }]) => !forgetsBlobsOnce);
  test.each(outOfPipe)("%s, out of a pipe", async (_, quirks) => {
    const target = await startTarget(stage, quirks);
    await importInto(target, archive, { isPiped: true });
    expect(await missingIn(target, contents)).toEqual([]);
  });
});

describe("a second import sends no blob again to a registry that", () => {
  test.each([...EITHER_WAY.slice(0, 12), ...AS_TARGET.slice(0, 8)])("%s", async (_, quirks) => {
    const target = await startTarget(stage, quirks);
    await importInto(target, archive);
    target.ledger.length = 0;
    await importInto(target, archive);
    const writes = target.ledger.filter(({ path }) => path.includes("/blobs/uploads/"));
    expect(writes.map(({ method, path }) => `${method} ${path}`)).toEqual([]);
  });
});

describe("an import ends with a clear word at a registry that", () => {
  const cases: [string, Quirks, string[]][] = [
    ["answers 200 to everything", { answers200ToEverything: true }, ["cannot"]],
    ["is full at the last PUT", { quotaExceededAtPut: true }, ["403", "DENIED", "exceed", "quota"]],
    [
      "has no such repository",
      { repositoryMustExist: 404 },
      ["404", "NAME_UNKNOWN", "create the repository"],
    ],
    ["hangs up where there is no repository", { repositoryMustExist: "closes" }, ["closed the connection"]],
    ["has no such project", { repositoryMustExist: 401 }, ["401", "unauthorized to access repository"]],
    ["takes no empty blobs (400)", { refusesEmptyBlobs: 400 }, ["400", "layer is empty"]],
    ["takes no empty blobs (500)", { refusesEmptyBlobs: 500 }, ["500"]],
    ["takes only small manifests", { manifestLimit: 300 }, ["413"]],
  ];
  test.each(cases)("%s", async (_, quirks, words) => {
    const target = await startTarget(stage, quirks);
    const told = await toldBy(importInto(target, archive));
    for (const word of words) expect(told).toContain(word);
    expect(told).not.toContain("s3cret");
  });

  test.each([400, 409, 412] as const)("keeps another content under an immutable tag (%i)", async (status) => {
    const target = await startTarget(stage, { immutableTags: status });
    await seed(target.store, "mirror/eks-anywhere/app", "v1", rawImage(["another"]));
    const told = await toldBy(importInto(target, archive));
    expect(told).toContain("app:v1");
    expect(told).toContain("immutable");
  });
});
