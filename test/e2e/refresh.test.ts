import { afterEach, beforeEach, expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { image, seed } from "../support/content.ts";
import { Exporting, noise } from "./exporting.ts";
import { expectFailure } from "./stage.ts";

/** bytes of the layers */
const [BASE, ONE, TWO] = [3_000_000, 1_000_001, 2_000_002];
const LIMIT = 30_000;

let exporting: Exporting;
beforeEach(async () => {
  const base = noise(1, BASE);
  exporting = await Exporting.of({
    "r.io/one:v1": [base, noise(2, ONE)],
    "r.io/two:v1": [base, noise(3, TWO)],
  });
});
afterEach(() => exporting.end());

const MOVED: [string, string[]][] = [
  ["one file", []],
  ["volumes", ["--split-size", "1500000"]],
];

test.each(MOVED)(
  "in %s a plan stays what it was though a tag has moved; with --refresh it is made anew",
  async (_, flags) => {
    // Nothing pins the images but their tags.
    await writeFile(
      exporting.bundles,
      exporting.served.yaml.replaceAll(/imageDigest: .*/g, 'imageDigest: ""'),
    );
    const before = await exporting.undisturbed();
    const sum = () => (flags.length === 0 ? exporting.sum() : exporting.joinVolumes());
    const move = async () => {
      const other = await image({ seed: "moved" });
      await seed(exporting.served.online.registry.store, "one", "v1", other);
    };
    await exporting.interrupt(TWO, ...flags);
    await move();
    await exporting.succeed(...flags);
    expect(await sum()).toBe(before);

    const after = await exporting.undisturbed();
    expect(after).not.toBe(before);
    await Bun.$`rm -r ${dirname(exporting.output)} && mkdir ${dirname(exporting.output)}`;
    // Once more from the first state.
    const original = exporting.served.release.artifacts.get("r.io/one:v1");
    if (original === undefined) throw new Error("no image");
    await seed(exporting.served.online.registry.store, "one", "v1", original);
    await exporting.interrupt(TWO, ...flags);
    await move();
    await exporting.succeed(...flags, "--refresh");
    // The base was there; the layer of the first image is wanted no more.
    expect(exporting.fetched()).toEqual([TWO]);
    expect(await sum()).toBe(after);
    expect((await exporting.names()).every((name) => /^out\.tar(\.\d{3})?$/.test(name))).toBe(true);
  },
  LIMIT,
);

test(
  "a refreshed plan that is interrupted goes on, with what both of them have fetched",
  async () => {
    const expected = await exporting.undisturbed("--exclude", "r.io/one:v1");
    await exporting.interrupt(TWO);
    await exporting.interrupt(TWO, "--exclude", "r.io/one:v1", "--refresh");
    expect(await exporting.names()).toContain("out.tar.previous-1.partial");
    await exporting.succeed("--exclude", "r.io/one:v1");
    expect(exporting.fetched()).toEqual([TWO]);
    expect(await exporting.sum()).toBe(expected);
    expect(await exporting.names()).toEqual(["out.tar"]);
  },
  LIMIT,
);

test(
  "--refresh with nothing changed goes on as if it were not there",
  async () => {
    const expected = await exporting.undisturbed();
    await exporting.interrupt(TWO);
    await exporting.succeed("--refresh");
    expect(exporting.fetched()).toEqual([TWO]);
    expect(await exporting.sum()).toBe(expected);
    expect(await exporting.names()).toEqual(["out.tar"]);
  },
  LIMIT,
);

test(
  "what is lost for good is left out with --exclude --refresh, and the rest is not fetched again",
  async () => {
    const expected = await exporting.undisturbed("--exclude", "r.io/two:v1");
    exporting.lose(TWO);
    expectFailure(await exporting.run(), 1, "--exclude REFERENCE --refresh");
    exporting.served.asked.length = 0;
    await exporting.succeed("--exclude", "r.io/two:v1", "--refresh");
    expect(exporting.fetched()).toEqual([]);
    expect(await exporting.sum()).toBe(expected);
    expect(await exporting.names()).toEqual(["out.tar"]);
  },
  LIMIT,
);
