import * as v from "valibot";
import { parseDigest } from "../oci/digest.ts";
import { Fault } from "../oci/fault.ts";
import { isRecord } from "../oci/manifest.ts";
import { parseReference, type Reference, repositoryName } from "../oci/reference.ts";
import type { Bundles } from "./bundles.ts";
import { absenceOf } from "./classify.ts";
import { type DocumentType, parseYamlDocument, type YamlFile } from "./documents.ts";
import { MEND, throwAll } from "./failures.ts";
import { type ImageArtifact, parseImage } from "./images.ts";

/** What a package bundle names. */
export interface PackageBundle {
  /** `v1-31-118`: what a cluster asks for once it is active there. */
  name: string;
  /** `HOST/PATH` before the repository of each chart. */
  home: string;
  /** By the version's name as a tag, and by digest. */
  charts: ImageArtifact[];
  /** By digest alone: only the charts know their tags. */
  images: ImageArtifact[];
}

/** Where the charts and images of a package bundle are. */
export interface Stage {
  /** `HOST/PATH` before the repository of each chart. */
  charts: string;
  /** `HOST` of the images. */
  images: string;
}

const REPOSITORY = "eks-anywhere-packages-bundles";

/**
 * Charts lie beside the bundle, images in the account of the same stage. Source: eks-anywhere,
 * pkg/curatedpackages/{reader,registry_constants}.go; what these do not know is as a cluster has it,
 * `GetCuratedPackagesRegistries` in packagecontrollerclient.go.
 */
const PRODUCTION_IMAGES = "783794618700.dkr.ecr.us-west-2.amazonaws.com";
const DEVELOPMENT = {
  charts: "public.ecr.aws/x3k6m8v0",
  images: "067575901363.dkr.ecr.us-west-2.amazonaws.com",
};
const STAGING = {
  charts: "public.ecr.aws/w9m0f3l5",
  images: "724423470321.dkr.ecr.us-west-2.amazonaws.com",
};
const STAGES = new Map<string, Stage>([
  [DEVELOPMENT.charts, DEVELOPMENT],
  ["public.ecr.aws/l0g8r8j6", DEVELOPMENT],
  [STAGING.charts, STAGING],
]);

const repository = v.string("a repository");
const digest = v.string("a digest");
const image = v.object({ repository, digest }, "a mapping with `repository` and `digest`");
const version = v.object(
  {
    name: v.string("a version"),
    digest,
    images: v.optional(v.array(image, "a list of images"), []),
  },
  "a mapping with `name` and `digest`",
);
const source = v.object(
  {
    registry: v.optional(v.string("a registry"), ""),
    repository,
    versions: v.pipe(v.array(version, "a list of versions"), v.minLength(1, "at least one version")),
  },
  "a mapping with `repository` and `versions`",
);
const metadata = v.object(
  {
    name: v.pipe(
      v.string("a name like `v1-31-118`"),
      v.regex(/^v[0-9]+-[0-9]+-[0-9]+(?:-[0-9A-Za-z._-]{1,64})?$/, "a name like `v1-31-118`"),
      v.maxLength(128, "a name like `v1-31-118`"),
    ),
  },
  "a mapping with a `name`",
);
const packages = v.pipe(
  v.array(v.object({ source }, "a mapping with a `source`"), "a list of packages"),
  v.minLength(1, "at least one package"),
);

type Origin = v.InferOutput<typeof source>;

/** Source: eks-anywhere-packages, api/v1alpha1/packagebundle_types.go. */
const PACKAGE_BUNDLE: DocumentType<{ metadata: { name: string }; spec: { packages: { source: Origin }[] } }> =
  {
    apiVersion: "packages.eks.amazonaws.com/v1alpha1",
    kind: "PackageBundle",
    schema: v.object(
      { metadata, spec: v.object({ packages }, "a mapping with `packages`") },
      "a mapping with `metadata` and `spec`",
    ),
  };

/** What a Bundles says of the curated packages of a Kubernetes version. */
export interface PackageController {
  kubeVersion: string;
  /**
   * The tag that moves to the latest package bundle of this version. Undefined where the Bundles names no
   * package controller, beside whose image it is. Source: eks-anywhere, pkg/curatedpackages/defaultregistry.go.
   */
  bundle: Reference | undefined;
  /** The place in the Bundles. */
  where: string;
}

export function packageControllers({ versionsBundles }: Bundles): PackageController[] {
  return versionsBundles.map(({ kubeVersion, packageController }, index) => {
    const image = isRecord(packageController) ? packageController.packageController : undefined;
    const uri = isRecord(image) && typeof image.uri === "string" ? image.uri : "";
    return {
      kubeVersion,
      bundle:
        absenceOf(uri) === undefined ? packageBundleTag(parseImage(uri, undefined), kubeVersion) : undefined,
      where: `versionsBundles[${index}].packageController`,
    };
  });
}

function packageBundleTag(controller: Reference, kubeVersion: string): Reference {
  return parseReference(`${beside(controller)}/${REPOSITORY}:v${kubeVersion.replaceAll(".", "-")}-latest`);
}

/** Whether what goes by this name is a package bundle, here or in a mirror. */
export function isPackageBundle({ repository }: Reference): boolean {
  return repository === REPOSITORY || repository.endsWith(`/${REPOSITORY}`);
}

/** `1.31` of `v1-31-118`. */
export function kubeVersionOf(name: string): string {
  return name.replace(/^v([0-9]+)-([0-9]+)-.*$/, "$1.$2");
}

export function stageOf(bundle: Reference): Stage {
  const charts = beside(bundle);
  return STAGES.get(charts) ?? { charts, images: PRODUCTION_IMAGES };
}

/** Fails naming every place that makes no sense. */
export function parsePackageBundle(file: YamlFile, stage: Stage): PackageBundle {
  const { metadata, spec } = parseYamlDocument(file, PACKAGE_BUNDLE);
  const charts: ImageArtifact[] = [];
  const images: ImageArtifact[] = [];
  const failures: unknown[] = [];
  const use = (where: string, work: (where: string) => void) => {
    try {
      work(where);
    } catch (cause) {
      failures.push(new Fault(`cannot use ${where}`, { cause, hint: MEND }));
    }
  };
  for (const [p, { source }] of spec.packages.entries()) {
    for (const [v, version] of source.versions.entries()) {
      const place = `${metadata.name}: packages[${p}].source.versions[${v}]`;
      use(place, (where) => {
        charts.push({ kind: "chart", reference: chartOf(source, version, stage.charts), where: [where] });
      });
      for (const [i, { repository, digest }] of version.images.entries()) {
        use(`${place}.images[${i}]`, (where) => {
          const reference = parseReference(`${stage.images}/${repository}@${parseDigest(digest)}`);
          images.push({ kind: "image", reference, where: [where] });
        });
      }
    }
  }
  throwAll(`cannot use what ${file.source} names`, failures);
  return { name: metadata.name, home: stage.charts, charts, images };
}

/** Helm writes a version's `+` as `_` in a tag. */
function chartOf(
  { registry, repository }: Origin,
  version: Origin["versions"][number],
  home: string,
): Reference {
  const tag = version.name.replaceAll("+", "_");
  return parseReference(`${registry || home}/${repository}:${tag}@${parseDigest(version.digest)}`);
}

/** `HOST/PATH` without the last segment. */
function beside(reference: Reference): string {
  const name = repositoryName(reference);
  return name.slice(0, name.lastIndexOf("/"));
}
