import { type Defect, DefectFault } from "../archive/defect.ts";
import { quoted } from "../archive/entry-name.ts";
import { type ArchiveInspection, contentOf } from "../archive/inspection.ts";
import { layOut } from "../archive/layout.ts";
import { pathOf } from "../archive/path.ts";
import type { Digest } from "../oci/digest.ts";
import type { Node, Plan } from "../oci/plan.ts";
import { formatReference } from "../oci/reference.ts";
import type { Listener } from "../transfer/events.ts";
import { NullSink } from "../transfer/null-sink.ts";
import { buildPlan } from "../transfer/plan.ts";
import { transfer } from "../transfer/transfer.ts";
import { rootsAbove } from "./above.ts";
import { leftToBases, noteOnBases } from "./verify-delta.ts";
import { contradictedPins } from "./verify-pins.ts";
import type { Note, Problem } from "./verify-report.ts";

export interface ArchiveVerdict {
  plan: Plan;
  problems: Problem[];
  notes: Note[];
}

export interface ArchiveOptions {
  /** The others of the same run: what one lacks another may have. */
  others: readonly ArchiveInspection[];
  signal: AbortSignal;
  /** Absent: blobs are not read. */
  listener?: Listener;
}

/** Where there is this, `docker save` has added descriptions of the layers under their digests, for old readers. */
const DOCKER_NAMES_FILE = "repositories";
/** Files that other writers of layouts add for readers of older formats. */
const FOREIGN_FILES = new Set(["oci-layout", "index.json", "manifest.json", DOCKER_NAMES_FILE]);

/** Looks at one archive. Reads its blobs in the order in which they lie there, each once. */
export async function verifyArchive(
  inspection: ArchiveInspection,
  options: ArchiveOptions,
): Promise<ArchiveVerdict> {
  const { others } = options;
  const plan = buildPlan(inspection.roots, inspection.known);
  const left = leftToBases(inspection, others);
  // While the headers are still in memory.
  const layout = layoutNotes(inspection);
  const isElsewhere = (digest: Digest) => left.has(digest) || others.some((other) => other.holds(digest));
  const strays = extras(inspection, plan);
  const isDockers = ({ digest }: Defect) => digest !== undefined && inspection.files.has(DOCKER_NAMES_FILE);
  layout.push(...strays.filter(isDockers).map((stray) => layoutNote(inspection, stray)));
  const defects = [
    ...inspection.defects,
    ...(await contentDefects(inspection, inOrder(inspection, plan, isElsewhere), options)),
    ...strays.filter((stray) => !isDockers(stray)),
  ];
  const above = rootsAbove(plan);
  const problems = distinct(defects).map((defect): Problem => {
    const { kind, digest, offset, detail, hint } = defect;
    const roots = digest === undefined ? [] : above(digest);
    const artifacts = roots.map(({ reference }) => formatReference(reference));
    const volumes = inspection.volumesOf(defect);
    const place = { file: inspection.path, ...(volumes.length > 0 && { volumes }), digest, offset };
    return { kind, ...place, artifacts, detail, hint };
  });
  problems.push(...(await contradictedPins(inspection, plan)));
  const notes = noteOnBases(inspection, others, left);
  return { plan, problems, notes: problems.length === 0 ? [...notes, ...layout] : notes };
}

/** What this archive should hold, and what else it has under a digest, in order of offset. */
function inOrder(inspection: ArchiveInspection, plan: Plan, isElsewhere: (digest: Digest) => boolean): Plan {
  const isOurs = (digest: Digest) => inspection.holds(digest) || !isElsewhere(digest);
  const nodes = new Map<Digest, Node>();
  for (const { digest, entry } of contentOf(inspection).sort((a, b) => a.entry.offset - b.entry.offset)) {
    const stray = { mediaType: "application/octet-stream", digest, size: entry.size };
    nodes.set(digest, { descriptor: stray, kind: "blob", children: [], repositories: new Set() });
  }
  for (const [digest, node] of plan.nodes) {
    if (isOurs(digest)) nodes.set(digest, { ...node, children: node.children.filter(isOurs) });
  }
  return { roots: plan.roots.filter(({ descriptor }) => nodes.has(descriptor.digest)), nodes };
}

