import { mapReference } from "../eksa/mirror.ts";
import { parseRelease } from "../eksa/release.ts";
import type { Target } from "../eksa/target.ts";
import { unwrap } from "../eksa/unwrap.ts";
import { compareVersions, readVersion, type Version, versionOfTag } from "../eksa/version.ts";
import { RELEASE_ARTIFACT_TYPE, RELEASE_REFERENCE, RELEASE_TITLE } from "../eksa/wrap.ts";
import { causes, Fault } from "../oci/fault.ts";
import type { Plan, Root } from "../oci/plan.ts";
import { formatReference, type Reference, repositoryName } from "../oci/reference.ts";
import { AnswerFault } from "../registry/answer.ts";
import type { Registries } from "../registry/client.ts";
import { RegistrySink } from "../registry/sink.ts";
import { RegistrySource } from "../registry/source.ts";
import { listTags } from "../registry/tags.ts";
import type { Log } from "../terminal/log.ts";
import { resolve } from "../transfer/resolve.ts";
import { transfer } from "../transfer/transfer.ts";

/** The tag of the latest Release at the target, where it is to move. */
export interface LatestRelease {
  /** In the target's terms. */
  root: Root;
  /** The same in the archive's: the release that the tag will stand for. */
  origin: Root;
  version: Version;
  /** What has become of it, for the end of the run. */
  text: string;
}

interface Job {
  target: Target;
  registries: Registries;
  log: Log;
  signal: AbortSignal;
}

const LATEST = "latest";

/**
 * The tag `latest` for the highest version among the Releases of a plan (in its archive's terms). Undefined where
 * there is none, or the target has a later one: the tag never goes back.
 */
export async function latestRelease(plan: Plan, job: Job): Promise<LatestRelease | undefined> {
  const highest = highestOf(plan);
  if (highest === undefined) return;
  const place = mapReference({ ...RELEASE_REFERENCE, tag: LATEST }, job.target);
  const name = formatReference(place);
  const present = await presentVersion(place, job);
  if (present === "unreadable") return;
  if (present !== undefined && compareVersions(present.version, highest.version) > 0) {
    job.log.info(`${name} stays at ${present.text}, which is later than ${highest.text}`);
    return;
  }
  const isNews = present?.text !== highest.text;
  const from = present === undefined || !isNews ? "" : `, and no longer for ${present.text}`;
  return {
    root: { reference: place, descriptor: highest.root.descriptor },
    origin: highest.root,
    version: highest.version,
    text: `${name} stands for ${highest.text}${from}`,
  };
}

/**
 * Once `latest` has moved: another import at the same time may have brought a later release, and lost that race. Each
 * sets its own version's tag too, and so whoever looks last sees both. What it could not see stays.
 */
export async function settleLatest(latest: LatestRelease, { registries, log, signal }: Job): Promise<void> {
  const { reference } = latest.root;
  const tags = await listTags(registries, reference).catch(() => []);
  const later = tags.flatMap((tag) => {
    const version = readVersion(versionOfTag(tag));
    return version !== undefined && compareVersions(version, latest.version) > 0 ? [{ tag, version }] : [];
  });
  const [last] = later.sort((a, b) => compareVersions(b.version, a.version));
  if (last === undefined) return;
  const name = formatReference(reference);
  const source = new RegistrySource(registries);
  const { plan, failures } = await resolve(source, [{ ...reference, tag: last.tag }], { jobs: 1 });
  const roots = plan.roots.map(({ descriptor }) => ({ reference, descriptor }));
  const sink = new RegistrySink(registries, roots, { movable: new Set([name]) });
  const options = { jobs: 1, onFailure: "stop", listener: () => {}, signal } as const;
  const { lost } = await transfer({ ...plan, roots }, source, sink, options);
  if (failures.length + lost.length > 0) {
    log.warn(`${name} stands for an earlier release than ${last.tag}: import that one again`);
    return;
  }
  latest.text = `${name} stands for ${last.tag}, which another import has brought meanwhile`;
}

interface Versioned {
  version: Version;
  text: string;
}

function highestOf({ roots }: Plan): (Versioned & { root: Root }) | undefined {
  const home = repositoryName(RELEASE_REFERENCE);
  const own = roots.filter(({ reference }) => repositoryName(reference) === home);
  // Its archive says itself which it is.
  if (own.some(({ reference }) => reference.tag === LATEST)) return;
  const versions = own.flatMap((root) => {
    const text = versionOfTag(root.reference.tag ?? "");
    const version = readVersion(text);
    return version === undefined ? [] : [{ root, text, version }];
  });
  return versions.sort((a, b) => compareVersions(b.version, a.version))[0];
}

async function presentVersion(
  place: Reference,
  { registries, log, signal }: Job,
): Promise<Versioned | "unreadable" | undefined> {
  const source = formatReference(place);
  try {
    const { files } = await unwrap(new RegistrySource(registries), place, RELEASE_ARTIFACT_TYPE);
    const file = files.find(({ title }) => title === RELEASE_TITLE);
    if (file === undefined) throw new Fault(`it holds no \`${RELEASE_TITLE}\``);
    const text = parseRelease({ source, bytes: file.bytes }).latestVersion;
    const version = readVersion(text);
    if (version === undefined) throw new Fault(`\`${text.slice(0, 128)}\` is no version`);
    return { version, text };
  } catch (error) {
    signal.throwIfAborted();
    if (causes(error).some((link) => link instanceof AnswerFault && link.status === 404)) return;
    const reason = causes(error).findLast((link) => link instanceof Error)?.message ?? "";
    log.warn(`the tag ${source} stays as it is: which version it stands for cannot be told (${reason})`);
    return "unreadable";
  }
}
