import type { Descriptor } from "../oci/descriptor.ts";
import { type Digest, isDigest } from "../oci/digest.ts";
import { Fault } from "../oci/fault.ts";
import { isRecord, parseDescriptor } from "../oci/manifest.ts";
import { formatReference, parseReference, type Reference } from "../oci/reference.ts";
import { quoted } from "./entry-name.ts";
import {
  BASES_ANNOTATION,
  DOCKER_FILE,
  INDEX_FILE,
  NAME_ANNOTATION,
  ORIGINAL_ANNOTATION,
  REPOSITORY_ANNOTATION,
} from "./layout.ts";

/** An index of a hundred thousand names. */
export const MAX_INDEX_BYTES = 64 * 1024 * 1024;

export type Pinned = Reference & { digest: Digest };

/** Tells what a root was before it was pruned, by its pinned reference. */
export function originalsOf(
  roots: readonly { reference: Reference; original?: Digest }[],
): (reference: Reference) => Digest | undefined {
  const originals = new Map(roots.map(({ reference, original }) => [pinnedName(reference), original]));
  return (reference) => originals.get(pinnedName(reference));
}

function pinnedName(reference: Reference): string {
  return `${formatReference(reference)}@${reference.digest}`;
}

/** What an `index.json` lists. */
export interface ArchiveRoot {
  reference: Pinned;
  /** Otherwise the reference says only which repository it belongs to. */
  isNamed: boolean;
  /** Another full name that it has for other readers. */
  otherName?: Reference;
  /** What it was before it was pruned to some platforms. */
  original?: Digest;
  descriptor: Descriptor;
}

/** What an archive says of itself in its `index.json`. */
export interface ArchiveIndex {
  roots: ArchiveRoot[];
  /** Of a delta: the digests of the `index.json` of the archives that it builds on. */
  bases: Digest[];
}

/**
 * An `index.json`, whoever wrote it; its roots in their order. `archive` is its file, for messages.
 * Fails on one that is broken, and on a root without a full name.
 */
export function readIndex(bytes: Uint8Array, archive: string): ArchiveIndex {
  const { faults, ...index } = surveyIndex(bytes, archive);
  for (const fault of faults) throw fault;
  return index;
}

/** As much as can be read of an `index.json`, and why the rest cannot be. */
export function surveyIndex(bytes: Uint8Array, archive: string): ArchiveIndex & { faults: Fault[] } {
  const roots: ArchiveRoot[] = [];
  const unnamed: Unnamed[] = [];
  const faults: Fault[] = [];
  try {
    const { manifests, annotations } = parseIndex(bytes, archive);
    for (const [position, item] of manifests.entries()) {
      const where = `manifests[${position}]`;
      try {
        const descriptor = parseDescriptor(item, where);
        const root = rootOf(descriptor);
        if (root === undefined) unnamed.push({ where, descriptor });
        else roots.push({ ...root, descriptor });
      } catch (cause) {
        faults.push(damaged(archive, `its \`${INDEX_FILE}\` is broken`, cause));
      }
    }
    const [first] = unnamed;
    if (first !== undefined) faults.push(withoutName(archive, first, unnamed.length));
    return { roots, bases: basesOf(annotations), faults };
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    return { roots, bases: [], faults: [error] };
  }
}

interface Unnamed {
  where: string;
  descriptor: Descriptor;
}

function basesOf(annotations: unknown): Digest[] {
  const text = isRecord(annotations) ? annotations[BASES_ANNOTATION] : undefined;
  return typeof text === "string" ? text.split(",").filter(isDigest) : [];
}

/** Why a tar that has no `index.json` cannot be read, by what is in it instead. */
export function noLayout(archive: string, names: { has(name: string): boolean }): Fault {
  if (names.has(OLDER_FILE)) return ofOlderTool(archive);
  if (!names.has(DOCKER_FILE)) {
    return new Fault(`cannot read ${archive} as an archive: it has no \`${INDEX_FILE}\``, {
      hint: "make it with `eksa-airgap export artifacts`",
    });
  }
  return new Fault(`cannot read ${archive}: it is a docker archive, which keeps no digests`, {
    cause: new Fault(`it has a \`${DOCKER_FILE}\` and no \`${INDEX_FILE}\``),
    hint: `copy the image anew: ${fromRegistry()}; or turn the file into another kind, under new digests: \`skopeo copy docker-archive:${archive} oci-archive:NEW.tar:HOST/REPOSITORY:TAG\``,
  });
}

