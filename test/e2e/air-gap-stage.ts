import { expect } from "bun:test";
import { link } from "node:fs/promises";
import { basename, join } from "node:path";
import { AirGap } from "../support/air-gap/air-gap.ts";
import { HOST_TOOLS } from "../support/air-gap/hosts.ts";
import { NODE_TOOLS, Node, writeMirrors } from "../support/air-gap/node.ts";
import type { PrivateRegistry } from "../support/air-gap/private-registry.ts";
import type { Running, RunResult } from "../support/executable.ts";
import { runsWith, testWith } from "../support/needs.ts";

export const FIRST = "v0.26.1";
export const SECOND = "v0.26.2";

/** What all of these tests take. */
const TOOLS = [...HOST_TOOLS, ...NODE_TOOLS, "docker-registry", "tinyproxy", "openssl"];

/** A test on these hosts; `tools`: what it takes besides. In milliseconds. */
export function testInAirGap(...tools: readonly string[]) {
  const test = testWith(...TOOLS, ...tools);
  return (name: string, run: () => Promise<void>, timeout = 120_000) => test(name, run, timeout);
}

/** One set of hosts for all tests, and what several of them begin with; made when it is first asked for. */
export class AirGapStage {
  #gap: AirGap | undefined;
  #archive: Promise<string> | undefined;
  #mirror: Promise<PrivateRegistry> | undefined;
  #node: Promise<Node> | undefined;

  async set(): Promise<void> {
    if (runsWith(...TOOLS)) this.#gap = await AirGap.start();
  }

  async strike(): Promise<void> {
    await this.#gap?.end();
  }

  get gap(): AirGap {
    if (this.#gap === undefined) throw new Error("there are no hosts");
    return this.#gap;
  }

  /** Where the program writes on the jump host. */
  onJump(name: string): string {
    return join(this.gap.hosts.folder, "jump", name);
  }

  /** Across the gap. */
  async carry(path: string): Promise<string> {
    const carried = join(this.gap.hosts.folder, "air", basename(path));
    await link(path, carried);
    return carried;
  }

  /** The archive of the first release, in the air gap. */
  archive(): Promise<string> {
    this.#archive ??= this.#exportFirst();
    return this.#archive;
  }

  /** A registry in the air gap that holds the first release. */
  mirror(): Promise<PrivateRegistry> {
    this.#mirror ??= this.#importFirst();
    return this.#mirror;
  }

  /** A node that finds public names in that registry. */
  node(): Promise<Node> {
    this.#node ??= this.#startNode();
    return this.#node;
  }

  async #exportFirst(): Promise<string> {
    const output = this.onJump("artifacts.tar");
    await done(this.gap.export(output, ["--eksa-version", FIRST]));
    return this.carry(output);
  }

  async #importFirst(): Promise<PrivateRegistry> {
    const registry = await this.gap.startRegistry();
    await this.gap.hosts.leaks();
    await done(this.gap.import([await this.archive()], await registry.clusterFile(FIRST)));
    expect(await this.gap.hosts.leaks()).toBe(0);
    return registry;
  }

  async #startNode(): Promise<Node> {
    const mirrors = join(this.gap.hosts.folder, "air", "certs.d");
    await writeMirrors(mirrors, await this.mirror());
    return Node.start(this.gap.hosts, { name: "node", mirrors, pause: this.pause });
  }

  /** The image that every pod needs. */
  get pause(): string {
    return this.images(FIRST).find(({ reference }) => reference.includes("/pause:"))?.reference ?? "";
  }

  images(version: string) {
    return this.gap.release(version).filter(({ kind }) => kind === "image");
  }

  charts(version: string) {
    return this.gap.release(version).filter(({ kind }) => kind === "chart");
  }

  /** That a registry holds a release: every manifest under its name and digest, every blob byte for byte. */
  async expectAll(version: string, registry: PrivateRegistry): Promise<void> {
    const { requests, blobs, wrong } = await this.gap.audit(version, registry);
    expect(wrong).toEqual([]);
    expect(blobs).toBe(new Set(this.gap.release(version).flatMap((listed) => listed.blobs)).size);
    expect(requests).toBeGreaterThan(blobs);
  }
}

/** A run that goes well. */
export async function done(started: Promise<Running>): Promise<RunResult> {
  const result = await (await started).result;
  expect(result.status, result.stderr).toBe(0);
  return result;
}
