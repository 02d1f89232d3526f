import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { Node, Outcome } from "../../src/oci/plan.ts";
import { type ProgressSnapshot, ProgressState } from "../../src/terminal/progress-state.ts";
import { renderLive } from "../../src/terminal/progress-view.ts";
import { widthOf } from "../../src/terminal/style.ts";
import { parseBytes } from "../../src/terminal/units.ts";
import { endOf, LAYER, MIB, nodeOf, ROOT, START } from "./transfers.ts";

const BUSY = "`public.ecr.aws` has asked for patience (429)";

/** What becomes of a node between its beginning and its end. */
type Step =
  | { kind: "bytes" | "held"; bytes: number }
  | { kind: "wait"; milliseconds: number }
  | { kind: "note"; text: string };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constantFrom("bytes", "held"), bytes: fc.nat(40_000) }),
  fc.record({ kind: fc.constant("wait"), milliseconds: fc.nat(5000) }),
  fc.record({ kind: fc.constant("note"), text: fc.string({ unit: "grapheme" }) }),
);
const story: fc.Arbitrary<Story> = fc.record({
  name: fc.constantFrom("a", "x".repeat(100), "kubernetes-sigs/cluster-api"),
  size: fc.nat(100_000),
  steps: fc.array(step, { maxLength: 6 }),
  end: fc.constantFrom<Outcome | "failed">("copied", "mounted", "present", "failed"),
});
/** The turns of several stories, told at the same time, and how much time passes before each. */
const turns: fc.Arbitrary<Turn[]> = fc.array(fc.record({ which: fc.nat(), after: fc.nat(3000) }), {
  maxLength: 60,
});
const windows = fc.record({
  width: fc.integer({ min: 1, max: 220 }),
  height: fc.integer({ min: 1, max: 30 }),
});

interface Story {
  name: string;
  size: number;
  steps: Step[];
  end: Outcome | "failed";
}

interface Turn {
  which: number;
  after: number;
}

function* tell({ steps, end }: Story, node: Node) {
  const root = { ...ROOT, descriptor: node.descriptor };
  const error = new Error("gone");
  const begin = { type: "begin", node } as const;
  yield (state: ProgressState) => state.apply(begin);
  for (const one of steps) {
    yield (state: ProgressState) => {
      if (one.kind === "note") state.note(one.text);
      else if (one.kind !== "wait") state.apply({ type: one.kind, node, bytes: one.bytes });
      else state.note(BUSY, { milliseconds: one.milliseconds, digest: node.descriptor.digest });
    };
  }
  yield (state: ProgressState) => {
    state.apply(end === "failed" ? { type: end, node, error } : endOf(node, end));
    state.apply(end === "failed" ? { type: "lost", root, error } : { type: "artifact", root });
  };
}

/** What a person reads off the block: percent, bytes, artifacts. */
function totalsOf(lines: readonly string[]): number[] {
  const text = lines.join("\n");
  const percent = /(\d+)%/.exec(text)?.[1];
  const bytes = /^([\d.]+) (\w+) of /m.exec(text);
  const artifacts = /(\d+) of \d+ artifact/.exec(text)?.[1];
  return [Number(percent), parseBytes(`${bytes?.[1]}${bytes?.[2]}`) ?? Number.NaN, Number(artifacts)];
}

/** Tells the stories to their ends, at the same time; `check` looks after each turn. */
function happen(stories: Story[], order: Turn[], check: (snapshot: ProgressSnapshot, total: number) => void) {
  let time = 0;
  const state = new ProgressState(() => time);
  const total = stories.reduce((sum, { size }) => sum + size, 0);
  state.apply({ type: "start", nodes: stories.length, bytes: total, artifacts: stories.length });
  const told = stories.map((one, index) => tell(one, nodeOf(`${one.name}${index}`, one.size)));
  const go = (which: number, after: number) => {
    time += after;
    told[which % told.length]?.next().value?.(state);
    check(state.snapshot(), total);
  };
  for (const { which, after } of order) go(which, after);
  for (const which of stories.keys()) for (let left = 8; left > 0; left--) go(which, 100);
}

