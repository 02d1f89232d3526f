import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type Digest, digestOf } from "../../src/oci/digest.ts";
import { Fault } from "../../src/oci/fault.ts";
import type { Node, Root } from "../../src/oci/plan.ts";
import { createLog } from "../../src/terminal/log.ts";
import { createProgress, type ProgressMode, progressMode } from "../../src/terminal/progress.ts";
import { ProgressState } from "../../src/terminal/progress-state.ts";
import { formatSummary, renderLive } from "../../src/terminal/progress-view.ts";
import { Screen } from "../../src/terminal/screen.ts";
import { FakeStream } from "./fake-stream.ts";

const MIB = 1024 * 1024;

function nodeOf(name: string, size: number, children: readonly Digest[] = []): Node {
  const digest = digestOf(new TextEncoder().encode(name));
  return {
    descriptor: { mediaType: "application/octet-stream", digest, size },
    kind: children.length > 0 ? "manifest" : "blob",
    children,
    repositories: new Set([`public.ecr.aws/eks-anywhere/${name}` as const]),
  };
}

function rootOf({ descriptor }: Node, tag: string): Root {
  return { reference: { registry: "public.ecr.aws", repository: "eks-anywhere/app", tag }, descriptor };
}

const LAYER = nodeOf("layer", 100 * MIB);
const CONFIG = nodeOf("config", MIB);
const MANIFEST = nodeOf("manifest", 512, [CONFIG.descriptor.digest, LAYER.descriptor.digest]);
const ROOT = rootOf(MANIFEST, "v1");
const TOTAL = 101 * MIB + 512;
const START = { type: "start", nodes: 3, bytes: TOTAL, artifacts: 1 } as const;

/** A progress whose clock and timer the test moves. */
function setUp(mode: ProgressMode, stream = new FakeStream({ columns: 80 })) {
  let time = 0;
  let tick: (() => void) | undefined;
  let interval = 0;
  const screen = new Screen(stream, {});
  const log = createLog({ screen, format: mode === "json" ? "json" : "text" });
  const progress = createProgress({
    screen,
    log,
    mode,
    title: "exporting",
    now: () => time,
    every: (milliseconds, callback) => {
      interval = milliseconds;
      tick = callback;
      return () => {
        tick = undefined;
      };
    },
  });
  const advance = (milliseconds: number) => {
    for (let passed = interval; passed <= milliseconds; passed += interval) {
      time += interval;
      tick?.();
    }
  };
  return { ...progress, stream, log, advance, isTicking: () => tick !== undefined };
}

