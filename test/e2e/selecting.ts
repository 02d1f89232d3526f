import { expect } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { toYaml } from "../support/bundles-author.ts";
import { type RunResult, runExecutable } from "../support/executable.ts";
import { startRegistry, type TestRegistry, type TestRegistryOptions } from "../support/registry.ts";
import {
  type OnlineRelease,
  partsOf,
  putOnline,
  type Release,
  releaseOfRealShape,
} from "../support/release.ts";

const HOST = "public.ecr.aws/eks-anywhere";
export const HOME = `${HOST}/bundles:bundles-1`;
export const CSI = "public.ecr.aws/csi-components/livenessprobe:v2.17.0-eksbuild.1";
export const NOVELTY = `${HOST}/novelty:v1`;
/** What in the real shape is of 1.30 and of no management component. */
export const OF_1_30 = /v1[.-]30(?:[.-]|$)|-eks-1-30-|node:v1\.30/;

/** A release of 1.30 and 1.31 online, and what is selected of it. */
export class Selecting {
  readonly folder: string;
  readonly bundles: string;
  /** An archive of all of it. */
  readonly whole: string;
  /** `HOST/REPOSITORY:TAG` of all that it names. */
  readonly names: string[];
  readonly #online: OnlineRelease;
  readonly #targets: TestRegistry[] = [];

  private constructor(folder: string, online: OnlineRelease, names: string[]) {
    this.folder = folder;
    this.bundles = join(folder, "bundles.yaml");
    this.whole = join(folder, "whole.tar");
    this.names = names;
    this.#online = online;
  }

  static async begin(): Promise<Selecting> {
    const folder = await mkdtemp(join(tmpdir(), "eksa-airgap-selection-"));
    const versions = ["1.30", "1.31"];
    const release = withMore(await releaseOfRealShape({ versions }, { base: 2000, own: 100 }));
    const names = [...release.artifacts.keys(), HOME].sort();
    const selecting = new Selecting(folder, await putOnline(release), names);
    await writeFile(selecting.bundles, release.yaml);
    expect(await selecting.exportTo(selecting.whole)).toMatchObject({ status: 0 });
    return selecting;
  }

  /** After each test. */
  async stopTargets(): Promise<void> {
    await Promise.all(this.#targets.splice(0).map((target) => target.stop()));
  }

  async end(): Promise<void> {
    await this.#online.stop();
    await rm(this.folder, { recursive: true, force: true });
  }

  flags(...flags: string[]): string[] {
    return ["--bundles-override", this.bundles, ...this.#online.mirrors, ...flags];
  }

  exportTo(output: string, ...flags: string[]): Promise<RunResult> {
    return runExecutable(["export", "artifacts", "-o", output, ...this.flags(...flags)]);
  }

  /** References that `list artifacts` gives, sorted. */
  async listed(...flags: string[]): Promise<string[]> {
    const { status, stdout, stderr } = await runExecutable(["list", "artifacts", "-o", "json", ...flags]);
    expect(status, stderr).toBe(0);
    const { artifacts }: { artifacts: { reference: string }[] } = JSON.parse(stdout);
    return artifacts.map(({ reference }) => reference).sort();
  }

  async startTarget(options: TestRegistryOptions = {}): Promise<TestRegistry> {
    const target = await startRegistry(options);
    this.#targets.push(target);
    return target;
  }

  async importInto(input: string, ...flags: string[]): Promise<RunResult & { target: TestRegistry }> {
    const target = await this.startTarget();
    const args = ["import", "artifacts", "-i", input, "-r", target.url, ...flags];
    return { ...(await runExecutable(args)), target };
  }

  /** What of the release a registry holds, sorted. */
  async held(target: TestRegistry): Promise<string[]> {
    const found = await Promise.all(
      this.names.map(async (name) => {
        const { repository, tag } = partsOf(name);
        const { status } = await fetch(`${target.url}/v2/${repository}/manifests/${tag}`);
        return status === 200 ? [name] : [];
      }),
    );
    return found.flat();
  }
}

export function without(list: readonly string[], ...patterns: RegExp[]): string[] {
  return list.filter((name) => !patterns.some((pattern) => pattern.test(name)));
}

/** With a component that no version of this program knows, and a CSI component in the EKS-D release of 1.31. */
function withMore({ yaml, documents, artifacts }: Release): Release {
  const [content] = artifacts.values();
  if (content === undefined) throw new Error("an empty release");
  const document = Bun.YAML.parse(yaml) as { spec: { versionsBundles: Record<string, unknown>[] } };
  for (const each of document.spec.versionsBundles) each.novelty = { image: { uri: NOVELTY } };
  const more = new Map(documents);
  for (const [url, text] of documents) {
    if (!url.includes("/kubernetes-1-31/")) continue;
    const eksd = Bun.YAML.parse(text) as { status: { components: unknown[] } };
    eksd.status.components.push({ assets: [{ image: { uri: CSI }, type: "Image" }], name: "livenessprobe" });
    more.set(url, toYaml(eksd));
  }
  const added = [NOVELTY, CSI].map((name) => [name, content] as const);
  return { yaml: toYaml(document), documents: more, artifacts: new Map([...artifacts, ...added]) };
}
