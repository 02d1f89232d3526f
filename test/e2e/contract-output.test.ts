import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parse } from "yaml";
import { executable, type RunResult, runExecutable, startExecutable } from "../support/executable.ts";
import { startRegistry, type TestRegistry, type TestRegistryOptions } from "../support/registry.ts";
import { NEW, ReleaseStage } from "./release-stage.ts";
import { expectFailure, flipped } from "./stage.ts";

let stage: ReleaseStage;
/** Filled once, so that what is said of a second import is the same each time. */
let filled: TestRegistry;
beforeAll(async () => {
  stage = await ReleaseStage.set();
  filled = await startRegistry();
  await stage.import("new.tar", filled);
});
afterEach(() => stage.end());
afterAll(async () => {
  await filled.stop();
  await stage.strike();
});

const CONTROLLER = /^public\.ecr\.aws\/eks-anywhere\/controller:v61@sha256:[0-9a-f]{64}$/m;

function bundles(): string[] {
  return ["--eksa-version", NEW, ...stage.online.mirrors];
}

/** A line for each command and form of its result, and what of that has to be on stdout. */
const RESULTS: [string, () => string[], (stdout: string) => void][] = [
  ["an export", () => ["export", "artifacts", "-o", "x.tar", "--force", ...bundles()], isEmpty],
  [
    "its plan",
    () => ["export", "artifacts", "-o", "x", "--dry-run", ...bundles()],
    contains("controller:v61"),
  ],
  ["an archive", () => ["export", "artifacts", "-o", "-", ...bundles()], contains("oci-layout")],
  ["an import", () => ["import", "artifacts", ...archiveAndRegistry()], isMirror],
  ["its mapping", () => ["import", "artifacts", ...archiveAndRegistry(), "--dry-run"], contains(":v61")],
  ["a copy", () => ["copy", "artifacts", "-r", filled.host, ...bundles()], isMirror],
  [
    "the mapping of a copy",
    () => ["copy", "artifacts", "-r", filled.host, "--dry-run", ...bundles()],
    contains(":v61"),
  ],
  ["a verdict", () => ["verify", "artifacts", "-i", "new.tar"], contains("ok: new.tar")],
  ["a verdict as JSON", () => ["verify", "artifacts", "-i", "new.tar", "-o", "json"], isJson("problems")],
  ["a verdict on a registry", () => ["verify", "artifacts", ...archiveAndRegistry()], contains("ok: ")],
  ["what an archive holds", () => ["list", "artifacts", "-i", "new.tar"], contains("controller:v61")],
  [
    "the same as JSON",
    () => ["list", "artifacts", "-i", "new.tar", "-o", "json"],
    isJson("artifacts", "totals"),
  ],
  ["what a release holds", () => ["list", "artifacts", ...bundles()], contains("controller:v61")],
  ["the images of an archive", () => ["list", "images", "-i", "new.tar"], matches(CONTROLLER)],
  ["the images as JSON", () => ["list", "images", "-i", "new.tar", "-o", "json"], isJson("images")],
  ["the images of a release", () => ["list", "images", ...bundles()], matches(CONTROLLER)],
  [
    "the path of manifests",
    () => ["pull", "manifests", "-r", filled.host, "--eksa-version", NEW],
    matches(/^\/.*\.yaml\n$/),
  ],
  ["a part of a cluster's spec", () => ["generate", "mirror-config", "-r", filled.host], isMirror],
  [
    "a runtime's file",
    () => ["generate", "mirror-config", "-r", filled.host, "--format", "crio"],
    contains("location"),
  ],
  ["files in a folder", () => ["generate", "mirror-config", "-r", filled.host, "-d", "conf"], isEmpty],
  ["an offer", () => ["release", "artifacts", ...offer()], isEmpty],
];

function archiveAndRegistry(): string[] {
  return ["-i", "new.tar", "-r", filled.host];
}

function offer(): string[] {
  const uri = "https://assets.example/artifacts.tar";
  const manifest = ["--release-manifest", "manifest.yaml", "-o", "offered.yaml"];
  return ["-i", "new.tar", "--uri", uri, "--eksa-version", NEW, ...manifest];
}

