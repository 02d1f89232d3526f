import type { Digest } from "../oci/digest.ts";
import { Fault } from "../oci/fault.ts";
import type { ManifestBytes } from "../oci/manifest.ts";
import type { Content, Node, Outcome, Root, Sink } from "../oci/plan.ts";
import {
  formatReference,
  parseRepositoryName,
  type RepositoryName,
  repositoryName,
} from "../oci/reference.ts";
import type { Scope } from "./auth.ts";
import type { Registries } from "./client.ts";
import { isEcr } from "./ecr.ts";
import { heldContent } from "./held-content.ts";
import { Mounts } from "./mounts.ts";
import { ReferrersSink } from "./referrers-sink.ts";
import {
  isFloating,
  isImmutable,
  isUnacceptable,
  type NamedManifest,
  sendManifest,
  storedDigest,
} from "./sink-manifests.ts";
import { upload } from "./upload.ts";
import { UploadManner } from "./upload-manner.ts";
import { holdsBlob, type UploadTarget } from "./upload-target.ts";

export interface RegistrySinkOptions {
  /** Told what a registry says or does that is odd and does not stop the run, each once. Default: nobody is. */
  warn?: (message: string) => void;
  /** Repositories that hold a blob of which the source has no content. Default: none. */
  known?: ReadonlyMap<Digest, RepositoryName>;
  /** `HOST/REPOSITORY:TAG` that are meant to move; of any other that does, `warn` is told. Default: none. */
  movable?: ReadonlySet<string>;
  /** What takes a tagged manifest's place where a registry does not accept that. Default: nothing. */
  variants?: ReadonlyMap<Digest, ManifestBytes>;
}

/** A registry as a sink: each blob is sent once and mounted into every other repository that wants it. */
export class RegistrySink implements Sink {
  readonly #registries: Registries;
  readonly #warn: (message: string) => void;
  readonly #known: ReadonlyMap<Digest, RepositoryName>;
  readonly #movable: ReadonlySet<string>;
  readonly #variants: ReadonlyMap<Digest, ManifestBytes>;
  readonly #manners = new Map<string, UploadManner>();
  readonly #mounts = new Mounts();
  readonly #referrers = new ReferrersSink();
  /** Content of the manifests put so far; a tag is the same bytes under another name. */
  readonly #manifests = new Map<Digest, { bytes: Uint8Array; mediaType: string }>();
  /** `REPOSITORY@DIGEST` of what will be put under a tag, which stores it under its digest as well. */
  readonly #tagged: ReadonlySet<string>;

