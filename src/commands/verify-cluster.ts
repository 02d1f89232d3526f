import { parseClusterNeeds } from "../eksa/cluster-versions.ts";
import { collectWrapped, selectFrom } from "../eksa/collect.ts";
import { isCsiComponent } from "../eksa/images.ts";
import { mapReference } from "../eksa/mirror.ts";
import type { Selection } from "../eksa/selection.ts";
import { isIndexType } from "../oci/descriptor.ts";
import type { Plan, Root, Source } from "../oci/plan.ts";
import { formatReference, type Reference } from "../oci/reference.ts";
import { verdictOn } from "../registry/audit.ts";
import type { Registries } from "../registry/client.ts";
import { RegistrySource } from "../registry/source.ts";
import type { Log } from "../terminal/log.ts";
import { count } from "../terminal/progress-view.ts";
import type { Listener } from "../transfer/events.ts";
import { joinPlans } from "../transfer/plan.ts";
import { resolve } from "../transfer/resolve.ts";
import type { Surroundings } from "./command.ts";
import { reportSkipped } from "./export-plan.ts";
import { type MirrorManifests, readManifests } from "./mirror-manifests.ts";
import { assertSelectable, selectedBy } from "./selected.ts";
import { type Destination, greet, readCluster } from "./target.ts";
import { auditPlan } from "./verify-registry.ts";
import type { ClusterNeeds, Note, Problem } from "./verify-report.ts";

interface ClusterJob extends Pick<Surroundings, "directory" | "signal"> {
  filename: string;
  /** Default: the cluster's own, else the only one that the mirror holds. */
  eksaVersion: string | undefined;
  destination: Destination;
  registries: Registries;
  jobs: number;
  listener: Listener;
  log: Log;
}

/** What a cluster needs of its mirror, and what of that is not as it should be. */
export interface ClusterVerdict {
  cluster: ClusterNeeds;
  problems: Problem[];
  notes: Note[];
}

/** Whether a cluster's mirror holds what the cluster needs, as the manifests say that the mirror holds itself. */
export async function verifyCluster(job: ClusterJob): Promise<ClusterVerdict> {
  const { filename, directory, destination, registries, log } = job;
  const bytes = await readCluster(directory, filename);
  const { kubernetesVersions, provider } = parseClusterNeeds({ source: filename, bytes });
  await greet(registries, destination);
  const manifests = await readManifests(registries, destination, {
    version: job.eksaVersion ?? destination.eksaVersion,
    hint: "name one with `--eksa-version V`",
  });
  const selection = { kubernetesVersions, providers: [provider], only: [] };
  const places = await selectedBy(filename, () => placesOf(manifests, selection, { destination, log }));
  const { plan, problems, pruned } = await find(places, job);
  const nameOf = ({ reference }: Root) => places.get(formatReference(reference))?.name;
  problems.push(...(await auditPlan(plan, nameOf, { ...job, source: new RegistrySource(registries) })));
  const nodes = [...plan.nodes.values()];
  const held = nodes.filter(({ kind }) => kind === "manifest").length;
  const cluster = {
    file: filename,
    release: manifests.tag,
    source: manifests.source,
    kubernetesVersions,
    provider,
    artifacts: places.size,
    manifests: held,
    blobs: nodes.length - held,
  };
  return { cluster, problems, notes: notesOn(places, pruned) };
}

interface Wanted {
  /** In the manifests' terms. */
  name: string;
  /** In the mirror's, with the digest where the manifests have one. */
  place: Reference;
}

/** Where nodes look → what for. */
type Places = ReadonlyMap<string, Wanted>;

async function placesOf(
  { source, files }: MirrorManifests,
  selection: Selection,
  { destination, log }: Pick<ClusterJob, "destination" | "log">,
): Promise<Places> {
  const collection = await collectWrapped(source, files);
  assertSelectable(selection, collection);
  const { images, skipped } = selectFrom(collection, selection);
  reportSkipped(log, skipped);
  const places = new Map<string, Wanted>();
  for (const { reference } of images) {
    if (isCsiComponent(reference)) continue;
    const place = mapReference(reference, destination.target);
    places.set(formatReference(place), { name: formatReference(reference), place });
  }
  return places;
}

interface Found {
  /** What is there, in the mirror's terms. */
  plan: Plan;
  problems: Problem[];
  /** Names of what is another index than the manifests say. */
  pruned: string[];
}

/** Each place by its digest; where nothing is there by that, what its tag stands for. */
async function find(places: Places, { registries, jobs, signal }: ClusterJob): Promise<Found> {
  const registry = new RegistrySource(registries);
  const source: Source = {
    manifest: (reference) => registry.manifest(reference),
    open: (node, from) => registry.open(node, from),
    // Whether the blobs are there is the question.
    mayLackBlobs: true,
  };
  const exact = await resolve(
    source,
    [...places.values()].map(({ place }) => place),
    { jobs },
  );
  const tags = exact.failures.flatMap(({ reference: { digest, ...tag } }) =>
    digest === undefined ? [] : tag,
  );
  const tagged = await resolve(source, tags, { jobs });
  signal.throwIfAborted();
  const others = new Map(
    tagged.plan.roots.map(({ reference, descriptor }) => [formatReference(reference), descriptor]),
  );
  const problems: Problem[] = [];
  const pruned: string[] = [];
  for (const { reference, error } of exact.failures) {
    const name = formatReference(reference);
    const { digest } = reference;
    const artifacts = [places.get(name)?.name ?? name];
    const other = others.get(name);
    if (other === undefined || other.digest === digest) {
      problems.push({ ...verdictOn(error), place: name, digest, artifacts });
      continue;
    }
    const detail = `the tag stands for ${other.digest}`;
    problems.push({ kind: "different", place: name, digest, artifacts, detail });
    if (isIndexType(other.mediaType)) pruned.push(...artifacts);
  }
  return { plan: joinPlans([exact.plan, tagged.plan]), problems, pruned };
}

function notesOn(places: Places, pruned: readonly string[]): Note[] {
  const notes: Note[] = [];
  const unpinned = [...places.values()].filter(({ place }) => place.digest === undefined);
  if (unpinned.length > 0) {
    notes.push({
      kind: "unpinned",
      artifacts: unpinned.map(({ name }) => name),
      detail: `the manifests give no digest for ${count(unpinned.length, "artifact")}: looked for are the tags, and all that these stand for`,
    });
  }
  if (pruned.length > 0) {
    notes.push({
      kind: "pruned",
      artifacts: pruned,
      detail: `${count(pruned.length, "artifact")} may be different only because they were exported with \`--platform\`: the manifests cannot tell, their archive can (\`--input\`)`,
    });
  }
  return notes;
}
