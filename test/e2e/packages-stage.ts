import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { toYaml } from "../support/bundles-author.ts";
import { chart, image, multiArchImage, seed, type TestContent } from "../support/content.ts";
import { type RunResult, runExecutable } from "../support/executable.ts";
import {
  type PackageBundleFixture,
  PRIVATE_PACKAGES,
  PUBLIC_PACKAGES,
  packageBundle,
} from "../support/packages.ts";
import { startRegistry, type TestRegistry, type TestRegistryOptions } from "../support/registry.ts";
import { type OnlineRelease, partsOf, putOnline } from "../support/release.ts";

const ROBOT = { username: "AWS", password: "c0rrect-horse" };
const CONTROLLER = `${PUBLIC_PACKAGES}/eks-anywhere-packages`;

/** `REPOSITORY:TAG` → digest. */
export type Held = Record<string, string>;

/** A release of three Kubernetes versions, two of them with curated packages, online. */
export class PackagesStage {
  readonly folder: string;
  /** For a test's own files; new for each. */
  work = "";
  /** Of Kubernetes 1.30 and 1.31. */
  readonly bundles: readonly PackageBundleFixture[];
  /** What the Bundles names itself. */
  readonly own: ReadonlyMap<string, TestContent>;
  readonly online: OnlineRelease;
  /** The private registry: it wants a login. */
  readonly vault: TestRegistry;
  /** Answers for the vault; forgotten after each test. */
  intercept: ((url: URL) => Response | undefined) | undefined;
  readonly #running: TestRegistry[] = [];

  private constructor(parts: Pick<PackagesStage, "folder" | "bundles" | "own" | "online" | "vault">) {
    this.folder = parts.folder;
    this.bundles = parts.bundles;
    this.own = parts.own;
    this.online = parts.online;
    this.vault = parts.vault;
  }

  static async set(): Promise<PackagesStage> {
    const folder = await mkdtemp(join(tmpdir(), "eksa-airgap-packages-"));
    const bundles = [await releasedBundle("v1-30-7", "a"), await releasedBundle("v1-31-118", "b")];
    const own = new Map([
      [`${CONTROLLER}:v0.4.17-eks-a-1`, await image({ seed: "bundles-controller" })],
      [`${CONTROLLER}:0.4.17-eks-a-1`, await chart("eks-anywhere-packages", "0.4.17")],
    ]);
    const online = await putOnline({
      artifacts: new Map([...own, ...bundles.flatMap(({ charts }) => [...charts])]),
      documents: new Map([["https://files.example/a.yaml", "kind: List\n"]]),
    });
    const vault = await startRegistry({
      auth: { scheme: "basic", ...ROBOT },
      intercept: (_, url) => stage.intercept?.(url),
    });
    const stage: PackagesStage = new PackagesStage({ folder, bundles, own, online, vault });
    for (const bundle of bundles) await stage.publish(bundle);
    await writeFile(join(folder, "bundles.yaml"), stage.yaml());
    const auth = Buffer.from(`${ROBOT.username}:${ROBOT.password}`).toString("base64");
    await mkdir(join(folder, "docker"));
    await writeFile(
      join(folder, "docker", "config.json"),
      JSON.stringify({ auths: { [vault.host]: { auth } } }),
    );
    return stage;
  }

  async begin(): Promise<void> {
    this.work = await mkdtemp(join(this.folder, "work-"));
    this.vault.requests.length = 0;
  }

