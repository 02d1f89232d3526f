import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { startExecutable } from "../support/executable.ts";
import { expectFailure, type Intercept, SECOND, Stage } from "./stage.ts";

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.set();
});
beforeEach(() => stage.begin());
afterEach(() => stage.end());
afterAll(() => stage.strike());

describe("a run that is stopped", () => {
  /** Resolves when the first request that fits arrives; none that fits is ever answered. */
  function hanging(fits: (request: Request, url: URL) => boolean) {
    const { promise: arrived, resolve } = Promise.withResolvers<void>();
    const never = new Promise<Response>(() => {});
    const hang: Intercept = (request, url) => {
      if (!fits(request, url)) return;
      resolve();
      return never;
    };
    return { arrived, hang };
  }

  const SIGNALS: [NodeJS.Signals, number][] = [
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ];

  test.each(SIGNALS)(
    "by %s while it exports ends soon, with %i and with what it has fetched",
    async (signal, code) => {
      const { arrived, hang } = hanging((_, url) => url.pathname.includes("/second/blobs/"));
      // Blobs, that is: a small image's config is read for the plan already.
      const config = [...(stage.release.artifacts.get(SECOND)?.blobs.keys() ?? [])][0] ?? "";
      stage.intercept = (request, url) => (url.pathname.endsWith(config) ? undefined : hang(request, url));
      const run = await startExecutable(stage.exportArgs(join(stage.work, "out.tar")));
      await arrived;
      run.kill(signal);
      expectFailure(await run.result, code, "cannot go on: the run was interrupted", "same command again");
      await stage.expectOnlyPartial();
    },
    10_000,
  );

  test("while it reads manifests says so, and not that each of them is missing", async () => {
    const { arrived, hang } = hanging((_, url) => url.pathname.includes("/manifests/"));
    stage.intercept = hang;
    const run = await startExecutable(stage.exportArgs(join(stage.work, "out.tar")));
    await arrived;
    run.kill("SIGINT");
    const result = await run.result;
    expectFailure(result, 130, "cannot go on: the run was interrupted");
    expect(result.stderr.match(/^error:/gm)).toHaveLength(1);
    await stage.expectNothingLeft();
  }, 10_000);

  test.each(SIGNALS)(
    "by %s while it imports ends soon, with %i and without a tag",
    async (signal, code) => {
      const { arrived, hang } = hanging((request) => request.method === "PATCH");
      const target = await stage.startTarget({ intercept: hang });
      const run = await startExecutable(["import", "artifacts", "-i", stage.archive, "-r", target.url]);
      await arrived;
      run.kill(signal);
      expectFailure(await run.result, code, "cannot go on: the run was interrupted");
      const puts = target.requests.filter(({ method }) => method === "PUT");
      expect(puts.filter(({ path }) => path.includes("/manifests/v"))).toEqual([]);
    },
    10_000,
  );

  // Whoever runs the tests may have it ignored.
  test.skipIf(process.platform !== "linux")(
    "by the end of its terminal keeps what it has fetched, and goes on where that is to be ignored",
    async () => {
      const { arrived, hang } = hanging((_, url) => url.pathname.includes("/second/blobs/"));
      const config = [...(stage.release.artifacts.get(SECOND)?.blobs.keys() ?? [])][0] ?? "";
      const isConfig = (url: URL) => url.pathname.endsWith(config);
      stage.intercept = (request, url) => (isConfig(url) ? undefined : hang(request, url));
      const args = stage.exportArgs(join(stage.work, "out.tar"));
      const run = await startExecutable(args, { through: ["env", "--default-signal=HUP"] });
      await arrived;
      run.kill("SIGHUP");
      expectFailure(await run.result, 129, "cannot go on: the run was interrupted", "same command again");
      await stage.expectOnlyPartial();

      const [again, released] = [Promise.withResolvers<void>(), Promise.withResolvers<undefined>()];
      stage.intercept = (_, url) => {
        if (!url.pathname.includes("/second/blobs/") || isConfig(url)) return;
        again.resolve();
        return released.promise;
      };
      const ignoring = await startExecutable(args, { through: ["env", "--ignore-signal=HUP"] });
      await again.promise;
      ignoring.kill("SIGHUP");
      released.resolve(undefined);
      expect(await ignoring.result).toMatchObject({ status: 0 });
    },
    10_000,
  );

  test("while it waits for a registry that is down does not wait any longer", async () => {
    const target = await stage.startTarget({
      intercept: () => new Response(null, { status: 503, headers: { "retry-after": "300" } }),
    });
    const run = await startExecutable([
      "import",
      "artifacts",
      "-i",
      stage.archive,
      "-r",
      target.url,
      "-v",
      "1",
    ]);
    await run.saw(/trying again/);
    run.kill("SIGINT");
    expectFailure(await run.result, 130, "cannot go on: the run was interrupted");
  }, 10_000);
});
