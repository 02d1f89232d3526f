import { mapReference } from "../eksa/mirror.ts";
import { unwrap } from "../eksa/unwrap.ts";
import { compareVersions, readVersion, tagOfVersion, versionOfTag } from "../eksa/version.ts";
import { BUNDLES_ARTIFACT_TYPE, BUNDLES_REFERENCE, type TitledFile } from "../eksa/wrap.ts";
import type { Digest } from "../oci/digest.ts";
import { causes, Fault } from "../oci/fault.ts";
import { compareBytewise, formatReference, type Reference, repositoryName } from "../oci/reference.ts";
import { AnswerFault } from "../registry/answer.ts";
import type { Registries } from "../registry/client.ts";
import { eachOf } from "../registry/each-of.ts";
import { RegistrySource } from "../registry/source.ts";
import { listTags } from "../registry/tags.ts";
import type { Destination } from "./target.ts";

/** A Bundles and all it points to, as a mirror holds them. */
export interface MirrorManifests {
  /** What they are called there: the version, with `_` for `+`. */
  tag: string;
  /** `HOST/REPOSITORY:TAG` */
  source: string;
  files: readonly TitledFile[];
}

export interface Wanted {
  /** Where undefined: the only release that the mirror holds. */
  version: string | undefined;
  /** Asked where there is no such only one. */
  otherwise?: () => Promise<string | undefined>;
  /** What to do where it cannot be told which release is meant. */
  hint: string;
}

/** So many tags are looked at, to tell whether they stand for one release. */
const MOST_COMPARED = 50;
/** The tags that a message names. */
const MOST_NAMED = 10;
/** What hangs onto a manifest by name: signatures, lists of referrers. */
const ATTACHED = /^sha(?:256|512)-[0-9a-f]{32,}/;

/** Reads the manifests of one release. Fails naming the import that is missing where they are not there. */
export async function readManifests(
  registries: Registries,
  destination: Destination,
  { version, otherwise, hint }: Wanted,
): Promise<MirrorManifests> {
  const mirror = new ManifestMirror(registries, destination);
  if (version !== undefined) return mirror.read(version);
  const releases = await mirror.releases();
  const [only, ...others] = releases;
  if (only !== undefined && others.length === 0) return mirror.read(only);
  const other = await otherwise?.();
  if (other !== undefined) return mirror.read(other);
  if (only === undefined) throw mirror.lacks(undefined, []);
  throw new Fault(`cannot tell which release is meant: ${mirror.name} holds ${listOf(releases)}`, {
    hint,
    kind: "usage",
  });
}

/** The repository of a registry that the manifests are in. */
class ManifestMirror {
  readonly name: string;
  readonly #registries: Registries;
  readonly #source: RegistrySource;
  readonly #destination: Destination;
  readonly #home: Reference;

  constructor(registries: Registries, destination: Destination) {
    this.#registries = registries;
    this.#source = new RegistrySource(registries);
    this.#destination = destination;
    this.#home = mapReference(BUNDLES_REFERENCE, destination.target);
    this.name = repositoryName(this.#home);
  }

  async read(version: string): Promise<MirrorManifests> {
    const tag = tagOfVersion(version);
    const reference = { ...this.#home, tag };
    try {
      const { files } = await unwrap(this.#source, reference, BUNDLES_ARTIFACT_TYPE);
      return { tag, source: formatReference(reference), files };
    } catch (error) {
      const isAbsent = causes(error).some((link) => link instanceof AnswerFault && link.status === 404);
      if (!isAbsent) throw error;
      const tags = await this.#tags();
      throw tags.includes(tag) ? error : this.lacks(version, tags);
    }
  }

  /** One tag for each release, the latest first; a version rather than a number. */
  async releases(): Promise<string[]> {
    const tags = await this.#tags();
    if (tags.length < 2 || tags.length > MOST_COMPARED) return tags;
    const digests = await eachOf(tags, async (tag) => {
      return (await this.#source.manifest({ ...this.#home, tag })).descriptor.digest;
    });
    const releases = new Map<Digest, string>();
    for (const [index, tag] of tags.entries()) {
      const digest = digests[index];
      if (digest !== undefined && !releases.has(digest)) releases.set(digest, tag);
    }
    return [...releases.values()];
  }

  lacks(version: string | undefined, tags: readonly string[]): Fault {
    const what = version === undefined ? "any manifests" : `the manifests of EKS Anywhere ${version}`;
    const selection = version === undefined ? "" : ` --eksa-version ${version}`;
    const exporting = `eksa-airgap export artifacts${selection} --output artifacts.tar`;
    const importing = `eksa-airgap import artifacts --input artifacts.tar ${this.#destination.flag}`;
    return new Fault(`cannot find ${what} in ${this.name}`, {
      cause: new Error(tags.length === 0 ? "it holds none" : `it holds ${listOf(tags)}`),
      hint: tags.includes(tagOfVersion(`v${version}`))
        ? `did you mean \`v${version}\`?`
        : `import them: \`${exporting}\` where there is a network, then \`${importing}\``,
    });
  }

  async #tags(): Promise<string[]> {
    const tags = await listTags(this.#registries, this.#home);
    return tags.filter((tag) => !ATTACHED.test(tag)).sort(byRelease);
  }
}

/** Versions first, the latest of them before all; then the rest by name. */
function byRelease(a: string, b: string): number {
  const [one, other] = [a, b].map((tag) => readVersion(versionOfTag(tag)));
  if (one !== undefined && other !== undefined) return compareVersions(other, one);
  if (one !== undefined || other !== undefined) return one === undefined ? 1 : -1;
  return compareBytewise(a, b);
}

function listOf(tags: readonly string[]): string {
  const more = tags.length - MOST_NAMED;
  return tags.slice(0, MOST_NAMED).join(", ") + (more > 0 ? `, and ${more} more` : "");
}
