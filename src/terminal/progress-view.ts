import { hexOf } from "../oci/digest.ts";
import type { Flight, ProgressSnapshot, Totals } from "./progress-state.ts";
import { sanitizeLine } from "./sanitize.ts";
import { fit } from "./style.ts";
import { formatBytes, formatDuration, formatEstimate, formatRate, percentOf } from "./units.ts";

const MOST_FLIGHTS = 8;
const WIDEST_BAR = 40;
/** Brackets included; a narrower bar shows nothing. */
const NARROWEST_BAR = 7;

export interface LiveOptions {
  title: string;
  /** columns */
  width: number;
  /** Something that holds things up, worth a line of its own. */
  note?: string | undefined;
}

/** The live block: the total, what it is made of, the flights. No line is wider than `width`. */
export function renderLive(snapshot: ProgressSnapshot, { title, width, note }: LiveOptions): string[] {
  const { flights } = snapshot;
  const lines = [headline(snapshot, title, width), amounts(snapshot)];
  lines.push(...flights.slice(0, MOST_FLIGHTS).map(renderFlight));
  if (flights.length > MOST_FLIGHTS) lines.push(`  and ${flights.length - MOST_FLIGHTS} more`);
  if (note !== undefined) lines.push(sanitizeLine(note));
  return lines.map((line) => fit(line, width));
}

/** `12.3 MiB of 4.5 GiB (3%), 34.2 MiB/s, about 2 min left, 8 in flight` */
export function renderLine({ done, total, rate, left, flights }: ProgressSnapshot): string {
  const parts = [`${formatBytes(done)} of ${formatBytes(total)} (${percentOf(done, total)}%)`];
  if (rate !== undefined) parts.push(formatRate(rate));
  if (left !== undefined) parts.push(`about ${formatEstimate(left)} left`);
  parts.push(`${flights.length} in flight`);
  return parts.join(", ");
}

/** `exported 250 artifacts: 4.5 GiB moved in 2 min 3 s (34.2 MiB/s), 12 blobs were there already` */
export function formatSummary(verb: string, { artifacts, moved, milliseconds, blobs }: Totals): string {
  const rate = milliseconds > 0 ? ` (${formatRate((moved / milliseconds) * 1000)})` : "";
  const parts = [`${formatBytes(moved)} moved in ${formatDuration(milliseconds)}${rate}`];
  if (blobs.mounted > 0) parts.push(`${count(blobs.mounted, "blob")} mounted`);
  if (blobs.present > 0) parts.push(`${count(blobs.present, "blob")} there already`);
  return `${verb} ${count(artifacts, "artifact")}: ${parts.join(", ")}`;
}

export function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

function headline({ done, total, left }: ProgressSnapshot, title: string, width: number): string {
  const percent = percentOf(done, total);
  const estimate = left === undefined ? "" : `  ${formatEstimate(left)} left`;
  const tail = `${percent}%`.padStart(4) + estimate;
  const room = Math.min(WIDEST_BAR, width - title.length - tail.length - 2);
  return room < NARROWEST_BAR ? `${title} ${tail}` : `${title} ${bar(percent, room)} ${tail}`;
}

function bar(percent: number, width: number): string {
  const inner = width - 2;
  const filled = Math.floor((percent / 100) * inner);
  const drawn = filled === inner ? "=".repeat(inner) : `${"=".repeat(filled)}>`;
  return `[${drawn.padEnd(inner)}]`;
}

function amounts({ done, total, rate, artifacts }: ProgressSnapshot): string {
  const parts = [`${formatBytes(done)} of ${formatBytes(total)}`];
  if (rate !== undefined) parts.push(formatRate(rate));
  parts.push(`${artifacts.done} of ${count(artifacts.total, "artifact")}`);
  return parts.join(", ");
}

/** Short digest, size, percent, and the first repository that wants it. */
function renderFlight({ node: { descriptor, repositories }, received }: Flight): string {
  const [repository = ""] = repositories;
  const size = formatBytes(descriptor.size).padStart(10);
  const percent = `${percentOf(received, descriptor.size)}%`.padStart(4);
  return `  ${hexOf(descriptor.digest).slice(0, 12)} ${size} ${percent}  ${sanitizeLine(repository)}`;
}