  async end(): Promise<void> {
    this.intercept = undefined;
    await Promise.all(this.#running.splice(0).map((registry) => registry.stop()));
  }

  async strike(): Promise<void> {
    await Promise.all([this.online.stop(), this.vault.stop()]);
    await rm(this.folder, { recursive: true, force: true });
  }

  /** A Bundles without a package controller for Kubernetes 1.29. */
  yaml(latest = "1.31"): string {
    const [controller, helmChart] = [...this.own].map(([uri, { root }]) => ({
      uri,
      imageDigest: root.digest,
    }));
    const packageController = { packageController: controller, helmChart };
    const parts = { files: [{ uri: "https://files.example/a.yaml" }] };
    return toYaml({
      apiVersion: "anywhere.eks.amazonaws.com/v1alpha1",
      kind: "Bundles",
      spec: {
        number: 1,
        versionsBundles: [
          { kubeVersion: "1.29", parts },
          { kubeVersion: "1.30", packageController },
          { kubeVersion: latest, packageController },
        ],
      },
    });
  }

  /** Moves the bundle's tag, too. The controller's own image is there for everybody. */
  async publish({ charts, images }: PackageBundleFixture): Promise<void> {
    const { store } = this.online.registry;
    for (const [name, content] of charts) {
      const { repository, tag } = partsOf(name);
      await seed(store, repository, tag, content);
    }
    for (const [name, content] of images) {
      const { repository } = partsOf(name);
      await seed(this.vault.store, repository, undefined, content);
      if (repository === "eks-anywhere-packages")
        await seed(store, `eks-anywhere/${repository}`, "v0.4.15", content);
    }
  }

  selection(bundles = join(this.folder, "bundles.yaml")): string[] {
    const mirrors = [...this.online.mirrors, "--mirror", `${PRIVATE_PACKAGES}=${this.vault.url}`];
    return ["--bundles-override", bundles, ...mirrors];
  }

  run(...args: string[]): Promise<RunResult> {
    return runExecutable(args, { cwd: this.work, env: { DOCKER_CONFIG: join(this.folder, "docker") } });
  }

  exportTo(output: string, ...flags: string[]): Promise<RunResult> {
    return this.run("export", "artifacts", "-o", output, ...this.selection(), "--include-packages", ...flags);
  }

  importTo(input: string, ...flags: string[]): Promise<RunResult> {
    return this.run("import", "artifacts", "-i", input, ...flags);
  }

  async startTarget(options: TestRegistryOptions = {}): Promise<TestRegistry> {
    const registry = await startRegistry(options);
    this.#running.push(registry);
    return registry;
  }

  /**
   * Where the package controller and the nodes of a cluster look: below `home` for what is public, below `pkgs` for
   * the packages' images.
   */
  expected(
    bundles: readonly PackageBundleFixture[],
    { home, pkgs }: { home: string; pkgs: string } = { home: "eks-anywhere", pkgs: "eks-anywhere" },
  ): Held {
    const held: Held = {};
    const put = (repository: string, tag: string, { root }: TestContent) => {
      const place =
        repository.startsWith("harbor/harbor-") && repository !== "harbor/harbor-helm" ? pkgs : home;
      held[`${place}/${repository}:${tag}`] = root.digest;
    };
    for (const [name, content] of this.own) put("eks-anywhere-packages", partsOf(name).tag ?? "", content);
    for (const { charts, images, yaml } of bundles) {
      for (const [name, content] of charts) {
        const { repository, tag = "" } = partsOf(name);
        put(repository.slice("eks-anywhere/".length), tag, content);
        if (!tag.endsWith("-latest")) continue;
        put("eks-anywhere-packages-bundles", /^ {2}name: (\S+)$/m.exec(yaml)?.[1] ?? "", content);
      }
      const tags: Record<string, string> = {
        "harbor/harbor-db": `v2-${/2\.5\.1-(\w)/.exec(yaml)?.[1]}`,
        "eks-anywhere-packages": "v0.4.15",
      };
      for (const [name, content] of images) {
        const { repository } = partsOf(name);
        put(repository, tags[repository] ?? content.root.digest.slice("sha256:".length), content);
      }
    }
    return held;
  }
}

/** One image that charts know by digest alone, one with a tag, one of the package controller. */
export async function releasedBundle(name: string, version: string): Promise<PackageBundleFixture> {
  const core = await multiArchImage({ seed: "harbor" });
  const db = await image({ seed: `db-${version}` });
  const controller = await image({ seed: "controller" });
  return packageBundle(name, [
    {
      repository: "harbor/harbor-helm",
      version: `2.5.1-${version}`,
      images: [
        { repository: "harbor/harbor-core", content: core },
        { repository: "harbor/harbor-db", content: db, tag: `v2-${version}` },
      ],
    },
    {
      repository: "eks-anywhere-packages",
      version: "0.4.15",
      images: [{ repository: "eks-anywhere-packages", content: controller, tag: "v0.4.15" }],
    },
  ]);
}

/** Everything in a registry but the Bundles, whose digest is another test's business. */
export async function held(registry: TestRegistry): Promise<Held> {
  const get = (path: string) => fetch(`${registry.url}/v2/${path}`, { tls: { rejectUnauthorized: false } });
  const json = async (path: string) => JSON.parse(await (await get(path)).text());
  const found: Held = {};
  for (const repository of (await json("_catalog?n=1000")).repositories) {
    if (repository.endsWith("eks-anywhere/bundles")) continue;
    for (const tag of (await json(`${repository}/tags/list?n=1000`)).tags) {
      const manifest = await get(`${repository}/manifests/${tag}`);
      const sum = new Bun.CryptoHasher("sha256").update(await manifest.bytes()).digest("hex");
      found[`${repository}:${tag}`] = `sha256:${sum}`;
    }
  }
  return found;
}