  constructor(registries: Registries, roots: readonly Root[], options: RegistrySinkOptions = {}) {
    const { warn = () => {}, known = new Map(), movable = new Set(), variants = new Map() } = options;
    this.#registries = registries;
    this.#movable = movable;
    this.#variants = variants;
    this.#known = known;
    const said = new Set<string>();
    this.#warn = (message) => {
      if (!said.has(message)) warn(message);
      said.add(message);
    };
    this.#tagged = new Set(
      roots
        .filter(({ reference }) => reference.tag !== undefined)
        .map(({ reference, descriptor }) => `${repositoryName(reference)}@${descriptor.digest}`),
    );
  }

  put(node: Node, content: Content, placed: (outcome: Outcome) => void = () => {}): Promise<Outcome> {
    return node.kind === "blob" ? this.#putBlob(node, content, placed) : this.#putManifest(node);
  }

  /** A tag that stands for the whole of what was pruned stays: it has all that would come in its place. */
  async tag({ reference, descriptor, original }: Root): Promise<void> {
    const { registry, repository, tag } = reference;
    if (tag === undefined) return;
    const target = this.#target(`${registry}/${repository}`);
    const manifest = this.#manifests.get(descriptor.digest);
    if (manifest === undefined)
      throw new Fault(`cannot tag ${formatReference(reference)} before its content`);
    const found = await storedDigest(target, tag);
    const { digest } = descriptor;
    if (found === digest) return this.#referrers.enter(target, { digest, ...manifest });
    const variant = this.#variants.get(digest);
    if (found !== undefined && found === variant?.descriptor.digest) return;
    const name = formatReference({ registry, repository, tag });
    if (found !== undefined && found === original) {
      await this.#send(target, { reference: digest, digest, ...manifest });
      this.#warn(`kept the tag ${name}: it stands for all platforms, and the archive has some of them`);
      return;
    }
    try {
      const stored = await this.#sendEither(
        target,
        { reference: tag, digest, ...manifest },
        { found, variant },
      );
      if (found !== undefined && !this.#movable.has(name)) {
        this.#warn(`the tag ${name} stands for ${stored} now, and stood for ${found} before`);
      }
    } catch (error) {
      if (found === undefined || !isImmutable(error)) throw error;
      const message = `cannot move the tag ${name}: it is immutable, and stands for ${found}, not ${digest}`;
      if (!isFloating(tag)) {
        throw new Fault(message, {
          cause: error.withoutHint(),
          hint: "delete the tag in the registry, allow it to be overwritten, or import into another namespace",
        });
      }
      // What is found by digest must be there all the same.
      await this.#send(target, { reference: digest, digest, ...manifest });
      this.#warn(message);
    }
  }

  /** Puts a manifest, or its variant where the registry does not accept it; returns the digest that it holds then. */
  async #sendEither(
    target: UploadTarget,
    manifest: NamedManifest,
    { found, variant }: { found: string | undefined; variant: ManifestBytes | undefined },
  ): Promise<Digest> {
    try {
      await this.#send(target, manifest);
      return manifest.digest;
    } catch (error) {
      if (variant === undefined || !isUnacceptable(error, found)) throw error;
      const { descriptor, bytes } = variant;
      const { digest, mediaType } = descriptor;
      await this.#send(target, { reference: manifest.reference, digest, mediaType, bytes }).catch(() => {
        throw error;
      });
      this.#warn(
        `${target.repository}:${manifest.reference} is ${digest} in this registry, not ${manifest.digest}: it takes no artifact with an empty config`,
      );
      return digest;
    }
  }

  /** What is there is neither sent nor mounted; what is not is sent once, and mounted from there. */
  async #putBlob(node: Node, content: Content, placed: (outcome: Outcome) => void): Promise<Outcome> {
    const { digest } = node.descriptor;
    const holders = new Map<RepositoryName, UploadTarget>();
    const lacking = new Map<RepositoryName, UploadTarget>();
    for (const name of node.repositories) {
      const target = this.#target(name);
      const isHolder = await holdsBlob(target, digest);
      (isHolder ? holders : lacking).set(name, target);
      if (isHolder) placed("present");
    }
    const elsewhere = this.#known.get(digest);
    if (elsewhere !== undefined) holders.set(elsewhere, this.#target(elsewhere));
    let outcome: Outcome = "present";
    for (const [name, target] of lacking) {
      const granted = await this.#mounts.mount(target, [...holders.values()], digest);
      if (granted === "mounted") {
        if (outcome === "present") outcome = granted;
        placed("mounted");
      } else {
        const hasGoneBy = content.isOnePass === true && outcome === "copied";
        const left =
          hasGoneBy || elsewhere !== undefined
            ? heldContent(this.#registries, node, new Set(holders.keys()))
            : content;
        const session = granted === "no" ? undefined : granted;
        await left.ready?.();
        await upload(target, node.descriptor, { content: left, session });
        outcome = "copied";
        placed("copied");
      }
      holders.set(name, target);
    }
    return outcome;
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
      if ((await storedDigest(target, digest)) === digest) {
        await this.#referrers.enter(target, { digest, ...manifest });
        continue;
      }
      await this.#send(target, { reference: digest, digest, ...manifest });
      outcome = "copied";
    }
    return outcome;
  }

  async #send(target: UploadTarget, manifest: NamedManifest): Promise<void> {
    const response = await sendManifest(target, manifest);
    await this.#referrers.enter(target, manifest, response);
  }

  #target(name: RepositoryName): UploadTarget {
    const { registry, repository } = parseRepositoryName(name);
    const scopes: Scope[] = [{ repository, actions: "pull,push" }];
    const manner = this.#manners.get(registry) ?? mannerOf(registry);
    this.#manners.set(registry, manner);
    return { client: this.#registries.client(registry), repository, scopes, manner, warn: this.#warn };
  }
}

/** ECR drops all chunks but the first, and says so only in its own words. aws/containers-roadmap 2831. */
function mannerOf(registry: string): UploadManner {
  const manner = new UploadManner();
  if (isEcr(registry)) manner.refuse("chunks");
  return manner;
}
