import { parseClusterVersions } from "../eksa/cluster-versions.ts";
import type { Collection } from "../eksa/collect.ts";
import type { ImageArtifact } from "../eksa/images.ts";
import type { Digest } from "../oci/digest.ts";
import { Fault } from "../oci/fault.ts";
import type { Root } from "../oci/plan.ts";
import { compareBytewise, formatReference, type Reference } from "../oci/reference.ts";
import { RegistrySource } from "../registry/source.ts";
import type { Failure } from "../terminal/fault.ts";
import { sanitizeLine } from "../terminal/sanitize.ts";
import { forEachBounded } from "../transfer/pool.ts";
import { defineCommandLine } from "./arguments.ts";
import { describeArtifact } from "./artifact-kind.ts";
import { defineCommand, type Run } from "./command.ts";
import { exclude } from "./exclude.ts";
import { collect, makePlan, type SelectionRun } from "./export-plan.ts";
import { failWith, unfound } from "./failures.ts";
import { bundlesIn } from "./held-bundles.ts";
import { openNetwork } from "./network.ts";
import { assertTold } from "./part.ts";
import { RunReport } from "./report.ts";
import { selectedBy } from "./selected.ts";
import { LIST_FLAGS, listedArchives, selectionOf } from "./selection.ts";
import { readCluster } from "./target.ts";

const LINE = defineCommandLine({
  name: "list images",
  summary:
    "List the images of an archive, or of a release, as `uri@digest`. Neither charts nor YAML files are among them; a registry is asked only for digests that the Bundles does not give.",
  example: "eksa-airgap list images --bundles-override bundle-release.yaml",
  prints: true,
  flags: {
    ...LIST_FLAGS,
    filename: {
      type: "string",
      alias: "f",
      valueHint: "FILE",
      description: "only those of the Kubernetes versions of the cluster in this file",
    },
  },
});

interface Image {
  /** `HOST/REPOSITORY[:TAG]` */
  uri: string;
  digest: Digest;
}

type ImagesRun = Run<typeof LINE.flags>;
type Versions = string[] | undefined;

export const listImages = defineCommand(LINE, async (run) => {
  assertGivesImages(run.values);
  const selection = selectionOf(run, false);
  const versions = await clusterVersions(run);
  const find = () =>
    selection === undefined ? imagesOfArchives(run, versions) : imagesOf(run, selection, versions);
  const { filename } = run.values;
  const found = await (filename === undefined ? find() : selectedBy(filename, find));
  const unique = new Map(found.map((image) => [nameOf(image), image]));
  const names = [...unique.keys()].sort(compareBytewise);
  const images = names.flatMap((name) => unique.get(name) ?? []);
  if (run.values.output === "json") await run.print(JSON.stringify({ images }, undefined, 2));
  else if (names.length > 0) await run.print(names.map(sanitizeLine).join("\n"));
});

function assertGivesImages({ only, filename, kubernetesVersion }: ImagesRun["values"]): void {
  if (only.length > 0 && !only.includes("images")) {
    throw new Fault(`cannot list images with \`--only ${only.join(",")}\``, {
      hint: "leave out `--only`, or see `list artifacts`",
      kind: "usage",
    });
  }
  if (filename === undefined || kubernetesVersion.length === 0) return;
  throw new Fault("cannot use `--filename` and `--kubernetes-version` together", {
    hint: "give one of them",
    kind: "usage",
  });
}

/** Those of the cluster that `--filename` names; undefined without the flag. */
async function clusterVersions({ values, directory }: ImagesRun): Promise<Versions> {
  const { filename } = values;
  if (filename === undefined) return;
  return parseClusterVersions({ source: filename, bytes: await readCluster(directory, filename) });
}

async function imagesOfArchives(run: ImagesRun, versions: Versions): Promise<Image[]> {
  const wanted: ImageArtifact[] = [];
  const { plan } = await listedArchives(run, async (held, source) => {
    if (versions === undefined) return;
    const { bundles } = await bundlesIn(held, source);
    assertTold(bundles, { kubernetesVersions: versions, providers: [], only: [] });
    for (const { images } of bundles) wanted.push(...ofVersions(images, versions));
  });
  const names = new Set(wanted.map(({ reference }) => formatReference(reference)));
  const isWanted = ({ reference }: Root) => versions === undefined || names.has(formatReference(reference));
  return plan.roots
    .filter((root) => isWanted(root) && describeArtifact(plan, root).kind === "image")
    .map(({ reference, descriptor }) => imageOf(reference, descriptor.digest));
}

/** The images that a Bundles names. Fails naming all whose digest cannot be had. */
async function imagesOf(run: ImagesRun, selection: SelectionRun, versions: Versions): Promise<Image[]> {
  const { values, log, environment, signal } = run;
  const network = openNetwork({ values, environment, signal, log, onWait: run.progress("listing").note });
  const { kubernetesVersion } = selection.values;
  const selected = { ...selection.values, kubernetesVersion: versions ?? kubernetesVersion };
  const collection = await collect({ ...selection, values: selected }, network);
  const unread = collection.failures;
  const { kept } = exclude(ofVersions(collection.images, versions), values.exclude);
  const wanted = kept.filter(({ kind }) => kind === "image");
  const source = new RegistrySource(network.registries);
  if (values.platform.length > 0) {
    return prunedImages(run, { selection, source, collection: { ...collection, images: wanted } });
  }
  const found: Image[] = [];
  const failures: Failure[] = unread.map(({ reference, error }) => ({
    what: formatReference(reference),
    error,
  }));
  await forEachBounded(wanted, values.jobs, async ({ reference }) => {
    try {
      const digest = reference.digest ?? (await source.manifest(reference)).descriptor.digest;
      found.push(imageOf(reference, digest));
    } catch (error) {
      failures.push({ what: formatReference(reference), error });
    }
  });
  signal.throwIfAborted();
  failWith(log, failures, {
    ...unfound("list", failures, {
      what: `the digests of ${failures.length} of ${wanted.length + unread.length} images`,
      without: "to go without one, leave it out knowingly with `--exclude REFERENCE`",
    }),
    report: false,
  });
  return found;
}

/** With the digests that an export for some platforms gives them. */
async function prunedImages(
  { directory, log }: ImagesRun,
  { selection, ...planning }: { selection: SelectionRun; source: RegistrySource; collection: Collection },
): Promise<Image[]> {
  const report = new RunReport({ command: LINE.name, path: undefined, directory, others: [], log });
  const values = { ...selection.values, exclude: [], only: ["images" as const] };
  const { plan } = await makePlan({ ...selection, values }, { ...planning, report, verb: "list" });
  return plan.roots.map(({ reference, descriptor }) => imageOf(reference, descriptor.digest));
}

/** What versionsBundles of these versions name, and nothing of the others: as `eksctl anywhere list images` does. */
function ofVersions(images: readonly ImageArtifact[], versions: Versions): ImageArtifact[] {
  return images.filter(({ origins }) => {
    return (
      versions === undefined || origins?.some(({ kubeVersion }) => versions.includes(kubeVersion)) !== false
    );
  });
}

function imageOf({ registry, repository, tag }: Reference, digest: Digest): Image {
  return { uri: `${registry}/${repository}${tag === undefined ? "" : `:${tag}`}`, digest };
}

function nameOf({ uri, digest }: Image): string {
  return `${uri}@${digest}`;
}