/** Source: eks-anywhere, cmd/eksctl-anywhere/cmd/constants.go. */
export const OLDER_FILE = "images.tar";

export function ofOlderTool(archive: string): Fault {
  return new Fault(
    `cannot read ${archive}: it was written by \`download images\` of EKS Anywhere's own tool`,
    {
      cause: new Fault(
        `it has docker's archives in it, \`${OLDER_FILE}\` among them: one platform, and no digests`,
      ),
      hint: "download it anew with `eksa-airgap export artifacts`, or import it with the `eksctl-anywhere` that wrote it",
    },
  );
}

function parseIndex(bytes: Uint8Array, archive: string): { manifests: unknown[]; annotations: unknown } {
  let index: unknown;
  try {
    index = JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw damaged(archive, `its \`${INDEX_FILE}\` is not JSON`, cause);
  }
  if (isRecord(index) && Array.isArray(index.manifests)) {
    return { manifests: index.manifests, annotations: index.annotations };
  }
  // What docker writes when images are saved by their ids.
  if (isRecord(index) && index.manifests === null) {
    throw new Fault(`cannot read ${archive}: its \`${INDEX_FILE}\` names no image`, {
      hint: "save images by name: `docker save HOST/REPOSITORY:TAG`",
    });
  }
  throw damaged(archive, `its \`${INDEX_FILE}\` lists no manifests`);
}

/** Undefined when it has no full name. */
function rootOf({ digest, annotations = {} }: Descriptor): Omit<ArchiveRoot, "descriptor"> | undefined {
  const names = namesOf(annotations);
  const [reference, other] = names.flatMap((name) => fullName(name) ?? []);
  if (reference !== undefined) {
    const named = reference.digest ?? (reference.tag === undefined ? undefined : digest);
    if (named !== digest) {
      throw new Fault(`${quoted(formatReference(reference))} is the name given to ${digest}`);
    }
    const original = originalOf(annotations);
    const root = { reference: { ...reference, digest }, isNamed: true, ...(original && { original }) };
    const isAlike = other === undefined || formatReference(other) === formatReference(reference);
    return isAlike ? root : { ...root, otherName: other };
  }
  const repository = annotations[REPOSITORY_ANNOTATION];
  if (repository === undefined || names.length > 0) return;
  const nameless = { ...parseReference(`${repository}@${digest}`), digest };
  if (nameless.tag !== undefined) throw new Fault(`${quoted(repository)} is a repository with a tag`);
  return { reference: nameless, isNamed: false };
}

function originalOf({ [ORIGINAL_ANNOTATION]: original }: Record<string, string>): Digest | undefined {
  if (original === undefined || isDigest(original)) return original;
  throw new Fault(`${quoted(original)} is not the digest of what it was pruned from`);
}

/** docker and containerd put the full name into their own annotation, and the tag alone into OCI's. */
function namesOf(annotations: Record<string, string>): string[] {
  const names = [annotations[NAME_ANNOTATION.containerd], annotations[NAME_ANNOTATION.oci]];
  return names.filter((name) => name !== undefined);
}

function fullName(name: string): Reference | undefined {
  try {
    return parseReference(name);
  } catch {
    return;
  }
}

function withoutName(archive: string, { where, descriptor }: Unnamed, count: number): Fault {
  const [name] = namesOf(descriptor.annotations ?? {});
  const called = name === undefined ? "has no name" : `is called ${quoted(name)}, which is no full name`;
  const others = count > 1 ? `, and ${count - 1} more likewise` : "";
  const from = name === undefined ? archive : `${archive}:${name}`;
  return new Fault(`cannot read ${archive}: it holds an image without a full name`, {
    cause: new Fault(`\`${where}\` of its \`${INDEX_FILE}\`, ${descriptor.digest}, ${called}${others}`),
    hint: `give it one: \`skopeo copy --all oci-archive:${from} oci-archive:NEW.tar:HOST/REPOSITORY:TAG\`, or copy the image anew: ${fromRegistry()}`,
  });
}

function fromRegistry(): string {
  return "`skopeo copy --all docker://HOST/REPOSITORY:TAG oci-archive:FILE:HOST/REPOSITORY:TAG`";
}

/** A file that is not what it was when it was written. `cause`: what shows it, where that is another error. */
export function damaged(archive: string, why: string, cause?: unknown): Fault {
  return new Fault(`cannot read ${archive}: ${why}`, {
    ...(cause === undefined ? {} : { cause }),
    hint: "copy the file again, or export it anew",
    kind: "mismatch",
  });
}
