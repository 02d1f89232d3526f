import { readFileSync } from "node:fs";
import { join } from "node:path";

/** Documents as published, kept beside the checkout. */
export const PUBLISHED = join(import.meta.dir, "../../../shared/data/eks-anywhere");

/** What a Bundles of real life names, found without the product's code. */
export interface Named {
  /** References of images and charts → whether it is a chart. */
  images: Map<string, "image" | "chart">;
  /** Title in the Bundles artifact → URI. */
  manifests: Map<string, string>;
  /** URLs of EKS-D releases. */
  distros: Set<string>;
  /** URI → why it is left out. */
  skipped: Map<string, string>;
}

/** The folders of upstream's `download artifacts`, by component; another component has its own name. */
const FOLDERS: Record<string, string> = {
  bootstrap: "capi-kubeadm-bootstrap",
  certManager: "cert-manager",
  cloudStack: "cluster-api-provider-cloudstack",
  clusterAPI: "core-cluster-api",
  controlPlane: "capi-kubeadm-control-plane",
  docker: "cluster-api-provider-docker",
  eksD: "eks-distro",
  eksa: "eks-anywhere-cluster-controller",
  etcdadmBootstrap: "etcdadm-bootstrap-provider",
  etcdadmController: "etcdadm-controller",
  nutanix: "cluster-api-provider-nutanix",
  snow: "cluster-api-provider-snow",
  tinkerbell: "cluster-api-provider-tinkerbell",
  vSphere: "cluster-api-provider-vsphere",
};

const NOT_RESOLVED = "cannot be resolved";
const LOST_WITH_IT = `${NOT_RESOLVED}, and the images it names are left out with it`;

/** Everything that `text` names; of what it points to, only what can be had: no `embed:`. */
export function namedBy(text: string): Named {
  const document = Bun.YAML.parse(text) as { spec: { versionsBundles: Record<string, unknown>[] } };
  const named: Named = { images: new Map(), manifests: new Map(), distros: new Set(), skipped: new Map() };
  for (const { kubeVersion, ...components } of document.spec.versionsBundles) {
    for (const [component, value] of Object.entries(components)) {
      const folder = `${kubeVersion}/${FOLDERS[component] ?? component}`;
      for (const mention of mentionsIn(component, value)) enter(named, folder, mention);
    }
  }
  return named;
}

interface Mention {
  key: string;
  uri: string;
}

function* mentionsIn(key: string, value: unknown): Generator<Mention> {
  if (typeof value !== "object" || value === null) return;
  for (const [name, child] of Object.entries(value)) {
    if (typeof child !== "string") yield* mentionsIn(name, child);
    else if (name === "uri") yield { key, uri: child };
    // EKS-D has two manifests as plain strings.
    else if (key === "eksD" && (name === "manifestUrl" || name === "components"))
      yield { key: name, uri: child };
  }
}

function enter({ images, manifests, distros, skipped }: Named, folder: string, { key, uri }: Mention): void {
  if (uri === "<placeholder>") skipped.set(uri, "a placeholder");
  else if (uri.endsWith(".yaml")) {
    const isDistro = key === "manifestUrl";
    if (uri.startsWith("embed:")) skipped.set(uri, isDistro ? LOST_WITH_IT : NOT_RESOLVED);
    else manifests.set(`${folder}/${uri.slice(uri.lastIndexOf("/") + 1)}`, uri);
    if (isDistro && !uri.startsWith("embed:")) distros.add(uri);
  } else if (/^https?:/.test(uri)) skipped.set(uri, "archives are not carried");
  else images.set(uri, /Chart$|Crds$|^stack$/.test(key) ? "chart" : "image");
}

/** The same text with every digest replaced by the one that `digestOf` gives for the URI beside it. */
export function withDigests(text: string, digestOf: (uri: string) => string): string {
  return text.replaceAll(
    /^( +)imageDigest: sha256:\S+\n((?:\1.*\n)*?)\1uri: (\S+)$/gm,
    (_, indent, between, uri) => `${indent}imageDigest: ${digestOf(uri)}\n${between}${indent}uri: ${uri}`,
  );
}

/** A published EKS-D Release whose images have the tags of `url`: `…/kubernetes-1-31-eks-47.yaml`. */
export function distroFor(url: string): string {
  const [, minor = "", number] = /kubernetes-1-(\d+)-eks-(\d+)\.yaml$/.exec(url) ?? [];
  const [file, own] =
    Number(minor) % 2 === 0
      ? ["eksd-release-kubernetes-1-20-eks-1-controllers.yaml", /-eks-1-20-1$/gm]
      : ["eksd-release-kubernetes-1-21-eks-4.yaml", /-eks-1-21-4$/gm];
  return readFileSync(join(PUBLISHED, file), "utf8").replaceAll(own, `-eks-1-${minor}-${number}`);
}

/** Images and archives of an EKS-D Release, by nothing but the look of their URIs. */
export function namedByDistro(text: string): { images: string[]; archives: string[] } {
  const uris = [...text.matchAll(/^ +uri: (\S+)$/gm)].map((match) => match[1] ?? "");
  const isArchive = (uri: string) => uri.startsWith("https://");
  return { images: uris.filter((uri) => !isArchive(uri)), archives: uris.filter(isArchive) };
}