describe("whatever happens, the live block", () => {
  const stories = fc.array(story, { maxLength: 12 });

  test("never goes back: neither percent nor bytes nor artifacts; and bytes do not exceed the total", () => {
    const options = { title: "exporting", width: 80, height: 24, painting: { color: false } };
    fc.assert(
      fc.property(stories, turns, (all, order) => {
        let last = [0, 0, 0];
        happen(all, order, (snapshot, total) => {
          expect(snapshot.done).toBeLessThanOrEqual(total);
          const shown = totalsOf(renderLive(snapshot, options));
          for (const [index, value] of shown.entries())
            expect(value).toBeGreaterThanOrEqual(last[index] ?? 0);
          last = shown;
        });
      }),
    );
  });

  test("fits into the window, in width and in height", () => {
    fc.assert(
      fc.property(stories, turns, windows, fc.boolean(), (all, order, window, color) => {
        happen(all, order, (snapshot) => {
          const lines = renderLive(snapshot, { title: "importing", ...window, painting: { color } });
          expect(lines.length).toBeLessThanOrEqual(window.height);
          for (const line of lines) expect(widthOf(line)).toBeLessThanOrEqual(window.width);
        });
      }),
    );
  });
});

describe("the rate and the time left", () => {
  test("are guessed from what travelled, not from what was there already", () => {
    let time = 0;
    const state = new ProgressState(() => time);
    state.apply({ type: "start", nodes: 2, bytes: 200 * MIB, artifacts: 1 });
    const present = nodeOf("present", 90 * MIB);
    state.apply({ type: "begin", node: present });
    state.apply(endOf(present, "present"));
    state.apply({ type: "begin", node: LAYER });
    time = 10_000;
    state.apply({ type: "bytes", node: LAYER, bytes: 10 * MIB });
    expect(state.snapshot()).toMatchObject({ rate: MIB, left: 100_000, done: 100 * MIB });
  });

  test("are unknown for the first two seconds", () => {
    let time = 0;
    const state = new ProgressState(() => time);
    state.apply(START);
    state.apply({ type: "begin", node: LAYER });
    state.apply({ type: "bytes", node: LAYER, bytes: MIB });
    time = 1999;
    expect(state.snapshot()).not.toHaveProperty("rate");
    expect(state.snapshot()).not.toHaveProperty("left");
    time = 2000;
    expect(state.snapshot()).toMatchObject({ rate: MIB / 2, left: expect.any(Number) });
  });

  test("are not guessed while more may be on its way unseen than was seen", () => {
    let time = 0;
    const state = new ProgressState(() => time);
    const [small, large] = [nodeOf("small", 1024), nodeOf("large", 100 * MIB)];
    state.apply({ type: "start", nodes: 2, bytes: 100 * MIB + 1024, artifacts: 1 });
    for (const node of [small, large]) state.apply({ type: "begin", node });
    state.apply(endOf(small, "copied"));
    for (; time < 30_000; time += 1000) {
      expect(state.snapshot()).not.toHaveProperty("rate");
      expect(state.snapshot()).not.toHaveProperty("left");
    }
    state.apply({ type: "bytes", node: large, bytes: 60 * MIB });
    expect(state.snapshot()).toMatchObject({ rate: expect.any(Number), left: expect.any(Number) });
  });

  test("forget what is long past, and make no guess once nothing moves", () => {
    let time = 0;
    const state = new ProgressState(() => time);
    state.apply(START);
    state.apply({ type: "begin", node: LAYER });
    for (; time < 20_000; time += 100) state.apply({ type: "bytes", node: LAYER, bytes: 1024 });
    for (; time < 40_000; time += 1000) state.snapshot();
    const { rate, left } = state.snapshot();
    expect(rate).toBe(0);
    expect(left).toBeUndefined();
  });

  test("do not jump where blobs arrive in one piece: 64 MiB every other second", () => {
    let time = 0;
    const state = new ProgressState(() => time);
    const blobs = Array.from({ length: 100 }, (_, index) => nodeOf(`blob${index}`, 64 * MIB));
    state.apply({ type: "start", nodes: 100, bytes: 6400 * MIB, artifacts: 0 });
    const rates: number[] = [];
    const errors: number[] = [];
    for (const node of blobs) {
      state.apply({ type: "begin", node });
      for (let tick = 0; tick < 20; tick++) {
        time += 100;
        const { rate = 0, left = 0 } = state.snapshot();
        if (time < 60_000 || time > 100_000) continue;
        rates.push(rate / (32 * MIB));
        errors.push(Math.abs(left - (200_000 - time)) / (200_000 - time));
      }
      state.apply(endOf(node, "copied"));
    }
    expect(Math.max(...rates)).toBeLessThan(1.15);
    expect(Math.min(...rates)).toBeGreaterThan(0.85);
    expect(Math.max(...errors)).toBeLessThan(0.05);
  });
});
