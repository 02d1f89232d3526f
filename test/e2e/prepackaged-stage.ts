import { expect } from "bun:test";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { toYaml } from "../support/bundles-author.ts";
import { chart, image, multiArchImage, type TestContent } from "../support/content.ts";
import { fastFolder } from "../support/docker-registry.ts";
import { type Running, type RunResult, runExecutable, startExecutable } from "../support/executable.ts";
import { type OnlineRelease, partsOf, putOnline } from "../support/release.ts";
import { releaseManifest } from "../support/release-manifest.ts";

export const VERSION = "v0.26.1";
export const NEWER = "v0.27.0";
const HOST = "public.ecr.aws";
const ASSETS = "https://assets.example";
export const TARBALL = `${ASSETS}/releases/${VERSION}/artifacts.tar`;

/** A request for a part of the tarball. */
export interface AskedPart {
  from: number;
  /** The first byte that is not wanted. */
  to: number;
}

/** The tarball's server; each test may let it do something else. */
export type Serve = (
  part: AskedPart | undefined,
  bytes: Uint8Array,
) => Response | undefined | Promise<Response>;

/** A release online, its tarball, and the Release manifest that offers it: a newer release is there by now. */
export class PrepackagedStage {
  readonly folder: string;
  readonly online: OnlineRelease;
  readonly artifacts: ReadonlyMap<string, TestContent>;
  /** What a build gives. */
  built: Uint8Array = new Uint8Array();
  /** Parts of the tarball that were asked for; undefined: all of it. */
  readonly asked: (AskedPart | undefined)[] = [];
  /** Requests at once, at most. */
  most = 0;
  serve: Serve | undefined;
  /** What is at the tarball's address. */
  tarball: Uint8Array = new Uint8Array();
  readonly #server: Bun.Server<undefined>;
  #atOnce = 0;

