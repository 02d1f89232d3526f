import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { compressionOf } from "../../src/archive/compression.ts";
import { readContents } from "../../src/archive/contents.ts";
import type { Defect } from "../../src/archive/defect.ts";
import type { Extent } from "../../src/archive/files.ts";
import { BLOCK, decodeHeader } from "../../src/archive/header.ts";
import { ArchiveInspection } from "../../src/archive/inspection.ts";
import { TarFile } from "../../src/archive/reader.ts";
import { ArchiveSource } from "../../src/archive/source.ts";
import { volumesOf } from "../../src/archive/volumes.ts";
import { Fault } from "../../src/oci/fault.ts";
import { textOf } from "../support/faults.ts";
import { realArchives } from "./corpus.ts";
import { forged, seedArchives } from "./tars.ts";

/** `STRESS=20` runs twenty times as many. */
const STRESS = Number(process.env.STRESS ?? 1);

/** Not Buffers, whose slices would be changed in place. */
const SEEDS = Object.values({ ...seedArchives(), ...realArchives() }).map((seed) => new Uint8Array(seed));

let folder: string;
let path: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eksa-airgap-fuzz-"));
  path = join(folder, "a.tar");
});

afterAll(() => rm(folder, { recursive: true }));

/** What a mutation does with an archive's blocks. */
type Change = (blocks: Uint8Array[]) => void;

const NAMES = ["a\0", "./blobs/a\0", "blobs/sha256/a\0", "../a\0", "/a\0", "a/\0", "\0", "a/../../b\0"];
/** Fields of a header, by their first byte, and what a writer who means harm puts there. */
const FIELDS: [at: number, values: string[]][] = [
  [0, NAMES],
  [124, ["00000000000\0", "00000001000\0", "77777777777\0", "-0000000001\0", "\0", " 7\0"]],
  [156, ["0", "1", "2", "5", "L", "K", "x", "g", "S", "\0"]],
  [157, NAMES],
  [257, ["ustar\x0000", "ustar  \0", "\0\0\0\0\0\0\0\0"]],
  [345, ["blobs\0", "..\0", "/\0"]],
];

const forgery = fc.oneof(
  {
    weight: 9,
    arbitrary: fc.oneof(
      ...FIELDS.map(([at, values]) => fc.tuple(fc.constant(at), fc.constantFrom(...values))),
    ),
  },
  { weight: 1, arbitrary: fc.tuple(fc.nat(BLOCK - 13), fc.uint8Array({ minLength: 1, maxLength: 12 })) },
);

/** Any block alike; whoever takes it takes the remainder. */
const somewhere = fc.noBias(fc.nat(5039));

const change: fc.Arbitrary<Change> = fc.oneof(
  // The checksum made right again, so that the change is believed.
  fc.tuple(somewhere, forgery).map(
    ([index, [at, value]]): Change =>
      (blocks) => {
        const block = blocks[index % blocks.length];
        if (block !== undefined) blocks[index % blocks.length] = forged(block, at, value);
      },
  ),
  fc.tuple(somewhere, fc.nat(BLOCK - 1), fc.nat(255)).map(
    ([index, at, byte]): Change =>
      (blocks) => {
        blocks[index % blocks.length]?.fill(byte, at, at + 1);
      },
  ),
  somewhere.map(
    (index): Change =>
      (blocks) =>
        blocks.splice(index % blocks.length, 1),
  ),
  fc.tuple(somewhere, somewhere).map(
    ([from, to]): Change =>
      (blocks) => {
        const block = blocks[from % blocks.length];
        if (block !== undefined) blocks.splice(to % blocks.length, 0, block.slice());
      },
  ),
);

function rarely<T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> {
  return fc.oneof({ weight: 9, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: value });
}

/** What begins as a packed file does is refused before it is looked at as a tar. */
const isPlain = (bytes: Uint8Array) => compressionOf(bytes) === "none";

/** A real archive after a few changes, perhaps cut off at the end. */
const mutated = fc
  .tuple(fc.constantFrom(...SEEDS), fc.array(change, { minLength: 1, maxLength: 3 }), rarely(somewhere))
  .map(([seed, changes, cut]) => {
    const count = Math.ceil(seed.length / BLOCK);
    const blocks = Array.from({ length: count }, (_, index) =>
      seed.slice(index * BLOCK, (index + 1) * BLOCK),
    );
    for (const apply of changes) if (blocks.length > 0) apply(blocks);
    const bytes = Buffer.concat(blocks);
    return cut === undefined ? bytes : bytes.subarray(0, cut % (bytes.length + 1));
  })
  .filter(isPlain);

const anyBytes = fc.oneof(
  { weight: 5, arbitrary: mutated },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 3000 }).filter(isPlain) },
);

