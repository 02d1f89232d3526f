import { expect, test } from "bun:test";
import { failWith, lostArtifacts, unfound } from "../../src/commands/failures.ts";
import { NetworkError } from "../../src/http/transport.ts";
import { digestOf } from "../../src/oci/digest.ts";
import { Fault } from "../../src/oci/fault.ts";
import { parseReference } from "../../src/oci/reference.ts";
import { AnswerFault } from "../../src/registry/answer.ts";
import { createLog } from "../../src/terminal/log.ts";
import { Screen } from "../../src/terminal/screen.ts";
import { PlatformFault } from "../../src/transfer/prune.ts";
import { faultOf, textOf } from "../support/faults.ts";
import { FakeStream } from "../terminal/fake-stream.ts";

const descriptor = { mediaType: "application/json", digest: digestOf(new Uint8Array()), size: 0 };

test.each([
  ["lost.json", "80 of 100 failures are not shown; see the report lost.json"],
  [undefined, "80 of 100 failures are not shown; to have them all, name a file with `--report FILE`"],
  [false as const, "80 of 100 failures are not shown"],
])(
  "of a hundred failures the first are printed, and with --report %p it is said where all are",
  async (report, last) => {
    const failures = Array.from({ length: 100 }, (_, index) => ({
      what: `a${index}`,
      error: new Error("no"),
    }));
    const stream = new FakeStream();
    const log = createLog({ screen: new Screen(stream, {}) });
    const fault = await faultOf(() => failWith(log, failures, { message: "cannot do it", report }));
    expect(fault.message).toBe("cannot do it");
    expect(stream.lines()).toContain("  a19");
    expect(stream.lines()).not.toContain("  a20");
    expect(stream.lines().at(-1)).toBe(last);
  },
);

const without = "leave it out with `--exclude`";
const limited = new NetworkError("refuses all requests", { code: "RATE_LIMITED", retryable: false });
const answered = (status: number) =>
  new Fault("cannot read it", {
    cause: new AnswerFault("it answered", { status, errors: [], hint: undefined }),
  });

test.each<[string, unknown[], string, boolean]>([
  ["404s", [answered(404), answered(404)], "cannot list: 2 images cannot be found", false],
  ["other bytes", [new Fault("bytes", { kind: "mismatch" })], "cannot list: 1 images cannot be read", true],
  ["401s", [answered(401), answered(401)], "cannot list: 2 images cannot be read", true],
  [
    "a token server's 404",
    [new Fault("cannot read it", { cause: answered(404) })],
    "cannot list: 1 images cannot be read",
    true,
  ],
  ["a 404 and a 429", [answered(404), answered(429)], "cannot list: 2 images cannot be read", false],
  ["429s", [answered(429), answered(429)], "cannot list: 2 images cannot be read", true],
  ["a 503 and a limit", [answered(503), limited], "cannot list: 2 images cannot be read", true],
])("of %s is said what that means for the images", (_, errors, message, isLater) => {
  const failures = errors.map((error) => ({ error }));
  const ending = unfound("list", failures, { what: `${errors.length} images`, without });
  expect(ending.message).toBe(message);
  expect(ending.hint).toEndWith(without);
  expect(ending.hint?.startsWith("nothing says that they are missing: run the same command again once")).toBe(
    isLater,
  );
});

test("images that have other platforms are there: nobody should leave them out", () => {
  const error = new PlatformFault("cannot find linux/s390x in the image", "linux/s390x");
  const what = "2 of 5 images";
  expect(unfound("list", [{ error }, { error }], { what, without })).toEqual({
    message: "cannot list: 2 of 5 images have nothing for linux/s390x",
    hint: "name a platform that they are for, or leave out `--platform`",
  });
  const mixed = unfound("list", [{ error }, { error: answered(404) }], { what, without });
  expect(mixed).toEqual({ message: "cannot list: 2 of 5 images cannot be read", hint: without });
});

test("what failed is told before what was not reached for that", () => {
  const lost = (name: string, error?: Error) => ({
    root: { reference: parseReference(`example.com/${name}:v1`), descriptor },
    error,
  });
  const failures = lostArtifacts("import", [lost("a"), lost("b", new Error("the disk is full")), lost("c")]);
  expect(failures.map(({ what }) => what)).toEqual(["b", "a", "c"].map((name) => `example.com/${name}:v1`));
  expect(failures.map(({ error }) => (error instanceof Fault ? textOf(error) : ""))).toEqual([
    expect.stringContaining("the disk is full"),
    expect.stringContaining("the run stopped before it"),
    expect.stringContaining("the run stopped before it"),
  ]);
});
