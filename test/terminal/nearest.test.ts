import { expect, test } from "bun:test";
import { nearest } from "../../src/terminal/nearest.ts";

const FLAGS = ["output", "input", "registry", "kubernetes-version", "eksa-version", "provider", "platform"];

test.each([
  ["ouput", "output"],
  ["otuput", "output"],
  ["INPUT", "input"],
  ["regsitry", "registry"],
  ["providers", "provider"],
  ["kubernetes", "kubernetes-version"],
  ["kube", "kubernetes-version"],
  ["out", "output"],
  ["p", undefined],
  ["pro", "provider"],
  ["frobnicate", undefined],
  ["", undefined],
])("%p was meant as %p", (word, name) => {
  expect(nearest(word, FLAGS)).toBe(name);
});

test("two neighbours swapped are one slip", () => {
  expect(nearest("ab", ["ba"])).toBeUndefined();
  expect(nearest("bac", ["abc"])).toBe("abc");
});
