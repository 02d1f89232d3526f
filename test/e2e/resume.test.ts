import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { open, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { runExecutable, startExecutable } from "../support/executable.ts";
import { Exporting, noise } from "./exporting.ts";
import { expectFailure } from "./stage.ts";

/** bytes of the layers */
const [BASE, ONE, TWO] = [3_000_000, 1_000_001, 2_000_002];
const LIMIT = 30_000;

let exporting: Exporting;
let partial: string;
beforeEach(async () => {
  const base = noise(1, BASE);
  exporting = await Exporting.of({
    "r.io/one:v1": [base, noise(2, ONE)],
    "r.io/two:v1": [base, noise(3, TWO)],
  });
  partial = `${exporting.output}.partial`;
});
afterEach(() => exporting.end());

const sized = (size: number) => (bytes: Uint8Array) => bytes.length === size;

test(
  "after Ctrl-C the same command goes on: what is there is not fetched again",
  async () => {
    const expected = await exporting.undisturbed();
    await exporting.interrupt(TWO);
    const { stderr } = await exporting.succeed();
    expect(stderr).toContain(`going on with ${partial}: 3.8 MiB of 5.7 MiB are there`);
    expect(exporting.fetched()).toEqual([TWO]);
    expect(await exporting.sum()).toBe(expected);
    expect(await exporting.names()).toEqual(["out.tar"]);
  },
  LIMIT,
);

test(
  "it goes on inside a blob, from the recorded byte",
  async () => {
    const expected = await exporting.undisturbed();
    await exporting.interrupt(TWO);
    const [digest] = [...exporting.served.layers].find(([, bytes]) => bytes.length === BASE) ?? [];
    const journal = await readFile(`${exporting.output}.journal`, "utf8");
    await writeFile(`${exporting.output}.journal`, `${journal}${digest} 1234567\n`);
    await exporting.succeed();
    const asked = exporting.served.asked.map(({ from, bytes }) => [from, bytes]);
    expect(asked.sort()).toEqual([
      [0, TWO],
      [1_234_567, BASE - 1_234_567],
    ]);
    expect(await exporting.sum()).toBe(expected);
  },
  LIMIT,
);

test(
  "a byte that changed on the disk meanwhile is noticed, and the blob fetched again",
  async () => {
    const expected = await exporting.undisturbed();
    await exporting.interrupt(TWO);
    const file = await open(partial, "r+");
    await file.write(new Uint8Array([1, 2, 3]), 0, 3, 100_000);
    await file.close();
    await exporting.succeed();
    expect(exporting.fetched().length).toBeGreaterThan(1);
    expect(await exporting.sum()).toBe(expected);
  },
  LIMIT,
);

test(
  "how many jobs there are, and how loud a run is, may differ between runs",
  async () => {
    const expected = await exporting.undisturbed();
    await exporting.interrupt(TWO);
    await exporting.succeed(
      "--jobs",
      "7",
      "-v",
      "1",
      "--log-format",
      "json",
      "--report",
      join(exporting.folder, "r"),
    );
    expect(exporting.fetched()).toEqual([TWO]);
    expect(await exporting.sum()).toBe(expected);
  },
  LIMIT,
);

test(
  "a second export to the same output is refused while the first is at work, and harms nothing",
  async () => {
    const expected = await exporting.undisturbed();
    const asked = exporting.hang(sized(TWO));
    const first = await exporting.start("--jobs", "1");
    await asked;
    expectFailure(await exporting.run(), 1, "another run is writing it", /held by process \d+ on /);
    expectFailure(await exporting.run("--force", "--refresh"), 1, "another run is writing it");
    first.kill("SIGTERM");
    expect((await first.result).status).toBe(143);
    exporting.served.before = undefined;
    await exporting.succeed();
    expect(await exporting.sum()).toBe(expected);
  },
  LIMIT,
);

const OTHERS: [string, string[]][] = [
  ["--include-signatures", []],
  ["--split-size 2MB", []],
  ["--eksa-version v0.22.0", []],
  ["--release-manifest manifest.yaml", []],
  ["--exclude r.io/one:v1", []],
];

test.each(OTHERS)(
  "another command (%s) does not go on with it, and says with what it could",
  async (flags) => {
    const expected = await exporting.undisturbed();
    await exporting.interrupt(TWO);
    const result = await exporting.run(...flags.split(" "));
    expectFailure(
      result,
      1,
      "another export to it was interrupted",
      "--bundles-override",
      "--refresh",
      "out.tar.journal",
    );
    expect(exporting.fetched()).toEqual([]);
    await exporting.succeed();
    expect(await exporting.sum()).toBe(expected);
  },
  LIMIT,
);

test(
  "the command that it names can be run as it stands",
  async () => {
    const flags = ["--exclude", "r.io/one:v1", "--split-size", "1500000"];
    await exporting.interrupt(TWO, ...flags);
    const { stderr } = await exporting.run();
    const [, command = ""] = /`export artifacts (.*)`\n/.exec(stderr) ?? [];
    expect(command).toContain("--exclude r.io/one:v1 --split-size 1500000");
    const result = await runExecutable([
      "export",
      "artifacts",
      ...command.split(" "),
      ...exporting.served.online.mirrors,
    ]);
    expect(result.status, result.stderr).toBe(0);
  },
  LIMIT,
);

test(
  "the same name in another folder is another Bundles",
  async () => {
    const args = exporting.args([]).map((arg) => (arg === exporting.bundles ? "bundles.yaml" : arg));
    const asked = exporting.hang(sized(TWO));
    const running = await startExecutable([...args, "--jobs", "1"], { cwd: exporting.folder });
    await asked;
    running.kill("SIGINT");
    await running.result;
    exporting.served.before = undefined;
    await Bun.$`cp ${exporting.bundles} ${join(exporting.folder, "out")}`;
    const elsewhere = await runExecutable(args, { cwd: join(exporting.folder, "out") });
    expectFailure(elsewhere, 1, "another export to it was interrupted", exporting.bundles);
    expect((await runExecutable(args, { cwd: exporting.folder })).status).toBe(0);
  },
  LIMIT,
);

test(
  "volumes that were stopped and gone on with are the plain archive one after the other",
  async () => {
    const expected = await exporting.undisturbed();
    for (const size of [BASE, TWO]) await exporting.interrupt(size, "--split-size", "1MB");
    await exporting.succeed("--split-size", "1MB");
    expect(exporting.fetched()).toEqual([TWO]);
    expect(await exporting.joinVolumes()).toBe(expected);
    expect(await exporting.names()).toEqual(Array.from({ length: 7 }, (_, index) => `out.tar.00${index}`));
  },
  LIMIT,
);

test(
  "what the registry had lost is all that is fetched once it is back",
  async () => {
    const expected = await exporting.undisturbed();
    exporting.lose(TWO);
    expectFailure(await exporting.run(), 1, "1 of 3 artifacts are missing", "same command again", partial);
    expect(existsSync(exporting.output)).toBe(false);
    exporting.served.absent.clear();
    exporting.served.asked.length = 0;
    await exporting.succeed();
    expect(exporting.fetched()).toEqual([TWO]);
    expect(await exporting.sum()).toBe(expected);
  },
  LIMIT,
);

test(
  "bytes that nobody speaks for are refused by name and kept",
  async () => {
    await writeFile(partial, "precious");
    expectFailure(await exporting.run(), 1, `cannot go on with ${partial}`, `remove ${partial}`);
    expect(await readFile(partial, "utf8")).toBe("precious");
    expect(await exporting.names()).toEqual(["out.tar.partial"]);
  },
  LIMIT,
);

test(
  "an address that is signed anew is the same Bundles, and no signature is written down",
  async () => {
    const yaml = exporting.served.yaml;
    const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response(yaml) });
    try {
      const url = `http://127.0.0.1:${server.port}/bundles.yaml?X-Amz-Signature=`;
      const args = (signature: string) =>
        exporting.args([]).map((arg) => (arg === exporting.bundles ? url + signature : arg));
      exporting.lose(TWO);
      expect((await runExecutable(args("s3cret1"))).status).toBe(1);
      expect(await readFile(`${exporting.output}.journal`, "latin1")).not.toContain("s3cret1");
      const other = await runExecutable([...args("s3cret2"), "--include-signatures"]);
      expectFailure(other, 1, "another export to it was interrupted");
      expect(other.stderr).not.toContain("s3cret");
      exporting.served.absent.clear();
      expect((await runExecutable(args("s3cret3"))).status).toBe(0);
    } finally {
      await server.stop(true);
    }
  },
  LIMIT,
);

