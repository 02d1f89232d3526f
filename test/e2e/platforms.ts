import { toYaml } from "../support/bundles-author.ts";
import { chart, image, layer, multiArchImage, type TestContent } from "../support/content.ts";
import { readFromTar } from "../support/tar.ts";

const HOST = "public.ecr.aws/eks-anywhere";
const ARM64 = { os: "linux", architecture: "arm64" };
export const ORIGINAL = "dev.eksa-airgap.original-digest";
export const NAMES = {
  multi: `${HOST}/multi:v1`,
  docker: `${HOST}/docker:v1`,
  bare: `${HOST}/bare:v1`,
  chart: `${HOST}/chart:0.1.0`,
  pinned: `${HOST}/pinned`,
};

export type PlatformContents = Record<keyof typeof NAMES, TestContent>;

/** Images of one and of two platforms, a chart, and what is known only by its digest. */
export async function inventContents(): Promise<PlatformContents> {
  const base = [await layer("shared", 50_000)];
  return {
    multi: await multiArchImage({ seed: "multi", attested: true, base }),
    docker: await multiArchImage({ seed: "docker", dialect: "docker", layerSizes: [40_000] }),
    bare: await image({ seed: "bare", platform: ARM64 }),
    chart: await chart("chart", "0.1.0"),
    pinned: await multiArchImage({ seed: "pinned" }),
  };
}

/** A Bundles that names all of them. */
export function bundlesOf(contents: PlatformContents): string {
  const images = (["multi", "docker", "bare"] as const).map((name) => ({
    uri: NAMES[name],
    imageDigest: contents[name].root.digest,
  }));
  const parts = {
    images,
    chart: { helmChart: { uri: NAMES.chart } },
    pinned: { uri: `${NAMES.pinned}@${contents.pinned.root.digest}` },
  };
  return toYaml({
    apiVersion: "anywhere.eks.amazonaws.com/v1alpha1",
    kind: "Bundles",
    spec: { number: 1, versionsBundles: [{ kubeVersion: "1.31", parts }] },
  });
}

interface Entry {
  digest: string;
  annotations: Record<string, string>;
}

/** Name → entry of an archive's `index.json`. */
export async function rootsOf(archive: string): Promise<Map<string, Entry>> {
  const { manifests }: { manifests: Entry[] } = JSON.parse(await readFromTar(archive, "index.json"));
  return new Map(manifests.map((entry) => [entry.annotations["io.containerd.image.name"] ?? "", entry]));
}