/** Lists it, and holds the reader to its promise; what it refuses is undefined. */
function listed(archive: string): Map<string, Extent> | undefined {
  const tar = new TarFile(archive);
  try {
    const found = tar.entries();
    for (const [name, { offset, size }] of found) {
      expect(offset % BLOCK).toBe(0);
      expect(offset + size).toBeLessThanOrEqual(tar.size);
      expect(`/${name}/`).not.toMatch(/\/(?:\.{0,2}|.*\0.*)\/$|^\/\/|\/\.\.?\//);
    }
    return found;
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    expect(error.kind).toBe("mismatch");
    expect(textOf(error)).toMatch(/ byte \d+/);
    return;
  } finally {
    tar.close();
  }
}

/** What is wrong with it; undefined for a tar of something else. */
function inspected(archive: string): readonly Defect[] | undefined {
  try {
    const inspection = new ArchiveInspection(archive);
    inspection.close();
    // Of two names an import takes the first.
    return inspection.defects.filter(({ detail }) => !detail.includes(" is also "));
  } catch (error) {
    expect(error).toMatchObject({ name: "Fault" });
    return;
  }
}

test("the corpus itself is read", async () => {
  for (const seed of SEEDS) {
    await Bun.write(path, seed);
    expect(listed(path)).toBeDefined();
  }
});

describe("any bytes", () => {
  test("are a header, the end or a fault with the offset", () => {
    const block = fc.oneof(
      fc.uint8Array({ minLength: BLOCK, maxLength: BLOCK }),
      fc.tuple(fc.constantFrom(...SEEDS), forgery).map(([seed, [at, value]]) => {
        return forged(seed.slice(0, BLOCK), at, value);
      }),
    );
    fc.assert(
      fc.property(block, (bytes) => {
        try {
          const header = decodeHeader(bytes, 1536);
          if (header === undefined) return;
          expect(Number.isSafeInteger(header.size) && header.size >= 0).toBe(true);
        } catch (error) {
          expect(error).toMatchObject({ name: "Fault", kind: "mismatch", offset: 1536 });
        }
      }),
      { numRuns: 1000 * STRESS },
    );
  });

  test("are entries inside the file, or a fault with an offset", async () => {
    let good = 0;
    let bad = 0;
    await fc.assert(
      fc.asyncProperty(anyBytes, async (bytes) => {
        await Bun.write(path, bytes);
        if (listed(path) === undefined) bad++;
        else good++;
      }),
      { numRuns: 1000 * STRESS },
    );
    // Mutations that are all refused at the first byte would show nothing.
    expect(good).toBeGreaterThan(50);
    expect(bad).toBeGreaterThan(50);
  }, 600_000);

  test("are surveyed whatever they are, and without a defect exactly where they are listed", async () => {
    await fc.assert(
      fc.asyncProperty(anyBytes, async (bytes) => {
        await Bun.write(path, bytes);
        const strict = listed(path);
        const tar = new TarFile(path);
        const { files, defects } = readContents(tar);
        tar.close();
        expect(defects.length === 0).toBe(strict !== undefined);
        if (strict === undefined) return;
        const extents = [...files].map(([name, { offset, size }]) => [name, { offset, size }]);
        expect(extents).toEqual([...strict]);
      }),
      { numRuns: 1000 * STRESS },
    );
  }, 600_000);

  test("are inspected without a defect exactly where they can be read", async () => {
    await fc.assert(
      fc.asyncProperty(anyBytes, async (bytes) => {
        await Bun.write(path, bytes);
        const defects = inspected(path);
        if (defects?.length === 0) new ArchiveSource(path).close();
        else expect(() => new ArchiveSource(path)).toThrow();
      }),
      { numRuns: 300 * STRESS },
    );
  }, 600_000);

  test("are an archive, or a fault", async () => {
    await fc.assert(
      fc.asyncProperty(anyBytes, async (bytes) => {
        await Bun.write(path, bytes);
        try {
          new ArchiveSource(path).close();
        } catch (error) {
          expect(error).toMatchObject({ name: "Fault" });
        }
      }),
      { numRuns: 300 * STRESS },
    );
  }, 600_000);

  test("are in volumes what they are in one piece", async () => {
    const split = join(folder, "split.tar");
    await fc.assert(
      fc.asyncProperty(mutated, fc.integer({ min: 400, max: 4000 }), async (bytes, splitSize) => {
        await Bun.write(path, bytes);
        const members = volumesOf(split, bytes.length, splitSize);
        let start = 0;
        for (const member of members) {
          await Bun.write(member.path, bytes.subarray(start, start + member.size));
          start += member.size;
        }
        try {
          const whole = listed(path);
          // In one piece nobody minds what follows the end; a volume too many is another matter.
          const volumes = listed(`${split}.000`);
          if (volumes !== undefined || whole === undefined) expect(volumes).toEqual(whole);
        } finally {
          await Promise.all(members.map((member) => rm(member.path)));
        }
      }),
      { numRuns: 100 * STRESS },
    );
  }, 600_000);
});
