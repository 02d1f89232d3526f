import { expect } from "bun:test";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { image, type TestContent } from "../support/content.ts";
import { type RunOptions, type RunResult, runExecutable } from "../support/executable.ts";
import { startRegistry, type TestRegistry, type TestRegistryOptions } from "../support/registry.ts";
import { type OnlineRelease, putOnline, type Release, releaseOf } from "../support/release.ts";

export type Intercept = NonNullable<TestRegistryOptions["intercept"]>;

export const HOST = "public.ecr.aws";
/** With one large layer. */
export const FIRST = `${HOST}/eks-anywhere/first:v1`;
export const SECOND = `${HOST}/eks-anywhere/second:v2`;

/** A release of two images and a manifest, online, and what the tests of a file do with it. */
export class Stage {
  readonly folder: string;
  readonly release: Release;
  readonly online: OnlineRelease;
  /** The Bundles manifest, a file. */
  readonly bundles: string;
  /** A good archive; tests that harm one copy it. */
  readonly archive: string;
  /** What the source does before it answers; forgotten after each test. */
  intercept: Intercept | undefined;
  /** A folder for what a test writes; new for each. */
  work = "";
  /** Stopped after each test. */
  readonly running: { stop(): Promise<unknown> }[] = [];

  private constructor(folder: string, release: Release, online: OnlineRelease) {
    this.folder = folder;
    this.release = release;
    this.online = online;
    this.bundles = join(folder, "bundle-release.yaml");
    this.archive = join(folder, "artifacts.tar");
  }

  /** Before all tests. */
  static async set(): Promise<Stage> {
    const folder = await mkdtemp(join(tmpdir(), "eksa-airgap-failures-"));
    const artifacts = new Map<string, TestContent>([
      [FIRST, await image({ seed: "first", layerSizes: [300_000] })],
      [SECOND, await image({ seed: "second", layerSizes: [2000] })],
    ]);
    const release = releaseOf(artifacts, new Map([["https://files.example/a.yaml", "kind: List\n"]]));
    const online = await putOnline(release, {
      intercept: (request, url) => stage.intercept?.(request, url),
    });
    const stage: Stage = new Stage(folder, release, online);
    await writeFile(stage.bundles, release.yaml);
    expect(await stage.exportTo(stage.archive)).toMatchObject({ status: 0, stdout: "" });
    return stage;
  }

  /** Before each test. */
  async begin(): Promise<void> {
    this.work = await mkdtemp(join(this.folder, "work-"));
  }

  /** After each test. */
  async end(): Promise<void> {
    this.intercept = undefined;
    await Promise.all(this.running.splice(0).map((server) => server.stop()));
  }

  /** After all tests. */
  async strike(): Promise<void> {
    await this.online.stop();
    await rm(this.folder, { recursive: true, force: true });
  }

  async startTarget(options: TestRegistryOptions = {}): Promise<TestRegistry> {
    const registry = await startRegistry(options);
    this.running.push(registry);
    return registry;
  }

  exportArgs(output: string, ...flags: string[]): string[] {
    const inputs = ["--bundles-override", this.bundles, ...this.online.mirrors];
    return ["export", "artifacts", "-o", output, ...inputs, ...flags];
  }

  exportTo(output: string, ...flags: string[]): Promise<RunResult> {
    return runExecutable(this.exportArgs(output, ...flags));
  }

  importTo(registry: string, input = this.archive, options: RunOptions = {}): Promise<RunResult> {
    return runExecutable(["import", "artifacts", "-i", input, "-r", registry], options);
  }

  async expectNothingLeft(): Promise<void> {
    expect(await readdir(this.work)).toEqual([]);
  }

  /** What could be fetched is kept, with the record of it; nothing goes by the final name. */
  async expectOnlyPartial(): Promise<void> {
    expect((await readdir(this.work)).sort()).toEqual(["out.tar.journal", "out.tar.partial"]);
  }

  /** Answers requests for the large layer with something else. */
  largeBlobs(answer: (bytes: Uint8Array) => Uint8Array): Intercept {
    const blobs = new Map([...this.release.artifacts.values()].flatMap((content) => [...content.blobs]));
    return (_, { pathname }) => {
      const bytes = [...blobs].find(([digest]) => pathname.endsWith(`/blobs/${digest}`))?.[1];
      return bytes === undefined || bytes.length < 100_000 ? undefined : new Response(answer(bytes).slice());
    };
  }
}

/** What a failure looks like: the exit code, what, why and what to do about it on stderr, stdout left alone. */
export function expectFailure(
  { status, stdout, stderr }: RunResult,
  code: number,
  ...says: (string | RegExp)[]
): void {
  expect({ status, stdout }, stderr).toEqual({ status: code, stdout: "" });
  for (const text of says) {
    if (typeof text === "string") expect(stderr).toContain(text);
    else expect(stderr).toMatch(text);
  }
  const errors = stderr.split("\n").filter((line) => line.startsWith("error:"));
  expect(errors.length).toBeGreaterThan(0);
  for (const line of errors) expect(line).toMatch(/^error: cannot .*[^.]$/);
  // A mistake in the line is its own reason: `--force` given twice.
  const unexplained = stderr
    .split(/^(?=error:)/m)
    .filter((text) => !/^(?:error: .*: | {2}because:)/m.test(text));
  if (code !== 2) expect(unexplained.filter((text) => text.startsWith("error:"))).toEqual([]);
  expect(stderr).toMatch(/^ {2}hint: /m);
  const facts = stderr.split("\n").filter((line) => /^ *(?:because|hint):/.test(line));
  for (const line of facts) expect(line).toMatch(/^ {2}(?:because|hint): \S.*[^.]$/);
  // Nothing of the program's own inside.
  expect(stderr).not.toMatch(/^\s+at |\$bunfs|TypeError|undefined|\[object/m);
}

/** Other bytes: one bit differs. */
export function flipped(bytes: Uint8Array, at: number): Uint8Array {
  const other = Uint8Array.from(bytes);
  other[at] = (other[at] ?? 0) ^ 1;
  return other;
}
