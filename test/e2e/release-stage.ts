import { expect } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { toYaml } from "../support/bundles-author.ts";
import { image, type TestContent } from "../support/content.ts";
import { type RunResult, runExecutable } from "../support/executable.ts";
import { startRegistry, type TestRegistry, type TestRegistryOptions } from "../support/registry.ts";
import { type OnlineRelease, putOnline } from "../support/release.ts";
import { releaseManifest } from "../support/release-manifest.ts";

/** Where EKS Anywhere publishes its Release manifest. */
export const PUBLISHED_AT = "https://anywhere-assets.eks.amazonaws.com/releases/eks-a/manifest.yaml";
export const OLD = "v0.26.0";
export const NEW = "v0.26.1";
const ASSETS = "https://anywhere-assets.eks.amazonaws.com/releases/bundles";
const IMAGES = "public.ecr.aws/eks-anywhere";

/** Two releases of EKS Anywhere online, their Release manifest among them, and the archives of both. */
export class ReleaseStage {
  readonly folder: string;
  readonly online: OnlineRelease;
  /** URL → text. */
  readonly documents: ReadonlyMap<string, string>;
  readonly #running: TestRegistry[] = [];

  private constructor(folder: string, online: OnlineRelease, documents: ReadonlyMap<string, string>) {
    this.folder = folder;
    this.online = online;
    this.documents = documents;
  }

  /** Before all tests. */
  static async set(): Promise<ReleaseStage> {
    const folder = await mkdtemp(join(tmpdir(), "eksa-airgap-releases-"));
    const artifacts = new Map<string, TestContent>();
    const documents = new Map<string, string>();
    for (const number of [60, 61]) {
      const uri = `${IMAGES}/controller:v${number}`;
      const content = await image({ seed: `image ${number}` });
      artifacts.set(uri, content);
      documents.set(bundlesUrl(number), bundlesOf(number, { uri, imageDigest: content.root.digest }));
      documents.set(componentUrl(number), `# ${number}\nkind: List\n`);
    }
    const releases = [OLD, NEW].map((version, index) => ({
      version,
      bundleManifestUrl: bundlesUrl(60 + index),
      number: 60 + index,
    }));
    documents.set(PUBLISHED_AT, releaseManifest(releases));
    const online = await putOnline({ artifacts, documents });
    await writeFile(join(folder, "manifest.yaml"), documents.get(PUBLISHED_AT) ?? "");
    const stage = new ReleaseStage(folder, online, documents);
    await stage.export("old.tar", "--eksa-version", OLD);
    await stage.export("new.tar", "--eksa-version", NEW);
    return stage;
  }

  /** After each test. */
  async end(): Promise<void> {
    await Promise.all(this.#running.splice(0).map((registry) => registry.stop()));
  }

  /** After all tests. */
  async strike(): Promise<void> {
    await this.online.stop();
    await rm(this.folder, { recursive: true, force: true });
  }

  run(...words: string[]): Promise<RunResult> {
    return runExecutable(words, { cwd: this.folder });
  }

  /** An export that goes well; `output` is in the stage's folder. */
  async export(output: string, ...flags: string[]): Promise<RunResult> {
    const result = await this.run("export", "artifacts", "-o", output, ...this.online.mirrors, ...flags);
    expect(result, result.stderr).toMatchObject({ status: 0, stdout: "" });
    return result;
  }

  /** An import that goes well. */
  async import(input: string, target: TestRegistry): Promise<RunResult> {
    const result = await this.run("import", "artifacts", "-i", input, "-r", target.host);
    expect(result.status, result.stderr).toBe(0);
    return result;
  }

  async startTarget(options: TestRegistryOptions = {}): Promise<TestRegistry> {
    const registry = await startRegistry(options);
    this.#running.push(registry);
    return registry;
  }

  bytes(name: string): Promise<Buffer> {
    return Bun.file(join(this.folder, name)).bytes().then(Buffer.from);
  }
}

export function bundlesUrl(number: number): string {
  return `${ASSETS}/${number}/manifest.yaml`;
}

function componentUrl(number: number): string {
  return `${ASSETS}/${number}/artifacts/components.yaml`;
}

function bundlesOf(number: number, controller: object): string {
  const eksa = { clusterController: controller, components: { uri: componentUrl(number) } };
  return toYaml({
    apiVersion: "anywhere.eks.amazonaws.com/v1alpha1",
    kind: "Bundles",
    spec: { number, versionsBundles: [{ kubeVersion: "1.31", eksa }] },
  });
}

/** The digest that a tag stands for; undefined where there is none. */
export async function digestAt(
  registry: TestRegistry,
  repository: string,
  tag: string,
): Promise<string | undefined> {
  const response = await fetch(`${registry.url}/v2/${repository}/manifests/${tag}`);
  await response.bytes();
  return response.headers.get("docker-content-digest") ?? undefined;
}
