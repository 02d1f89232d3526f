import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test";
import { symlink } from "node:fs/promises";
import { join } from "node:path";
import { runExecutable, startExecutable } from "../support/executable.ts";
import { listTar } from "../support/tar.ts";
import { expectFailure, FIRST, SECOND, Stage } from "./stage.ts";

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.set();
});
beforeEach(() => stage.begin());
afterEach(() => stage.end());
afterAll(() => stage.strike());

interface Report {
  command: string;
  reason?: string[];
  artifacts: { reference: string; digest?: string; bytes?: number; state: string; reason?: string[] }[];
  skipped: unknown[];
  unpinned: { kind: string; name: string }[];
}

async function readReport(path: string): Promise<Report> {
  return JSON.parse(await Bun.file(path).text());
}

/** State by reference, of the two images. */
function statesIn({ artifacts }: Report): Record<string, string> {
  const images = artifacts.filter(({ reference }) => !reference.includes("eks-anywhere/bundles"));
  return Object.fromEntries(images.map(({ reference, state }) => [reference, state]));
}

/** Every request for the first image's layers fails. */
function breakFirst(): void {
  const [first] = [...stage.release.artifacts.values()];
  const layers = [...(first?.blobs.keys() ?? [])].slice(1);
  stage.intercept = (_, url) =>
    layers.some((digest) => url.pathname.endsWith(digest)) ? new Response(null, { status: 404 }) : undefined;
}

test("an export that lost an artifact fetches the rest, keeps it, and reports each", async () => {
  breakFirst();
  const report = join(stage.folder, "lost.json");
  const result = await stage.exportTo(join(stage.work, "out.tar"), "--report", report);
  expectFailure(result, 1, `cannot export ${FIRST}`, "--exclude", "out.tar.partial");
  await stage.expectOnlyPartial();
  const written = await readReport(report);
  expect(written.command).toBe("export artifacts");
  expect(statesIn(written)).toEqual({ [FIRST]: "failed", [SECOND]: "done" });
  const failed = written.artifacts.find(({ reference }) => reference === FIRST);
  expect(failed?.reason?.join("\n")).toContain("answered 404");
  expect(failed?.digest).toBe([...stage.release.artifacts.values()][0]?.root.digest ?? "");
  expect(written.unpinned.length).toBeGreaterThan(0);
});

test("an artifact that is excluded knowingly is neither fetched nor missed, and is reported", async () => {
  breakFirst();
  const report = join(stage.folder, "excluded.json");
  const output = join(stage.work, "out.tar");
  const result = await stage.exportTo(output, "--exclude", FIRST, "--report", report);
  expect(result.status).toBe(0);
  expect(result.stderr).toContain(`left out as asked: ${FIRST}`);
  expect(statesIn(await readReport(report))).toEqual({ [FIRST]: "excluded", [SECOND]: "done" });
  const index = await Bun.$`tar -xOf ${output} index.json`.text();
  expect(index).not.toContain(FIRST);
  expect(index).toContain(SECOND);
  expect(await listTar(output)).toContain("index.json");
});

test("what is to be excluded has to be there: the nearest name is shown", async () => {
  const result = await stage.exportTo(join(stage.work, "out.tar"), "--exclude", `${FIRST}x`);
  expectFailure(result, 2, `cannot exclude ${FIRST}x`, `did you mean ${FIRST}?`);
  await stage.expectNothingLeft();
});

test("a missing image is reported too, before anything is fetched", async () => {
  stage.intercept = (_, url) =>
    url.pathname.includes("/first/manifests/") ? new Response(null, { status: 404 }) : undefined;
  const report = join(stage.folder, "missing.json");
  expectFailure(await stage.exportTo(join(stage.work, "out.tar"), "--report", report), 1, FIRST, "--exclude");
  await stage.expectNothingLeft();
  expect(statesIn(await readReport(report))).toEqual({ [FIRST]: "failed", [SECOND]: "notDone" });
});

/** A target that takes no manifest of the first image. */
async function pickyTarget() {
  return stage.startTarget({
    intercept: ({ method }, url) =>
      method === "PUT" && url.pathname.includes("/first/manifests/")
        ? Response.json({ errors: [{ code: "DENIED", message: "not this one" }] }, { status: 403 })
        : undefined,
  });
}

function importTo(host: string, ...flags: string[]) {
  return runExecutable(["import", "artifacts", "-i", stage.archive, "-r", host, ...flags]);
}

async function tagsOf(url: string, repository: string): Promise<string[]> {
  const response = await fetch(`${url}/v2/eks-anywhere/${repository}/tags/list`);
  return response.ok ? JSON.parse(await response.text()).tags : [];
}

