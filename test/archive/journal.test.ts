import { afterAll, expect, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm, symlink, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { type Beginning, Journal, type Kept } from "../../src/archive/journal.ts";
import { type Digest, digestOf } from "../../src/oci/digest.ts";
import type { Plan } from "../../src/oci/plan.ts";
import { parseReference } from "../../src/oci/reference.ts";
import { planOf } from "../support/memory.ts";
import { someContents } from "./archives.ts";

const folder = await mkdtemp(join(tmpdir(), "eksa-airgap-journal-"));
afterAll(() => rm(folder, { recursive: true, force: true }));

let count = 0;
const fresh = () => join(folder, `${count++}.journal`);

const beginning: Beginning = {
  command: { bundlesOverride: "/b.yaml", exclude: ["a", "b"], includeSignatures: true },
  notes: { skipped: [{ uri: "x", reason: "é" }] },
  plan: await planOf(someContents()),
  cut: { splitSize: 4096 },
};

function digest(text: string): Digest {
  return digestOf(new TextEncoder().encode(text));
}

function kept(entries: Record<string, number>): Kept {
  return new Map(Object.entries(entries).map(([text, bytes]) => [digest(text), bytes]));
}

test("what an export is about is read back as it was written", async () => {
  const path = fresh();
  Journal.create(path, beginning).close();
  const read = Journal.read(path);
  expect(read?.beginning).toEqual(beginning);
  expect(read).toMatchObject({ kept: new Map(), isCommitting: false });
});

test("a plan keeps its sets, its bytes, its subjects and its nameless roots", () => {
  const bytes = new Uint8Array([0, 255, 10, 13, 128]);
  const descriptor = { mediaType: "application/x", digest: digestOf(bytes), size: bytes.length };
  const subject = digest("subject");
  const plan: Plan = {
    roots: [{ reference: parseReference(`r.io/a@${descriptor.digest}`), descriptor, nameless: true }],
    nodes: new Map([
      [
        descriptor.digest,
        {
          descriptor: { ...descriptor, platform: { os: "linux", architecture: "arm64", variant: "v8" } },
          kind: "manifest",
          children: [subject, digest("child")],
          subject,
          repositories: new Set(["r.io/b", "r.io/a"] as const),
          bytes,
        },
      ],
    ]),
  } as Plan;
  const path = fresh();
  Journal.create(path, { ...beginning, plan }).close();
  const read = Journal.read(path)?.beginning.plan;
  expect(read).toEqual(plan);
  const [node] = read?.nodes.values() ?? [];
  expect([...(node?.repositories ?? [])]).toEqual(["r.io/b", "r.io/a"] as never);
  expect(Buffer.compare(node?.bytes ?? new Uint8Array(), bytes)).toBe(0);
});

test("content that was changed in the plan is not taken for what its digest names", () => {
  const path = fresh();
  const [first, ...rest] = beginning.plan.nodes;
  if (first === undefined) throw new Error("no nodes");
  const nodes = new Map([[first[0], { ...first[1], bytes: new Uint8Array([1]) }], ...rest]);
  Journal.create(path, { ...beginning, plan: { ...beginning.plan, nodes } }).close();
  expect(() => Journal.read(path)).toThrow("cannot verify");
});

test("of several records of a blob the last one counts", async () => {
  const path = fresh();
  const journal = Journal.create(path, beginning);
  await journal.append(kept({ a: 10, b: 7 }));
  await journal.append(kept({ a: 300 }));
  await journal.append(kept({ b: 3 }));
  journal.close();
  expect(Journal.read(path)?.kept).toEqual(kept({ a: 300, b: 3 }));
});

test("any prefix of a journal says only what was true when it was written, and can be gone on with", async () => {
  const path = fresh();
  const journal = Journal.create(path, beginning);
  const start = readFileSync(path).length;
  const states: { end: number; kept: Kept; isCommitting: boolean }[] = [];
  const all = new Map<Digest, number>();
  const note = (isCommitting = false) =>
    states.push({ end: readFileSync(path).length, kept: new Map(all), isCommitting });
  note();
  for (const [name, bytes] of [
    ["a", 5],
    ["b", 123_456],
    ["a", 1_000_000],
    ["c", 0],
  ] as const) {
    await journal.append(kept({ [name]: bytes }));
    all.set(digest(name), bytes);
    note();
  }
  await journal.appendCommit();
  note(true);
  journal.close();
  const whole = readFileSync(path);
  const cut = fresh();
  // Every byte of the records and around the end of the beginning; some of the long line before.
  const lengths = [
    ...Array.from({ length: whole.length - start + 5 }, (_, index) => start - 4 + index),
    ...Array.from({ length: 40 }, (_, index) => Math.floor((start * index) / 40)),
  ];
  for (const length of lengths) {
    writeFileSync(cut, whole.subarray(0, length));
    const read = Journal.read(cut);
    const expected = states.findLast(({ end }) => end <= length);
    if (length < start) {
      expect(read, `cut at ${length}`).toBeUndefined();
      continue;
    }
    expect(read?.kept, `cut at ${length}`).toEqual(expected?.kept ?? new Map());
    expect(read?.isCommitting).toBe(expected?.isCommitting ?? false);
    const again = Journal.reopen(cut);
    await again.append(kept({ later: 9 }));
    again.close();
    const later = Journal.read(cut);
    expect(later?.kept, `gone on with at ${length}`).toEqual(
      new Map([...(expected?.kept ?? []), [digest("later"), 9]]),
    );
    expect(later?.beginning).toEqual(beginning);
  }
});

test("a tail of anything is never taken for a record of something else", async () => {
  const path = fresh();
  const journal = Journal.create(path, beginning);
  await journal.append(kept({ a: 77 }));
  journal.close();
  const whole = readFileSync(path);
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (tail) => {
      writeFileSync(path, Buffer.concat([whole, tail]));
      expect(Journal.read(path)?.kept).toEqual(kept({ a: 77 }));
    }),
  );
});

test("a damaged beginning says nothing at all", () => {
  const path = fresh();
  Journal.create(path, beginning).close();
  const whole = readFileSync(path);
  for (let at = 0; at < whole.length; at += 1 + Math.floor(whole.length / 300)) {
    const damaged = Uint8Array.from(whole);
    damaged[at] = (damaged[at] ?? 0) ^ 1;
    writeFileSync(path, damaged);
    expect(Journal.read(path), `flipped at ${at}`).toBeUndefined();
  }
  for (const bytes of ["", "\n", "hello\n", "eksa-airgap-journal-1 999999999999 sha256:0\n{}"]) {
    writeFileSync(path, bytes);
    expect(Journal.read(path)).toBeUndefined();
  }
});

test("an empty record writes nothing, and a new journal replaces none", async () => {
  const path = fresh();
  const journal = Journal.create(path, beginning);
  const { length } = readFileSync(path);
  await journal.append(new Map());
  journal.close();
  journal.close();
  expect(readFileSync(path)).toHaveLength(length);
  expect(() => Journal.create(path, beginning)).toThrow("EEXIST");
  const link = fresh();
  await symlink(join(folder, "elsewhere"), link);
  expect(() => Journal.create(link, beginning)).toThrow("EEXIST");
  expect(existsSync(join(folder, "elsewhere"))).toBe(false);
  await truncate(path, 0);
  expect(Journal.read(path)).toBeUndefined();
});
