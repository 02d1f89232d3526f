import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Journal } from "../../src/archive/journal.ts";
import { layOut } from "../../src/archive/layout.ts";
import { reachOf } from "../../src/archive/recorded.ts";
import { MEDIA_TYPE } from "../../src/oci/descriptor.ts";
import { digestOf } from "../../src/oci/digest.ts";
import { executable } from "../support/executable.ts";
import { manifestContent } from "../support/memory.ts";
import { testWith } from "../support/needs.ts";
import { putOnline, releaseOf } from "../support/release.ts";
import { Exporting, noise } from "./exporting.ts";
import { expectFailure } from "./stage.ts";

const MB = 1_000_000;
/** bytes of the layers */
const [BASE, ONE, TWO] = [12 * MB, 8 * MB + 1, 10 * MB + 2];
const LIMIT = 60_000;

let exporting: Exporting;
beforeEach(async () => {
  exporting = await Exporting.of({
    "r.io/one:v1": [noise(1, BASE), noise(2, ONE)],
    "r.io/two:v1": [noise(3, TWO)],
  });
});
afterEach(async () => {
  await exporting.end();
});

/** A run behind another program. */
async function runWith(prefix: readonly string[], args: readonly string[]) {
  const child = Bun.spawn([...prefix, await executable(), ...args], {
    env: { PATH: process.env.PATH ?? "", HOME: exporting.folder },
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr] = [new Response(child.stdout).text(), new Response(child.stderr).text()];
  return { status: await child.exited, stdout: await stdout, stderr: await stderr };
}

function expectNoFinalName(): void {
  expect(existsSync(exporting.output)).toBe(false);
}

describe("a file that is too large for its file system", () => {
  const SAYS_FAT = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=statfs"];
  // The kernel's answer, with the number of FAT in it.
  const POKE = ["-e", "inject=statfs:poke_exit=@arg2=444d000000000000"];

  testWith("strace")(
    "is refused on FAT at once, by the way out, and nothing is written",
    async () => {
      const bytes = new TextEncoder().encode('{"os":"linux","architecture":"amd64"}');
      // Its size is all that counts: it is never fetched.
      const huge = { mediaType: "application/octet-stream", digest: `sha256:${"7".repeat(64)}`, size: 5e9 };
      const config = { mediaType: MEDIA_TYPE.ociConfig, digest: digestOf(bytes), size: bytes.length };
      const mediaType = MEDIA_TYPE.ociManifest;
      const content = manifestContent(mediaType, { schemaVersion: 2, mediaType, config, layers: [huge] });
      const blobs = new Map([[config.digest, bytes]]);
      const release = releaseOf(new Map([["r.io/huge:v1", { ...content, blobs }]]));
      const online = await putOnline(release);
      try {
        await writeFile(exporting.bundles, release.yaml);
        const args = ["export", "artifacts", "-o", exporting.output, "--bundles-override", exporting.bundles];
        const result = await runWith([...SAYS_FAT, ...POKE], [...args, ...online.mirrors]);
        expectFailure(result, 1, "cannot hold a file of 50000", "--split-size 4000MiB");
        expect(online.registry.requests.filter(({ path }) => path.includes("/blobs/sha256:7"))).toEqual([]);
        expect(await exporting.names()).toEqual([]);
      } finally {
        await online.stop();
      }
    },
    LIMIT,
  );

  testWith("strace")(
    "is no matter for one that is small enough",
    async () => {
      const expected = await exporting.undisturbed();
      const result = await runWith([...SAYS_FAT, ...POKE], exporting.args([]));
      expect(result.status, result.stderr).toBe(0);
      expect(await exporting.sum()).toBe(expected);
    },
    LIMIT,
  );

  test(
    "is refused likewise where a limit of the system says so",
    async () => {
      const limited = ["sh", "-c", 'ulimit -f 20000; exec "$@"', "sh"];
      const result = await runWith(limited, exporting.args([]));
      expectFailure(result, 1, "cannot hold a file of", "--split-size");
      expect(await exporting.names()).toEqual([]);
      const split = await runWith(limited, exporting.args(["--split-size", "5MB"]));
      expect(split.status, split.stderr).toBe(0);
    },
    LIMIT,
  );

  testWith("strace")(
    "files without holes are written from the front: nothing is written far beyond what is there",
    async () => {
      const log = join(exporting.folder, "strace");
      const trace = ["strace", "-f", "-qq", "-y", "-e", "trace=pwrite64,ftruncate", "-o", log];
      const result = await runWith(trace, exporting.args(["--jobs", "1"]));
      expect(result.status, result.stderr).toBe(0);
      let end = 0;
      let writes = 0;
      for (const line of (await Bun.file(log).text()).split("\n")) {
        if (!line.includes("out.tar.partial>")) continue;
        const [, size, offset] = /, (\d+), (\d+)(?:\)| <)/.exec(line) ?? [];
        if (size === undefined || offset === undefined) continue;
        writes++;
        expect(Number(offset)).toBeLessThanOrEqual(end + 1024);
        end = Math.max(end, Number(offset) + Number(size));
      }
      expect(writes).toBeGreaterThan(10);
      expect(end).toBe(Bun.file(exporting.output).size);
    },
    LIMIT,
  );
});

