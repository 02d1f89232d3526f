import { readBounded } from "../http/body.ts";
import { download } from "../http/download.ts";
import { MANIFEST_MEDIA_TYPES } from "../oci/descriptor.ts";
import { type Digest, digestOf, isDigest } from "../oci/digest.ts";
import { causes, Fault, faultKind } from "../oci/fault.ts";
import { describe, MAX_MANIFEST_BYTES, type ManifestBytes, parseManifest } from "../oci/manifest.ts";
import type { ByteStream, Node, Source } from "../oci/plan.ts";
import {
  formatReference,
  parseRepositoryName,
  type Reference,
  type RepositoryName,
} from "../oci/reference.ts";
import { assertDigest } from "../oci/verified.ts";
import { AnswerFault, answerFault, wholeAnswer } from "./answer.ts";
import type { Scope } from "./auth.ts";
import type { Registries, RegistryClient } from "./client.ts";
import { openForeign } from "./foreign.ts";
import { findReferrers } from "./referrers.ts";

/** Registries as a source. Blobs are never asked for with HEAD: some answer 401 to that and not to GET. */
export class RegistrySource implements Source {
  readonly #registries: Registries;

  constructor(registries: Registries) {
    this.#registries = registries;
  }

  async manifest(reference: Reference): Promise<ManifestBytes> {
    try {
      return await this.#fetchManifest(reference);
    } catch (cause) {
      throw new Fault(`cannot read ${formatReference(reference)}`, { cause, hint: hintFor(cause) });
    }
  }

  async referrers(subject: Reference & { digest: Digest }): Promise<Reference[]> {
    const { registry, repository, digest } = subject;
    const place = { client: this.#registries.client(registry), repository, scopes: pull(repository) };
    try {
      const found = await findReferrers(place, digest);
      return found.map((one) => ({ registry, repository, ...one }));
    } catch (cause) {
      throw new Fault(`cannot read what signs or describes ${formatReference(subject)}`, { cause });
    }
  }

  /**
   * The first repository that wants the blob, has it and lets it be read. Fails with what the first of them said
   * that did not just lack it.
   */
  async open(node: Node, from = 0): Promise<ByteStream> {
    let refusal: Refusal | undefined;
    for (const name of node.repositories) {
      const answer = await this.#ask(node, name, from);
      if (answer instanceof Response) return this.#stream(node, name, { response: answer, from });
      if (refusal === undefined || (isAbsent(refusal.fault) && !isAbsent(answer.fault))) refusal = answer;
      if (!isAbsent(answer.fault) && !isDenied(answer.fault)) break;
    }
    if (refusal === undefined)
      throw new Fault(`cannot find ${node.descriptor.digest}: no repository wants it`);
    if (node.descriptor.urls === undefined) throw refusal.fault;
    const { client, url, fault } = refusal;
    return openForeign(client.http, { descriptor: node.descriptor, registry: url, refusal: fault, from });
  }

  async #ask(node: Node, name: RepositoryName, from: number): Promise<Response | Refusal> {
    const { registry, repository } = parseRepositoryName(name);
    const client = this.#registries.client(registry);
    const url = await client.urlOf({ kind: "getBlob", repository, digest: node.descriptor.digest });
    try {
      const response = await this.#openAt(node, name, from);
      if (response.status === 200 || response.status === 206) return response;
      return { client, url, fault: await answerFault(response, { method: "GET", url }) };
    } catch (error) {
      // The token server's refusal of one repository.
      if (error instanceof Fault && isDenied(error)) return { client, url, fault: error };
      throw error;
    }
  }

  /** The answer in hand, then as many more as it takes. */
  async #stream(
    node: Node,
    repository: RepositoryName,
    first: { response: Response; from: number },
  ): Promise<ByteStream> {
    const { registry, repository: path } = parseRepositoryName(repository);
    const client = this.#registries.client(registry);
    const { digest } = node.descriptor;
    const url = await client.urlOf({ kind: "getBlob", repository: path, digest });
    let inHand: Response | undefined = first.response;
    const openAt = async (offset: number) => {
      const response = inHand ?? (await this.#openAt(node, repository, offset));
      inHand = undefined;
      if (response.status === 200 || response.status === 206) return response;
      // A passing status has been tried again already, below.
      throw await answerFault(response, { method: "GET", url });
    };
    const { size } = node.descriptor;
    const policy = { ...client.http.policy, about: digest };
    return download({ url, size, from: first.from, openAt, policy });
  }

  #openAt(node: Node, name: RepositoryName, offset: number): Promise<Response> {
    const { registry, repository } = parseRepositoryName(name);
    const headers: Record<string, string> = offset === 0 ? {} : { range: `bytes=${offset}-` };
    const endpoint = { kind: "getBlob", repository, digest: node.descriptor.digest } as const;
    return this.#registries.client(registry).send(endpoint, pull(repository), { headers });
  }

  async #fetchManifest({ registry, repository, tag, digest }: Reference): Promise<ManifestBytes> {
    const client = this.#registries.client(registry);
    const endpoint = { kind: "getManifest", repository, reference: digest ?? tag ?? "" } as const;
    const url = await client.urlOf(endpoint);
    const headers = { accept: MANIFEST_MEDIA_TYPES.join(", ") };
    const { bytes, announced } = await wholeAnswer(
      client.http.policy,
      () => client.send(endpoint, pull(repository), { headers }),
      async (response) => {
        if (response.status !== 200) throw await answerFault(response, { method: "GET", url });
        const announced = response.headers.get("docker-content-digest") ?? "";
        return { announced, bytes: await readBounded(response, url, MAX_MANIFEST_BYTES) };
      },
    );
    const expected = digest ?? (isDigest(announced) ? announced : undefined);
    if (expected !== undefined) assertDigest(bytes, expected);
    return { descriptor: describe(parseManifest(bytes), expected ?? digestOf(bytes), bytes.length), bytes };
  }
}

/** Why a repository does not give a blob. */
interface Refusal {
  client: RegistryClient;
  url: URL;
  fault: Fault;
}

function isAbsent(fault: Fault): boolean {
  return fault instanceof AnswerFault && fault.status === 404;
}

function isDenied(fault: Fault): boolean {
  return causes(fault).some((link) => link instanceof AnswerFault && [401, 403].includes(link.status));
}

function pull(repository: string): Scope[] {
  return [{ repository, actions: "pull" }];
}

function hintFor(cause: unknown): string | undefined {
  if (cause instanceof AnswerFault && cause.status === 404) {
    return "check that it is published there; with `--mirror`, that the mirror has it";
  }
  if (faultKind(cause) === "mismatch") {
    return "see what answers there: a proxy or a cache in between may change what it passes on";
  }
  return;
}
