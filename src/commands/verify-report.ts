import type { DefectKind } from "../archive/defect.ts";
import type { Digest } from "../oci/digest.ts";
import type { FindingKind } from "../registry/audit.ts";
import { count } from "../terminal/progress-view.ts";
import { sanitizeLine } from "../terminal/sanitize.ts";
import { formatBytes } from "../terminal/units.ts";

/** Something that is wrong. Field names are a contract. */
export interface Problem {
  kind: DefectKind | FindingKind;
  /** The archive, as the user named it. */
  file?: string;
  /** Of an archive in volumes: those that it lies in. */
  volumes?: readonly string[];
  /** The repository of the target, with the tag where it is that. */
  place?: string;
  digest?: Digest | undefined;
  /** Bytes from the start of the archive, whatever the volume. */
  offset?: number | undefined;
  /** References of everything that needs it. */
  artifacts: readonly string[];
  detail: string;
  /** What to do about it, where that is not what helps the others. */
  hint?: string | undefined;
}

/** Something that is worth knowing, and not wrong. */
export type Note = LayoutNote | BaseNote | MirrorNote;

/** Where an archive is laid out otherwise than by this program. */
interface LayoutNote {
  kind: "layout";
  file: string;
  offset: number;
  detail: string;
}

/** Of a delta: what it leaves to archives that were not given. */
interface BaseNote {
  kind: "base";
  file: string;
  blobs: number;
  /** The digests of their `index.json`. */
  bases: readonly Digest[];
  detail: string;
}

/** Of a mirror: where its manifests do not say all. */
interface MirrorNote {
  /** `unpinned`: known by their tags alone. `pruned`: what is different may be what `--platform` left. */
  kind: "unpinned" | "pruned";
  artifacts: readonly string[];
  detail: string;
}

/** What a cluster needs of its mirror. */
export interface ClusterNeeds {
  file: string;
  /** The tag of the manifests, in which it stands what that is: the version where it is known. */
  release: string;
  /** `HOST/REPOSITORY:TAG` */
  source: string;
  kubernetesVersions: readonly string[];
  provider: string;
  artifacts: number;
  manifests: number;
  blobs: number;
}

/** Either `archive` or `cluster` is there: what was looked for. */
export interface VerifyReport {
  archive?: { files: readonly string[]; bytes: number; artifacts: number; manifests: number; blobs: number };
  cluster?: ClusterNeeds;
  /** As the user named it; absent where none was looked at. */
  registry?: string;
  problems: readonly Problem[];
  notes: readonly Note[];
}

/** Lines for a person: of many alike so many are shown. */
const MOST_PROBLEMS = 50;
const MOST_ARTIFACTS = 5;
/** characters */
const LONGEST_LINE = 1000;

/** One document, everything in it. */
export function formatJson({ problems, ...report }: VerifyReport): string {
  return JSON.stringify({ ok: problems.length === 0, ...report, problems }, undefined, 2);
}

/** Every problem with the artifacts that it befalls, up to a bound, then a line that sums up. */
export function formatText(report: VerifyReport): string {
  const { problems, notes } = report;
  const lines = problems.slice(0, MOST_PROBLEMS).flatMap(problemLines);
  if (problems.length > MOST_PROBLEMS) {
    lines.push(`and ${problems.length - MOST_PROBLEMS} more: \`--output json\` names all of them`);
  }
  for (const note of notes) {
    if (note.kind === "base") lines.push(`delta: ${note.file}: ${note.detail}`);
    else if (note.kind !== "layout") lines.push(`${note.kind}: ${note.detail}`);
  }
  const layout = notes.filter((note) => note.kind === "layout");
  for (const [file, its] of Map.groupBy(layout, (note) => note.file)) lines.push(layoutLine(file, its));
  return [...lines, summary(report)].map(sanitizeLines).join("\n");
}

function problemLines({ kind, file, volumes, place, digest, offset, artifacts, detail }: Problem): string[] {
  const at = offset === undefined ? "in" : `at byte ${offset} of`;
  const inVolumes = volumes === undefined ? undefined : `(${volumes.join(", ")})`;
  const where = [digest, file === undefined ? `in ${place}` : `${at} ${file}`, inVolumes];
  const names = artifacts.slice(0, MOST_ARTIFACTS).map((name) => `  ${name}`);
  const more = artifacts.length - names.length;
  return [
    `${kind}: ${where.filter((part) => part !== undefined).join(" ")}: ${detail}`,
    ...names,
    ...(more > 0 ? [`  and ${count(more, "more artifact")}`] : []),
  ];
}

function layoutLine(file: string, [first, ...others]: readonly LayoutNote[]): string {
  const more = others.length > 0 ? `, and ${count(others.length, "more place")}` : "";
  return `layout: ${file} is not laid out as this program does it: ${first?.detail} at byte ${first?.offset}${more}`;
}

function summary({ archive, cluster, registry, problems }: VerifyReport): string {
  const verdict = problems.length === 0 ? "ok" : `${count(problems.length, "problem")}`;
  const against = registry === undefined ? "" : `${registry} against `;
  const held = [
    ...(archive ? [`${archive.files.join(", ")} (${formatBytes(archive.bytes)}): ${counts(archive)}`] : []),
    ...(cluster ? [`${cluster.file} (${needsOf(cluster)}): ${counts(cluster)}`] : []),
  ];
  return `${verdict}: ${against}${held.join(", ")}`;
}

function needsOf({ release, kubernetesVersions, provider }: ClusterNeeds): string {
  return `${release}, Kubernetes ${kubernetesVersions.join(" and ")}, ${provider}`;
}

function counts({
  artifacts,
  manifests,
  blobs,
}: Pick<ClusterNeeds, "artifacts" | "manifests" | "blobs">): string {
  return [count(artifacts, "artifact"), count(manifests, "manifest"), count(blobs, "blob")].join(", ");
}

/** Names in an archive are foreign text: none may pass for a line of ours. */
function sanitizeLines(line: string): string {
  const indent = line.startsWith("  ") ? "  " : "";
  const text = sanitizeLine(line);
  return indent + (text.length > LONGEST_LINE ? `${text.slice(0, LONGEST_LINE)}…` : text);
}
