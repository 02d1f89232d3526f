const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"] as const;
const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** `512 B`, `12.3 MiB`: one decimal from KiB on. */
export function formatBytes(bytes: number): string {
  let value = Math.max(0, bytes);
  let unit = 0;
  // 1023.95 and up would be written as 1024.0 of the smaller unit.
  while (value >= (unit === 0 ? 1024 : 1023.95) && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`;
}

const BYTES = /^([0-9]{1,15}(?:\.[0-9]{1,6})?)(?:([KMGT])(i?)B|B)?$/i;
const POWER: Readonly<Record<string, number>> = { "": 0, K: 1, M: 2, G: 3, T: 4 };

/** Bytes in `1048576`, `700MB`, `1.5GiB`, whatever the case; undefined for anything else, `4G` included. */
export function parseBytes(text: string): number | undefined {
  const [, number, prefix = "", binary = ""] = BYTES.exec(text) ?? [];
  if (number === undefined) return;
  const unit = (binary === "" ? 1000 : 1024) ** (POWER[prefix.toUpperCase()] ?? 0);
  const bytes = Math.floor(Number(number) * unit);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

export function formatRate(bytesPerSecond: number): string {
  return `${formatBytes(bytesPerSecond)}/s`;
}

/** Whole percent, rounded down: 100 means that nothing is left. */
export function percentOf(part: number, whole: number): number {
  return part >= whole ? 100 : Math.floor((Math.max(0, part) / whole) * 100);
}

/** The two largest units that matter: `8 s`, `2 min 5 s`, `3 h 20 min`, `2 d 1 h`. */
export function formatDuration(milliseconds: number): string {
  const time = Math.max(0, Math.round(milliseconds / SECOND) * SECOND);
  if (time < MINUTE) return `${time / SECOND} s`;
  if (time < HOUR) return pair(time, [MINUTE, "min"], [SECOND, "s"]);
  if (time < DAY) return pair(time, [HOUR, "h"], [MINUTE, "min"]);
  return pair(time, [DAY, "d"], [HOUR, "h"]);
}

/** As exact as a guess deserves: seconds below a minute, never none, then minutes, then hours and minutes. */
export function formatEstimate(milliseconds: number): string {
  if (milliseconds < MINUTE - SECOND / 2) return formatDuration(Math.max(SECOND, milliseconds));
  return formatDuration(Math.max(1, Math.round(milliseconds / MINUTE)) * MINUTE);
}

type Unit = [milliseconds: number, name: string];

function pair(time: number, [large, largeName]: Unit, [small, smallName]: Unit): string {
  const rest = Math.floor((time % large) / small);
  const head = `${Math.floor(time / large)} ${largeName}`;
  return rest === 0 ? head : `${head} ${rest} ${smallName}`;
}
