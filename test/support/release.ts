import { type BundlesFixture, bundlesOfRealShape } from "./bundles.ts";
import { type BundlesShape, toYaml } from "./bundles-author.ts";
import { chart, image, layer, multiArchImage, seed, type TestContent } from "./content.ts";
import { startRegistry, type TestRegistry, type TestRegistryOptions } from "./registry.ts";

/** What a release consists of, as plain data. */
export interface Release {
  /** The Bundles manifest. */
  yaml: string;
  /** URL → text of every YAML file. */
  documents: ReadonlyMap<string, string>;
  /** `HOST/REPOSITORY:TAG` → content of every image and chart. */
  artifacts: ReadonlyMap<string, TestContent>;
}

/** bytes of the layer that all images share, and of each image's own */
interface LayerSizes {
  base: number;
  own: number;
}

/** A release with a registry and a file server in place of the public ones. */
export interface OnlineRelease {
  registry: TestRegistry;
  /** `--mirror HOST=URL` for every host that the release names. */
  mirrors: string[];
  /** `/HOST/PATH` of every file that was asked for. */
  askedFiles: string[];
  stop(): Promise<void>;
}

/** A Bundles of real shape with content of every kind: both dialects, bare, multi-arch and attested images. */
export async function releaseOfRealShape(
  shape: BundlesShape = {},
  sizes: LayerSizes = { base: 20_000, own: 1000 },
): Promise<Release> {
  const named = bundlesOfRealShape(shape);
  const artifacts = await inventContent(named, sizes);
  // Once more, with the digests that the content turned out to have.
  const { yaml, documents } = bundlesOfRealShape({
    ...shape,
    imageDigest: (reference) => artifacts.get(reference)?.root.digest,
  });
  return { yaml, documents, artifacts };
}

/** A Bundles of one version that names these artifacts and documents, and nothing else. */
export function releaseOf(
  artifacts: ReadonlyMap<string, TestContent>,
  documents: ReadonlyMap<string, string> = new Map(),
): Release {
  const images = [...artifacts].map(([uri, { root }]) => ({ uri, imageDigest: root.digest }));
  const files = [...documents.keys()].map((uri) => ({ uri }));
  const document = {
    apiVersion: "anywhere.eks.amazonaws.com/v1alpha1",
    kind: "Bundles",
    spec: { number: 1, versionsBundles: [{ kubeVersion: "1.31", parts: { files, images } }] },
  };
  return { yaml: toYaml(document), documents, artifacts };
}

async function inventContent(
  { images, charts }: BundlesFixture,
  sizes: LayerSizes,
): Promise<Map<string, TestContent>> {
  const base = [await layer("base", sizes.base)];
  const artifacts = new Map<string, TestContent>();
  for (const [index, reference] of images.entries()) {
    const dialect = index % 3 === 0 ? "docker" : "oci";
    const options = { seed: `image-${index}`, dialect, base, layerSizes: [sizes.own] } as const;
    const content =
      index % 10 === 9 ? image(options) : multiArchImage({ ...options, attested: index % 5 === 0 });
    artifacts.set(reference, await content);
  }
  for (const reference of charts) {
    const { repository, tag } = partsOf(reference);
    artifacts.set(reference, await chart(repository.slice(repository.lastIndexOf("/") + 1), tag ?? ""));
  }
  return artifacts;
}

/** Puts a release online until it is stopped. */
export async function putOnline(
  release: Pick<Release, "artifacts" | "documents">,
  options: TestRegistryOptions = {},
): Promise<OnlineRelease> {
  const registry = await startRegistry(options);
  for (const [reference, content] of release.artifacts) {
    const { repository, tag } = partsOf(reference);
    await seed(registry.store, repository, tag, content);
  }
  const files = serveDocuments(release.documents);
  const registries = new Set([...release.artifacts.keys()].map((reference) => partsOf(reference).host));
  const hosts = new Set([...release.documents.keys()].map((url) => new URL(url).host));
  return {
    registry,
    askedFiles: files.asked,
    mirrors: [
      ...[...registries].map((host) => `${host}=${registry.url}`),
      ...[...hosts].map((host) => `${host}=${files.url}/${host}`),
    ].flatMap((mirror) => ["--mirror", mirror]),
    async stop() {
      await Promise.all([registry.stop(), files.stop()]);
    },
  };
}

/** Documents behind a file server in place of their hosts. */
interface ServedDocuments {
  url: string;
  /** `/HOST/PATH` of every request. */
  asked: string[];
  stop(): Promise<void>;
}

/** Serves each document below its host's name. */
function serveDocuments(documents: ReadonlyMap<string, string>): ServedDocuments {
  const asked: string[] = [];
  const pages = new Map(
    [...documents].map(([url, text]) => [`/${new URL(url).host}${new URL(url).pathname}`, text]),
  );
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch(request) {
      const { pathname } = new URL(request.url);
      asked.push(pathname);
      const text = pages.get(pathname);
      return text === undefined ? new Response("not found\n", { status: 404 }) : new Response(text);
    },
  });
  return { url: `http://127.0.0.1:${server.port}`, asked, stop: () => server.stop(true) };
}

/** `HOST/REPOSITORY:TAG`, or `HOST/REPOSITORY@DIGEST`, which has no tag. */
export function partsOf(reference: string): { host: string; repository: string; tag: string | undefined } {
  const [, host = "", repository = "", tag] = /^([^/]+)\/([^:@]+)(?::([^@]+))?/.exec(reference) ?? [];
  return { host, repository, tag };
}
