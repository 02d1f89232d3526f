import { expect, test } from "bun:test";
import { join } from "node:path";
import { Fault } from "../../src/oci/fault.ts";
import { FakeStream } from "./fake-stream.ts";
import { CONFIG, endOf, LAYER, MANIFEST, MIB, ROOT, rootOf, START, setUp, TOTAL } from "./transfers.ts";

const NODE = ["digest", "kind", "bytes", "repositories"];
const WHY = ["message", "errorKind", "because", "hints"];
/** What each type of event has beside `time`, `level` and `event`; programs rely on it. */
const CONTRACT: Record<string, string[]> = {
  start: ["nodes", "bytes", "artifacts"],
  begin: NODE,
  end: [...NODE, "outcome"],
  failed: [...NODE, ...WHY],
  artifact: ["reference", "digest", "bytes"],
  lost: ["reference", "digest", ...WHY],
  progress: [
    "bytes",
    "total",
    "percent",
    "bytesPerSecond",
    "secondsLeft",
    "inFlight",
    "artifactsDone",
    "artifactsFailed",
    "artifactsTotal",
  ],
  note: ["message", "milliseconds", "digest"],
  summary: [
    "bytesMoved",
    "bytesShared",
    "bytesMounted",
    "bytesPresent",
    "milliseconds",
    "bytesPerSecond",
    "artifactsDone",
    "artifactsFailed",
    "artifactsTotal",
  ],
  message: ["message"],
  deprecation: ["message"],
  error: ["what", ...WHY],
};

/** One of each type, of a transfer in which one blob is mounted and another is lost. */
function oneOfEach(): Record<string, unknown>[] {
  const { listener, advance, note, log, stop, stream } = setUp("json", new FakeStream());
  const error = new Fault("cannot verify it", { kind: "mismatch" });
  listener({ ...START, artifacts: 2 });
  listener({ type: "begin", node: CONFIG });
  listener({ type: "bytes", node: CONFIG, bytes: MIB / 2 });
  listener({ type: "held", node: CONFIG, bytes: MIB / 2 });
  listener(endOf(CONFIG, "copied"));
  listener({ type: "begin", node: LAYER });
  listener({ type: "held", node: LAYER, bytes: 1 });
  advance(5000);
  note("it answered 503", { milliseconds: 2999.6, digest: LAYER.descriptor.digest });
  note("writing the rest to the disk");
  listener({ type: "failed", node: LAYER, error });
  listener({ type: "artifact", root: rootOf(CONFIG, "v1") });
  listener({ type: "lost", root: ROOT, error });
  stop();
  log.info("so far so good");
  log.deprecation("use the other one");
  log.failures([{ what: "a", error }], undefined);
  return stream.lines().map((line) => JSON.parse(line));
}

test("each type of event has its own fields, and no others", () => {
  const fields: Record<string, string[]> = {};
  for (const { time, level, event, ...rest } of oneOfEach()) {
    expect(new Date(String(time)).toISOString()).toBe(String(time));
    expect(["info", "warn", "error"]).toContain(String(level));
    const known = fields[String(event)] ?? [];
    fields[String(event)] = [...new Set([...known, ...Object.keys(rest)])];
  }
  expect(fields).toEqual(CONTRACT);
});

test("an event is a line; the bytes are gathered into one every five seconds, and into the summary", () => {
  const { digest } = CONFIG.descriptor;
  const node = { kind: "blob", bytes: MIB, repositories: ["public.ecr.aws/eks-anywhere/config"], digest };
  const layer = { kind: "blob", bytes: 100 * MIB, repositories: ["public.ecr.aws/eks-anywhere/layer"] };
  const inFlight = { ...layer, digest: LAYER.descriptor.digest };
  const root = { reference: "public.ecr.aws/eks-anywhere/app:v1", digest: MANIFEST.descriptor.digest };
  const why = { message: "cannot verify it", errorKind: "mismatch", because: [], hints: [] };
  expect(
    oneOfEach().map(({ time: _, level, ...rest }) => (level === "info" ? rest : { level, ...rest })),
  ).toEqual([
    { event: "start", nodes: 3, bytes: TOTAL, artifacts: 2 },
    { event: "begin", ...node },
    { event: "end", ...node, outcome: "copied" },
    { event: "begin", ...inFlight },
    {
      event: "progress",
      bytes: MIB + 1,
      total: TOTAL,
      percent: 0,
      bytesPerSecond: Math.round(MIB / 10),
      secondsLeft: 1000,
      inFlight: 1,
      artifactsDone: 0,
      artifactsFailed: 0,
      artifactsTotal: 2,
    },
    {
      event: "note",
      message: "waiting 3 s: it answered 503",
      milliseconds: 3000,
      digest: LAYER.descriptor.digest,
    },
    { event: "note", message: "writing the rest to the disk" },
    { event: "failed", ...inFlight, ...why },
    { event: "artifact", ...root, digest, bytes: MIB },
    { event: "lost", ...root, ...why },
    {
      event: "summary",
      bytesMoved: MIB / 2,
      bytesShared: 0,
      bytesMounted: 0,
      bytesPresent: MIB / 2,
      milliseconds: 5000,
      bytesPerSecond: Math.round(MIB / 10),
      artifactsDone: 1,
      artifactsFailed: 1,
      artifactsTotal: 2,
    },
    { event: "message", message: "so far so good" },
    { level: "warn", event: "deprecation", message: "use the other one" },
    { level: "error", event: "error", what: "a", ...why },
  ]);
});

test("of several transfers, one after the other, each has its summary", () => {
  const { listener, stop, stream } = setUp("json", new FakeStream(), "verifying");
  for (const node of [CONFIG, LAYER]) {
    listener(START);
    listener({ type: "begin", node });
    listener(endOf(node, "copied"));
  }
  stop();
  stop();
  const events = stream.lines().map((line) => JSON.parse(line));
  const summaries = events.filter(({ event }) => event === "summary");
  expect(summaries.map(({ bytesMoved }) => bytesMoved)).toEqual([MIB, 100 * MIB]);
});

test("the README describes every type of event with its fields", async () => {
  const readme = await Bun.file(join(import.meta.dir, "../../README.md")).text();
  const [, table = ""] = readme.split("| event |");
  const rows = [...(table.split("\n\n")[0] ?? "").matchAll(/^\| `(\w+)` \|[^|]*\| (.*) \|$/gm)];
  const told = rows.map(([, event, fields = ""]) => [
    event,
    [...fields.matchAll(/`(\w+)`/g)].map(([, field]) => field),
  ]);
  expect(Object.fromEntries(told)).toEqual(CONTRACT);
});
