import { type Descriptor, MEDIA_TYPE } from "../../src/oci/descriptor.ts";
import { type Digest, digestOf } from "../../src/oci/digest.ts";
import { toYaml } from "./bundles-author.ts";
import { chart, type TestContent } from "./content.ts";
import { manifestContent, rawImage } from "./memory.ts";

export const PUBLIC_PACKAGES = "public.ecr.aws/eks-anywhere";
export const PRIVATE_PACKAGES = "783794618700.dkr.ecr.us-west-2.amazonaws.com";

/** A package: a chart, and the images that it needs. */
export interface PackageShape {
  /** The chart's repository; its last segment is the package's name. */
  repository: string;
  version: string;
  images: readonly { repository: string; content: TestContent; tag?: string }[];
  /** The chart's `values.yaml`. Default: each image that has a tag, with its digest beside it. */
  values?: string;
}

/** What a package bundle consists of. */
export interface PackageBundleFixture {
  yaml: string;
  /** `HOST/REPOSITORY:TAG` → the bundle by its moving tag, and the charts. */
  charts: Map<string, TestContent>;
  /** `HOST/REPOSITORY@DIGEST` → images. */
  images: Map<string, TestContent>;
}

/** A package bundle as it is published, e.g. `v1-31-118`, and all that it names. */
export async function packageBundle(
  name: string,
  packages: readonly PackageShape[],
): Promise<PackageBundleFixture> {
  const charts = new Map<string, TestContent>();
  const images = new Map<string, TestContent>();
  const listed: object[] = [];
  for (const { repository, version, images: own, values } of packages) {
    const title = repository.slice(repository.lastIndexOf("/") + 1);
    const content = await chart(title, version, values ?? valuesFor(own));
    charts.set(`${PUBLIC_PACKAGES}/${repository}:${version}`, content);
    for (const image of own) {
      images.set(`${PRIVATE_PACKAGES}/${image.repository}@${image.content.root.digest}`, image.content);
    }
    const named = own.map((image) => ({ digest: image.content.root.digest, repository: image.repository }));
    const versions = [{ digest: content.root.digest, images: named, name: version, schema: "H4sIAA==" }];
    listed.push({ name: title, source: { repository, versions } });
  }
  const yaml = packageBundleYaml(name, listed);
  const tag = `${name.split("-").slice(0, 2).join("-")}-latest`;
  charts.set(`${PUBLIC_PACKAGES}/eks-anywhere-packages-bundles:${tag}`, pushedFile("bundle.yaml", yaml));
  return { yaml, charts, images };
}

/** A published package bundle with content invented for all that it names, and its digests put in. */
export async function inventPackages(published: string): Promise<PackageBundleFixture> {
  const { metadata, spec } = Bun.YAML.parse(published) as PublishedBundle;
  const charts = new Map<string, TestContent>();
  const images = new Map<string, TestContent>();
  let yaml = published;
  for (const { source } of spec.packages) {
    for (const version of source.versions) {
      const content = await chart(source.repository.replaceAll("/", "-"), version.name);
      charts.set(`${PUBLIC_PACKAGES}/${source.repository}:${version.name}`, content);
      yaml = yaml.replaceAll(version.digest, content.root.digest);
      for (const { repository, digest } of version.images) {
        const image = rawImage([digest]);
        images.set(`${PRIVATE_PACKAGES}/${repository}@${image.root.digest}`, image);
        yaml = yaml.replaceAll(digest, image.root.digest);
      }
    }
  }
  const tag = metadata.name.replace(/[0-9]+$/, "latest");
  charts.set(`${PUBLIC_PACKAGES}/eks-anywhere-packages-bundles:${tag}`, pushedFile("bundle.yaml", yaml));
  return { yaml, charts, images };
}

interface PublishedBundle {
  metadata: { name: string };
  spec: {
    packages: {
      source: {
        repository: string;
        versions: { name: string; digest: string; images: { repository: string; digest: string }[] }[];
      };
    }[];
  };
}

export function packageBundleYaml(name: string, packages: unknown): string {
  const annotations = { "eksa.aws.com/excludes": "LnNwZWM=", "eksa.aws.com/signature": "MEUCIQ==" };
  return toYaml({
    apiVersion: "packages.eks.amazonaws.com/v1alpha1",
    kind: "PackageBundle",
    metadata: { annotations, name, namespace: "eksa-packages" },
    spec: { packages },
  });
}

/** A file as `oras push HOST/REPOSITORY:TAG FILE` of that time made an artifact of it. */
export function pushedFile(title: string, text: string): TestContent {
  const blobs = new Map<Digest, Uint8Array>();
  const blob = (mediaType: string, content: string): Descriptor => {
    const bytes = new TextEncoder().encode(content);
    blobs.set(digestOf(bytes), bytes);
    return { mediaType, digest: digestOf(bytes), size: bytes.length };
  };
  const layer = blob("application/vnd.oci.image.layer.v1.tar", text);
  const content = manifestContent(MEDIA_TYPE.ociManifest, {
    schemaVersion: 2,
    config: blob("application/vnd.unknown.config.v1+json", "{}"),
    layers: [{ ...layer, annotations: { "org.opencontainers.image.title": title } }],
  });
  return { ...content, blobs };
}

function valuesFor(images: PackageShape["images"]): string {
  const tagged = images.filter(({ tag }) => tag !== undefined);
  const entries = tagged.map(({ repository, content, tag }) => {
    return [repository.replaceAll("/", "_"), { image: { repository, tag, digest: content.root.digest } }];
  });
  return toYaml({ sourceRegistry: PUBLIC_PACKAGES, ...Object.fromEntries(entries) });
}
