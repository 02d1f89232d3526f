import { join } from "node:path";
import { digestOf } from "../../src/oci/digest.ts";
import { pseudoRandomBytes } from "../../test/support/content.ts";

/** What is moved, and where it lies. */
export interface Corpus {
  /** `public.ecr.aws/…:v1` */
  references: string[];
  /** Each blob once, with a repository that holds it. */
  blobs: { repository: string; digest: string }[];
  /** bytes of all blobs together */
  bytes: number;
  /** A Bundles that names all references, by digest. */
  bundles: string;
}

const IMAGES = 56;
const ARCHITECTURES = ["amd64", "arm64"];
/** bytes; the same below every image of one architecture, as distributions' base layers are */
const BASE_LAYERS = [12e6, 3e6, 500e3];
/** bytes of the layers that are an image's own; every eighth has a large one besides */
const OWN_LAYERS = [5e6, 900e3, 200e3, 20e3, 4e3, 1e3];
const LARGE_LAYER = 40e6;

const IMAGE = "application/vnd.oci.image.manifest.v1+json";
const LAYER = "application/vnd.oci.image.layer.v1.tar+gzip";
const CONFIG = "application/vnd.oci.image.config.v1+json";
const INDEX = "application/vnd.oci.image.index.v1+json";

/** Fills a registry with multi-arch images over plain HTTP. */
export async function seedCorpus(registry: string, folder: string): Promise<Corpus> {
  const seeder = new Seeder(registry);
  const references: string[] = [];
  const images: string[] = [];
  for (let index = 0; index < IMAGES; index++) {
    const repository = `eks-anywhere/bench/image-${index}`;
    const digest = await seeder.image(repository, index);
    references.push(`public.ecr.aws/${repository}:v1`);
    images.push(`    image${index}: { uri: "public.ecr.aws/${repository}:v1", imageDigest: "${digest}" }`);
  }
  const bundles = join(folder, "bundle-release.yaml");
  const head =
    "apiVersion: anywhere.eks.amazonaws.com/v1alpha1\nkind: Bundles\nmetadata: { name: bundles-1 }\nspec:\n";
  const body = `  number: 1\n  versionsBundles:\n  - kubeVersion: "1.31"\n    bench:\n  ${images.join("\n  ")}\n`;
  await Bun.write(bundles, head + body);
  return { references, blobs: seeder.blobs, bytes: seeder.bytes, bundles };
}

class Seeder {
  readonly blobs: Corpus["blobs"] = [];
  bytes = 0;
  readonly #registry: string;
  readonly #homes = new Map<string, string>();

  constructor(registry: string) {
    this.#registry = registry;
  }

  async image(repository: string, index: number): Promise<string> {
    const manifests = [];
    for (const architecture of ARCHITECTURES) {
      const layers = await this.#layers(repository, { index, architecture });
      const config = await this.#blob(
        repository,
        CONFIG,
        json({
          architecture,
          os: "linux",
          index,
          rootfs: { type: "layers", diff_ids: layers.map(({ digest }) => digest) },
        }),
      );
      const manifest = json({ schemaVersion: 2, mediaType: IMAGE, config, layers });
      const digest = await this.#manifest(repository, IMAGE, manifest);
      manifests.push({
        mediaType: IMAGE,
        digest,
        size: manifest.length,
        platform: { os: "linux", architecture },
      });
    }
    return this.#manifest(repository, INDEX, json({ schemaVersion: 2, mediaType: INDEX, manifests }), "v1");
  }

  async #layers(repository: string, { index, architecture }: { index: number; architecture: string }) {
    const sizes = index % 8 === 0 ? [...OWN_LAYERS, LARGE_LAYER] : OWN_LAYERS;
    const names = [
      ...BASE_LAYERS.map((size) => ({ seed: `base-${architecture}-${size}`, size })),
      ...sizes.map((size) => ({ seed: `own-${architecture}-${index}-${size}`, size })),
    ];
    const layers = [];
    for (const { seed, size } of names)
      layers.push(await this.#blob(repository, LAYER, pseudoRandomBytes(size, seed)));
    return layers;
  }

  async #blob(repository: string, mediaType: string, bytes: Uint8Array) {
    const digest = digestOf(bytes);
    const home = this.#homes.get(digest);
    const query = home === undefined ? `digest=${digest}` : `mount=${digest}&from=${home}`;
    if (home === undefined) {
      this.#homes.set(digest, repository);
      this.blobs.push({ repository, digest });
      this.bytes += bytes.length;
      const start = await this.#ask("POST", `/v2/${repository}/blobs/uploads/`, 202);
      const location = new URL(start.headers.get("location") ?? "", this.#registry);
      location.searchParams.set("digest", digest);
      await this.#ask("PUT", location.href, 201, { body: bytes, type: "application/octet-stream" });
    } else await this.#ask("POST", `/v2/${repository}/blobs/uploads/?${query}`, 201);
    return { mediaType, digest, size: bytes.length };
  }

  async #manifest(repository: string, type: string, body: Uint8Array, tag?: string): Promise<string> {
    const digest = digestOf(body);
    await this.#ask("PUT", `/v2/${repository}/manifests/${tag ?? digest}`, 201, { body, type });
    return digest;
  }

  async #ask(
    method: string,
    path: string,
    status: number,
    sent?: { body: Uint8Array; type: string },
  ): Promise<Response> {
    const url = new URL(path, this.#registry);
    const response = await fetch(url, {
      method,
      ...(sent && { body: sent.body, headers: { "content-type": sent.type } }),
    });
    if (response.status !== status)
      throw new Error(`${method} ${url}: ${response.status} ${await response.text()}`);
    return response;
  }
}

function json(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}