const BROKEN: [what: string, inject: string][] = [
  ["the first sync", "fdatasync:error=EIO:when=1"],
  ["the tenth write", "pwrite64:error=EIO:when=10"],
  ["every write after the twentieth", "pwrite64:error=ENOSPC:when=20+"],
  ["every sync", "fdatasync:error=ENOSPC"],
];

testWith("strace").each(BROKEN)(
  "a run that a disk fails at %s ends with what to do, and the next one with the right bytes",
  async (_, inject) => {
    const expected = await exporting.undisturbed();
    const [name = ""] = inject.split(":");
    const trace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", `trace=${name}`, "-e", `inject=${inject}`];
    const result = await runWith(trace, exporting.args([]));
    expectFailure(result, 1, `cannot write ${exporting.output}.partial`, /EIO|ENOSPC/, "same command again");
    expectNoFinalName();
    // A failed sync has kept nothing, whatever a second one says.
    if (name === "fdatasync") expect(exporting.recorded().size).toBe(0);
    await exporting.succeed();
    expect(await exporting.sum()).toBe(expected);
  },
  LIMIT,
);

testWith("strace")(
  "a failed sync takes back what was written since the last good one, and nothing before it",
  async () => {
    const expected = await exporting.undisturbed();
    await exporting.interrupt(TWO);
    const before = exporting.recorded();
    const fails = ["-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO"];
    expectFailure(await runWith(["strace", "-f", "-qq", "-o", "/dev/null", ...fails], exporting.args([])), 1);
    const { plan, cut } = Journal.read(`${exporting.output}.journal`)?.beginning ?? {};
    if (plan === undefined) throw new Error("the journal is gone");
    const { end } = reachOf(layOut(plan, cut?.delta), before);
    const { size } = Bun.file(`${exporting.output}.partial`);
    // Zeros may follow, up to the next header.
    expect([size >= end, size < end + 512]).toEqual([true, true]);
    expect(exporting.recorded()).toEqual(before);
    exporting.served.asked.length = 0;
    await exporting.succeed();
    expect(exporting.fetched()).toEqual([TWO]);
    expect(await exporting.sum()).toBe(expected);
  },
  LIMIT,
);

testWith("strace")(
  "bytes are synced in groups, and a disk that is far behind at the end is what the user is told of",
  async () => {
    const log = join(exporting.folder, "strace");
    const slow = ["strace", "-f", "-qq", "-y", "-o", log, "-e", "trace=fdatasync,fsync"];
    // Each of at least two in a row: what is said every five seconds falls into one of them.
    const delay = ["-e", "inject=fdatasync:delay_enter=3500000"];
    const result = await runWith([...slow, ...delay], exporting.args([]));
    expect(result.status, result.stderr).toBe(0);
    expect(result.stderr).toContain("writing the rest to the disk");
    const synced = (await Bun.file(log).text())
      .split("\n")
      .filter((line) => line.includes("out.tar.partial>"));
    expect(synced.length).toBeGreaterThan(0);
    // Not one for each of the pieces that came.
    expect(synced.length).toBeLessThan(10);
  },
  LIMIT,
);

test("a disk that keeps up is not worth a word", async () => {
  expect((await exporting.succeed()).stderr).not.toContain("writing the rest");
});