describe("on a terminal", () => {
  test("the block shows the total, the rate, the time left and the blobs in flight", () => {
    const { listener, advance, stream } = setUp("live");
    listener(START);
    listener({ type: "begin", node: LAYER });
    for (let second = 0; second < 4; second++) {
      listener({ type: "bytes", node: LAYER, bytes: 10 * MIB });
      advance(1000);
    }
    expect(stream.screen()).toEqual([
      "exporting [==============>                       ]  39%  6 s left",
      "40.0 MiB of 101.0 MiB, 10.0 MiB/s, 0 of 1 artifact",
      `  ${LAYER.descriptor.digest.slice(7, 19)}  100.0 MiB  40%  public.ecr.aws/eks-anywhere/layer`,
    ]);
  });

  test("forty columns are enough for what matters", () => {
    const { listener, advance, stream } = setUp("live", new FakeStream({ columns: 40 }));
    listener(START);
    listener({ type: "begin", node: LAYER });
    listener({ type: "bytes", node: LAYER, bytes: 30 * MIB });
    advance(3000);
    expect(stream.screen()).toEqual([
      "exporting [===>        ]  29%  7 s left",
      "30.0 MiB of 101.0 MiB, 10.0 MiB/s, 0 o…",
      `  ${LAYER.descriptor.digest.slice(7, 19)}  100.0 MiB  30%  public…`,
    ]);
    for (const line of stream.lines()) expect(line.length).toBeLessThan(40);
  });

  test("at most eight blobs are shown, then how many there are besides", () => {
    const { listener, advance, stream } = setUp("live");
    listener(START);
    for (let index = 0; index < 11; index++) listener({ type: "begin", node: nodeOf(`blob${index}`, MIB) });
    advance(100);
    expect(stream.screen()).toHaveLength(2 + 8 + 1);
    expect(stream.screen().at(-1)).toBe("  and 3 more");
  });

  test("it is redrawn on ticks of a tenth of a second, however many events come", () => {
    const { listener, advance, stream } = setUp("live");
    listener(START);
    listener({ type: "begin", node: LAYER });
    const before = stream.written;
    for (let index = 0; index < 1000; index++) listener({ type: "bytes", node: LAYER, bytes: 1024 });
    expect(stream.written).toBe(before);
    advance(100);
    expect(stream.written).not.toBe(before);
  });

  test("log lines stand above it, and the end takes it away", () => {
    const { listener, log, stop, stream, isTicking } = setUp("live");
    listener(START);
    log.warn("credentials go over plain HTTP");
    expect(stream.screen()[0]).toBe("warning: credentials go over plain HTTP");
    stop();
    stop();
    expect(stream.screen()).toEqual(["warning: credentials go over plain HTTP"]);
    expect(isTicking()).toBe(false);
  });

  test("a note stays for five seconds", () => {
    const { listener, note, advance, stream } = setUp("live");
    listener(START);
    note("public.ecr.aws asks to wait 3 s");
    advance(4900);
    expect(stream.screen().at(-1)).toBe("public.ecr.aws asks to wait 3 s");
    advance(200);
    expect(stream.screen()).toHaveLength(2);
  });

  test("no line is ever wider than asked for", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 200 }), fc.string(), fc.maxSafeNat(), (width, note, received) => {
        const snapshot = {
          done: received,
          total: Number.MAX_SAFE_INTEGER,
          rate: received,
          left: received,
          flights: [{ node: nodeOf("x".repeat(100), received), received }],
          artifacts: { done: 1, total: 1000 },
        };
        for (const line of renderLive(snapshot, { title: "importing", width, note })) {
          expect(Bun.stringWidth(line)).toBeLessThanOrEqual(width);
        }
      }),
    );
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
    listener({ type: "end", node: CONFIG, outcome: "copied" });
    advance(5000);
    listener({ type: "bytes", node: LAYER, bytes: 99 * MIB });
    advance(4999);
    listener({ type: "end", node: LAYER, outcome: "copied" });
    listener({ type: "begin", node: MANIFEST });
    listener({ type: "end", node: MANIFEST, outcome: "copied" });
    listener({ type: "artifact", root: ROOT });
    listener({ type: "lost", root: rootOf(MANIFEST, "v2"), error: new Error("gone") });
    expect(stream.lines()).toEqual([
      "exporting 1 artifact, 101.0 MiB",
      "2.0 MiB of 101.0 MiB (1%), 409.6 KiB/s, about 4 min left, 1 in flight",
      "done public.ecr.aws/eks-anywhere/app:v1 (101.0 MiB)",
      "failed public.ecr.aws/eks-anywhere/app:v2",
    ]);
  });

  test("a note that comes again and again is passed on once in five seconds", () => {
    const { note, stream, listener, advance } = setUp("plain", new FakeStream());
    listener({ type: "start", nodes: 0, bytes: 0, artifacts: 0 });
    for (let index = 0; index < 10; index++) note("public.ecr.aws asks to wait 3 s");
    advance(5000);
    note("public.ecr.aws asks to wait 3 s");
    expect(stream.lines().filter((line) => line.includes("wait"))).toHaveLength(2);
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

test("JSON is one event a line, the bytes gathered into one every five seconds", () => {
  const { listener, advance, note, stream } = setUp("json", new FakeStream());
  const error = new Fault("cannot verify it", { kind: "mismatch" });
  listener(START);
  listener({ type: "begin", node: CONFIG });
  listener({ type: "bytes", node: CONFIG, bytes: MIB });
  listener({ type: "end", node: CONFIG, outcome: "mounted" });
  advance(5000);
  listener({ type: "failed", node: LAYER, error });
  note("wait");
  listener({ type: "artifact", root: ROOT });
  listener({ type: "lost", root: ROOT, error });
  const { digest } = CONFIG.descriptor;
  const node = { kind: "blob", bytes: MIB, repositories: ["public.ecr.aws/eks-anywhere/config"], digest };
  const root = { reference: "public.ecr.aws/eks-anywhere/app:v1", digest: MANIFEST.descriptor.digest };
  const why = { message: "cannot verify it", errorKind: "mismatch", because: [], hints: [] };
  const events = stream.lines().map((line) => JSON.parse(line));
  expect(events.map(({ time: _, level, ...rest }) => (level === "info" ? rest : level))).toEqual([
    { event: "start", nodes: 3, bytes: TOTAL, artifacts: 1 },
    { event: "begin", ...node },
    { event: "end", ...node, outcome: "mounted" },
    {
      event: "progress",
      bytes: MIB,
      total: TOTAL,
      percent: 0,
      bytesPerSecond: Math.round(MIB / 5),
      secondsLeft: 500,
      inFlight: 0,
      artifactsDone: 0,
      artifactsTotal: 1,
    },
    {
      event: "failed",
      kind: "blob",
      bytes: LAYER.descriptor.size,
      repositories: ["public.ecr.aws/eks-anywhere/layer"],
      digest: LAYER.descriptor.digest,
      ...why,
    },
    { event: "note", message: "wait" },
    { event: "artifact", ...root, bytes: 0 },
    { event: "lost", ...root, ...why },
  ]);
});

describe("the state of a transfer", () => {
  test("never goes back and ends at the total, whatever was there already", () => {
    const outcome = fc.constantFrom("copied", "mounted", "present");
    const blob = fc.record({ size: fc.nat(1000), pieces: fc.array(fc.nat(600)), outcome });
    fc.assert(
      fc.property(fc.array(blob), (blobs) => {
        const state = new ProgressState(() => 0);
        const nodes = blobs.map(({ size }, index) => nodeOf(`blob${index}`, size));
        const bytes = blobs.reduce((sum, { size }) => sum + size, 0);
        state.apply({ type: "start", nodes: nodes.length, bytes, artifacts: 0 });
        let last = 0;
        const check = () => {
          const { done } = state.snapshot();
          expect(done).toBeGreaterThanOrEqual(last);
          expect(done).toBeLessThanOrEqual(bytes);
          last = done;
        };
        for (const [index, { pieces, outcome }] of blobs.entries()) {
          const node = nodes[index] ?? LAYER;
          state.apply({ type: "begin", node });
          for (const piece of pieces) {
            state.apply({ type: "bytes", node, bytes: piece });
            check();
          }
          state.apply({ type: "end", node, outcome });
          check();
        }
        expect(last).toBe(bytes);
      }),
    );
  });

  test("guesses the time left from what travelled, not from what was there already", () => {
    let time = 0;
    const state = new ProgressState(() => time);
    state.apply({ type: "start", nodes: 2, bytes: 200 * MIB, artifacts: 1 });
    const present = nodeOf("present", 90 * MIB);
    state.apply({ type: "begin", node: present });
    state.apply({ type: "end", node: present, outcome: "present" });
    state.apply({ type: "begin", node: LAYER });
    time = 10_000;
    state.apply({ type: "bytes", node: LAYER, bytes: 10 * MIB });
    expect(state.snapshot()).toMatchObject({ rate: MIB, left: 100_000, done: 100 * MIB });
  });

  test("forgets a rate that is long past, and makes no guess once nothing moves", () => {
    let time = 0;
    const state = new ProgressState(() => time);
    state.apply(START);
    state.apply({ type: "begin", node: LAYER });
    for (; time < 20_000; time += 100) state.apply({ type: "bytes", node: LAYER, bytes: 1024 });
    for (; time < 60_000; time += 1000) state.snapshot();
    const { rate, left } = state.snapshot();
    expect(rate).toBe(0);
    expect(left).toBeUndefined();
  });

  test("adds up to a summary", () => {
    let time = 0;
    const state = new ProgressState(() => time);
    state.apply(START);
    for (const [node, outcome] of [
      [CONFIG, "present"],
      [LAYER, "copied"],
      [MANIFEST, "copied"],
    ] as const) {
      state.apply({ type: "begin", node });
      if (outcome === "copied") state.apply({ type: "bytes", node, bytes: node.descriptor.size });
      state.apply({ type: "end", node, outcome });
    }
    state.apply({ type: "artifact", root: ROOT });
    time = 10_000;
    expect(state.sizeOf(ROOT)).toBe(TOTAL);
    expect(formatSummary("exported", state.totals())).toBe(
      "exported 1 artifact: 100.0 MiB moved in 10 s (10.0 MiB/s), 1 blob there already",
    );
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
