import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { runExecutable } from "../support/executable.ts";
import { expectFailure, FIRST, flipped, SECOND, Stage } from "./stage.ts";

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.set();
});
beforeEach(() => stage.begin());
afterEach(() => stage.end());
afterAll(() => stage.strike());

describe("an export that cannot succeed", () => {
  test("names the image that is missing, and leaves nothing", async () => {
    stage.intercept = (_, url) =>
      url.pathname.includes("/first/") ? new Response(null, { status: 404 }) : undefined;
    const result = await stage.exportTo(join(stage.work, "out.tar"));
    expectFailure(
      result,
      1,
      `cannot read ${FIRST}`,
      "answered 404",
      "cannot export: 1 of 2 images and charts",
    );
    expect(result.stderr).not.toContain(SECOND);
    await stage.expectNothingLeft();
  });

  test("names every image that is missing", async () => {
    stage.intercept = (_, url) =>
      url.pathname.includes("/manifests/") ? new Response(null, { status: 404 }) : undefined;
    const result = await stage.exportTo(join(stage.work, "out.tar"));
    expectFailure(result, 1, FIRST, SECOND, "cannot export: 2 of 2 images and charts");
    await stage.expectNothingLeft();
  });

  test("names the image whose blob is missing, and carries on with the others first", async () => {
    const [first] = [...stage.release.artifacts.values()];
    const layers = [...(first?.blobs.keys() ?? [])].slice(1);
    stage.intercept = (_, url) =>
      layers.some((digest) => url.pathname.endsWith(digest))
        ? new Response(null, { status: 404 })
        : undefined;
    const result = await stage.exportTo(join(stage.work, "out.tar"));
    expectFailure(result, 1, `cannot export ${FIRST}`, "answered 404", "cannot export: 1 of");
    expect(result.stderr).not.toContain(`cannot export ${SECOND}`);
    await stage.expectOnlyPartial();
  });

  test("says that a manifest is not what its digest names", async () => {
    stage.intercept = (_, url) =>
      url.pathname.includes("/first/manifests/") ? new Response("{}") : undefined;
    expectFailure(await stage.exportTo(join(stage.work, "out.tar")), 4, FIRST, "cannot verify sha256:");
    await stage.expectNothingLeft();
  });

  test.each<[string, (bytes: Uint8Array) => Uint8Array]>([
    ["with one bit turned", (bytes) => flipped(bytes, 150_000)],
    ["with a byte too many", (bytes) => Buffer.concat([bytes, new Uint8Array(1)])],
    ["with a byte too few", (bytes) => bytes.subarray(1)],
  ])("says that a blob, %s, is not what its digest names", async (_, answer) => {
    stage.intercept = stage.largeBlobs(answer);
    expectFailure(
      await stage.exportTo(join(stage.work, "out.tar")),
      4,
      `cannot export ${FIRST}`,
      "cannot verify sha256:",
    );
    await stage.expectOnlyPartial();
  });

  test("says that a Bundles is no YAML, and in which line", async () => {
    const file = join(stage.work, "bad.yaml");
    await writeFile(file, "kind: Bundles\nspec: [\n");
    const result = await runExecutable([
      "export",
      "artifacts",
      "-o",
      join(stage.work, "out.tar"),
      "--bundles-override",
      file,
    ]);
    expectFailure(result, 1, `cannot read ${file} as YAML`, /because: line \d+/);
    expect(await readdir(stage.work)).toEqual(["bad.yaml"]);
  });

  test("says that a document is of another kind", async () => {
    const file = join(stage.work, "other.yaml");
    await writeFile(file, "apiVersion: v1\nkind: ConfigMap\n");
    const result = await runExecutable([
      "export",
      "artifacts",
      "-o",
      join(stage.work, "out.tar"),
      "--bundles-override",
      file,
    ]);
    expectFailure(result, 1, `cannot read ${file} as Bundles`, "it is `ConfigMap`");
  });

  test.each([
    ["--bundles-override", "Bundles"],
    ["--release-manifest", "Release manifest"],
  ])("says that there is nothing of the name that %s gives", async (flag, what) => {
    const file = join(stage.work, "none.yaml");
    const args = ["export", "artifacts", "-o", join(stage.work, "out.tar"), flag, file];
    const hint = "hint: check the path: there is nothing of that name\n";
    expectFailure(await runExecutable(args), 1, `cannot read the ${what} ${file}`, hint);
  });

  test("says that the folder for its output is missing", async () => {
    const result = await stage.exportTo(join(stage.work, "nowhere", "out.tar"));
    expectFailure(result, 1, "cannot write", "hint: create the folder");
    await stage.expectNothingLeft();
  });

  test("keeps a file of that name, byte for byte", async () => {
    const output = join(stage.work, "out.tar");
    await writeFile(output, "somebody's work");
    expectFailure(await stage.exportTo(output), 1, `cannot write ${output}`, "hint:", "--force");
    expect(await Bun.file(output).text()).toBe("somebody's work");
    expect(await readdir(stage.work)).toEqual(["out.tar"]);
  });

  test("that is forced keeps the file of that name until it has a better one", async () => {
    const output = join(stage.work, "out.tar");
    await writeFile(output, "somebody's work");
    stage.intercept = stage.largeBlobs((bytes) => flipped(bytes, 0));
    expectFailure(await stage.exportTo(output, "--force"), 4);
    expect(await Bun.file(output).text()).toBe("somebody's work");
    expect((await readdir(stage.work)).sort()).toEqual(["out.tar", "out.tar.journal", "out.tar.partial"]);
  });

  test("refuses to be redirected to plain HTTP off this machine", async () => {
    stage.intercept = (_, url) =>
      url.pathname.includes("/first/blobs/")
        ? new Response(null, {
            status: 307,
            headers: { location: "http://192.0.2.1/blob?X-Amz-Signature=5ecret" },
          })
        : undefined;
    const result = await stage.exportTo(join(stage.work, "out.tar"));
    expectFailure(result, 1, "http://192.0.2.1/blob", "would go over plain HTTP", "hint:");
    expect(result.stderr).not.toContain("5ecret");
    await stage.expectNothingLeft();
  });

  test("refuses a Bundles over plain HTTP off this machine", async () => {
    const result = await runExecutable([
      ...["export", "artifacts", "-o", join(stage.work, "out.tar")],
      ...["--bundles-override", "http://192.0.2.1/bundle-release.yaml"],
    ]);
    expectFailure(result, 1, "would go over plain HTTP", "hint: serve `192.0.2.1` over https");
  });
});

