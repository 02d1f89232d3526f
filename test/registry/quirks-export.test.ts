import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Quirks } from "../support/quirks.ts";
import {
  type Contents,
  expectedArchive,
  exportFrom,
  leaks,
  openStage,
  type Stage,
  someContents,
  startSource,
  toldBy,
} from "./quirks-carry.ts";
import { AS_SOURCE, EITHER_WAY } from "./quirks-cases.ts";

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

describe("the archive is the same to the byte from a registry that", () => {
  test.each([...EITHER_WAY, ...AS_SOURCE])("%s", async (_, quirks) => {
    const source = await startSource(stage, quirks, contents);
    const output = join(stage.folder, "artifacts.tar");
    await exportFrom(source, output, contents);
    expect(Buffer.from(await Bun.file(output).bytes()).equals(await expected())).toBe(true);
    expect(leaks(source, undefined)).toEqual([]);
  });
});

test("a registry that falls silent in the middle of its blobs is asked again", async () => {
  const source = await startSource(stage, { hangAfter: 100 }, contents);
  const output = join(stage.folder, "artifacts.tar");
  await exportFrom(source, output, contents, { stallAfter: 100 });
  expect(Buffer.from(await Bun.file(output).bytes()).equals(await expected())).toBe(true);
});

async function expected(): Promise<Buffer> {
  return Buffer.from(await Bun.file(archive).bytes());
}

describe("an export ends with a clear word from a registry that", () => {
  const cases: [string, Quirks, string[]][] = [
    ["holds Docker's schema 1", { schema1: true }, ["schema 1", "push the image again"]],
    [
      "answers 200 to everything",
      { answers200ToEverything: true },
      ["it does not speak the distribution API"],
    ],
  ];
  test.each(cases)("%s", async (_, quirks, words) => {
    const source = await startSource(stage, quirks, contents);
    const told = await toldBy(exportFrom(source, join(stage.folder, "x.tar"), contents));
    for (const word of words) expect(told).toContain(word);
    expect(told).not.toContain("s3cret");
  });
});
