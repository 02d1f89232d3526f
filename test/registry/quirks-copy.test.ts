import { afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import {
  type Contents,
  copyBetween,
  leaks,
  missingIn,
  openStage,
  type Stage,
  someContents,
  startSource,
  startTarget,
} from "./quirks-carry.ts";
import { AS_SOURCE, AS_TARGET, EITHER_WAY } from "./quirks-cases.ts";

let contents: Contents;
beforeAll(async () => {
  contents = await someContents();
});

let stage: Stage;
beforeEach(async () => {
  stage = await openStage();
});
afterEach(() => stage.stop());

describe("everything is copied straight from a registry that", () => {
  test.each([...EITHER_WAY, ...AS_SOURCE])("%s", async (_, quirks) => {
    const source = await startSource(stage, quirks, contents);
    const target = await startTarget(stage, {});
    await copyBetween(source, target, contents);
    expect(await missingIn(target, contents)).toEqual([]);
    expect(leaks(source, target)).toEqual([]);
  });
});

describe("everything is copied straight to a registry that", () => {
  test.each([...EITHER_WAY, ...AS_TARGET])("%s", async (_, quirks) => {
    const source = await startSource(stage, {}, contents);
    const target = await startTarget(stage, quirks);
    await copyBetween(source, target, contents);
    expect(await missingIn(target, contents)).toEqual([]);
    expect(leaks(source, target)).toEqual([]);
  });
});

test("what breaks at both ends at once arrives all the same", async () => {
  const source = await startSource(
    stage,
    { dropBodyAt: 5000, tokenLifetime: 1, rateLimitEvery: 3, redirectsBlobs: "store" },
    contents,
  );
  const target = await startTarget(stage, {
    breaksPatches: 3,
    tokenEndsDuringPatch: true,
    closesFirst: true,
  });
  await copyBetween(source, target, contents, { attempts: 16 });
  expect(await missingIn(target, contents)).toEqual([]);
  expect(leaks(source, target)).toEqual([]);
});
