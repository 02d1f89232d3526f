import { describe, expect } from "bun:test";
import { createHash } from "node:crypto";
import { readdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { byDigest } from "../support/air-gap/inventory.ts";
import { checksum } from "../support/tar.ts";
import { type AirGapStage, done, FIRST, SECOND, testInAirGap } from "./air-gap-stage.ts";

const test = testInAirGap();
const MIB = 1024 * 1024;

/** The other ways across, and the next release. */
export function carried(stage: AirGapStage): void {
  describe("the gap is crossed", () => {
    test("with volumes, which one file would be", async () => {
      const output = stage.onJump("volumes.tar");
      await done(stage.gap.export(output, ["--eksa-version", FIRST, "--split-size", "60MiB"]));
      const { hosts } = stage.gap;
      const names = (await readdir(join(hosts.folder, "jump")))
        .filter((name) => name.startsWith("volumes.tar."))
        .sort();
      const whole = await checksum(await stage.archive());
      expect(names.length).toBe(Math.ceil(Bun.file(await stage.archive()).size / (60 * MIB)));
      const volumes: string[] = [];
      for (const name of names) volumes.push(await stage.carry(stage.onJump(name)));
      const joined = await hosts.output("air", ["sh", "-c", 'cat "$@" | sha256sum', "sh", ...volumes]);
      expect(joined.slice(0, 64)).toBe(whole);
      const registry = await stage.gap.startRegistry();
      await done(stage.gap.import(volumes.slice(0, 1), await registry.clusterFile(FIRST)));
      await stage.expectAll(FIRST, registry);
    });

    test("through a pipe, with the same bytes", async () => {
      const registry = await stage.gap.startRegistry();
      const hash = createHash("sha256");
      const watched = new TransformStream<Uint8Array, Uint8Array>({
        transform(chunk, controller) {
          hash.update(chunk);
          controller.enqueue(chunk);
        },
      });
      const stdin = (await stage.gap.exportStream(["--eksa-version", FIRST])).pipeThrough(watched);
      await done(stage.gap.import(["-"], await registry.clusterFile(FIRST), { stdin }));
      expect(hash.digest("hex")).toBe(await checksum(await stage.archive()));
      await stage.expectAll(FIRST, registry);
    });

    test("by the next release as a delta, which nodes then pull", async () => {
      const [registry, { runtime }] = [await stage.mirror(), await stage.node()];
      const [base, output] = [await stage.archive(), stage.onJump("delta.tar")];
      const flags = ["--eksa-version", SECOND, "--since", stage.onJump(basename(base))];
      await done(stage.gap.export(output, flags));
      const { hosts } = stage.gap;
      await hosts.leaks();
      await done(stage.gap.import([await stage.carry(output)], await registry.clusterFile(SECOND)));
      for (const image of stage.images(SECOND)) {
        await runtime.pullImage(image.reference);
        await runtime.pullImage(byDigest(image));
      }
      expect(await hosts.leaks()).toBe(0);
      await stage.expectAll(SECOND, registry);
      // What was there before is there still.
      await stage.expectAll(FIRST, registry);
      // Manifests, YAML and headers come on top of the blobs that are new.
      expect(Bun.file(output).size).toBeLessThan(stage.gap.size(SECOND, FIRST) + 2 * MIB);
    });
  });
}
