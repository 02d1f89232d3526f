import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Fault, faultKind } from "../../src/oci/fault.ts";
import type { Content, Node, Outcome, Plan } from "../../src/oci/plan.ts";
import { formatReference, parseReference, type Reference, repositoryName } from "../../src/oci/reference.ts";
import { type ReferrerSource, resolveWithReferrers } from "../../src/transfer/referrers.ts";
import { resolve } from "../../src/transfer/resolve.ts";
import { referrer, type TestContent } from "../support/content.ts";
import { MemorySource, rawImage, rawIndex } from "../support/memory.ts";
import { RecordingSink, run, ScriptedSink } from "./graph.ts";

/** Content in memory that knows its referrers: those in `contents` by subject, and cosign's tags by name. */
class SignedSource extends MemorySource implements ReferrerSource {
  /** `REPOSITORY@DIGEST` of what was asked about. */
  readonly subjects: string[] = [];
  readonly #names: readonly string[];
  readonly #contents: Readonly<Record<string, TestContent>>;

  constructor(contents: Readonly<Record<string, TestContent>>) {
    super(contents);
    this.#contents = contents;
    this.#names = Object.keys(contents);
  }

  async referrers(subject: Reference): Promise<Reference[]> {
    const repository = repositoryName(subject);
    this.subjects.push(`${repository}@${subject.digest}`);
    const digest = subject.digest ?? "";
    const cosign = this.#names.filter((name) => name === `${repository}:${digest.replace(":", "-")}.sig`);
    const listed = this.#names.filter(
      (name) => name.startsWith(`${repository}@`) && this.#isAbout(name, digest),
    );
    return [...cosign, ...listed].map(parseReference);
  }

  #isAbout(name: string, subject: string): boolean {
    const bytes = this.#contents[name]?.manifests.at(-1)?.bytes;
    const manifest: { subject?: { digest: string } } = JSON.parse(new TextDecoder().decode(bytes));
    return manifest.subject?.digest === subject;
  }
}

/** A sink that a referrer must not reach before its subject is there. */
class SubjectFirstSink extends ScriptedSink {
  referrers = 0;

  override store(node: Node, content: Content): Promise<Outcome> {
    if (node.subject !== undefined) {
      this.referrers++;
      expect(this.present.has(node.subject)).toBe(true);
    }
    return super.store(node, content);
  }
}

const ARM64 = { os: "linux", architecture: "arm64" };
const child = rawImage(["child"], { platform: ARM64 });
const image = rawIndex([child]);
const signature = referrer({ subject: image.root, artifactType: "application/vnd.sig", body: "signed" });
const sbom = referrer({ subject: child.root, artifactType: "application/vnd.sbom", body: "contents" });
const signedSbom = referrer({ subject: sbom.root, artifactType: "application/vnd.sig", body: "signed sbom" });
const cosign = rawImage(["cosign"]);
const cosignTag = `a.b/x:${child.root.digest.replace(":", "-")}.sig`;

const at = (repository: string, { root }: TestContent) => `${repository}@${root.digest}`;

const CONTENTS = {
  "a.b/x:1": image,
  "z.z/y:1": rawImage(["other"]),
  [at("a.b/x", signature)]: signature,
  [at("a.b/x", sbom)]: sbom,
  [at("a.b/x", signedSbom)]: signedSbom,
  [cosignTag]: cosign,
};
const NAMES = ["a.b/x:1", "z.z/y:1"].map(parseReference);

function namesOf({ roots }: Plan): string[] {
  return roots.map(
    ({ reference, nameless }) => `${nameless ? "nameless " : ""}${formatReference(reference)}`,
  );
}

test("what signs or describes an image, its children and its referrers comes along, the nameless last", async () => {
  const source = new SignedSource(CONTENTS);
  const { plan, failures } = await resolveWithReferrers(source, NAMES, { jobs: 4 });
  expect(failures).toEqual([]);
  expect(namesOf(plan)).toEqual([
    "a.b/x:1",
    cosignTag,
    "z.z/y:1",
    ...[signature, sbom, signedSbom]
      .map((content) => content.root.digest)
      .sort()
      .map((digest) => `nameless a.b/x@${digest}`),
  ]);
  const node = plan.nodes.get(sbom.root.digest);
  expect(node?.subject).toBe(child.root.digest);
  expect(node?.children).not.toContain(child.root.digest);
  for (const digest of signature.blobs.keys()) expect(plan.nodes.has(digest)).toBe(true);
});

test("each manifest is asked about once in each repository that wants it", async () => {
  const source = new SignedSource({
    ...CONTENTS,
    "c.d/copy:1": image,
    [at("c.d/copy", signature)]: signature,
  });
  const references = [...NAMES, parseReference("c.d/copy:1")];
  const { plan } = await resolveWithReferrers(source, references, { jobs: 4 });
  expect(new Set(source.subjects).size).toBe(source.subjects.length);
  const manifests = [...plan.nodes].filter(([, { kind }]) => kind === "manifest");
  const wanted = manifests.flatMap(([digest, { repositories }]) =>
    [...repositories].map((name) => `${name}@${digest}`),
  );
  expect(source.subjects.sort()).toEqual(wanted.sort());
  expect(namesOf(plan).filter((name) => name.includes(signature.root.digest))).toEqual([
    `nameless a.b/x@${signature.root.digest}`,
    `nameless c.d/copy@${signature.root.digest}`,
  ]);
});

