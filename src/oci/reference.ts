import { type Digest, hexOf, isDigest } from "./digest.ts";
import { Fault } from "./fault.ts";

/** `HOST[:PORT]/REPOSITORY[:TAG][@DIGEST]`; at least one of `tag` and `digest` is there once parsed. */
export interface Reference {
  /** `HOST[:PORT]` */
  registry: string;
  /** The path below the registry. Spec: distribution-spec, "Pulling manifests", `<name>`. */
  repository: string;
  tag?: string;
  digest?: Digest;
}

/** `REGISTRY/REPOSITORY`: one repository of one registry. */
export type RepositoryName = `${string}/${string}`;

const REGISTRY =
  /^(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?$/;
const COMPONENT = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const TAG = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/;
/** Registries cap `host/name` at 255 characters. Spec: distribution-spec, "Pulling manifests". */
const LONGEST = 255;

export function isRegistry(text: string): boolean {
  // The grammar alone lets through what has no address: port 99999, 1.2.3.999, a broken `xn--`.
  return text.length <= LONGEST && REGISTRY.test(text) && URL.canParse(`https://${text}`);
}

export function isRepository(text: string): boolean {
  return text.length <= LONGEST && text.split("/").every((component) => COMPONENT.test(component));
}

export function isTag(text: string): boolean {
  return TAG.test(text);
}

/**
 * Reads a full reference; there is no implied registry and no implied tag, since an air gap has neither.
 * Fails naming the part that is wrong.
 */
export function parseReference(text: string): Reference {
  const at = text.indexOf("@");
  const named = at < 0 ? text : text.slice(0, at);
  const slash = named.indexOf("/");
  if (slash < 0) throw malformed(text, "it has no registry", "write it as `HOST/REPOSITORY:TAG`");
  const registry = named.slice(0, slash);
  const colon = named.indexOf(":", slash);
  const repository = named.slice(slash + 1, colon < 0 ? undefined : colon);
  if (!isRegistry(registry) || !looksLikeHost(registry)) {
    throw malformed(text, `${quote(registry)} is not a registry host`, "write it as `HOST/REPOSITORY:TAG`");
  }
  if (!isRepository(repository)) throw malformed(text, `${quote(repository)} is not a repository name`);
  const reference: Reference = { registry, repository };
  if (colon >= 0) {
    const tag = named.slice(colon + 1);
    if (!isTag(tag)) throw malformed(text, `${quote(tag)} is not a tag`);
    reference.tag = tag;
  }
  if (at >= 0) {
    const digest = text.slice(at + 1);
    if (!isDigest(digest)) throw malformed(text, `${quote(digest)} is not a digest`);
    reference.digest = digest;
  }
  if (reference.tag === undefined && reference.digest === undefined) {
    throw malformed(text, "it has neither a tag nor a digest");
  }
  return reference;
}

/** The name a person reads, and the one an archive carries: the tag where there is one, else the digest. */
export function formatReference(reference: Reference): string {
  const name = repositoryName(reference);
  return reference.tag === undefined ? `${name}@${reference.digest}` : `${name}:${reference.tag}`;
}

/** With the digest of what it stands for: `HOST/REPOSITORY[:TAG]@DIGEST`. */
export function formatPinned(reference: Reference, digest: Digest): string {
  const name = repositoryName(reference);
  return `${reference.tag === undefined ? name : `${name}:${reference.tag}`}@${digest}`;
}

export function repositoryName({ registry, repository }: Reference): RepositoryName {
  return `${registry}/${repository}`;
}

export function parseRepositoryName(name: RepositoryName): { registry: string; repository: string } {
  const slash = name.indexOf("/");
  return { registry: name.slice(0, slash), repository: name.slice(slash + 1) };
}

/** The tag of content that is known only by digest: garbage collectors spare what has a tag. */
export function tagForDigest(digest: Digest): string {
  return hexOf(digest).slice(0, 128);
}

/** Bytewise order, the same on every machine and in every locale. */
export function compareBytewise(a: string, b: string): number {
  return a === b ? 0 : Buffer.compare(Buffer.from(a), Buffer.from(b));
}

/** A first path segment is a host when it has a dot or a port, or is `localhost`: docker's rule. */
function looksLikeHost(text: string): boolean {
  return text === "localhost" || /[.:]/.test(text);
}

function malformed(text: string, why: string, hint?: string): Fault {
  return new Fault(`cannot read ${quote(text)} as an image reference: ${why}`, { hint });
}

function quote(text: string): string {
  return `\`${text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text}\``;
}
