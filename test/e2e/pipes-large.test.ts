import { afterAll, beforeAll, expect } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { watchMemory } from "../../scripts/bench/measure.ts";
import { type DiscardingOptions, DiscardingRegistry } from "../support/discarding-registry.ts";
import { executable } from "../support/executable.ts";
import { testWith } from "../support/needs.ts";
import { startLargeSource } from "./large-blob.ts";

/** bytes of the layer; more with `PIPE_GIB=N` */
const SIZE = Number(process.env.PIPE_GIB ?? 2) * 1024 ** 3;
/** MiB */
const MOST_MEMORY = 256;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eksa-airgap-pipes-large-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** `export -o - | import -i -`, each end a process whose memory is watched. */
async function pipeThrough(size: number, options: DiscardingOptions) {
  const program = await executable();
  const [source, target] = [startLargeSource(size), await DiscardingRegistry.start(options)];
  const [bundles, pipe] = [join(folder, "bundles.yaml"), join(folder, "pipe")];
  await writeFile(bundles, source.bundles);
  await rm(pipe, { force: true });
  await Bun.$`mkfifo ${pipe}`;
  const start = (redirection: string, ...args: string[]) => {
    const child = Bun.spawn(["sh", "-c", `exec "$@" ${redirection}'${pipe}'`, "sh", program, ...args], {
      env: { PATH: process.env.PATH ?? "", HOME: folder, TMPDIR: folder },
      stdin: "ignore",
      stdout: "ignore",
      stderr: "pipe",
    });
    const [stderr, peak] = [new Response(child.stderr).text(), watchMemory(child.pid)];
    return async () => ({ status: await child.exited, stderr: await stderr, memory: peak() });
  };
  try {
    const from = ["-o", "-", "--bundles-override", bundles, "--mirror", source.mirror, "-q"];
    const exported = start(">", "export", "artifacts", ...from);
    const imported = start("<", "import", "artifacts", "-i", "-", "-r", target.host, "-q");
    const ends = await Promise.all([exported(), imported()]);
    return { ends, target, layer: source.layer };
  } finally {
    await Promise.all([source.stop(), target.stop()]);
  }
}

testWith("mkfifo")(
  "a huge blob goes through a pipe in little memory, over a lost connection and expired tokens",
  async () => {
    const { ends, target, layer } = await pipeThrough(SIZE, {
      breaksAt: SIZE / 2 + 5_000_000,
      tokenLife: 1000,
    });
    for (const { status, stderr, memory } of ends) {
      expect(stderr).toBe("");
      expect(status).toBe(0);
      expect(memory).toBeLessThan(MOST_MEMORY);
    }
    expect(target.breaks).toBe(1);
    expect(target.tokens).toBeGreaterThan(1);
    expect(target.stored.get(layer.digest)).toBe(layer.size);
    expect([...target.manifests.keys()]).toContain("/v2/large/one/manifests/v1");
  },
  120_000,
);