test("without anything signed the plan is that of the images alone", async () => {
  const contents = { "a.b/x:1": image };
  const references = [parseReference("a.b/x:1")];
  const plain = await resolve(new MemorySource(contents), references, { jobs: 1 });
  const searched = await resolveWithReferrers(new SignedSource(contents), references, { jobs: 1 });
  expect(searched).toEqual(plain);
});

test("the plan does not depend on the order in which answers come", async () => {
  const expected = await resolveWithReferrers(new SignedSource(CONTENTS), NAMES, { jobs: 1 });
  await fc.assert(
    fc.asyncProperty(fc.scheduler(), async (turns) => {
      const source = new SignedSource(CONTENTS);
      const shuffled: ReferrerSource = {
        manifest: turns.scheduleFunction((reference) => source.manifest(reference)),
        open: turns.scheduleFunction((node) => source.open(node)),
        referrers: turns.scheduleFunction((subject) => source.referrers(subject)),
      };
      const { plan } = await turns.waitFor(resolveWithReferrers(shuffled, NAMES, { jobs: 3 }));
      expect([...plan.nodes.keys()]).toEqual([...expected.plan.nodes.keys()]);
      expect(plan.roots).toEqual(expected.plan.roots);
    }),
    { numRuns: 30 },
  );
});

test("a referrer is sent after its subject, and not at all when that fails", async () => {
  const source = new SignedSource(CONTENTS);
  const { plan } = await resolveWithReferrers(source, NAMES, { jobs: 4 });
  await fc.assert(
    fc.asyncProperty(fc.scheduler(), async (turns) => {
      const sink = new SubjectFirstSink(turns);
      const graph = { plan, nodes: [...plan.nodes.values()], source };
      const { lost } = await turns.waitFor(run(graph, sink).result);
      expect(lost).toEqual([]);
      expect(sink.referrers).toBe(3);
    }),
    { numRuns: 20 },
  );
  await fc.assert(
    fc.asyncProperty(fc.scheduler(), async (turns) => {
      const sink = new ScriptedSink(turns, [sbom.root.digest]);
      const { lost } = await turns.waitFor(
        run({ plan, nodes: [...plan.nodes.values()], source }, sink).result,
      );
      const digests = lost.map(({ root }) => root.descriptor.digest);
      expect(digests.sort()).toEqual([sbom.root.digest, signedSbom.root.digest].sort());
      expect(sink.started).not.toContain(signedSbom.root.digest);
    }),
    { numRuns: 20 },
  );
});

test("a subject that is not in the plan is not waited for", async () => {
  const source = new MemorySource(CONTENTS);
  const nameless = [parseReference(at("a.b/x", signature))];
  const { plan } = await resolve(source, [], { jobs: 1, nameless });
  expect(plan.nodes.has(image.root.digest)).toBe(false);
  expect(await run({ plan, nodes: [], source }, new RecordingSink()).result).toEqual({ lost: [] });
});

describe("a source that", () => {
  const failuresOf = async (source: ReferrerSource) => {
    const { failures, plan } = await resolveWithReferrers(source, [parseReference("a.b/x:1")], { jobs: 2 });
    return { failures: failures.map(({ error }) => error), names: namesOf(plan) };
  };

  test("lists what is about something else lies", async () => {
    const source = new SignedSource(CONTENTS);
    source.referrers = async (subject) =>
      subject.digest === image.root.digest ? [parseReference(at("a.b/x", sbom))] : [];
    const { failures, names } = await failuresOf(source);
    expect(failures.map(faultKind)).toEqual(["mismatch"]);
    expect(String(failures[0])).toContain(`${sbom.root.digest} is about ${child.root.digest}`);
    expect(names).toEqual(["a.b/x:1"]);
  });

  test("cannot tell the referrers of one manifest fails for that one by name", async () => {
    const source = new SignedSource(CONTENTS);
    source.referrers = async (subject) => {
      if (subject.digest === child.root.digest) throw new Fault("cannot tell");
      return [];
    };
    const { failures } = await resolveWithReferrers(source, [parseReference("a.b/x:1")], { jobs: 2 });
    expect(failures.map(({ reference }) => formatReference(reference))).toEqual([
      `a.b/x@${child.root.digest}`,
    ]);
  });

  test("lists what it does not have fails for that by name", async () => {
    const source = new SignedSource(CONTENTS);
    source.manifests.delete(at("a.b/x", signature));
    const { failures } = await resolveWithReferrers(source, [parseReference("a.b/x:1")], { jobs: 2 });
    expect(failures.map(({ reference }) => formatReference(reference))).toEqual([at("a.b/x", signature)]);
  });

  test("signs without end is given up", async () => {
    let last = image;
    const contents: Record<string, TestContent> = { "a.b/x:1": image };
    for (let depth = 0; depth < 30; depth++) {
      last = referrer({ subject: last.root, artifactType: "application/vnd.sig", body: `${depth}` });
      contents[at("a.b/x", last)] = last;
    }
    const source = new SignedSource(contents);
    const { failures, names } = await failuresOf(source);
    expect(String(failures[0])).toContain("more than 8 deep");
    expect(names).toHaveLength(9);
  });
});
