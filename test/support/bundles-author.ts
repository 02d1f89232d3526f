import { stringify } from "yaml";
import { digestOf } from "../../src/oci/digest.ts";

export interface BundlesShape {
  /** Default: 1.30 and 1.31. */
  versions?: readonly string[];
  /** Default: 1. */
  number?: number;
  /** `HOST[:PORT]` of every image. Default: public.ecr.aws. */
  registry?: string;
  /** Base URL of component manifests and archives, without a slash at the end. */
  assets?: string;
  /** Base URL of EKS-D's documents, without a slash at the end. */
  distro?: string;
  /** The `imageDigest` of an image or chart; undefined leaves it out. Default: a digest of the reference. */
  imageDigest?: (reference: string) => string | undefined;
}

export type Fields = Record<string, unknown>;

/** Writes the parts of a Bundles, and keeps account of what they name. */
export class BundlesAuthor {
  readonly documents = new Map<string, string>();
  readonly images = new Set<string>();
  readonly charts = new Set<string>();
  readonly #registry: string;
  readonly #assets: string;
  readonly #distro: string;
  readonly #imageDigest: (reference: string) => string | undefined;

  constructor({ registry, assets, distro, imageDigest }: BundlesShape) {
    this.#registry = registry ?? "public.ecr.aws";
    this.#assets = assets ?? "https://anywhere-assets.eks.amazonaws.com/releases/bundles/1/artifacts";
    this.#distro = distro ?? "https://distro.eks.amazonaws.com";
    this.#imageDigest = imageDigest ?? ((reference) => digestOf(new TextEncoder().encode(reference)));
  }

  /** `path`: `PROJECT/NAME:TAG` below the registry; below `eks-anywhere` unless it starts with a slash. */
  image(path: string): Fields {
    const uri = this.reference(path);
    this.images.add(uri);
    return { arch: ["amd64", "arm64"], os: "linux", ...this.#named(uri) };
  }

  chart(path: string): Fields {
    const uri = this.reference(path);
    this.charts.add(uri);
    return this.#named(uri);
  }

  manifest(path: string): Fields {
    const uri = `${this.#assets}/${path}`;
    this.documents.set(uri, `# ${path}\napiVersion: v1\nkind: List\nitems: []\n`);
    return { uri };
  }

  archive(path: string): Fields {
    const bytes = new TextEncoder().encode(path);
    const sums = { sha256: digestOf(bytes).slice(7), sha512: digestOf(bytes, "sha512").slice(7) };
    return { arch: ["amd64"], name: basename(path), os: "linux", ...sums, ...this.bareArchive(path) };
  }

  /** Hook's kernels come without checksums. */
  bareArchive(path: string): Fields {
    return { description: `Archive ${basename(path)}`, name: basename(path), uri: `${this.#assets}/${path}` };
  }

  /** A document of EKS-D, and its URL. */
  distro(path: string, text: string): string {
    const uri = `${this.#distro}/${path}`;
    this.documents.set(uri, text);
    return uri;
  }

  reference(path: string): string {
    return `${this.#registry}${path.startsWith("/") ? path : `/eks-anywhere/${path}`}`;
  }

  #named(uri: string): Fields {
    const imageDigest = this.#imageDigest(uri);
    const name = basename(uri.slice(0, uri.lastIndexOf(":")));
    const fields = { description: `Container image for ${name} image`, name, uri };
    return imageDigest === undefined ? fields : { ...fields, imageDigest };
  }
}

/** As Go writes it: keys sorted, every value spelled out, no line folded. */
export function toYaml(value: unknown): string {
  return stringify(value, { sortMapEntries: true, aliasDuplicateObjects: false, lineWidth: 0 });
}

export function basename(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}
