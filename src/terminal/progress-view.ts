import { hexOf } from "../oci/digest.ts";
import type { Flight, ProgressSnapshot } from "./progress-state.ts";
import { sanitizeLine } from "./sanitize.ts";
import { fit, fitEnd, type Painting, paint } from "./style.ts";
import type { Totals } from "./tally.ts";
import { formatBytes, formatDuration, formatEstimate, formatRate, percentOf } from "./units.ts";

/** Lines, the one that says how many more there are included. */
const MOST_FLIGHTS = 9;
const MOST_NOTES = 3;
const WIDEST_BAR = 40;
/** Brackets included; a narrower bar shows nothing. */
const NARROWEST_BAR = 7;
/** Columns below which a line has no room for all that it could tell, and from which on it has plenty. */
const NARROW = 60;
const WIDE = 100;
/** So much is kept free for the time left, so that the bar beside it keeps its width. */
const ESTIMATE_WIDTH = "59 min left".length;

export interface LiveOptions {
  title: string;
  /** columns */
  width: number;
  /** lines */
  height: number;
  painting: Painting;
}

/** The live block: the total, what it is made of, the flights, what holds things up. It fits the window. */
export function renderLive(
  snapshot: ProgressSnapshot,
  { title, width, height, painting }: LiveOptions,
): string[] {
  const head = [headline(snapshot, title, width), ...amounts(snapshot, width)];
  const heldUp = (text: string) => paint(fit(text, width), "yellow", painting);
  const notes = atMost(MOST_NOTES, snapshot.notes.map(heldUp));
  const flights = snapshot.flights.map((flight) => {
    const line = renderFlight(flight, width);
    return flight.note === undefined ? line : heldUp(line);
  });
  const room = Math.min(MOST_FLIGHTS, height - head.length - notes.length);
  const lines = [...head, ...atMost(room, flights), ...notes];
  return lines.slice(0, height).map((line) => fit(line, width));
}

/** `12.3 MiB of 4.5 GiB (3%), 34.2 MiB/s, about 2 min left, 8 in flight` */
export function renderLine({ done, total, rate, left, flights, notes }: ProgressSnapshot): string {
  const parts = [`${formatBytes(done)} of ${formatBytes(total)} (${percentOf(done, total)}%)`];
  if (rate !== undefined) parts.push(formatRate(rate));
  if (left !== undefined) parts.push(`about ${formatEstimate(left)} left`);
  parts.push(`${flights.length} in flight`);
  const heldUp = new Set([...flights.flatMap(({ note }) => note ?? []), ...notes]);
  return [parts.join(", "), ...atMost(MOST_NOTES, [...heldUp])].map((part) => part.trim()).join("; ");
}

/**
 * `exported 250 artifacts: 4.5 GiB moved in 2 min 3 s (34.2 MiB/s)`, then what did not have to be moved:
 * `saved 3.2 GiB: 2.1 GiB shared between artifacts, 1.1 GiB there already`.
 */
export function formatSummary(verb: string, totals: Totals): string {
  const { artifacts, wanted, lost, moved, saved, milliseconds } = totals;
  const whole =
    artifacts === wanted ? count(wanted, "artifact") : `${artifacts} of ${count(wanted, "artifact")}`;
  const failed = lost > 0 ? `, ${lost} failed` : "";
  const rate = moved > 0 && milliseconds > 0 ? ` (${formatRate((moved / milliseconds) * 1000)})` : "";
  const first = `${verb} ${whole}${failed}: ${formatBytes(moved)} moved in ${formatDuration(milliseconds)}${rate}`;
  const parts = [
    [saved.shared, "shared between artifacts"],
    [saved.mounted, "mounted"],
    [saved.present, "there already"],
  ] as const;
  const some = parts.filter(([bytes]) => bytes > 0).map(([bytes, how]) => `${formatBytes(bytes)} ${how}`);
  const all = saved.shared + saved.mounted + saved.present;
  return some.length === 0 ? first : `${first}\nsaved ${formatBytes(all)}: ${some.join(", ")}`;
}

export function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

function headline({ done, total, left }: ProgressSnapshot, title: string, width: number): string {
  const percent = percentOf(done, total);
  const estimate = `${left === undefined ? "?" : formatEstimate(left)} left`;
  const tail = `${percent}%`.padStart(4);
  const room = width - title.length - tail.length - Math.max(estimate.length, ESTIMATE_WIDTH) - 4;
  const drawn = room < NARROWEST_BAR ? "" : ` ${bar(percent, Math.min(WIDEST_BAR, room))}`;
  return `${title}${drawn} ${tail}  ${estimate}`;
}

function bar(percent: number, width: number): string {
  const inner = width - 2;
  const filled = Math.floor((percent / 100) * inner);
  const drawn = filled === inner ? "=".repeat(inner) : `${"=".repeat(filled)}>`;
  return `[${drawn.padEnd(inner)}]`;
}

/** One line, or two where the window is narrow. */
function amounts({ done, total, rate, artifacts }: ProgressSnapshot, width: number): string[] {
  const speed = rate === undefined ? "? B/s" : formatRate(rate);
  const failed = artifacts.lost > 0 ? `, ${artifacts.lost} failed` : "";
  const lines = [
    `${formatBytes(done)} of ${formatBytes(total)}, ${speed}`,
    `${artifacts.done} of ${count(artifacts.total, "artifact")}${failed}`,
  ];
  return width < NARROW ? lines : [lines.join(", ")];
}

/** How far it is, its size, and the first repository that wants it, or what holds it up. */
function renderFlight({ node, received, note }: Flight, width: number): string {
  const { digest, size } = node.descriptor;
  const percent = percentOf(received, size);
  const share = `${percent}%`.padStart(4);
  if (note !== undefined && width < NARROW) return `  ${share} ${note}`;
  const bytes = width < NARROW ? "" : ` ${formatBytes(size).padStart(10)}`;
  const short = width < WIDE ? "" : `  ${hexOf(digest).slice(0, 12)}`;
  const drawn = bar(percent, width < NARROW ? 8 : width < WIDE ? 12 : 20);
  const head = `  ${drawn} ${share}${bytes}${short}  `;
  const [repository = ""] = node.repositories;
  const name = sanitizeLine(repository.slice(repository.indexOf("/") + 1));
  return head + (note === undefined ? fitEnd(name, width - head.length) : `${note}  ${name}`);
}

/** So many lines, the last of which says how many more there would be. */
function atMost(most: number, lines: readonly string[]): string[] {
  if (lines.length <= most) return [...lines];
  const shown = lines.slice(0, Math.max(0, most - 1));
  return most < 1 ? [] : [...shown, `  and ${lines.length - shown.length} more`];
}
