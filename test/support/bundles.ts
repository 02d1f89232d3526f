import { BundlesAuthor, type BundlesShape, toYaml } from "./bundles-author.ts";
import { componentsOf } from "./bundles-components.ts";

/** A Bundles, and everything that has to exist for it to be exported. */
export interface BundlesFixture {
  /** The Bundles manifest. */
  yaml: string;
  /** URL → text of every YAML file that it points to. */
  documents: Map<string, string>;
  /** References of the Bundles' and EKS-D's images, each once. */
  images: string[];
  /** References of the charts, each once. */
  charts: string[];
}

/** A Bundles as EKS Anywhere 0.26 publishes it: each component, with URIs of the real shape. */
export function bundlesOfRealShape(shape: BundlesShape = {}): BundlesFixture {
  const { versions = ["1.30", "1.31"], number = 1 } = shape;
  const author = new BundlesAuthor(shape);
  const versionsBundles = versions.map((version) => ({
    kubeVersion: version,
    endOfStandardSupport: "2027-07-31",
    ...componentsOf(author, version),
  }));
  const document = {
    apiVersion: "anywhere.eks.amazonaws.com/v1alpha1",
    kind: "Bundles",
    metadata: { creationTimestamp: "1970-01-01T00:00:00Z", name: `bundles-${number}` },
    spec: { cliMaxVersion: "v0.26.0", cliMinVersion: "v0.26.0", number, versionsBundles },
    status: {},
  };
  return {
    yaml: toYaml(document),
    documents: author.documents,
    images: [...author.images],
    charts: [...author.charts],
  };
}
