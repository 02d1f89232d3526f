import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { Journal } from "../../src/archive/journal.ts";
import type { Digest } from "../../src/oci/digest.ts";
import { PrepackagedStage, partOf } from "./prepackaged-stage.ts";

const LARGE = 3_000_000;

let stage: PrepackagedStage;
beforeAll(async () => {
  stage = await PrepackagedStage.set(LARGE);
});
beforeEach(() => stage.begin());
afterAll(() => stage.strike());

function recorded(): ReadonlyMap<Digest, number> {
  try {
    return Journal.read(join(stage.folder, "out.tar.journal"))?.kept ?? new Map();
  } catch {
    return new Map();
  }
}

/** One kilobyte after the other. */
function dripping(bytes: Uint8Array): ReadableStream<Uint8Array> {
  let at = 0;
  return new ReadableStream({
    async pull(controller) {
      await Bun.sleep(at === 0 ? 0 : 200);
      controller.enqueue(bytes.slice(at, at + 1024));
      at += 1024;
    },
  });
}

/** The layer of some 70 kilobytes. */
function slowLayer(): { digest: Digest; size: number } {
  const blobs = [...stage.artifacts.values()].flatMap((content) => [...content.blobs]);
  const found = blobs.find(([, { length }]) => length > 65_000 && length < 80_000);
  const [digest, { length: size }] = found ?? expect.unreachable();
  return { digest, size };
}

test("a download that is killed goes on inside the blob it was in, and gives the same bytes", async () => {
  const { digest, size } = slowLayer();
  let end = 0;
  stage.serve = (part, bytes) => {
    if (part === undefined || part.to - part.from !== size) return;
    end = part.to;
    const { headers } = partOf(bytes, part);
    return new Response(dripping(bytes.subarray(part.from, part.to)), { status: 206, headers });
  };
  const running = await stage.startTaking("out.tar", "--no-progress");
  // What is written is put on record every few seconds.
  while (!recorded().has(digest)) await Bun.sleep(50);
  running.kill("SIGKILL");
  expect((await running.result).status).toBe(137);
  const kept = recorded().get(digest) ?? expect.unreachable();
  expect(kept).toBeLessThan(size);
  expect(await readdir(stage.folder)).not.toContain("out.tar");

  stage.begin();
  const result = await stage.take("out.tar");
  expect(result, result.stderr).toMatchObject({ status: 0, stdout: "" });
  expect(result.stderr).toContain("going on with");
  expect(result.stderr).toContain("its sha256 and sha512 are those of the Release");
  await stage.expectBuilt("out.tar");
  expect(stage.askedOfRegistries).toBe(0);
  // Its size, and the rest of the slow layer: neither the graph nor anything else again.
  expect(stage.asked).toEqual([
    { from: 0, to: 1 },
    { from: end - size + kept, to: end },
  ]);
}, 60_000);
