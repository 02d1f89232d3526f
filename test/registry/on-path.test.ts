import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { isUnexecutable, unexecutable } from "../../src/registry/on-path.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eksa-airgap-on-path-"));
  await mkdir(join(folder, "bin", "folder"), { recursive: true });
  for (const [name, mode] of [
    ["text", 0o644],
    ["program", 0o755],
  ] as const) {
    await writeFile(join(folder, "bin", name), "#!/bin/sh\n");
    await chmod(join(folder, "bin", name), mode);
  }
});
afterAll(() => rm(folder, { recursive: true }));

test.each([
  ["text", true],
  ["program", false],
  ["folder", false],
  ["nothing", false],
])("of a file called %s it is known whether it may not be executed: %p", (name, is) => {
  expect(isUnexecutable(join(folder, "bin", name))).toBe(is);
  // A file among the folders, and one that is not there.
  const path = [join(folder, "bin", "text"), join(folder, "gone"), "relative", join(folder, "bin")].join(
    delimiter,
  );
  expect(unexecutable(name, path)).toBe(is ? join(folder, "bin", name) : undefined);
});