function isEmpty(stdout: string): void {
  expect(stdout).toBe("");
}
function contains(text: string) {
  return (stdout: string) => expect(stdout).toContain(text);
}
function matches(pattern: RegExp) {
  return (stdout: string) => expect(stdout).toMatch(pattern);
}
function isJson(...fields: string[]) {
  return (stdout: string) => expect(Object.keys(JSON.parse(stdout))).toEqual(expect.arrayContaining(fields));
}
function isMirror(stdout: string): void {
  expect(parse(stdout)).toHaveProperty("registryMirrorConfiguration.endpoint", "127.0.0.1");
}

/** Every line is one event. */
function eventsOf(stderr: string): Record<string, unknown>[] {
  const events = stderr
    .trimEnd()
    .split("\n")
    .flatMap((line) => (line === "" ? [] : [JSON.parse(line)]));
  for (const { time, level, event } of events) {
    expect(new Date(time).toISOString()).toBe(time);
    expect(level).toBeOneOf(["debug", "info", "warn", "error"]);
    expect(event).toMatch(/^[a-z][a-zA-Z]+$/);
  }
  return events;
}

describe("only results are on stdout", () => {
  test.each(RESULTS)("%s, however much is said beside it", async (_, line, check) => {
    const words = line();
    const plain = await stage.run(...words);
    expect(plain.status, plain.stderr).toBe(0);
    check(plain.stdout);
    // Nothing of what is said is a result; and nothing at all is said where that is asked for.
    const [quiet, json, loud] = [
      await stage.run(...words, "--quiet"),
      await stage.run(...words, "--log-format", "json", "--verbosity", "4"),
      await stage.run(...words, "--verbosity", "4", "--no-progress"),
    ];
    expect(quiet).toEqual({ ...plain, stderr: "" });
    for (const { status, stdout } of [json, loud])
      expect({ status, stdout }).toEqual({ status: 0, stdout: plain.stdout });
    const events = eventsOf(json.stderr);
    const asked = /^(?:GET|HEAD|PUT|POST) https?:\/\/\S+ \d{3} \d+ ms$/;
    const requests = events.filter(({ message }) => asked.test(String(message)));
    const isOnline = words.includes("-r") ? words[0] !== "generate" : words.includes("--mirror");
    expect(requests.length > 0).toBe(isOnline);
    expect(loud.stderr.split("\n").filter((text) => asked.test(text)).length > 0).toBe(isOnline);
  });

  test.skipIf(!existsSync("/dev/full"))("a result that cannot be written is a failure", async () => {
    const child = Bun.spawn([await executable(), "list", "images", "-i", "new.tar"], {
      cwd: stage.folder,
      env: { PATH: "", HOME: stage.folder },
      stdout: Bun.file("/dev/full"),
      stderr: "pipe",
    });
    const stderr = await child.stderr.text();
    const result = { status: await child.exited, stdout: "", stderr };
    expectFailure(result, 1, "cannot write the result to stdout", "because:", "see where stdout goes");
  });

  test.skipIf(!existsSync("/dev/full"))("a verdict that cannot be written still counts", async () => {
    const archive = join(stage.folder, "flipped.tar");
    await writeFile(archive, flipped(await Bun.file(join(stage.folder, "new.tar")).bytes(), 5000));
    const child = Bun.spawn([await executable(), "verify", "artifacts", "-i", archive], {
      cwd: stage.folder,
      env: { PATH: "", HOME: stage.folder },
      stdout: Bun.file("/dev/full"),
      stderr: "pipe",
    });
    const stderr = await child.stderr.text();
    const result = { status: await child.exited, stdout: "", stderr };
    expectFailure(result, 4, "cannot verify", "because: cannot write the result to stdout", "ENOSPC");
  });

  test.if(process.platform === "linux").each([
    ["an archive", ["export", "artifacts", "-o", "-", "--mirror", "public.ecr.aws=http://127.0.0.1:1"]],
    ["a plan", ["export", "artifacts", "-o", "x.tar", "--dry-run"]],
    ["an import", ["import", "artifacts", "-i", "new.tar", "-r", "http://127.0.0.1:1"]],
    ["a list", ["list", "images", "-i", "new.tar"]],
    ["a verdict", ["verify", "artifacts", "-i", "new.tar"]],
    ["the version", ["version"]],
    ["the version as a flag", ["--version"]],
    ["the help", ["--help"]],
  ])("with a closed stdout, %s is a failure", async (_, words) => {
    const through = ["sh", "-c", 'exec "$0" "$@" >&-'];
    const result = await runExecutable(words, { cwd: stage.folder, through });
    expectFailure(result, 1, "error: cannot write the result to stdout: it is closed", "hint:");
  });

  test("a stdout that goes nowhere is one", async () => {
    const through = ["sh", "-c", 'exec "$0" "$@" >/dev/null'];
    const result = await runExecutable(["version"], { through });
    expect(result).toEqual({ status: 0, stdout: "", stderr: "" });
  });

  test.skipIf(!existsSync("/dev/full"))("what is said and cannot be written is none", async () => {
    const child = Bun.spawn([await executable(), "verify", "artifacts", "-i", "new.tar"], {
      cwd: stage.folder,
      env: { PATH: "", HOME: stage.folder },
      stdout: "pipe",
      stderr: Bun.file("/dev/full"),
    });
    expect(await child.stdout.text()).toStartWith("ok: new.tar");
    expect(await child.exited).toBe(0);
  });
});

