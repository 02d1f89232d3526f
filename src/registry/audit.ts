import { discard } from "../http/body.ts";
import type { Digest } from "../oci/digest.ts";
import { causes, Fault, faultKind } from "../oci/fault.ts";
import type { Node, Outcome, Plan, Root, Sink } from "../oci/plan.ts";
import {
  formatReference,
  parseRepositoryName,
  type RepositoryName,
  repositoryName,
} from "../oci/reference.ts";
import { AnswerFault, answerFault } from "./answer.ts";
import type { Registries } from "./client.ts";
import type { Place } from "./referrers.ts";
import { storedDigest } from "./sink-manifests.ts";
import { RegistrySource } from "./source.ts";

/** `unchecked`: the registry did not say. */
export type FindingKind = "missing" | "different" | "unchecked";

/** Something that a registry should hold, and does not, or not so. */
export interface Finding {
  kind: FindingKind;
  digest: Digest;
  place: RepositoryName;
  /** Where it is the tag that is wrong. */
  tag?: string;
  detail: string;
}

/**
 * A registry as a sink that only looks: whether what would be put there is there. Every manifest is read
 * and hashed; of a blob the registry is asked for the size alone. Nothing is written.
 */
export class RegistryAudit implements Sink {
  readonly findings: Finding[] = [];
  readonly #registries: Registries;
  readonly #source: RegistrySource;
  readonly #plan: Plan;
  readonly #variants: ReadonlyMap<Digest, Digest>;

  /** `variants`: what may stand in the place of a manifest. */
  constructor(registries: Registries, plan: Plan, variants: ReadonlyMap<Digest, Digest> = new Map()) {
    this.#variants = variants;
    this.#registries = registries;
    this.#source = new RegistrySource(registries);
    this.#plan = plan;
  }

  /** Never fails: what is above a finding is looked at all the same. */
  async put(node: Node): Promise<Outcome> {
    for (const place of node.repositories) {
      await this.#note({ digest: node.descriptor.digest, place }, () =>
        node.kind === "manifest" ? this.#manifest(node, place) : this.#blob(node, place),
      );
    }
    return "present";
  }

  /** Fails when the tag, or anything below it, is not as it should be. */
  async tag({ reference, descriptor: { digest }, original }: Root): Promise<void> {
    const place = repositoryName(reference);
    const { tag } = reference;
    if (tag !== undefined) {
      await this.#note({ digest, place, tag }, async () => {
        const found = await storedDigest(this.#place(place), tag);
        // The whole of what was pruned: more than what is looked for.
        const others = [this.#variants.get(digest), original];
        if (found === digest || (found !== undefined && others.some((other) => found === other))) return;
        return found === undefined
          ? { kind: "missing", detail: "there is no such tag" }
          : { kind: "different", detail: `the tag stands for ${found}` };
      });
    }
    if (this.#isWhole(digest, place)) return;
    throw new Fault(`cannot find all of ${formatReference(reference)}`, { kind: "mismatch" });
  }

  async #manifest({ descriptor }: Node, name: RepositoryName): Promise<Verdict> {
    const place = parseRepositoryName(name);
    const variant = this.#variants.get(descriptor.digest);
    try {
      await this.#source.manifest({ ...place, digest: descriptor.digest });
    } catch (error) {
      if (variant === undefined || verdictOn(error).kind !== "missing") throw error;
      await this.#source.manifest({ ...place, digest: variant });
    }
    return undefined;
  }

  async #blob({ descriptor: { digest, size } }: Node, name: RepositoryName): Promise<Verdict> {
    const { client, repository, scopes } = this.#place(name);
    const endpoint = { kind: "headBlob", repository, digest } as const;
    const url = await client.urlOf(endpoint);
    const response = await client.send(endpoint, scopes);
    if (response.status !== 200) throw await answerFault(response, { method: "HEAD", url });
    const length = response.headers.get("content-length");
    await discard(response, url);
    if (length === null || Number(length) === size) return;
    return { kind: "different", detail: `it has ${length} bytes, and should have ${size}` };
  }

  async #note(what: Omit<Finding, "kind" | "detail">, look: () => Promise<Verdict>): Promise<void> {
    try {
      const verdict = await look();
      if (verdict !== undefined) this.findings.push({ ...what, ...verdict });
    } catch (error) {
      this.findings.push({ ...what, ...verdictOn(error) });
    }
  }

  #isWhole(root: Digest, place: RepositoryName): boolean {
    const wrong = new Set(this.findings.flatMap((one) => (one.place === place ? [one.digest] : [])));
    if (wrong.size === 0) return true;
    const below = new Set([root]);
    // A set is walked in order of insertion, what is added on the way included.
    for (const digest of below) {
      if (wrong.has(digest)) return false;
      for (const child of this.#plan.nodes.get(digest)?.children ?? []) below.add(child);
    }
    return true;
  }

  #place(name: RepositoryName): Place {
    const { registry, repository } = parseRepositoryName(name);
    const scopes = [{ repository, actions: "pull" }] as const;
    return { client: this.#registries.client(registry), repository, scopes };
  }
}

type Verdict = Pick<Finding, "kind" | "detail"> | undefined;

/** What it means that something could not be read. */
export function verdictOn(error: unknown): NonNullable<Verdict> {
  const chain = causes(error);
  const last = chain.findLast((link) => link instanceof Error);
  const detail = last?.message ?? String(error);
  if (chain.some((link) => link instanceof AnswerFault && link.status === 404)) {
    return { kind: "missing", detail };
  }
  return { kind: faultKind(error) === "mismatch" ? "different" : "unchecked", detail };
}