test(
  "a later volume of some other archive is not taken away unasked",
  async () => {
    const stray = `${exporting.output}.005`;
    await writeFile(stray, "precious");
    const result = await exporting.run("--split-size", "2MB");
    expectFailure(result, 1, `there is ${stray}, of another archive`, "--force");
    expect(exporting.fetched()).toEqual([]);
    expect(await exporting.names()).toEqual(["out.tar.005"]);
    await exporting.succeed("--split-size", "2MB", "--force");
    expect(await exporting.names()).toEqual(["out.tar.000", "out.tar.001", "out.tar.002", "out.tar.003"]);
  },
  LIMIT,
);

test(
  "volumes that are there already are recognised, all of them",
  async () => {
    await exporting.succeed("--split-size", "2MB");
    exporting.served.asked.length = 0;
    const { stderr } = await exporting.succeed("--split-size", "2MB");
    expect(stderr).toContain("is already what this export would write");
    // The same bytes, cut otherwise, are not what was asked for.
    expectFailure(await exporting.run("--split-size", "1MB"), 1, "there is another file of that name");
    await writeFile(`${exporting.output}.002`, new Uint8Array(2_000_000));
    expectFailure(await exporting.run("--split-size", "2MB"), 1, "there is another file of that name");
  },
  LIMIT,
);
