import { describe, expect, test } from "bun:test";
import { digestOf } from "../../src/oci/digest.ts";
import { Waits } from "../../src/terminal/waits.ts";

const BLOB = digestOf(new TextEncoder().encode("blob"));
const OTHER = digestOf(new TextEncoder().encode("other"));
const BUSY = "`a.b` has asked for patience (429)";

function setUp() {
  let time = 0;
  const waits = new Waits(() => time);
  return {
    waits,
    advance: (milliseconds: number) => {
      time += milliseconds;
    },
    shown: () => waits.among(new Set()).others,
  };
}

describe("a wait of a second or more", () => {
  test("is news, and none again for a while", () => {
    const { waits, advance } = setUp();
    expect(waits.add(BUSY, { milliseconds: 1000 })).toBe(`waiting 1 s: ${BUSY}`);
    advance(2000);
    expect(waits.add(BUSY, { milliseconds: 1500 })).toBeUndefined();
    advance(4000);
    expect(waits.add(BUSY, { milliseconds: 90_000 })).toBe(`waiting 1 min 30 s: ${BUSY}`);
  });

  test("is shown until it is over, however long, and a while after", () => {
    const { waits, advance, shown } = setUp();
    waits.add(BUSY, { milliseconds: 60_000 });
    advance(59_000);
    expect(shown()).toEqual([`waiting 1 s: ${BUSY}`]);
    advance(1000);
    expect(shown()).toEqual([]);
    waits.add(BUSY, { milliseconds: 1000 });
    advance(1000);
    expect(shown()).toEqual([BUSY]);
  });

  test("that another makes longer is one that lasts longer", () => {
    const { waits, shown } = setUp();
    waits.add(BUSY, { milliseconds: 10_000 });
    waits.add(BUSY, { milliseconds: 3000 });
    expect(shown()).toEqual([`waiting 10 s: ${BUSY}`]);
  });

  test("belongs to a blob while that is on its way, and to all else otherwise", () => {
    const { waits } = setUp();
    waits.add("it answered 503", { milliseconds: 3000, digest: BLOB });
    const text = "waiting 3 s: it answered 503";
    expect(waits.among(new Set([BLOB, OTHER]))).toEqual({ own: new Map([[BLOB, text]]), others: [] });
    expect(waits.among(new Set([OTHER]))).toEqual({ own: new Map(), others: [text] });
  });
});

test("what has held up a blob is forgotten with it", () => {
  const { waits, shown } = setUp();
  waits.add("it answered 503", { milliseconds: 3000, digest: BLOB });
  waits.forget(OTHER);
  expect(shown()).toHaveLength(1);
  waits.forget(BLOB);
  expect(shown()).toEqual([]);
});

describe("a wait of less than a second", () => {
  test("is nobody's business", () => {
    const { waits, advance, shown } = setUp();
    for (let times = 0; times < 10; times++) {
      expect(waits.add(BUSY, { milliseconds: 999 })).toBeUndefined();
      expect(shown()).toEqual([]);
      advance(6001);
    }
  });

  test("is told with others of its kind, once they come to a second", () => {
    const { waits, advance, shown } = setUp();
    expect(waits.add(BUSY, { milliseconds: 400 })).toBeUndefined();
    expect(waits.add("it answered 503", { milliseconds: 400, digest: BLOB })).toBeUndefined();
    advance(1000);
    expect(waits.add(BUSY, { milliseconds: 400 })).toBeUndefined();
    advance(1000);
    expect(waits.add(BUSY, { milliseconds: 400 })).toBe(BUSY);
    expect(shown()).toEqual([BUSY]);
    expect(waits.add("it broke off", { milliseconds: 800, digest: BLOB })).toBe("waiting 1 s: it broke off");
  });
});

test("what is no wait is news at once, and shown for a while", () => {
  const { waits, advance, shown } = setUp();
  expect(waits.add("writing the rest to the disk")).toBe("writing the rest to the disk");
  advance(5999);
  expect(shown()).toEqual(["writing the rest to the disk"]);
  advance(1);
  expect(shown()).toEqual([]);
});

test("what foreign text there is in a reason is one safe line", () => {
  const { waits } = setUp();
  const reason = "\u001b[31mno\u001b[0m\nway: https://a.b/?sig=hunter2";
  expect(waits.add(reason, { milliseconds: 1000 })).toBe("waiting 1 s: no way: https://a.b/?sig=REDACTED");
});
