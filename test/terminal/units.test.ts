import { expect, test } from "bun:test";
import fc from "fast-check";
import {
  formatBytes,
  formatDuration,
  formatEstimate,
  formatRate,
  parseBytes,
  percentOf,
} from "../../src/terminal/units.ts";

const KIB = 1024;
const MIB = KIB * 1024;
const GIB = MIB * 1024;
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

test.each([
  [0, "0 B"],
  [1, "1 B"],
  [1023, "1023 B"],
  [KIB, "1.0 KiB"],
  [1536, "1.5 KiB"],
  [1023.94 * KIB, "1023.9 KiB"],
  [1023.99 * KIB, "1.0 MiB"],
  [12.3 * MIB, "12.3 MiB"],
  [MIB - 1, "1.0 MiB"],
  [4.5 * GIB, "4.5 GiB"],
  [70 * GIB, "70.0 GiB"],
  [3 * 1024 * GIB, "3.0 TiB"],
  [2 ** 60, "1024.0 PiB"],
])("%p bytes read %p", (bytes, text) => {
  expect(formatBytes(bytes)).toBe(text);
});

test("a rate is bytes a second", () => {
  expect(formatRate(34.2 * MIB)).toBe("34.2 MiB/s");
});

test.each([
  [0, "0 s"],
  [499, "0 s"],
  [1000, "1 s"],
  [59_400, "59 s"],
  [59_600, "1 min"],
  [125_000, "2 min 5 s"],
  [HOUR - 1, "1 h"],
  [3 * HOUR + 20 * MINUTE, "3 h 20 min"],
  [24 * HOUR, "1 d"],
  [49 * HOUR, "2 d 1 h"],
])("%p ms last %p", (milliseconds, text) => {
  expect(formatDuration(milliseconds)).toBe(text);
});

test.each([
  [4200, "4 s"],
  [59_499, "59 s"],
  [59_500, "1 min"],
  [89_000, "1 min"],
  [91_000, "2 min"],
  [HOUR + 29_000, "1 h"],
  [100 * MINUTE, "1 h 40 min"],
])("%p ms are guessed as %p", (milliseconds, text) => {
  expect(formatEstimate(milliseconds)).toBe(text);
});

test.each([
  [0, 10, 0],
  [999, 1000, 99],
  [1000, 1000, 100],
  [0, 0, 100],
])("%p of %p is %p percent: 100 only when nothing is left", (part, whole, percent) => {
  expect(percentOf(part, whole)).toBe(percent);
});

test.each([
  ["1048576", 1_048_576],
  ["10B", 10],
  ["700MB", 700_000_000],
  ["4000MiB", 4000 * MIB],
  ["4GiB", 4 * GIB],
  ["4gib", 4 * GIB],
  ["1.5GiB", 1.5 * GIB],
  ["1TB", 1e12],
  ["0", 0],
  ["4G", undefined],
  ["4 GiB", undefined],
  ["GiB", undefined],
  ["-1", undefined],
  ["1e9", undefined],
  ["0x10", undefined],
  [".5GiB", undefined],
  ["9999999TiB", undefined],
  ["", undefined],
])("the size %p is %p bytes", (text, bytes) => {
  expect(parseBytes(text)).toBe(bytes);
});

test("any whole number of bytes is read back as itself", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 999_999_999_999_999 }), (bytes) => {
      expect(parseBytes(String(bytes))).toBe(bytes);
    }),
  );
});
