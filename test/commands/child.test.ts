import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { versionOfChild } from "../../src/commands/child.ts";

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "eksa-airgap-version-"));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

async function ask(script: string, patience?: number): Promise<string | undefined> {
  const path = join(directory, crypto.randomUUID());
  await writeFile(path, `#!/bin/sh\n${script}\n`);
  await chmod(path, 0o755);
  return versionOfChild({ path, environment: { PATH: process.env.PATH }, directory }, patience);
}

describe("the child's own version", () => {
  test.each<[string, string, string | undefined]>([
    ["is in its JSON", `echo '{"version":"v0.26.1","bundleManifestURL":"x"}'`, "v0.26.1"],
    ["whatever it ends with", `echo '{"version":"v0.26.1"}'; exit 255`, "v0.26.1"],
    ["among other lines", `echo Warning; echo '{"a":1}'; echo '{"version":"v0.26.1"}'`, "v0.26.1"],
    ["without a line's end", `printf '{"version":"v0.26.1"}'`, "v0.26.1"],
    ["as it comes, though it never ends", `echo '{"version":"v0.26.1"}'; exec sleep 600`, "v0.26.1"],
    ["is asked for in JSON", `[ "$*" = "version -o json" ] && echo '{"version":"v1"}'`, "v1"],
    ["may not be told", "exit 255", undefined],
    ["may be no text", `echo '{"version":1}'`, undefined],
    ["may be nothing", `echo '{"version":""}'; echo null`, undefined],
    ["may drown", "yes", undefined],
  ])("%s", async (_, script, version) => {
    expect(await ask(script)).toBe(version);
  });

  test.each(["exec sleep 600", "sleep 600", "sleep 600 & sleep 600"])(
    "is not waited for longer than it may take (%s)",
    async (script) => {
      const began = Date.now();
      expect(await ask(script, 200)).toBeUndefined();
      expect(Date.now() - began).toBeLessThan(20_000);
    },
  );
});
