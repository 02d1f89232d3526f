import type { Digest } from "../oci/digest.ts";
import { compareBytewise, formatReference, type Reference } from "../oci/reference.ts";
import { RegistrySource } from "../registry/source.ts";
import type { Failure } from "../terminal/fault.ts";
import { sanitizeLine } from "../terminal/sanitize.ts";
import { forEachBounded } from "../transfer/pool.ts";
import { defineCommandLine } from "./arguments.ts";
import { describeArtifact } from "./artifact-kind.ts";
import { defineCommand } from "./command.ts";
import { exclude } from "./exclude.ts";
import { collect, type SelectionRun } from "./export-plan.ts";
import { failWith } from "./failures.ts";
import { openNetwork } from "./network.ts";
import { LIST_FLAGS, type ListRun, listedArchives, selectionOf } from "./selection.ts";

const LINE = defineCommandLine({
  name: "list images",
  summary:
    "List the images of an archive, or of a release, as `uri@digest`. Neither charts nor YAML files are among them; a registry is asked only for digests that the Bundles does not give.",
  example: "eksa-airgap list images --bundles-override bundle-release.yaml",
  flags: LIST_FLAGS,
});

interface Image {
  /** `HOST/REPOSITORY[:TAG]` */
  uri: string;
  digest: Digest;
}

export const listImages = defineCommand(LINE, async (run) => {
  const selection = selectionOf(run, false);
  const found = selection === undefined ? await imagesOfArchives(run) : await imagesOf(run, selection);
  const unique = new Map(found.map((image) => [nameOf(image), image]));
  const names = [...unique.keys()].sort(compareBytewise);
  const images = names.flatMap((name) => unique.get(name) ?? []);
  if (run.values.output === "json") await run.print(JSON.stringify({ images }, undefined, 2));
  else if (names.length > 0) await run.print(names.map(sanitizeLine).join("\n"));
});

async function imagesOfArchives(run: ListRun): Promise<Image[]> {
  const { plan } = await listedArchives(run);
  return plan.roots
    .filter((root) => describeArtifact(plan, root).kind === "image")
    .map(({ reference, descriptor }) => imageOf(reference, descriptor.digest));
}

/** The images that a Bundles names. Fails naming all whose digest cannot be had. */
async function imagesOf(run: ListRun, selection: SelectionRun): Promise<Image[]> {
  const { values, log, environment, signal } = run;
  const network = openNetwork({ values, environment, signal, log, onWait: (text) => log.info(text) });
  const { images, failures: unread } = await collect(selection, network);
  const { kept } = exclude(images, values.exclude);
  const wanted = kept.filter(({ kind }) => kind === "image");
  const source = new RegistrySource(network.registries);
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
    message: `cannot list: the digests of ${failures.length} of ${wanted.length + unread.length} images cannot be found`,
    hint: "to go without one, leave it out knowingly with `--exclude REFERENCE`",
    report: false,
  });
  return found;
}

function imageOf({ registry, repository, tag }: Reference, digest: Digest): Image {
  return { uri: `${registry}/${repository}${tag === undefined ? "" : `:${tag}`}`, digest };
}

function nameOf({ uri, digest }: Image): string {
  return `${uri}@${digest}`;
}