test("an export that is forced replaces the file of that name", async () => {
  const output = join(stage.work, "out.tar");
  await writeFile(output, "somebody's work");
  expect(await stage.exportTo(output, "--force")).toMatchObject({ status: 0, stdout: "" });
  expect(await Bun.file(output).bytes()).toEqual(await Bun.file(stage.archive).bytes());
});

test("an output that is already right is kept, and no blob is fetched", async () => {
  const output = join(stage.work, "out.tar");
  await Bun.write(output, Bun.file(stage.archive));
  const { ino, mtimeMs } = await Bun.file(output).stat();
  const result = await stage.exportTo(output, "-v", "4");
  expect(result).toMatchObject({ status: 0, stdout: "" });
  expect(result.stderr).toContain("is already what this export would write");
  expect(await Bun.file(output).stat()).toMatchObject({ ino, mtimeMs });
});

test("a dry run prints the plan on stdout and writes nothing", async () => {
  const result = await stage.exportTo(join(stage.work, "out.tar"), "--dry-run");
  expect(result.status).toBe(0);
  const [first, second] = [...stage.release.artifacts.values()];
  expect(result.stdout).toContain(`${FIRST}@${first?.root.digest}`);
  expect(result.stdout).toContain(`${SECOND}@${second?.root.digest}`);
  expect(result.stdout).toContain(`archive: ${Bun.file(stage.archive).size} bytes`);
  expect(result.stderr).not.toContain("error:");
  await stage.expectNothingLeft();
});

const mayMount =
  process.getuid?.() === 0 &&
  Bun.which("unshare") !== null &&
  Bun.spawnSync(["unshare", "--mount", "true"]).exitCode === 0;

/** Runs `work` with a disk of this size in place of the working folder. */
async function onDiskOf(size: string, work: () => Promise<void>): Promise<void> {
  await Bun.$`mount -t tmpfs -o size=${size} tmpfs ${stage.work}`.quiet();
  try {
    await work();
  } finally {
    await Bun.$`umount ${stage.work}`.quiet();
  }
}

test.skipIf(!mayMount)("a disk with too little room is refused before the first blob", async () => {
  await onDiskOf("1m", async () => {
    let asked = 0;
    stage.intercept = stage.largeBlobs((bytes) => {
      asked++;
      return bytes;
    });
    const result = await stage.exportTo(join(stage.work, "out.tar"));
    expectFailure(result, 1, /are needed in .*, and .* are free/, "hint: free");
    expect(asked).toBe(0);
    await stage.expectNothingLeft();
  });
});

test.skipIf(!mayMount)(
  "a disk that gets full on the way ends in a state that can be gone on with",
  async () => {
    await onDiskOf("40m", async () => {
      const filler = join(stage.work, "filler");
      const fill = stage.largeBlobs((bytes) => {
        Bun.spawnSync(["dd", "if=/dev/zero", `of=${filler}`, "bs=4k"], { stderr: "ignore" });
        return bytes;
      });
      stage.intercept = fill;
      const output = join(stage.work, "out.tar");
      expectFailure(await stage.exportTo(output), 1, "cannot write", "ENOSPC", "hint: free some space");
      expect((await readdir(stage.work)).sort()).toEqual(["filler", "out.tar.journal", "out.tar.partial"]);
      stage.intercept = undefined;
      await rm(filler);
      const again = await stage.exportTo(output);
      expect(again).toMatchObject({ status: 0 });
      expect(again.stderr).toContain("going on with");
      expect(await Bun.file(output).bytes()).toEqual(await Bun.file(stage.archive).bytes());
      expect(await readdir(stage.work)).toEqual(["out.tar"]);
    });
  },
);
