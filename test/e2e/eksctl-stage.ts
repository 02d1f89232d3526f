import { chmod, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { executable, type RunResult } from "../support/executable.ts";
import { type Internet, startInternet } from "../support/internet.ts";
import { startRegistry, type TestRegistry, type TestRegistryOptions } from "../support/registry.ts";
import { partsOf, type Release, releaseOfRealShape } from "../support/release.ts";
import { releaseManifest } from "../support/release-manifest.ts";

const ASSETS = "https://anywhere-assets.eks.amazonaws.com/releases";
/** Where EKS Anywhere publishes its Release manifest. */
const PUBLISHED_AT = `${ASSETS}/eks-a/manifest.yaml`;
/** What eksctl does with its plugins. Source: eksctl, pkg/ctl/anywhere. */
const EKSCTL = `#!/bin/sh
[ "$1" = anywhere ] || { echo "eksctl: unknown command $1" >&2; exit 64; }
shift
EKSCTL_VERSION=0.200.0 exec eksctl-anywhere "$@"
`;

/** A release on an internet of its own, and a shell with `eksctl` where scripts run. Needs openssl. */
export class EksctlStage {
  readonly release: Release;
  /** The Release manifest, as it is published. */
  readonly manifest: string;
  readonly internet: Internet;
  readonly #folder: string;
  /** The working directory of scripts; new for each test. */
  work = "";
  readonly #running: TestRegistry[] = [];

  private constructor(parts: Pick<EksctlStage, "release" | "manifest" | "internet"> & { folder: string }) {
    this.release = parts.release;
    this.manifest = parts.manifest;
    this.internet = parts.internet;
    this.#folder = parts.folder;
  }

  /** Before all tests. */
  static async set(): Promise<EksctlStage> {
    const folder = await mkdtemp(join(tmpdir(), "eksa-airgap-eksctl-"));
    const release = await releaseOfRealShape();
    const bundleManifestUrl = `${ASSETS}/bundles/1/manifest.yaml`;
    const manifest = releaseManifest([{ version: "v0.26.1", bundleManifestUrl }]);
    const documents = new Map(release.documents);
    documents.set(bundleManifestUrl, release.yaml);
    documents.set(PUBLISHED_AT, manifest);
    const internet = await startInternet(folder, { artifacts: release.artifacts, documents });
    await mkdir(join(folder, "bin"));
    await symlink(await executable(), join(folder, "bin", "eksctl-anywhere"));
    await writeFile(join(folder, "bin", "eksctl"), EKSCTL);
    await chmod(join(folder, "bin", "eksctl"), 0o755);
    return new EksctlStage({ release, manifest, internet, folder });
  }

  async begin(): Promise<void> {
    this.work = await mkdtemp(join(this.#folder, "work-"));
    this.internet.asked.length = 0;
  }

  /** After each test. */
  async end(): Promise<void> {
    await Promise.all(this.#running.splice(0).map((registry) => registry.stop()));
  }

  /** After all tests. */
  async strike(): Promise<void> {
    await this.internet.stop();
    await rm(this.#folder, { recursive: true, force: true });
  }

  async startTarget(options: TestRegistryOptions = {}): Promise<TestRegistry> {
    const registry = await startRegistry(options);
    this.#running.push(registry);
    return registry;
  }

  /** A registry on https whose certificate is from the authority of the internet. */
  async startSecureTarget(options: TestRegistryOptions = {}): Promise<TestRegistry> {
    const { certificate, key } = this.internet.authority;
    const tls = { cert: await readFile(certificate, "utf8"), key: await readFile(key, "utf8") };
    return this.startTarget({ tls, ...options });
  }

  /** Runs lines of bash; `environment` says where the internet is, unless told otherwise. */
  async run(
    script: string,
    environment: Record<string, string> = this.internet.environment,
  ): Promise<RunResult> {
    await writeFile(join(this.work, "script.sh"), script);
    const child = Bun.spawn(["bash", "script.sh"], {
      cwd: this.work,
      env: {
        PATH: `${join(this.#folder, "bin")}:${process.env.PATH}`,
        HOME: this.work,
        TMPDIR: tmpdir(),
        ...environment,
      },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const [stdout, stderr] = [new Response(child.stdout).text(), new Response(child.stderr).text()];
    return { status: await child.exited, stdout: await stdout, stderr: await stderr };
  }

  /** Manifests and blobs, those of every platform, that a registry does not have below `namespace`. */
  async missingIn({ store }: TestRegistry, namespace = ""): Promise<string[]> {
    const missing: string[] = [];
    for (const [reference, { root, manifests, blobs }] of this.release.artifacts) {
      const { repository, tag = "" } = partsOf(reference);
      const place = namespace + repository;
      if ((await store.manifest(place, tag))?.digest !== root.digest) missing.push(reference);
      for (const { digest } of manifests) {
        if ((await store.manifest(place, digest)) === undefined) missing.push(`${reference} ${digest}`);
      }
      for (const digest of blobs.keys()) {
        if ((await store.blob(place, digest)) === undefined) missing.push(`${reference} ${digest}`);
      }
    }
    return missing;
  }
}
