import { discard } from "../http/body.ts";
import { MANIFEST_MEDIA_TYPES } from "../oci/descriptor.ts";
import type { Digest } from "../oci/digest.ts";
import { Fault } from "../oci/fault.ts";
import type { Content, Node, Outcome, Root, Sink } from "../oci/plan.ts";
import {
  formatReference,
  parseRepositoryName,
  type RepositoryName,
  repositoryName,
} from "../oci/reference.ts";
import { answerFault } from "./answer.ts";
import type { Scope } from "./auth.ts";
import type { Registries } from "./client.ts";
import { locationOf, type UploadTarget, upload } from "./upload.ts";

/** A registry as a sink: each blob is sent once and mounted into every other repository that wants it. */
export class RegistrySink implements Sink {
  readonly #registries: Registries;
  /** Content of the manifests put so far; a tag is the same bytes under another name. */
  readonly #manifests = new Map<Digest, { bytes: Uint8Array; mediaType: string }>();
  /** `REPOSITORY@DIGEST` of what will be put under a tag, which stores it under its digest as well. */
  readonly #tagged: ReadonlySet<string>;

  constructor(registries: Registries, roots: readonly Root[]) {
    this.#registries = registries;
    this.#tagged = new Set(
      roots
        .filter(({ reference }) => reference.tag !== undefined)
        .map(({ reference, descriptor }) => `${repositoryName(reference)}@${descriptor.digest}`),
    );
  }

  put(node: Node, content: Content): Promise<Outcome> {
    return node.kind === "blob" ? this.#putBlob(node, content) : this.#putManifest(node);
  }

  async tag({ reference, descriptor }: Root): Promise<void> {
    const { registry, repository, tag } = reference;
    if (tag === undefined) return;
    const target = this.#target(`${registry}/${repository}`);
    const manifest = this.#manifests.get(descriptor.digest);
    if (manifest === undefined)
      throw new Fault(`cannot tag ${formatReference(reference)} before its content`);
    const wanted = { reference: tag, digest: descriptor.digest };
    if (await this.#holdsManifest(target, wanted)) return;
    await this.#sendManifest(target, wanted, manifest);
  }

  async #putBlob(node: Node, content: Content): Promise<Outcome> {
    const { digest } = node.descriptor;
    const targets = [...node.repositories].map((name) => this.#target(name));
    const lacking = new Set<UploadTarget>();
    let holder: UploadTarget | undefined;
    for (const target of targets) {
      // Once one holds it, a mount is as cheap as a question, and harmless where it is there already.
      if (holder !== undefined) break;
      if (await this.#holdsBlob(target, digest)) holder = target;
      else lacking.add(target);
    }
    const first = holder;
    let outcome: Outcome = "present";
    for (const target of targets) {
      if (target === first) continue;
      const granted = holder === undefined ? "no" : await this.#mount(target, holder, digest);
      if (granted === "mounted") {
        if (outcome === "present") outcome = granted;
      } else if (lacking.has(target) || !(await this.#holdsBlob(target, digest))) {
        await upload(target, node.descriptor, { content, session: granted === "no" ? undefined : granted });
        outcome = "copied";
      }
      holder ??= target;
    }
    return outcome;
  }

  async #holdsBlob({ client, repository, scopes }: UploadTarget, digest: Digest): Promise<boolean> {
    const endpoint = { kind: "headBlob", repository, digest } as const;
    const response = await client.send(endpoint, scopes);
    if (response.status === 200) return true;
    if (response.status === 404) return false;
    throw await answerFault(response, { method: "HEAD", url: await client.urlOf(endpoint) });
  }

  /** `no`, or the upload session that a registry opens instead; whatever goes wrong, the blob can be sent. */
  async #mount(to: UploadTarget, from: UploadTarget, digest: Digest): Promise<"mounted" | "no" | URL> {
    const endpoint = { kind: "mountBlob", repository: to.repository, from: from.repository, digest } as const;
    const url = await to.client.urlOf(endpoint);
    const scopes: Scope[] = [...to.scopes, { repository: from.repository, actions: "pull" }];
    try {
      const response = await to.client.send(endpoint, scopes);
      await discard(response, url);
      if (response.status === 201) return "mounted";
      return response.status === 202 ? locationOf(response, url) : "no";
    } catch {
      // E.g. a token server that refuses both repositories where it may not read the one.
      return "no";
    }
  }

  async #putManifest(node: Node): Promise<Outcome> {
    const { digest, mediaType } = node.descriptor;
    if (node.bytes === undefined)
      throw new Fault(`cannot send the manifest ${digest}: its bytes are not known`);
    const manifest = { bytes: node.bytes, mediaType };
    this.#manifests.set(digest, manifest);
    let outcome: Outcome = "present";
    for (const name of node.repositories) {
      if (this.#tagged.has(`${name}@${digest}`)) continue;
      const target = this.#target(name);
      const wanted = { reference: digest, digest };
      if (await this.#holdsManifest(target, wanted)) continue;
      await this.#sendManifest(target, wanted, manifest);
      outcome = "copied";
    }
    return outcome;
  }

  /** Whether `reference`, a tag or a digest, already stands for exactly this content. */
  async #holdsManifest(
    { client, repository, scopes }: UploadTarget,
    { reference, digest }: { reference: string; digest: Digest },
  ): Promise<boolean> {
    const endpoint = { kind: "headManifest", repository, reference } as const;
    const headers = { accept: MANIFEST_MEDIA_TYPES.join(", ") };
    const response = await client.send(endpoint, scopes, { headers });
    if (response.status === 404) return false;
    if (response.status !== 200) {
      throw await answerFault(response, { method: "HEAD", url: await client.urlOf(endpoint) });
    }
    return response.headers.get("docker-content-digest") === digest;
  }

  async #sendManifest(
    { client, repository, scopes }: UploadTarget,
    { reference, digest }: { reference: string; digest: Digest },
    { bytes, mediaType }: { bytes: Uint8Array; mediaType: string },
  ): Promise<void> {
    const endpoint = { kind: "putManifest", repository, reference } as const;
    const url = await client.urlOf(endpoint);
    const headers = { "content-type": mediaType, "content-length": String(bytes.length) };
    const response = await client.send(endpoint, scopes, { headers, body: () => bytes });
    if (response.status !== 201) throw await answerFault(response, { method: "PUT", url });
    await discard(response, url);
    const stored = response.headers.get("docker-content-digest");
    if (stored !== null && stored !== digest) {
      throw new Fault(`cannot keep ${digest}: ${url.host} stored it as ${stored}`, { kind: "mismatch" });
    }
  }

  #target(name: RepositoryName): UploadTarget {
    const { registry, repository } = parseRepositoryName(name);
    const scopes: Scope[] = [{ repository, actions: "pull,push" }];
    return { client: this.#registries.client(registry), repository, scopes };
  }
}
