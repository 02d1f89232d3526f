import { afterAll, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { Journal, type Kept } from "../../src/archive/journal.ts";
import { layOut } from "../../src/archive/layout.ts";
import { ArchiveSink } from "../../src/archive/sink.ts";
import { partials, type Work, Workplace } from "../../src/archive/workplace.ts";
import type { ByteStream, Node } from "../../src/oci/plan.ts";
import { transfer } from "../../src/transfer/transfer.ts";
import { Random, runs, seedOf } from "../support/chance.ts";
import { fastFolder } from "../support/docker-registry.ts";
import { MemorySource, planOf, rawImage } from "../support/memory.ts";
import { writeArchive } from "./archives.ts";

const folder = await mkdtemp(join(fastFolder(), "eksa-airgap-power-cut-"));
afterAll(() => rm(folder, { recursive: true, force: true }));

const text = (seed: number, size: number) =>
  Array.from({ length: size }, (_, index) => String.fromCharCode(33 + ((index * 7 + seed * 31) % 90))).join(
    "",
  );
const contents = {
  "r.io/a:v1": rawImage([text(1, 9000), text(2, 30), ""]),
  "r.io/b:v1": rawImage([text(1, 9000), text(3, 20_011), text(4, 512)]),
  "r.io/c:v1": rawImage([text(5, 5000), text(6, 13_337)]),
};
const plan = await planOf(contents);
const layout = layOut(plan);
await writeArchive(join(folder, "expected.tar"), contents);
const expected = readFileSync(join(folder, "expected.tar"));

/** Gives pieces of any size, sometimes after a while, and counts them. */
class UnevenSource extends MemorySource {
  readonly #random: Random;
  given = 0;

  constructor(random: Random) {
    super(contents);
    this.#random = random;
  }

  override async open(node: Node, from = 0): Promise<ByteStream> {
    return this.#pieces(this.blobs.get(node.descriptor.digest)?.subarray(from) ?? new Uint8Array());
  }

  async *#pieces(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < bytes.length; ) {
      const piece = bytes.slice(at, at + 1 + this.#random.below(1500));
      at += piece.length;
      this.given += piece.length;
      if (this.#random.below(4) === 0) await Bun.sleep(0);
      yield piece;
    }
  }
}

/** What reached a disk, in order. */
type Event =
  | { type: "write"; bytes: Uint8Array; offset: number }
  /** `before`: how many events there were when it was asked for: what came before them is on the disk. */
  | { type: "synced"; before: number }
  /** The journal as it stands; on the disk with `recorded`. */
  | { type: "record"; journal: Buffer }
  | { type: "recorded" };

/** Writes down what is asked of the disk, and does it. */
function record({ files, journal }: Work, journalPath: string): Event[] {
  const events: Event[] = [];
  const [write, sync] = [files.write.bind(files), files.sync.bind(files)];
  files.write = async (bytes, offset) => {
    await write(bytes, offset);
    events.push({ type: "write", bytes: Uint8Array.from(bytes), offset });
  };
  files.sync = async () => {
    const before = events.length;
    await sync();
    events.push({ type: "synced", before });
  };
  const recording = <T extends unknown[]>(act: (...args: T) => Promise<void>) => {
    return async (...args: T) => {
      const length = readFileSync(journalPath).length;
      await act(...args);
      const bytes = readFileSync(journalPath);
      if (bytes.length === length) return;
      events.push({ type: "record", journal: bytes }, { type: "recorded" });
    };
  };
  journal.append = recording(journal.append.bind(journal));
  journal.appendCommit = recording(journal.appendCommit.bind(journal));
  return events;
}

interface Disk {
  partials: Buffer[];
  journal: Buffer;
}

interface Run {
  /** What was on the disk when it began. */
  start: Disk;
  events: Event[];
  /** Bytes that were fetched. */
  given: number;
}

interface Setting {
  random: Random;
  path: string;
  splitSize: number | undefined;
}

const journalOf = (path: string) => `${path}.journal`;

/** The bytes of the whole, from several files or one. */
function read(paths: readonly string[]): Buffer[] {
  return paths.map((path) => readFileSync(path));
}

/** Runs an export to its end, from what is on the disk. */
async function run({ random, path, splitSize }: Setting): Promise<Run> {
  const workplace = new Workplace(path);
  const { unfinished } = workplace;
  const cut = { splitSize };
  const work = unfinished
    ? workplace.resume(unfinished, layout)
    : workplace.begin({ command: {}, notes: {}, plan, cut }, layout);
  const members = partials(path, layout, cut).map((member) => member.path);
  const start = { partials: read(members), journal: readFileSync(journalOf(path)) };
  const events = record(work, journalOf(path));
  const source = new UnevenSource(random);
  const sink = new ArchiveSink({
    output: path,
    layout,
    work,
    kept: unfinished?.kept ?? new Map(),
    syncBytes: 500 + random.below(8000),
    syncAfter: Number.POSITIVE_INFINITY,
  });
  await sink.begin();
  const { lost } = await transfer(plan, source, sink, {
    jobs: 1 + random.below(4),
    onFailure: "stop",
    listener: () => {},
    signal: new AbortController().signal,
  });
  expect(lost).toEqual([]);
  await sink.finish();
  await sink.flush();
  await workplace.commit(work, layout, cut);
  return { start, events, given: source.given };
}

/** Writes what a disk may hold after a power cut at some moment of a run. */
function cutPower({ start, events }: Run, { random, path, splitSize }: Setting): void {
  const moment = random.below(events.length + 1);
  const past = events.slice(0, moment);
  const durable = past.reduce((most, event) => (event.type === "synced" ? event.before : most), 0);
  const joined = Buffer.alloc(layout.size);
  const members = partials(path, layout, { splitSize });
  let [at, end] = [0, 0];
  for (const [index, { size }] of members.entries()) {
    start.partials[index]?.copy(joined, at);
    end = Math.max(end, at + (start.partials[index]?.length ?? 0));
    at += size;
  }
  for (const [index, event] of past.entries()) {
    if (event.type !== "write") continue;
    const { bytes, offset } = event;
    // Of what was not synced any blocks may be there, in whatever order.
    const [fate, part] = [random.below(3), random.below(bytes.length + 1)];
    const kept = index < durable || fate === 0 ? bytes : fate === 1 ? bytes.subarray(0, part) : undefined;
    if (kept === undefined) continue;
    joined.set(kept, offset);
    end = Math.max(end, offset + kept.length);
  }
  at = 0;
  for (const member of members) {
    const stop = Math.max(at, Math.min(end, at + member.size));
    writeFileSync(member.path, joined.subarray(at, stop));
    at += member.size;
  }
  writeFileSync(journalOf(path), journalAfter(start.journal, events.slice(0, moment + 1), random));
}

/** All records that were synced, and any part of the one that was not. */
function journalAfter(start: Buffer, events: readonly Event[], random: Random): Buffer {
  let [durable, tail] = [start, start];
  for (const event of events) {
    if (event.type === "record") tail = event.journal;
    if (event.type === "recorded") durable = tail;
  }
  return tail.subarray(0, durable.length + random.below(tail.length - durable.length + 1));
}

/** The whole, as it stands under the names it has while it is written. */
function partialBytes({ path, splitSize }: Setting): Buffer {
  const whole = Buffer.alloc(layout.size);
  let at = 0;
  for (const { path: part, size } of partials(path, layout, { splitSize })) {
    readFileSync(part).copy(whole, at);
    at += size;
  }
  return whole;
}

function finalBytes({ path, splitSize }: Setting): Buffer {
  const members = partials(path, layout, { splitSize });
  return Buffer.concat(read(members.map((member) => member.path.replace(/\.partial$/, ""))));
}

/** A record is never ahead of the disk, wherever the power was cut; returns what it says. */
function expectTrue(setting: Setting): Kept {
  const state = Journal.read(journalOf(setting.path));
  if (state === undefined) throw new Error("the journal's beginning is gone");
  const bytes = partialBytes(setting);
  for (const [digest, size] of state.kept) {
    const offset = layout.byDigest.get(digest)?.offset ?? 0;
    expect(
      Buffer.compare(bytes.subarray(offset, offset + size), expected.subarray(offset, offset + size)),
    ).toBe(0);
  }
  if (state.isCommitting) expect(Buffer.compare(bytes, expected)).toBe(0);
  return state.kept;
}

const total = [...plan.nodes.values()].reduce(
  (sum, { bytes, descriptor }) => sum + (bytes === undefined ? descriptor.size : 0),
  0,
);
const sum = (kept: Kept) => [...kept.values()].reduce((all, each) => all + each, 0);

let count = 0;
async function begun(random: Random): Promise<{ setting: Setting; first: Run }> {
  const splitSize = random.below(3) === 0 ? 3000 + random.below(20_000) : undefined;
  const setting = { random, path: join(folder, `${count++}.tar`), splitSize };
  return { setting, first: await run(setting) };
}

/** What is there of a run that is over, so that another can start from where the power was cut. */
async function clear({ path }: Setting): Promise<void> {
  for await (const name of new Bun.Glob(`${path.slice(folder.length + 1)}*`).scan({
    cwd: folder,
    dot: true,
  })) {
    await rm(join(folder, name));
  }
}

const CUTS = runs(240);
const LIMIT = 60_000 + CUTS * 200;

test(
  `of ${CUTS} power cuts each leaves a state that is true, and is gone on with to the same bytes`,
  async () => {
    const seed = seedOf("power cuts");
    for (let done = 0, round = 0; done < CUTS; round++) {
      const random = new Random(seed + round);
      const { setting, first } = await begun(random);
      let last = first;
      // The power fails again while the first failure is made good.
      for (const times = done + 12; done < times; done++) {
        await clear(setting);
        cutPower(last, setting);
        const kept = expectTrue(setting);
        last = await run(setting);
        expect(last.given, "bytes fetched").toBe(total - sum(kept));
        expect(Buffer.compare(finalBytes(setting), expected)).toBe(0);
      }
      await clear(setting);
    }
  },
  LIMIT,
);

const ROTS = Math.ceil(CUTS / 4);

test(
  `of ${ROTS} partials with bytes flipped or cut off each ends in the right bytes`,
  async () => {
    const seed = seedOf("bit rot");
    let fetchedAgain = 0;
    for (let round = 0; round < ROTS; round++) {
      const random = new Random(seed + round);
      const { setting, first } = await begun(random);
      await clear(setting);
      cutPower(first, setting);
      const kept = expectTrue(setting);
      for (const { path } of partials(setting.path, layout, setting)) {
        const bytes = readFileSync(path);
        for (let flips = random.below(6); flips > 0 && bytes.length > 0; flips--) {
          const at = random.below(bytes.length);
          bytes[at] = (bytes[at] ?? 0) ^ (1 + random.below(255));
        }
        const end = random.below(4) === 0 ? random.below(bytes.length + 1) : bytes.length;
        writeFileSync(path, bytes.subarray(0, end));
      }
      const { given } = await run(setting);
      if (given > total - sum(kept)) fetchedAgain++;
      expect(Buffer.compare(finalBytes(setting), expected)).toBe(0);
      await clear(setting);
    }
    expect(fetchedAgain).toBeGreaterThanOrEqual(Math.floor(ROTS / 10));
  },
  LIMIT,
);
