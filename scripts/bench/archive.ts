import { rm, stat } from "node:fs/promises";
import { type Measure, measure, ratios, table } from "./measure.ts";

export interface ArchiveBench {
  executable: string;
  /** Writes the archive from nothing. */
  exportCommand: string[];
  archive: string;
  runs: number;
}

/** An export that goes on after it was killed half-way, against one from the start. */
export async function benchResume({ exportCommand, archive, runs }: ArchiveBench): Promise<void> {
  const resumed: Measure[] = [];
  const fresh: Measure[] = [];
  const { size } = await stat(archive);
  for (let run = 0; run < runs; run++) {
    await rm(archive, { force: true });
    fresh.push(await measure(exportCommand));
    await rm(archive);
    await killAt(exportCommand, `${archive}.partial`, size / 2);
    resumed.push(await measure(exportCommand));
  }
  console.log(table("resume, killed (SIGKILL) at half of the bytes", { resumed, fresh }));
  console.log(ratios(resumed, { fresh }));
}

/** Every byte of the archive against its graph, and against `sha256sum` of the same file. */
export async function benchVerify({ executable, archive, runs }: ArchiveBench): Promise<void> {
  const ours: Measure[] = [];
  const sha256sum: Measure[] = [];
  for (let run = 0; run < runs; run++) {
    ours.push(await measure([executable, "verify", "artifacts", "--input", archive, "--quiet"]));
    sha256sum.push(await measure(["sha256sum", archive]));
  }
  const gigabytes = (await stat(archive)).size / 1e9;
  const speed = (all: Measure[]) => all.map(({ wall }) => (gigabytes / wall).toFixed(2)).join(" ");
  console.log(table("verify", { "eksa-airgap": ours, sha256sum }));
  console.log(`  GB/s: ours ${speed(ours)}; sha256sum ${speed(sha256sum)}`);
  console.log(ratios(ours, { sha256sum }));
}

/** Kills a command once a file has so many bytes on the disk. */
async function killAt(command: string[], path: string, bytes: number): Promise<void> {
  const child = Bun.spawn(command, { stdout: "ignore", stderr: "ignore" });
  let ended = false;
  void child.exited.then(() => {
    ended = true;
  });
  while (!ended) {
    const found = await stat(path).catch(() => undefined);
    if (found !== undefined && found.blocks * 512 >= bytes) child.kill("SIGKILL");
    await Bun.sleep(5);
  }
}
