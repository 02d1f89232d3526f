import type { Digest } from "../oci/digest.ts";
import { Fault } from "../oci/fault.ts";
import type { Plan, Root, Source } from "../oci/plan.ts";
import { compareBytewise, formatReference, parseRepositoryName, type Reference } from "../oci/reference.ts";
import { buildPlan } from "./plan.ts";
import { forEachBounded } from "./pool.ts";
import { Graph, named, type Resolution, readRoots, type Wanted } from "./resolve.ts";

/** A source that can say what signs or describes a manifest. */
export type ReferrerSource = Source & Required<Pick<Source, "referrers">>;

export interface ReferrersOptions {
  /** Requests in flight. */
  jobs: number;
}

/** A manifest in one of the repositories that want it. */
type Subject = Reference & { digest: Digest };
/** A root, and the manifest that led to it. */
type Found = Wanted & { subject: Subject };

/** The signature of a list of contents of an image is two deep; what is deeper than this is no accident. */
const MAX_ROUNDS = 8;

/**
 * As `resolve`, and everything that signs or describes any manifest of the graph as well, children and
 * what was found included. The roots are in the archive's order: by name, then the nameless by digest.
 */
export async function resolveWithReferrers(
  source: ReferrerSource,
  references: readonly Reference[],
  options: ReferrersOptions,
): Promise<Resolution> {
  const search = new Search(source, options);
  await search.read(references.map(named));
  for (let round = 1; ; round++) {
    const found = await search.findMore();
    if (found.length === 0) return search.result();
    if (round > MAX_ROUNDS) {
      search.giveUp(found);
      return search.result();
    }
    await search.read(found);
  }
}

class Search {
  readonly #source: ReferrerSource;
  readonly #options: ReferrersOptions;
  readonly #graph: Graph;
  readonly #roots: Root[] = [];
  readonly #failures: Resolution["failures"] = [];
  /** Names of the roots that were read, or could not be. */
  readonly #met = new Set<string>();
  /** `REPOSITORY@DIGEST` of the manifests that were asked about. */
  readonly #asked = new Set<string>();

  constructor(source: ReferrerSource, options: ReferrersOptions) {
    this.#source = source;
    this.#options = options;
    this.#graph = new Graph(source);
  }

  async read(wanted: readonly (Wanted | Found)[]): Promise<void> {
    for (const root of wanted) this.#met.add(nameOf(root));
    const { roots, failures } = await readRoots(this.#graph, wanted, this.#options);
    this.#failures.push(...failures);
    const subjects = new Map(
      wanted.map((root) => [root.reference, "subject" in root ? root.subject : undefined]),
    );
    for (const { reference, descriptor, nameless } of roots) {
      const error = nameless && this.#lie(descriptor.digest, subjects.get(reference));
      if (error) this.#failures.push({ reference, error });
      else this.#roots.push({ reference, descriptor, ...(nameless && { nameless }) });
    }
  }

  /** What signs or describes the manifests read since the last time and is not a root yet. */
  async findMore(): Promise<Found[]> {
    const subjects = this.#unasked(buildPlan(this.#roots, this.#graph.known));
    const answers = new Map<Subject, Reference[]>();
    const failures = new Map<Subject, Resolution["failures"][number]>();
    await forEachBounded(subjects, this.#options.jobs, async (subject) => {
      try {
        answers.set(subject, await this.#source.referrers(subject));
      } catch (error) {
        failures.set(subject, { reference: subject, error });
      }
    });
    this.#failures.push(...subjects.flatMap((subject) => failures.get(subject) ?? []));
    const found = new Map<string, Found>();
    for (const subject of subjects) {
      for (const reference of answers.get(subject) ?? []) {
        const root: Found = { reference, subject, ...(reference.tag === undefined && { nameless: true }) };
        const name = nameOf(root);
        if (!this.#met.has(name) && !found.has(name)) found.set(name, root);
      }
    }
    return [...found.values()];
  }

  giveUp(found: readonly Found[]): void {
    for (const { reference } of found) {
      const error = new Fault(`cannot follow referrers of referrers more than ${MAX_ROUNDS} deep`);
      this.#failures.push({ reference, error });
    }
  }

  result(): Resolution {
    const roots = [
      ...sorted(this.#roots.filter(isNamed), nameOf),
      ...sorted(
        this.#roots.filter((root) => !isNamed(root)),
        digestAndName,
      ),
    ];
    return { plan: buildPlan(roots, this.#graph.known), failures: this.#failures };
  }

  #unasked(plan: Plan): Subject[] {
    const subjects: Subject[] = [];
    for (const [digest, { kind, repositories }] of plan.nodes) {
      if (kind !== "manifest") continue;
      for (const name of repositories) {
        if (this.#asked.has(`${name}@${digest}`)) continue;
        this.#asked.add(`${name}@${digest}`);
        subjects.push({ ...parseRepositoryName(name), digest });
      }
    }
    return subjects;
  }

  /** What is wrong with a referrer that is about something else than the list said. */
  #lie(digest: Digest, subject: Subject | undefined): Fault | undefined {
    const about = this.#graph.known.get(digest)?.manifest.subject?.digest;
    if (subject === undefined || about === subject.digest) return;
    return new Fault(
      `cannot trust the referrers of ${formatReference(subject)}: ${digest} is about ${about ?? "nothing"}`,
      { kind: about === undefined ? "failed" : "mismatch" },
    );
  }
}

/** Told apart from a tag's: a nameless root may be a named one as well. */
function nameOf({ reference, nameless }: Wanted): string {
  return nameless ? `nameless ${formatReference(reference)}` : formatReference(reference);
}

function isNamed({ nameless }: Root): boolean {
  return nameless !== true;
}

function digestAndName({ reference, descriptor }: Root): string {
  return `${descriptor.digest} ${formatReference(reference)}`;
}

function sorted<T>(items: readonly T[], keyOf: (item: T) => string): T[] {
  return items.toSorted((a, b) => compareBytewise(keyOf(a), keyOf(b)));
}