  private constructor(folder: string, online: OnlineRelease, artifacts: ReadonlyMap<string, TestContent>) {
    this.folder = folder;
    this.online = online;
    this.artifacts = artifacts;
    this.#server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      idleTimeout: 0,
      fetch: (request) => this.#answer(request),
    });
  }

  /** `largest`: bytes of the largest layer. */
  static async set(largest = 400_000): Promise<PrepackagedStage> {
    const folder = await mkdtemp(join(fastFolder(), "eksa-airgap-prepackaged-"));
    const artifacts = new Map<string, TestContent>([
      [
        `${HOST}/eks-anywhere/multi:v1`,
        await multiArchImage({ seed: "multi", attested: true, layerSizes: [9000] }),
      ],
      [`${HOST}/eks-anywhere/bare:v2`, await image({ seed: "bare", layerSizes: [largest, 70_000, 500] })],
      [
        `${HOST}/eks-distro/docker:v3`,
        await image({ seed: "docker", dialect: "docker", layerSizes: [40_000] }),
      ],
      [`${HOST}/eks-anywhere/chart:0.1.0`, await chart("chart", "0.1.0")],
    ]);
    const components = `${ASSETS}/components.yaml`;
    const documents = new Map([
      [bundlesUrl(1), bundlesOf(1, artifacts, components)],
      [bundlesUrl(2), bundlesOf(2, new Map(), components)],
      [components, "# components\nkind: List\n"],
    ]);
    const online = await putOnline({ artifacts, documents });
    const stage = new PrepackagedStage(folder, online, artifacts);
    const release = (number: number, version: string) => ({
      version,
      number,
      bundleManifestUrl: bundlesUrl(number),
    });
    await stage.write("manifest.yaml", releaseManifest([release(1, VERSION)]));
    const built = await stage.export("built.tar");
    expect(built.status, built.stderr).toBe(0);
    stage.built = await stage.bytes("built.tar");
    stage.tarball = stage.built;
    await stage.write("later.yaml", releaseManifest([release(2, NEWER), release(1, VERSION)], NEWER));
    const offered = await stage.offer("built.tar", "later.yaml", "offered.yaml");
    expect(offered.status, offered.stderr).toBe(0);
    return stage;
  }

  /** Before each test. */
  begin(): void {
    this.serve = undefined;
    this.tarball = this.built;
    this.asked.length = 0;
    this.most = 0;
    this.online.registry.requests.length = 0;
  }

  /** After all tests. */
  async strike(): Promise<void> {
    await Promise.all([this.online.stop(), this.#server.stop(true)]);
    await rm(this.folder, { recursive: true, force: true });
  }

  run(...words: string[]): Promise<RunResult> {
    return runExecutable(words, { cwd: this.folder });
  }

  offer(input: string, manifest: string, output: string, uri = TARBALL): Promise<RunResult> {
    const where = ["--release-manifest", manifest, "--eksa-version", VERSION, "--output", output];
    return this.run("release", "artifacts", "--input", input, "--uri", uri, ...where);
  }

  args(output: string, manifest: string, flags: readonly string[]): string[] {
    const mirrors = [
      ...this.online.mirrors.filter((word) => word !== "--mirror" && !word.startsWith("assets.example=")),
      `assets.example=http://127.0.0.1:${this.#server.port}`,
    ];
    const from = ["--release-manifest", manifest, "--eksa-version", VERSION];
    const where = mirrors.flatMap((mirror) => ["--mirror", mirror]);
    return ["export", "artifacts", "-o", output, ...from, ...where, ...flags];
  }

  /** From the manifest of the first release, which offers nothing. */
  export(output: string, ...flags: string[]): Promise<RunResult> {
    return this.run(...this.args(output, "manifest.yaml", flags));
  }

  /** From the manifest that offers the tarball. */
  take(output: string, ...flags: string[]): Promise<RunResult> {
    return this.run(...this.args(output, "offered.yaml", flags));
  }

  startTaking(output: string, ...flags: string[]): Promise<Running> {
    return startExecutable(this.args(output, "offered.yaml", flags), { cwd: this.folder });
  }

  async bytes(name: string): Promise<Uint8Array> {
    return new Uint8Array(await readFile(join(this.folder, name)));
  }

  async write(name: string, content: string | Uint8Array): Promise<void> {
    await writeFile(join(this.folder, name), content);
  }

  async expectBuilt(name: string): Promise<void> {
    expect(Buffer.compare(await this.bytes(name), this.built)).toBe(0);
  }

  /** Requests for blobs or manifests of the registries. */
  get askedOfRegistries(): number {
    return this.online.registry.requests.filter(({ path }) => path !== "/v2/").length;
  }

  async #answer(request: Request): Promise<Response> {
    const { pathname } = new URL(request.url);
    if (pathname !== new URL(TARBALL).pathname) return this.#document(pathname);
    const [, from, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.get("range") ?? "") ?? [];
    const part = from === undefined ? undefined : { from: Number(from), to: Number(last) + 1 };
    this.asked.push(part);
    this.#atOnce++;
    this.most = Math.max(this.most, this.#atOnce);
    try {
      // So that requests that are sent together are there together.
      await Bun.sleep(2);
      return (await this.serve?.(part, this.tarball)) ?? partOf(this.tarball, part);
    } finally {
      this.#atOnce--;
    }
  }

  async #document(pathname: string): Promise<Response> {
    const files = this.online.mirrors.find((word) => word.startsWith("assets.example="))?.split("=")[1];
    return fetch(`${files}${pathname}`);
  }
}

/** As servers of files answer. */
export function partOf(bytes: Uint8Array, part: AskedPart | undefined): Response {
  if (part === undefined) return new Response(bytes.slice());
  const range = `bytes ${part.from}-${part.to - 1}/${bytes.length}`;
  return new Response(bytes.slice(part.from, part.to), { status: 206, headers: { "content-range": range } });
}

function bundlesUrl(number: number): string {
  return `${ASSETS}/bundles/${number}/manifest.yaml`;
}

function bundlesOf(number: number, artifacts: ReadonlyMap<string, TestContent>, components: string): string {
  const images = [...artifacts].map(([uri, { root }]) => {
    // A chart is named by its tag alone, as EKS Anywhere does with some.
    return partsOf(uri).repository.endsWith("chart") ? { uri } : { uri, imageDigest: root.digest };
  });
  const spec = {
    number,
    versionsBundles: [{ kubeVersion: "1.31", parts: { images, components: { uri: components } } }],
  };
  return toYaml({ apiVersion: "anywhere.eks.amazonaws.com/v1alpha1", kind: "Bundles", spec });
}
