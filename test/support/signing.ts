import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { parseDocument } from "yaml";
import { canonicalise } from "../../src/eksa/canonical-structs.ts";
import { parseYamlSource } from "../../src/eksa/documents.ts";
import { SIGNED_BUNDLES, SIGNED_EKSD_RELEASE } from "../../src/eksa/signed-structs.ts";

/** EKS Anywhere's and EKS-D's own, of `GOLDEN_BUNDLES` and `GOLDEN_RELEASE`. Source: pkg/signature/manifest_test.go */
export const GOLDEN_SIGNATURES = {
  bundles: "MEYCIQCiWwxw/Nchkgtan47FzagXHgB45Op7YWxvSZjFzHau8wIhALG2kbm+H8HJEfN/rUQ0ldo298MnzyhukBptUm0jCtZZ",
  release: "MEUCIQC3uP3Dhfb/nhCeir0Hwtf4bddKVfVIauFWBidT18XZOwIgHjzH1mOxBm1N2l2w9wBVy9W1o6CQXpdDz7UcbCszZYc=",
};

/** Of the components' places, one that no signature covers takes what a test wants to be there. */
export function goldenBundles({
  signature = GOLDEN_SIGNATURES.bundles,
  distro = GOLDEN_SIGNATURES.release,
  manifestUrl = "https://distro.example/kubernetes-1-28-46.yaml",
  images = [],
}: {
  signature?: string;
  distro?: string;
  manifestUrl?: string;
  images?: readonly object[];
} = {}): string {
  return `apiVersion: anywhere.eks.amazonaws.com/v1alpha1
kind: Bundles
metadata:
  annotations:
    anywhere.eks.amazonaws.com/signature: ${JSON.stringify(signature)}
    distro.eks.amazonaws.com/signature-: ${JSON.stringify(distro)}
spec:
  number: 1
  versionsBundles:
  - kubeVersion: "1.31"
    eksD: {manifestUrl: ${JSON.stringify(manifestUrl)}}
    docker: {images: ${JSON.stringify(images)}}
`;
}

export const GOLDEN_RELEASE = `apiVersion: distro.eks.amazonaws.com/v1alpha1
kind: Release
metadata: {name: kubernetes-1-28-46, namespace: eksa-system}
spec: {channel: 1-28, number: 46}
status: {components: [{name: etcd, assets: [{name: etcd-image, image: {uri: <placeholder>}}]}]}
`;

/** A publisher of one's own. */
export class Publisher {
  readonly #key: KeyObject;
  /** In PEM form. */
  readonly publicKey: string;

  constructor(namedCurve: "P-256" | "P-384" = "P-256") {
    const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve });
    this.#key = privateKey;
    this.publicKey = publicKey.export({ type: "spki", format: "pem" }).toString();
  }

  /** The Bundles with signatures of its own and of these EKS-D releases, channel → text, among its annotations. */
  sign(bundles: string, releases: Readonly<Record<string, string>> = {}): string {
    const document = parseDocument(bundles);
    const path = (name: string) => ["metadata", "annotations", name];
    for (const [channel, text] of Object.entries(releases)) {
      document.setIn(
        path(`distro.eks.amazonaws.com/signature-${channel}`),
        this.#signature(text, SIGNED_EKSD_RELEASE),
      );
    }
    document.setIn(path("anywhere.eks.amazonaws.com/signature"), this.#signature(bundles, SIGNED_BUNDLES));
    return document.toString({ lineWidth: 0 });
  }

  #signature(text: string, type: typeof SIGNED_BUNDLES): string {
    const tree = parseYamlSource({ source: "to be signed", bytes: new TextEncoder().encode(text) });
    return sign("sha256", canonicalise(tree, type).bytes, { key: this.#key, dsaEncoding: "der" }).toString(
      "base64",
    );
  }
}