async function contentDefects(
  inspection: ArchiveInspection,
  here: Plan,
  { signal, listener }: ArchiveOptions,
): Promise<Defect[]> {
  if (listener === undefined) {
    return [...here.nodes.values()].flatMap(({ descriptor }) => inspection.defectOf(descriptor) ?? []);
  }
  const defects: Defect[] = [];
  await transfer(here, inspection, new NullSink(), {
    // One after the other: a disk reads fastest what lies side by side.
    jobs: 1,
    onFailure: "continue",
    signal,
    listener: (event) => {
      if (event.type === "failed") defects.push(defectBehind(inspection, event.node, event.error));
      listener(event);
    },
  });
  // A manifest above something that failed is not moved; it was read whole all the same.
  return defects;
}

function defectBehind(inspection: ArchiveInspection, { descriptor }: Node, error: unknown): Defect {
  if (error instanceof DefectFault) return error.defect;
  const { digest } = descriptor;
  const message = error instanceof Error ? error.message : String(error);
  const detail = message.replace(`cannot verify ${digest}: `, "");
  const offset = inspection.offsetOf(digest);
  return { kind: "corrupt", digest, ...(offset === undefined ? {} : { offset }), detail };
}

/** Files that nobody refers to; where a manifest is unreadable it may have been the one who did. */
function extras(inspection: ArchiveInspection, plan: Plan): Defect[] {
  const content = new Map(
    contentOf(inspection).map(({ digest, entry }) => [pathOf(digest), { digest, entry }]),
  );
  const isWanted = (name: string) => {
    const digest = content.get(name)?.digest;
    if (digest === undefined) return FOREIGN_FILES.has(name);
    return plan.nodes.has(digest) || !inspection.isGraphWhole;
  };
  const files = [...inspection.files];
  // A link and the file that it leads to are one.
  const wanted = new Set(files.flatMap(([name, entry]) => (isWanted(name) ? [entry] : [])));
  return files.flatMap(([name, entry]): Defect[] => {
    if (wanted.has(entry)) return [];
    const digest = content.get(name)?.digest;
    const detail = `nobody refers to ${quoted(name)}`;
    return [{ kind: "extra", ...(digest && { digest }), offset: entry.headerOffset, detail }];
  });
}

/** One defect of a kind for each digest: what the structure shows is met again in the graph. */
function distinct(defects: readonly Defect[]): Defect[] {
  const met = new Set<string>();
  return defects.filter(({ kind, digest }) => {
    if (digest === undefined) return true;
    const key = `${kind} ${digest}`;
    if (met.has(key)) return false;
    met.add(key);
    return true;
  });
}

/** Where an archive whose structure is right was written otherwise than by this program. */
function layoutNotes(inspection: ArchiveInspection): Note[] {
  const { bases, named, known } = inspection;
  if (inspection.defects.length > 0) return [];
  // The index may say otherwise of a root than it says itself.
  const roots = named.map((root) => ({
    ...root,
    descriptor: known.get(root.descriptor.digest)?.descriptor ?? root.descriptor,
  }));
  const { references = [], nameless = [] } = Object.groupBy(roots, (root) =>
    root.nameless ? "nameless" : "references",
  );
  const plan = buildPlan([...references, ...nameless], known);
  const leftOut = [...plan.nodes.keys()].filter((digest) => !inspection.holds(digest));
  const layout = layOut(plan, bases.length > 0 ? { bases, leftOut } : undefined);
  return inspection.deviationsFrom(layout).map((deviation) => layoutNote(inspection, deviation));
}

function layoutNote({ path: file }: ArchiveInspection, { offset = 0, detail }: Omit<Defect, "kind">): Note {
  return { kind: "layout", file, offset, detail };
}
