import { type Descriptor, isIndexType, type Platform } from "../oci/descriptor.ts";
import { algorithmOf, type Digest, digestOf, isDigest } from "../oci/digest.ts";
import { Fault } from "../oci/fault.ts";
import { describe, parseManifest } from "../oci/manifest.ts";
import type { Plan, Root } from "../oci/plan.ts";
import { formatPlatform, isRunnable, matchesPlatform } from "../oci/platform.ts";
import type { Reference } from "../oci/reference.ts";
import { buildPlan, closureOf, type KnownManifest } from "./plan.ts";
import type { Resolution } from "./resolve.ts";
import { subjectOf } from "./subject.ts";

/** A plan for some platforms. */
export interface Pruned {
  plan: Plan;
  /** Indexes that stay as they are though they have other platforms, and why. */
  whole: WholeIndex[];
  /** Roots that have none of the platforms. */
  failures: Resolution["failures"];
}

export interface WholeIndex {
  reference: Reference;
  reason: string;
}

/** An image is there, and for none of the platforms that are wanted. */
export class PlatformFault extends Fault {
  /** The platforms, as they are written. */
  readonly wanted: string;

  constructor(message: string, wanted: string) {
    super(message);
    this.wanted = wanted;
  }
}

/** Which manifest of an index an attestation is about. Source: moby/buildkit, docs/attestations/attestation-storage.md. */
const ATTESTED = "vnd.docker.reference.digest";

/** Leaves out of a plan's tagged indexes what is for none of the `wanted` platforms. */
export function prunePlatforms(plan: Plan, wanted: readonly Platform[]): Pruned {
  const known = knownManifests(plan);
  const signed = new Set(plan.roots.map((root) => subjectOf(plan, root)));
  const roots: Root[] = [];
  const whole: WholeIndex[] = [];
  const failures: Pruned["failures"] = [];
  for (const root of plan.roots) {
    const { reference, descriptor } = root;
    const found = known.get(descriptor.digest);
    const platforms = found === undefined || root.nameless ? [] : platformsOf(found);
    const isWanted = (platform: Platform) => wanted.some((one) => matchesPlatform(platform, one));
    if (platforms.length > 0 && !platforms.some(isWanted)) {
      failures.push({ reference, error: withoutMatch(wanted, platforms) });
    } else if (found === undefined || root.nameless || platforms.every(isWanted)) {
      roots.push(root);
    } else if (reference.tag === undefined || !signed.isDisjointFrom(closureOf(plan, [root]))) {
      roots.push(root);
      whole.push({
        reference,
        reason: reference.tag === undefined ? "known only by its digest" : "its signatures travel along",
      });
    } else {
      const pruned = pruneIndex(found, isWanted);
      known.set(pruned.descriptor.digest, pruned);
      roots.push({ ...root, descriptor: pruned.descriptor, original: descriptor.digest });
    }
  }
  return { plan: buildPlan(roots, known), whole, failures };
}

/** What an index lists, or a bare image's config says, that it runs on. */
function platformsOf({ manifest, descriptor }: KnownManifest): Platform[] {
  const listed = isIndexType(manifest.mediaType) ? manifest.manifests : [descriptor];
  return listed.flatMap(({ platform }) => (isRunnable(platform) ? platform : []));
}

/** The same index without the entries that are not wanted, in compact JSON. */
function pruneIndex(
  { descriptor, bytes, manifest }: KnownManifest,
  isWanted: (platform: Platform) => boolean,
): KnownManifest {
  const kept = entriesKept(manifest.manifests, isWanted);
  // All that the index says besides stays as it stood.
  const document = JSON.parse(new TextDecoder().decode(bytes));
  const manifests = document.manifests.filter((_: unknown, position: number) => kept[position]);
  const pruned = new TextEncoder().encode(JSON.stringify({ ...document, manifests }));
  const read = parseManifest(pruned);
  const digest = digestOf(pruned, algorithmOf(descriptor.digest));
  return { descriptor: describe(read, digest, pruned.length), bytes: pruned, manifest: read };
}

/** Of each entry, whether it stays: an attestation follows the entry that it names. */
function entriesKept(
  entries: readonly Descriptor[],
  isWanted: (platform: Platform) => boolean,
): readonly boolean[] {
  const stays = ({ platform }: Descriptor) => !isRunnable(platform) || isWanted(platform);
  const left = new Set(entries.filter((entry) => !stays(entry)).map(({ digest }) => digest));
  for (const entry of entries) if (stays(entry)) left.delete(entry.digest);
  return entries.map((entry) => {
    const subject = isRunnable(entry.platform) ? undefined : entry.annotations?.[ATTESTED];
    return stays(entry) && (subject === undefined || !isDigest(subject) || !left.has(subject));
  });
}

function withoutMatch(wanted: readonly Platform[], platforms: readonly Platform[]): PlatformFault {
  const [asked = "", found] = [wanted, platforms].map((list) =>
    [...new Set(list.map(formatPlatform))].join(", "),
  );
  return new PlatformFault(`cannot find ${asked} in the image: it is for ${found}`, asked);
}

function knownManifests({ nodes }: Plan): Map<Digest, KnownManifest> {
  const known = new Map<Digest, KnownManifest>();
  for (const [digest, { kind, descriptor, bytes }] of nodes) {
    if (kind !== "manifest" || bytes === undefined) continue;
    const manifest = parseManifest(bytes);
    const config = manifest.config && nodes.get(manifest.config.digest)?.bytes;
    known.set(digest, { descriptor, bytes, manifest, ...(config && { config }) });
  }
  return known;
}
