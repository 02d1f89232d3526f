import { describe, expect, test } from "bun:test";
import { formatScalar, resolveScalar } from "../../src/eksa/canonical-scalars.ts";
import { parseYamlSource, type SourceScalar } from "../../src/eksa/documents.ts";

function scalarOf(source: string): SourceScalar {
  const tree = parseYamlSource({ source: "a.yaml", bytes: new TextEncoder().encode(`a: ${source}\n`) });
  return (tree as Map<string, SourceScalar>).get("a") as SourceScalar;
}

/** Left: what a document has. Right: what sigs.k8s.io/yaml v1.6.0 put into a Go field of type string. */
const AS_STRINGS = [
  ["1.30", "1.3"],
  ["1.31", "1.31"],
  ["1.0", "1"],
  ["v1.30", "v1.30"],
  ["1-30", "1-30"],
  ["2026-12-01", "2026-12-01"],
  ["010", "8"],
  ["08", "8"],
  ["0x1F", "31"],
  ["-0x1f", "-31"],
  ["0b101", "5"],
  ["0o17", "15"],
  ["1_000", "1000"],
  ["0_7", "7"],
  ["+5", "5"],
  ["-0", "0"],
  ["-0.0", "-0"],
  ["1e3", "1000"],
  ["1E+05", "100000"],
  ["100000.0", "100000"],
  ["1000000.0", "1e+06"],
  ["1234567.5", "1.2345675e+06"],
  ["0.0001", "0.0001"],
  ["0.00001", "1e-05"],
  ["16777217.0", "1.6777216e+07"],
  ["3.5e38", "+Inf"],
  ["1e400", "1e400"],
  [".5", "0.5"],
  ["._5", "._5"],
  ["1.", "1"],
  ["18446744073709551615", "18446744073709551615"],
  ["18446744073709551616", "1.8446744e+19"],
  ["+9223372036854775808", "9.223372e+18"],
  ["-9223372036854775809", "-9.223372e+18"],
  ["0xfffffffffffffffff", "0xfffffffffffffffff"],
  ["yes", "true"],
  ["y", "true"],
  ["True", "true"],
  ["off", "false"],
  ["yEs", "yEs"],
  ["tRue", "tRue"],
  ["~", ""],
  ["null", ""],
  ["NULL", ""],
  ["nULL", "nULL"],
  ["", ""],
  [".inf", "+Inf"],
  ["-.INF", "-Inf"],
  [".nan", "NaN"],
  ["..", ".."],
  ["<<", "<<"],
  ['"yes"', "yes"],
  ["'1.30'", "1.30"],
  ['""', ""],
  ["|-\n  1.30", "1.30"],
  ["!!str 1.30", "1.30"],
  ['!!int "010"', "8"],
  ["!!float 5", "5"],
  ["!foo 5", "5"],
] as const;

describe("a scalar in a field of type string", () => {
  test.each(AS_STRINGS)("%p is %p", (source, text) => {
    expect(formatScalar(resolveScalar(scalarOf(source)))).toBe(text);
  });
});

test.each([
  ["17", 17n],
  ["1e2", 100],
  ["1.5", 1.5],
  ["no", false],
  ["~", null],
  ['"17"', "17"],
] as const)("the scalar %p is told apart from its text", (source, value) => {
  expect(resolveScalar(scalarOf(source))).toBe(value);
});
