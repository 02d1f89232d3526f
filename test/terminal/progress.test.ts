import { describe, expect, test } from "bun:test";
import { createLog } from "../../src/terminal/log.ts";
import { progressMode } from "../../src/terminal/progress.ts";
import { Screen } from "../../src/terminal/screen.ts";
import { FakeStream } from "./fake-stream.ts";
import {
  CONFIG,
  endOf,
  LAYER,
  MANIFEST,
  MIB,
  nodeOf,
  ROOT,
  rootOf,
  START,
  setUp,
  TOTAL,
} from "./transfers.ts";

const SHORT = LAYER.descriptor.digest.slice(7, 19);
const BUSY = "`public.ecr.aws` has asked for patience (429)";

describe("on a terminal", () => {
  test.each([
    [
      40,
      [
        "exporting [===>     ]  39%  6 s left",
        "40.0 MiB of 101.0 MiB, 10.0 MiB/s",
        "0 of 1 artifact",
        "  [==>   ]  40%  eks-anywhere/layer",
      ],
    ],
    [
      80,
      [
        "exporting [==============>                       ]  39%  6 s left",
        "40.0 MiB of 101.0 MiB, 10.0 MiB/s, 0 of 1 artifact",
        "  [====>     ]  40%  100.0 MiB  eks-anywhere/layer",
      ],
    ],
    [
      200,
      [
        "exporting [==============>                       ]  39%  6 s left",
        "40.0 MiB of 101.0 MiB, 10.0 MiB/s, 0 of 1 artifact",
        `  [=======>          ]  40%  100.0 MiB  ${SHORT}  eks-anywhere/layer`,
      ],
    ],
  ])(
    "in %d columns the block shows the total, the rate, the time left and the blobs in flight",
    (columns, block) => {
      const { listener, advance, stream } = setUp("live", new FakeStream({ columns }));
      listener(START);
      listener({ type: "begin", node: LAYER });
      for (let second = 0; second < 4; second++) {
        listener({ type: "bytes", node: LAYER, bytes: 10 * MIB });
        advance(1000);
      }
      expect(stream.screen()).toEqual(block);
      expect(stream.isCursorHidden).toBe(true);
    },
  );

  test("a rate and a time left that are not known yet are said to be unknown", () => {
    const { listener, advance, stream } = setUp("live");
    listener(START);
    listener({ type: "begin", node: LAYER });
    listener({ type: "bytes", node: LAYER, bytes: 40 * MIB });
    advance(1900);
    expect(stream.screen().slice(0, 2)).toEqual([
      "exporting [==============>                       ]  39%  ? left",
      "40.0 MiB of 101.0 MiB, ? B/s, 0 of 1 artifact",
    ]);
    advance(100);
    expect(stream.screen()[0]).toEndWith("39%  3 s left");
  });

  test("a long name is cut at its beginning: its end tells one from another", () => {
    const { listener, advance, stream } = setUp("live", new FakeStream({ columns: 40 }));
    listener(START);
    listener({ type: "begin", node: nodeOf("kubernetes-sigs/cluster-api/controller", MIB) });
    advance(100);
    expect(stream.screen().at(-1)).toBe("  [>     ]   0%  …uster-api/controller");
  });

  test("at most eight blobs are shown, then how many there are besides", () => {
    const { listener, advance, stream } = setUp("live");
    listener(START);
    for (let index = 0; index < 11; index++) listener({ type: "begin", node: nodeOf(`blob${index}`, MIB) });
    advance(100);
    expect(stream.screen()).toHaveLength(2 + 8 + 1);
    expect(stream.screen().at(-1)).toBe("  and 3 more");
  });

  test("in a low window the blobs make room for what holds things up", () => {
    const { listener, advance, note, stream } = setUp("live", new FakeStream({ columns: 80, rows: 7 }));
    listener(START);
    for (let index = 0; index < 8; index++) listener({ type: "begin", node: nodeOf(`blob${index}`, MIB) });
    note(BUSY, { milliseconds: 3000 });
    advance(100);
    expect(stream.screen().slice(2)).toEqual([
      "  [>         ]   0%    1.0 MiB  eks-anywhere/blob0",
      "  [>         ]   0%    1.0 MiB  eks-anywhere/blob1",
      "  and 6 more",
      `waiting 3 s: ${BUSY}`,
    ]);
  });

  test("a blob keeps its line while it lasts, and the next one takes it over", () => {
    const { listener, advance, stream } = setUp("live");
    const [a, b, c] = ["a", "b", "c"].map((name) => nodeOf(name, MIB));
    if (a === undefined || b === undefined || c === undefined) throw new Error("three nodes");
    const names = () =>
      stream
        .screen()
        .slice(2)
        .map((line) => line.slice(-1));
    listener({ ...START, bytes: 3 * MIB });
    listener({ type: "begin", node: a });
    listener({ type: "begin", node: b });
    advance(100);
    expect(names()).toEqual(["a", "b"]);
    listener(endOf(a, "copied"));
    listener({ type: "begin", node: c });
    advance(100);
    expect(names()).toEqual(["c", "b"]);
  });

  test("it is redrawn on ticks of a tenth of a second, in one write, however many events come", () => {
    const { listener, advance, stream } = setUp("live");
    listener(START);
    listener({ type: "begin", node: LAYER });
    let writes = 0;
    stream.write = () => {
      writes++;
    };
    for (let index = 0; index < 1000; index++) listener({ type: "bytes", node: LAYER, bytes: 1024 });
    expect(writes).toBe(0);
    advance(100);
    expect(writes).toBe(1);
  });

  test("log lines stand above it, and the end takes it away and gives the cursor back", () => {
    const { listener, log, stop, stream, isTicking } = setUp("live", undefined, "verifying");
    listener(START);
    log.warn("credentials go over plain HTTP");
    expect(stream.screen()[0]).toBe("warning: credentials go over plain HTTP");
    stop();
    stop();
    expect(stream.screen()).toEqual(["warning: credentials go over plain HTTP"]);
    expect(stream.isCursorHidden).toBe(false);
    expect(isTicking()).toBe(false);
  });

  test("a resize in the middle is met at the next tick", () => {
    const { listener, advance, stream } = setUp("live", new FakeStream({ columns: 200 }));
    listener(START);
    listener({ type: "begin", node: LAYER });
    advance(100);
    stream.columns = 40;
    stream.rows = 4;
    advance(100);
    for (const line of stream.screen()) expect(line.length).toBeLessThan(40);
    expect(stream.screen()).toHaveLength(3);
  });
});

