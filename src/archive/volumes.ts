import { closeSync, openSync, readdirSync, readSync, type Stats, statSync } from "node:fs";
import { basename, dirname } from "node:path";
import { Fault } from "../oci/fault.ts";
import type { DefectKind } from "./defect.ts";
import type { Member } from "./files.ts";
import { BLOCK, decodeHeader } from "./header.ts";

/** An archive's `index`th volume: `artifacts.tar.000`, `artifacts.tar.001`, … */
export function volumeName(output: string, index: number): string {
  return `${output}.${String(index).padStart(3, "0")}`;
}

const NAME_A_FILE = "name a file; `import artifacts` alone reads what comes out of a pipe, with `--input -`";

/** With a fourth digit, `cat NAME.*` would put them in another order; and all of them are open at once. */
const MOST_VOLUMES = 1000;

/**
 * An archive of `size` bytes: itself, or cut into volumes of `splitSize` bytes, of which the last has the rest.
 * Fails when these would be too many.
 */
export function volumesOf(output: string, size: number, splitSize?: number): Member[] {
  if (splitSize === undefined) return [{ path: output, size }];
  const count = Math.max(Math.ceil(size / splitSize), 1);
  if (count > MOST_VOLUMES) {
    throw new Fault(`cannot cut ${output} into ${count} volumes: ${MOST_VOLUMES} are the most`, {
      cause: new Fault(`it has ${size} bytes, and a volume ${splitSize}`),
      hint: `make them larger: \`--split-size ${Math.ceil(size / MOST_VOLUMES)}\` or more`,
      kind: "usage",
    });
  }
  return Array.from({ length: count }, (_, index) => ({
    path: volumeName(output, index),
    size: Math.min(splitSize, size - index * splitSize),
  }));
}

/** The archive that a path names as a volume, and which one; undefined for another path. */
function parseVolumeName(path: string): { archive: string; index: number } | undefined {
  const [, archive, digits] = /^(.*[^/\\])\.(\d{3,9})$/s.exec(path) ?? [];
  if (archive === undefined || digits === undefined) return;
  const index = Number(digits);
  return volumeName(archive, index) === path ? { archive, index } : undefined;
}

interface Harm {
  volume: string;
  harm: DefectKind;
  /** The harm in words. */
  what: string;
  /** What shows it. */
  why: string;
  hint: string;
}

/** A volume without which an archive cannot be read. */
export class VolumeFault extends Fault {
  readonly volume: string;
  readonly harm: DefectKind;
  /** What is wrong, in one line. */
  readonly detail: string;

  constructor(archive: string, { volume, harm, what, why, hint }: Harm) {
    const message = `its volume ${volume} is ${what}`;
    super(`cannot read ${archive}: ${message}`, { cause: new Fault(why), hint, kind: "mismatch" });
    this.volume = volume;
    this.harm = harm;
    this.detail = `${message}: ${why}`;
  }
}

/** An archive on disk. */
export interface FoundArchive {
  /** The name without a volume's number. */
  path: string;
  isSplit: boolean;
  members: Member[];
}

/**
 * The files that an archive consists of, by the name that a user gives it: the file itself, or, for
 * `NAME.000` and for a `NAME` that is there only in volumes, every volume.
 * Fails on a file that is none or is not there, on another volume than the first, and naming the volume
 * that is missing or has not the size that it must have.
 */
export function findArchive(path: string): FoundArchive {
  const named = parseVolumeName(path);
  if (named?.index === 0) return findVolumes(named.archive);
  const found = stat(path);
  if (found === undefined && indexesOf(path).length > 0) return findVolumes(path);
  if (named !== undefined && found?.isFile() && isLaterVolume(named.archive, path)) {
    throw new Fault(`cannot read ${path}: it is not the first volume of its archive`, {
      hint: `name the first one, \`${volumeName(named.archive, 0)}\`: the others are found beside it`,
      kind: "usage",
    });
  }
  return { path, isSplit: false, members: [memberAt(path)] };
}

function findVolumes(archive: string): FoundArchive {
  const indexes = indexesOf(archive);
  const last = indexes.at(-1) ?? 0;
  const absent = indexes.findIndex((index, position) => index !== position);
  if (absent >= 0) {
    const volume = volumeName(archive, absent);
    throw new VolumeFault(archive, {
      volume,
      harm: "missing",
      what: "missing",
      why: `${volumeName(archive, last)} is there`,
      hint: `put ${basename(volume)} beside the others`,
    });
  }
  const members = Array.from({ length: last + 1 }, (_, index) => memberAt(volumeName(archive, index)));
  assertSizes(archive, members);
  return { path: archive, isSplit: true, members };
}

/** All volumes but the last are equally long, and the last is no longer than they. */
function assertSizes(archive: string, members: readonly Member[]): void {
  const last = members.at(-1);
  const others = members.slice(0, -1);
  const expected = mostCommonSize(others);
  if (last === undefined || expected === undefined) return;
  const odd = others.find(({ size }) => size !== expected) ?? (last.size > expected ? last : undefined);
  if (odd === undefined) return;
  // Two that differ do not say which of them is wrong.
  const doubt = members.length === 2 ? `, or ${members[0]?.path} is truncated` : "";
  const isShort = odd.size < expected;
  throw new VolumeFault(archive, {
    volume: odd.path,
    harm: isShort ? "truncated" : "corrupt",
    what: isShort ? "truncated" : `too long${doubt}`,
    why: `it has ${odd.size} bytes, and the volumes before the last have ${expected}`,
    hint: `copy ${basename(odd.path)} again, and compare its checksum with the original's`,
  });
}

/** The larger one where there is a tie: files lose their end more often than they grow one. */
function mostCommonSize(members: readonly Member[]): number | undefined {
  const counts = new Map<number, number>();
  for (const { size } of members) counts.set(size, (counts.get(size) ?? 0) + 1);
  return [...counts].sort(([a, many], [b, few]) => few - many || b - a)[0]?.[0];
}

/** Which volumes of an archive there are, in ascending order. `ending`: what their names have behind the number. */
export function indexesOf(archive: string, ending = ""): number[] {
  const prefix = `${basename(archive)}.`;
  return filesIn(dirname(archive))
    .filter((name) => name.startsWith(prefix) && name.endsWith(ending))
    .flatMap((name) => {
      const volume = parseVolumeName(name.slice(0, name.length - ending.length));
      return volume !== undefined && volume.archive === basename(archive) ? volume.index : [];
    })
    .sort((a, b) => a - b);
}

function filesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** A name that ends in digits may also be that of an archive in one piece. */
function isLaterVolume(archive: string, path: string): boolean {
  return indexesOf(archive).length > 1 || !startsAsTar(path);
}

function startsAsTar(path: string): boolean {
  const block = new Uint8Array(BLOCK);
  const file = openSync(path, "r");
  try {
    return readSync(file, block, 0, BLOCK, 0) === BLOCK && decodeHeader(block, 0) !== undefined;
  } catch {
    return false;
  } finally {
    closeSync(file);
  }
}

/** Looked at before it is opened: to open a pipe would wait for a writer. */
function memberAt(path: string): Member {
  try {
    const found = statSync(path);
    if (!found.isFile()) {
      const hint = found.isDirectory() ? "name a file: that is a folder" : NAME_A_FILE;
      throw new Fault("it is not a file", { hint });
    }
    return { path, size: found.size };
  } catch (cause) {
    throw new Fault(`cannot open ${path}`, { cause });
  }
}

function stat(path: string): Stats | undefined {
  try {
    return statSync(path);
  } catch {
    return;
  }
}
