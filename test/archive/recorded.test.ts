import { expect, test } from "bun:test";
import type { Kept } from "../../src/archive/journal.ts";
import { layOut } from "../../src/archive/layout.ts";
import { reachOf } from "../../src/archive/recorded.ts";
import { planOf } from "../support/memory.ts";
import { someContents } from "./archives.ts";

const layout = layOut(await planOf(someContents()));
const blobs = [...layout.byDigest].filter(([, { bytes, size }]) => bytes === undefined && size > 1);
const [first, second, third] = blobs;
if (first === undefined || second === undefined || third === undefined) throw new Error("too few blobs");

const keptOf = (...pairs: [blob: typeof first, bytes: number][]): Kept =>
  new Map(pairs.map(([[digest], bytes]) => [digest, bytes]));

test("of nothing on record nothing is kept, the graph neither", () => {
  expect(reachOf(layout, new Map())).toEqual({ unbroken: 0, end: 0 });
});

test("what is on record is unbroken up to the first byte that is not", () => {
  const [[, one], [, two], [, three]] = [first, second, third];
  expect(reachOf(layout, keptOf([first, 1]))).toEqual({ unbroken: one.offset + 1, end: one.offset + 1 });
  const whole = keptOf([first, one.size], [second, 1], [third, three.size]);
  expect(reachOf(layout, whole)).toEqual({ unbroken: two.offset + 1, end: three.offset + three.size });
  const without = keptOf([first, one.size], [third, 1]);
  expect(reachOf(layout, without)).toEqual({ unbroken: two.headerOffset, end: three.offset + 1 });
});

test("where every blob is on record, all is unbroken", () => {
  const all = keptOf(...blobs.map((blob): [typeof blob, number] => [blob, blob[1].size]));
  const last = Math.max(...blobs.map(([, { offset, size }]) => offset + size));
  const { end, unbroken } = reachOf(layout, all);
  expect([end, unbroken]).toEqual([last, last]);
});
