import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DiscardingRegistry } from "../support/discarding-registry.ts";
import { runExecutable } from "../support/executable.ts";
import { startLargeSource } from "./large-blob.ts";
import { expectFailure } from "./stage.ts";

/** More than the connection holds on its way: bytes of the layer. */
const SIZE = 128 * 1024 * 1024;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eksa-airgap-shrinking-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

test("an archive that is cut while the kernel sends a part of it is named at once", async () => {
  const source = startLargeSource(SIZE);
  const [input, bundles] = [join(folder, "artifacts.tar"), join(folder, "bundles.yaml")];
  await writeFile(bundles, source.bundles);
  const from = ["--bundles-override", bundles, "--mirror", source.mirror];
  expect(await runExecutable(["export", "artifacts", "-o", input, ...from])).toMatchObject({ status: 0 });
  const target = await DiscardingRegistry.start({
    onBytes: (size) => (size > 1_000_000 ? truncate(input, SIZE / 2) : undefined),
  });
  try {
    const result = await runExecutable(["import", "artifacts", "-i", input, "-r", target.url]);
    const hint = "hint: leave the archive alone while it is read; copy it again";
    expectFailure(result, 4, `because: cannot read ${input} any more: it has become shorter`, hint);
    expect([...target.manifests.keys()].filter((path) => path.includes("/large/"))).toEqual([]);
  } finally {
    await Promise.all([source.stop(), target.stop()]);
  }
}, 30_000);
