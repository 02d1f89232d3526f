import { expect } from "bun:test";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Journal } from "../../src/archive/journal.ts";
import { volumeName } from "../../src/archive/volumes.ts";
import type { Digest } from "../../src/oci/digest.ts";
import { Random } from "../support/chance.ts";
import { fastFolder } from "../support/docker-registry.ts";
import { type Running, type RunResult, runExecutable, startExecutable } from "../support/executable.ts";
import { type Served, serveRelease } from "../support/served.ts";
import { checksum } from "../support/tar.ts";

type Images = Readonly<Record<string, readonly Uint8Array[]>>;

/** A release in memory and the exports of it to one output. */
export class Exporting {
  readonly served: Served;
  readonly folder: string;
  readonly bundles: string;
  output: string;

  private constructor(served: Served, folder: string) {
    this.served = served;
    this.folder = folder;
    this.bundles = join(folder, "bundles.yaml");
    this.output = join(folder, "out", "out.tar");
  }

  /** `parent`: where the output goes. Default: a folder in memory. */
  static async of(images: Images): Promise<Exporting> {
    const folder = await mkdtemp(join(fastFolder(), "eksa-airgap-exporting-"));
    const exporting = new Exporting(await serveRelease(images), folder);
    await Bun.$`mkdir ${join(folder, "out")} ${join(folder, "undisturbed")}`;
    await writeFile(exporting.bundles, exporting.served.yaml);
    return exporting;
  }

  async end(): Promise<void> {
    await this.served.stop();
    await rm(this.folder, { recursive: true, force: true });
  }

  args(flags: readonly string[], output = this.output): string[] {
    const from = ["--bundles-override", this.bundles, ...this.served.online.mirrors];
    return ["export", "artifacts", "--output", output, ...from, ...flags];
  }

  run(...flags: string[]): Promise<RunResult> {
    return runExecutable(this.args(flags));
  }

  start(...flags: string[]): Promise<Running> {
    return startExecutable(this.args(flags));
  }

  async succeed(...flags: string[]): Promise<RunResult> {
    const result = await this.run(...flags);
    expect(result.status, result.stderr).toBe(0);
    return result;
  }

  /** The checksum of what a run writes that nothing comes in the way of; leaves no trace. */
  async undisturbed(...flags: string[]): Promise<string> {
    const output = join(this.folder, "undisturbed", "out.tar");
    const result = await runExecutable(this.args(flags, output));
    expect(result.status, result.stderr).toBe(0);
    this.served.asked.length = 0;
    const sum = await checksum(output, "sha256");
    await rm(output);
    return sum;
  }

  sum(): Promise<string> {
    return checksum(this.output, "sha256");
  }

  /** What there is beside the output, and itself. */
  async names(): Promise<string[]> {
    return (await readdir(dirname(this.output))).sort();
  }

  /** Volumes one after the other in a file. */
  async joinVolumes(): Promise<string> {
    const joined = join(this.folder, "joined.tar");
    const volumes: string[] = [];
    while (await Bun.file(volumeName(this.output, volumes.length)).exists()) {
      volumes.push(volumeName(this.output, volumes.length));
    }
    await Bun.$`cat ${volumes} > ${joined}`;
    return checksum(joined, "sha256");
  }

  /** What the journal says is on the disk. */
  recorded(): ReadonlyMap<Digest, number> {
    try {
      return Journal.read(`${this.output}.journal`)?.kept ?? new Map();
    } catch {
      return new Map();
    }
  }

  /** Forgets what was asked for; resolves once a layer that `fits` is, and never answers that. */
  hang(fits: (bytes: Uint8Array) => boolean): Promise<void> {
    this.served.asked.length = 0;
    return new Promise((resolve) => {
      this.served.before = (digest) => {
        const bytes = this.served.layers.get(digest);
        if (bytes === undefined || !fits(bytes)) return;
        resolve();
        return new Promise(() => {});
      };
    });
  }

  /** Stops a run by a signal once it asks for the layer of this size, one at a time. */
  async interrupt(size: number, ...flags: string[]): Promise<void> {
    const asked = this.hang(({ length }) => length === size);
    const running = await this.start("--jobs", "1", ...flags);
    await asked;
    running.kill("SIGINT");
    expect((await running.result).status).toBe(130);
    this.served.before = undefined;
    this.served.asked.length = 0;
  }

  /** The layer of this size is not to be had any more. */
  lose(size: number): void {
    for (const [digest, bytes] of this.served.layers) {
      if (bytes.length === size) this.served.absent.add(digest);
    }
  }

  /** The sizes of the layers that were asked for from their start. */
  fetched(): number[] {
    return this.served.asked.filter(({ from }) => from === 0).map(({ bytes }) => bytes);
  }
}

/** Bytes that are like no others of another seed or at another place. */
export function noise(seed: number, size: number): Uint8Array {
  const random = new Random(seed);
  const words = new Uint32Array(Math.ceil(size / 4));
  for (let index = 0; index < words.length; index += 64) words[index] = random.below(2 ** 32);
  return new Uint8Array(words.buffer, 0, size);
}
