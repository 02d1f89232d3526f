import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { truncate, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { runExecutable } from "../support/executable.ts";
import { expectFailure, FIRST, flipped, HOST, Stage } from "./stage.ts";

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.set();
});
beforeEach(() => stage.begin());
afterEach(() => stage.end());
afterAll(() => stage.strike());

async function closedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("it has no port");
  return address.port;
}

test("nobody listening: both commands name the host, and what to look at", async () => {
  const port = await closedPort();
  const [exported, imported] = await Promise.all([
    runExecutable([
      ...["export", "artifacts", "-o", join(stage.work, "out.tar"), "--bundles-override", stage.bundles],
      ...stage.online.mirrors.map((value) =>
        value.startsWith(`${HOST}=`) ? `${HOST}=http://127.0.0.1:${port}` : value,
      ),
    ]),
    stage.importTo(`http://127.0.0.1:${port}`),
  ]);
  for (const result of [exported, imported]) {
    expectFailure(result, 1, `\`127.0.0.1:${port}\` refused the connection`, "hint: is it running");
  }
  expect(exported.stderr).toContain(HOST);
  await stage.expectNothingLeft();
}, 30_000);

describe("an archive that is not whole", () => {
  test.each([
    ["at its end", 1],
    ["by half", 0.5],
    ["in its first header", 0.0001],
  ])("and cut short %s is refused before anything is sent", async (_, part) => {
    const input = join(stage.work, "cut.tar");
    await Bun.write(input, Bun.file(stage.archive));
    await truncate(
      input,
      part === 1 ? Bun.file(stage.archive).size - 1024 : Math.floor(Bun.file(stage.archive).size * part),
    );
    const target = await stage.startTarget();
    expectFailure(
      await stage.importTo(target.url, input),
      4,
      `cannot read ${input}: it is cut short`,
      "hint: copy",
    );
    expect(target.requests).toEqual([]);
  });

  test("and has a bit turned in a blob is found out, and what needs the blob gets no tag", async () => {
    const bytes = await Bun.file(stage.archive).bytes();
    const layer = [...(stage.release.artifacts.get(FIRST)?.blobs.values() ?? [])].at(-1) ?? new Uint8Array();
    const input = join(stage.work, "flipped.tar");
    await writeFile(input, flipped(bytes, Buffer.from(bytes).indexOf(layer) + 100_000));
    const target = await stage.startTarget();
    expectFailure(await stage.importTo(target.url, input), 4, "first:v1", "DIGEST_INVALID");
    expect((await fetch(`${target.url}/v2/eks-anywhere/first/manifests/v1`)).status).toBe(404);
  });

  test("and has two volumes in each other's place is found out, with how to learn which", async () => {
    const input = join(stage.work, "split.tar.000");
    await stage.exportTo(join(stage.work, "split.tar"), "--split-size", "50KiB");
    const [one, other, aside] = ["002", "003", "aside"].map((end) => join(stage.work, `split.tar.${end}`));
    await Bun.$`mv ${one} ${aside}; mv ${other} ${one}; mv ${aside} ${other}`;
    const target = await stage.startTarget();
    const verify = `hint: what arrived stays; \`eksa-airgap verify artifacts --input ${input}\``;
    expectFailure(await stage.importTo(target.url, input), 4, "first:v1", verify);
  });

  test("and has a bit turned in a manifest is refused before anything is sent", async () => {
    const bytes = await Bun.file(stage.archive).bytes();
    const manifest = stage.release.artifacts.get(FIRST)?.manifests[0]?.bytes ?? new Uint8Array();
    const input = join(stage.work, "flipped.tar");
    await writeFile(input, flipped(bytes, Buffer.from(bytes).indexOf(manifest) + 20));
    const target = await stage.startTarget();
    expectFailure(await stage.importTo(target.url, input), 4, FIRST, "cannot verify sha256:");
    expect(target.requests).toEqual([]);
  });

  test.each([
    ["empty", ""],
    ["no tar", "PK\u0003\u0004".repeat(1000)],
  ])("but %s is refused", async (_, content) => {
    const input = join(stage.work, "other.tar");
    await writeFile(input, content);
    expectFailure(await stage.importTo("http://127.0.0.1:1", input), 4, "cannot read");
  });

  test("but not there is refused", async () => {
    expectFailure(
      await stage.importTo("http://127.0.0.1:1", join(stage.work, "none.tar")),
      1,
      `cannot open ${join(stage.work, "none.tar")}`,
    );
  });
});

test("a target that refuses to be written to is named with its own words", async () => {
  const denied = { errors: [{ code: "DENIED", message: "project eksa is full" }] };
  const target = await stage.startTarget({
    intercept: (request) => (request.method === "POST" ? Response.json(denied, { status: 403 }) : undefined),
  });
  const result = await stage.importTo(`${target.url}/eksa`);
  expectFailure(
    result,
    1,
    "cannot import",
    "answered 403 (DENIED: project eksa is full)",
    "hint: give the account",
  );
});
