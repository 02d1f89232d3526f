import { test } from "bun:test";

const inCi = (process.env.CI ?? "") !== "" && process.env.CI !== "false";

/**
 * `test` for what only real tools can show. Where one is missing the test is skipped by name on a user's
 * machine; with `CI` set it runs all the same, and fails on the missing tool.
 */
export function testWith(...tools: readonly string[]): typeof test {
  const missing = missingOf(tools);
  if (missing.length === 0 || inCi) return test;
  console.warn(`skipped for want of ${missing.join(", ")}:`);
  return test.skip as typeof test;
}

/** Whether `testWith` runs its tests. */
export function runsWith(...tools: readonly string[]): boolean {
  return inCi || missingOf(tools).length === 0;
}

function missingOf(tools: readonly string[]): string[] {
  return tools.filter((tool) => Bun.which(tool) === null);
}