describe("the exit code is", () => {
  async function startTarget(
    intercept: NonNullable<TestRegistryOptions["intercept"]>,
  ): Promise<TestRegistry> {
    return stage.startTarget({ intercept });
  }

  async function importInto(target: TestRegistry, ...flags: string[]): Promise<RunResult> {
    return stage.run("import", "artifacts", "-i", "new.tar", "-r", target.host, ...flags);
  }

  /** A registry's own error. */
  function refusal(status: number, code: string): Response {
    return Response.json({ errors: [{ code, message: "not this one" }] }, { status });
  }

  test("0 when all is done", async () => {
    expect((await stage.run("list", "images", "-i", "new.tar")).status).toBe(0);
  });

  test("1 when something fails", async () => {
    expectFailure(await stage.run("list", "images", "-i", "absent.tar"), 1, "cannot open absent.tar");
  });

  test("2 when the line is wrong", async () => {
    expectFailure(await stage.run("list", "images", "-i"), 2);
  });

  test("3 when what could be done is done, as asked", async () => {
    const target = await startTarget((request, url) =>
      request.method === "PUT" && url.pathname.includes("/controller/manifests/")
        ? refusal(400, "DENIED")
        : undefined,
    );
    expectFailure(await importInto(target, "--keep-going"), 3, "controller:v61", "not this one");
  });

  test("4 when an archive is not what it was", async () => {
    const bytes = await stage.bytes("new.tar");
    await writeFile(join(stage.folder, "cut.tar"), bytes.subarray(0, bytes.length / 2));
    await writeFile(join(stage.folder, "flipped.tar"), flipped(bytes, Math.floor(bytes.length * 0.7)));
    for (const name of ["cut.tar", "flipped.tar"]) {
      const result = await stage.run("verify", "artifacts", "-i", name);
      expectFailure({ ...result, stdout: "" }, 4, `cannot verify ${name}`);
      expect(result.stdout).toContain(name);
      const target = await stage.startTarget();
      expectFailure(await stage.run("import", "artifacts", "-i", name, "-r", target.host), 4);
    }
  });

  test("4 when a registry finds other bytes than were named", async () => {
    const target = await startTarget((request, url) =>
      request.method === "PUT" && url.searchParams.has("digest") ? refusal(400, "DIGEST_INVALID") : undefined,
    );
    expectFailure(await importInto(target), 4, "DIGEST_INVALID");
  });

  test.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const)("for %s %i", async (signal, code) => {
    const asked = Promise.withResolvers<void>();
    const never = new Promise<Response>(() => {});
    const target = await startTarget((request) => {
      if (request.method !== "PUT") return;
      asked.resolve();
      return never;
    });
    const line = ["import", "artifacts", "-i", join(stage.folder, "new.tar"), "-r", target.host];
    const run = await startExecutable(line);
    await asked.promise;
    run.kill(signal);
    expectFailure(await run.result, code, "the run was interrupted", "run the same command again");
  });
});
