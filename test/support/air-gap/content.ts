import { readFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";
import { packTar, type TarEntry } from "modern-tar";
import { digestOf } from "../../../src/oci/digest.ts";
import { bundlesOfRealShape } from "../bundles.ts";
import type { BundlesShape } from "../bundles-author.ts";
import { chart, image, type Layer, multiArchImage, pseudoRandomBytes, type TestContent } from "../content.ts";
import { PRIVATE_PACKAGES, packageBundle } from "../packages.ts";
import { partsOf } from "../release.ts";
import { releaseManifest } from "../release-manifest.ts";

const ASSETS = "https://anywhere-assets.eks.amazonaws.com/releases";
/** In every image: which one it is. */
export const NAME_FILE = "/etc/image";
/** Bytes of an image's own layer. */
const SMALL = 600_000;

/** The system of whole nodes is what is large in a release. */
function sizeOf(reference: string): number {
  if (!reference.includes("/kind/node:")) return SMALL;
  return reference.includes("v1.31") ? 205_000_000 : 30_000_000;
}

/** An image or a chart, and where it is. */
export interface Artifact {
  /** `HOST/REPOSITORY:TAG`, or `HOST/REPOSITORY@DIGEST`. */
  reference: string;
  kind: "image" | "chart" | "other";
  content: TestContent;
}

/** A release of EKS Anywhere, and the curated packages of its Kubernetes versions. */
interface PublishedRelease {
  version: string;
  artifacts: Artifact[];
}

/** All that there is in the Internet. */
export interface Publication {
  releases: PublishedRelease[];
  /** URL → text, the Release manifest and each Bundles among them. */
  documents: Map<string, string>;
}

/** Two releases: the second has a Kubernetes version more. */
export async function publication(): Promise<Publication> {
  const base = await rootLayer();
  const contents = new Map<string, TestContent>();
  const documents = new Map<string, string>();
  const releases: PublishedRelease[] = [];
  for (const [index, versions] of [["1.31"], ["1.31", "1.32"]].entries()) {
    const number = 61 + index;
    const shape = { versions, number, imageDigest: (name: string) => contents.get(name)?.root.digest };
    const artifacts = await artifactsOf(shape, contents, base);
    const { yaml, documents: pages } = bundlesOfRealShape(shape);
    for (const [url, text] of pages) documents.set(url, text);
    documents.set(`${ASSETS}/bundles/${number}/manifest.yaml`, yaml);
    releases.push({ version: `v0.26.${index + 1}`, artifacts });
  }
  const entries = releases.map(({ version }, index) => {
    return {
      version,
      number: 61 + index,
      bundleManifestUrl: `${ASSETS}/bundles/${61 + index}/manifest.yaml`,
    };
  });
  documents.set(`${ASSETS}/eks-a/manifest.yaml`, releaseManifest(entries));
  return { releases, documents };
}

/** Adds to `contents` what the Bundles names and is not there yet. */
async function artifactsOf(
  shape: BundlesShape,
  contents: Map<string, TestContent>,
  base: Layer,
): Promise<Artifact[]> {
  const { images, charts } = bundlesOfRealShape(shape);
  for (const [index, reference] of images.entries()) {
    if (contents.has(reference)) continue;
    const own = await nameLayer(reference, sizeOf(reference));
    // Docker's own media types, provenances, and images of one platform are among them.
    const dialect = index % 3 === 0 ? "docker" : "oci";
    const options = { seed: reference, dialect, layerSizes: [], base: [base, own], command: SLEEP } as const;
    const content =
      index % 10 === 9
        ? image({ ...options, platform: { os: "linux", architecture: ARCHITECTURE } })
        : multiArchImage({ ...options, attested: index % 5 === 0 });
    contents.set(reference, await content);
  }
  for (const reference of charts) {
    const { repository, tag = "" } = partsOf(reference);
    contents.set(reference, await chart(repository.slice(repository.lastIndexOf("/") + 1), tag));
  }
  const named = (kind: Artifact["kind"], references: Iterable<string>): Artifact[] =>
    [...references].flatMap((reference) => {
      const content = contents.get(reference);
      return content === undefined ? [] : [{ reference, kind, content }];
    });
  const packages = await packagesOf(shape.versions ?? [], base);
  return [...named("image", images), ...named("chart", charts), ...packages];
}

async function packagesOf(versions: readonly string[], base: Layer): Promise<Artifact[]> {
  const own = await nameLayer(`${PRIVATE_PACKAGES}/metrics/server`, SMALL);
  const content = await multiArchImage({
    seed: "package",
    layerSizes: [],
    base: [base, own],
    command: SLEEP,
  });
  const found = new Map<string, Artifact>();
  for (const version of versions) {
    const { charts, images } = await packageBundle(`v${version.replace(".", "-")}-118`, [
      { repository: "metrics", version: "0.7.2", images: [{ repository: "metrics/server", content }] },
    ]);
    for (const [reference, content] of charts) {
      const kind = reference.includes("packages-bundles:") ? "other" : "chart";
      found.set(reference, { reference, kind, content });
    }
    for (const [reference, content] of images) found.set(reference, { reference, kind: "image", content });
  }
  return [...found.values()];
}

const SLEEP = ["/bin/sleep", "1000000"];
const ARCHITECTURE = process.arch === "x64" ? "amd64" : process.arch;

/** A system that runs: this machine's static busybox, by its own name and a few others. */
async function rootLayer(): Promise<Layer> {
  const links = ["sh", "sleep", "cat"].map((name) => ({
    header: { name: `bin/${name}`, size: 0, type: "symlink" as const, linkname: "busybox", mtime: EPOCH },
  }));
  const busybox = await readFile(Bun.which("busybox") ?? "/bin/busybox");
  return layerOf([file("bin/busybox", busybox, 0o755), ...links], 1);
}

/** Says which image it is in; the rest of its bytes do not compress. */
async function nameLayer(reference: string, size: number): Promise<Layer> {
  const name = new TextEncoder().encode(`${reference}\n`);
  return layerOf([file(NAME_FILE.slice(1), name), file("data", pseudoRandomBytes(size, reference))], 0);
}

const EPOCH = new Date(0);

function file(name: string, body: Uint8Array, mode = 0o644): TarEntry {
  return { header: { name, size: body.length, mode, mtime: EPOCH }, body };
}

async function layerOf(entries: TarEntry[], level: 0 | 1): Promise<Layer> {
  const tar = await packTar(entries);
  return { bytes: gzipSync(tar, { level }), diffId: digestOf(tar) };
}