test("an import with `--keep-going` does the rest and ends with 3", async () => {
  const target = await pickyTarget();
  const report = join(stage.folder, "import.json");
  const result = await importTo(target.host, "--keep-going", "--report", report);
  expect(result.status).toBe(3);
  expect(result.stderr).toContain("not this one");
  expect(await tagsOf(target.url, "first")).toEqual([]);
  expect(await tagsOf(target.url, "second")).toEqual(["v2"]);
  const { artifacts } = await readReport(report);
  const states = new Map(artifacts.map(({ reference, state }) => [reference, state]));
  expect(states.get(`${target.host}/eks-anywhere/first:v1`)).toBe("failed");
  expect(states.get(`${target.host}/eks-anywhere/second:v2`)).toBe("done");
});

test("an import without it stops, leaves no tag on what is not whole, and names all that was not done", async () => {
  const target = await pickyTarget();
  const report = join(stage.folder, "stopped.json");
  const result = await importTo(target.host, "--jobs", "1", "--report", report);
  expectFailure(result, 1, `cannot import ${target.host}/eks-anywhere/first:v1`, "not this one");
  expect(await tagsOf(target.url, "first")).toEqual([]);
  const { artifacts } = await readReport(report);
  const undone = artifacts.filter(({ state }) => state !== "done").map(({ reference }) => reference);
  for (const reference of undone) expect(result.stderr).toContain(reference);
  expect(undone).toContain(`${target.host}/eks-anywhere/second:v2`);
});

test("what is damaged in an archive is in the report", async () => {
  const report = join(stage.folder, "damaged.json");
  const bytes = Buffer.from(await Bun.file(stage.archive).bytes());
  const manifest = stage.release.artifacts.get(SECOND)?.manifests.at(-1)?.bytes ?? new Uint8Array();
  const at = bytes.indexOf(manifest);
  bytes.write("?", at + manifest.length / 2);
  const damaged = join(stage.work, "damaged.tar");
  await Bun.write(damaged, bytes);
  const args = ["import", "artifacts", "-i", damaged, "-r", "127.0.0.1:1", "--report", report];
  expectFailure(await runExecutable(args), 4, SECOND);
  expect(at).toBeGreaterThan(0);
  const { artifacts } = await readReport(report);
  expect(artifacts.map(({ reference, state }) => [reference, state])).toEqual([[SECOND, "failed"]]);
  expect(artifacts[0]?.reason?.length).toBeGreaterThan(0);
});

test("a report that could not be written is refused before anything is fetched", async () => {
  const report = join(stage.folder, "nowhere", "report.json");
  const result = await stage.exportTo(join(stage.work, "out.tar"), "--report", report);
  expectFailure(result, 1, `cannot write the report ${report}`, "hint:");
  await stage.expectNothingLeft();
});

test("a report never replaces a file of the run", async () => {
  const output = join(stage.work, "out.tar");
  const [bundles, archive] = [await Bun.file(stage.bundles).bytes(), await Bun.file(stage.archive).bytes()];
  expectFailure(await stage.exportTo(output, "--report", output), 2, "it would replace");
  expectFailure(await stage.exportTo(output, "--report", stage.bundles), 2, "it would replace");
  const link = join(stage.work, "link.json");
  await symlink(stage.archive, link);
  expectFailure(await importTo("127.0.0.1:1", "--report", link), 2, "it would replace");
  expect(await Bun.file(stage.bundles).bytes()).toEqual(bundles);
  expect(await Bun.file(stage.archive).bytes()).toEqual(archive);
});

test("a run that is broken off reports what it had done, and why it ended", async () => {
  const report = join(stage.folder, "broken-off.json");
  const reached = Promise.withResolvers<void>();
  const held = Promise.withResolvers<undefined>();
  const target = await stage.startTarget({
    intercept: async ({ method }, url) => {
      if (method !== "PUT" || !url.pathname.includes("/second/manifests/")) return;
      reached.resolve();
      return held.promise;
    },
  });
  const args = [
    "import",
    "artifacts",
    "-i",
    stage.archive,
    "-r",
    target.host,
    "--jobs",
    "1",
    "--report",
    report,
  ];
  const { result, kill } = await startExecutable(args);
  await Promise.race([reached.promise, result]);
  kill("SIGINT");
  expect((await result).status).toBe(130);
  held.resolve(undefined);
  const written = await readReport(report);
  expect(written.reason?.[0]).toContain("interrupted");
  const states = new Map(written.artifacts.map(({ reference, state }) => [reference, state]));
  expect(states.get(`${target.host}/eks-anywhere/first:v1`)).toBe("done");
  expect(states.get(`${target.host}/eks-anywhere/second:v2`)).toBe("notDone");
});

test("what the preflight finds is in the report of each artifact that it keeps out", async () => {
  const report = join(stage.folder, "obstacle.json");
  const target = await stage.startTarget({
    intercept: ({ method }, url) =>
      method === "POST" && url.pathname.includes("/uploads/")
        ? new Response(null, { status: 403 })
        : undefined,
  });
  expect((await importTo(target.host, "--report", report)).status).toBe(1);
  const { artifacts } = await readReport(report);
  expect(artifacts.every(({ state, reason }) => state === "failed" && (reason?.length ?? 0) > 0)).toBe(true);
});