describe("without a terminal", () => {
  test("there is one line for each artifact, and one every five seconds", () => {
    const { listener, advance, stream } = setUp("plain", new FakeStream());
    listener(START);
    for (const node of [CONFIG, LAYER]) {
      listener({ type: "begin", node });
      listener({ type: "bytes", node, bytes: MIB });
    }
    listener(endOf(CONFIG, "copied"));
    advance(5000);
    listener({ type: "bytes", node: LAYER, bytes: 99 * MIB });
    advance(4999);
    listener(endOf(LAYER, "copied"));
    listener({ type: "begin", node: MANIFEST });
    listener(endOf(MANIFEST, "copied"));
    listener({ type: "artifact", root: ROOT });
    listener({ type: "lost", root: rootOf(MANIFEST, "v2"), error: new Error("gone") });
    expect(stream.lines()).toEqual([
      "exporting 1 artifact, 101.0 MiB",
      "2.0 MiB of 101.0 MiB (1%), 409.6 KiB/s, about 4 min left, 1 in flight",
      "done public.ecr.aws/eks-anywhere/app:v1 (101.0 MiB)",
      "failed public.ecr.aws/eks-anywhere/app:v2",
    ]);
  });

  test("what holds things up goes with the next line, however often it is noted", () => {
    const { note, stream, listener, advance } = setUp("plain", new FakeStream());
    listener(START);
    listener({ type: "begin", node: LAYER });
    for (let index = 0; index < 10; index++) note(BUSY, { milliseconds: 3000 });
    note("it answered 503", { milliseconds: 20_000, digest: LAYER.descriptor.digest });
    advance(5000);
    advance(5000);
    expect(stream.lines().slice(1)).toEqual([
      `0 B of 101.0 MiB (0%), 0 B/s, 1 in flight; waiting 15 s: it answered 503; ${BUSY}`,
      "0 B of 101.0 MiB (0%), 0 B/s, 1 in flight; waiting 10 s: it answered 503",
    ]);
  });

  test("silence is silent", () => {
    const { listener, advance, note, stream, totals } = setUp("silent");
    listener(START);
    listener({ type: "artifact", root: ROOT });
    note("wait");
    advance(60_000);
    expect(stream.written).toBe("");
    expect(totals().artifacts).toBe(1);
  });
});

describe("what was broken off", () => {
  test.each(["live", "plain", "silent"] as const)("says how far it got: %s", (mode) => {
    const { listener, advance, stop, stream } = setUp(mode, undefined, "copying");
    listener({ ...START, artifacts: 3 });
    listener({ type: "begin", node: LAYER });
    listener({ type: "bytes", node: LAYER, bytes: 20 * MIB });
    listener({ type: "lost", root: ROOT, error: new Error("gone") });
    advance(10_000);
    stop();
    stop();
    const said = stream.screen().filter((line) => line.startsWith("copied"));
    expect(said).toEqual(["copied 0 of 3 artifacts, 1 failed: 20.0 MiB moved in 10 s (2.0 MiB/s)"]);
  });

  test("what is whole is summed up by its command, and what did not start is not", () => {
    const { listener, stop, stream } = setUp("plain", new FakeStream());
    stop();
    listener({ type: "start", nodes: 0, bytes: TOTAL, artifacts: 0 });
    stop();
    expect(stream.lines()).toEqual(["exporting 0 artifacts, 101.0 MiB"]);
  });
});

test.each([
  ["a terminal", {}, 80, "text", "live"],
  ["no terminal", {}, undefined, "text", "plain"],
  ["JSON on a terminal", {}, 80, "json", "json"],
  ["--quiet", { quiet: true }, 80, "text", "silent"],
  ["--no-progress", { noProgress: true }, undefined, "text", "silent"],
] as const)("%s makes progress of the right kind", (_, flags, columns, format, mode) => {
  const screen = new Screen(new FakeStream(columns === undefined ? {} : { columns }), {});
  expect(progressMode(screen, createLog({ screen, format }), flags)).toBe(mode);
});

test("the real timer keeps no process alive", async () => {
  const script = `
    import { createLog } from "./src/terminal/log.ts";
    import { createProgress } from "./src/terminal/progress.ts";
    import { Screen } from "./src/terminal/screen.ts";
    const screen = new Screen(process.stderr, {});
    const progress = createProgress({ screen, log: createLog({ screen }), mode: "plain", title: "exporting" });
    progress.listener({ type: "start", nodes: 0, bytes: 0, artifacts: 0 });`;
  const cwd = new URL("../..", import.meta.url).pathname;
  const child = Bun.spawn([process.execPath, "-e", script], {
    cwd,
    stdout: "pipe",
    stderr: "pipe",
    timeout: 4000,
  });
  expect(await child.exited).toBe(0);
  expect(await new Response(child.stdout).text()).toBe("");
});
