import { expect, test } from "bun:test";
import { causes, Fault, type FaultKind, faultKind } from "../../src/oci/fault.ts";

const mismatch = new Fault("cannot verify it", { kind: "mismatch" });
const usage = new Fault("cannot use it", { kind: "usage" });
const plain = new Error("broken");

const wrapped = (cause: unknown, times = 1): Fault =>
  new Fault("cannot do it", { cause: times > 1 ? wrapped(cause, times - 1) : cause });

test.each<[FaultKind, string, unknown]>([
  ["failed", "an error of the runtime", plain],
  ["failed", "nothing", undefined],
  ["failed", "a string", "mismatch"],
  ["failed", "a fault that says no kind", new Fault("cannot")],
  ["usage", "wrong usage", usage],
  ["usage", "wrong usage below a failure", wrapped(usage)],
  ["mismatch", "a mismatch", mismatch],
  ["mismatch", "a mismatch below a failure", wrapped(mismatch)],
  ["mismatch", "a mismatch far below", wrapped(mismatch, 40)],
  ["mismatch", "a mismatch below an error of the runtime", new Error("x", { cause: mismatch })],
  ["mismatch", "a mismatch below wrong usage", new Fault("x", { cause: mismatch, kind: "usage" })],
  ["failed", "several failures", new AggregateError([plain, new Fault("x")])],
  ["usage", "several failures with one of wrong usage", new AggregateError([plain, usage, plain])],
  ["mismatch", "several failures with one mismatch", new AggregateError([plain, usage, mismatch])],
  ["mismatch", "several failures, each with its causes", new AggregateError([plain, wrapped(mismatch, 3)])],
  ["mismatch", "failures in a cause", wrapped(new AggregateError([new AggregateError([mismatch])]))],
  ["mismatch", "a cause beside the failures", new AggregateError([plain], "x", { cause: mismatch })],
])("the kind is %s: %s", (kind, _, error) => {
  expect(faultKind(error)).toBe(kind);
});

test("one mismatch counts among a thousand failures", () => {
  const failures = Array.from({ length: 1000 }, () => wrapped(new Error("offline")));
  expect(faultKind(new AggregateError([...failures, wrapped(mismatch)]))).toBe("mismatch");
});

test("failures that hold each other come to an end", () => {
  const first = new AggregateError([], "first");
  const second = new AggregateError([first, first], "second", { cause: first });
  first.errors.push(second, first);
  first.cause = second;
  expect(faultKind(first)).toBe("failed");
  second.errors.push(mismatch);
  expect(faultKind(first)).toBe("mismatch");
});

test("failures without end are looked at only so far", () => {
  class Endless extends AggregateError {
    override get cause(): unknown {
      return new Endless([]);
    }
  }
  expect(faultKind(new Endless([plain]))).toBe("failed");
  expect(faultKind(new AggregateError(new Array(200_000).fill(wrapped(plain, 5000))))).toBe("failed");
});

test("a list of failures that is none is passed over", () => {
  const broken = new AggregateError([]);
  Object.assign(broken, { errors: "mismatch" });
  expect(faultKind(broken)).toBe("failed");
});

test("causes come outermost first, a cycle ends them, and there are at most 16", () => {
  const inner = new Error("inner");
  const outer = wrapped(inner);
  expect(causes(outer)).toEqual([outer, inner]);
  inner.cause = outer;
  expect(causes(outer)).toHaveLength(2);
  expect(causes(wrapped(plain, 100))).toHaveLength(16);
  expect(causes("a string")).toEqual(["a string"]);
});
