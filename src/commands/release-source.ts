import type { KnownRelease } from "../eksa/collect.ts";
import type { YamlFile } from "../eksa/documents.ts";
import { createReader, MAX_FILE_BYTES, type ReadDocument, readLocal } from "../eksa/reader.ts";
import {
  chooseRelease,
  deriveRelease,
  parseRelease,
  type Release,
  type ReleaseEntry,
} from "../eksa/release.ts";
import { unwrap } from "../eksa/unwrap.ts";
import { basenameOf, displayUri, isHttp, schemeOf } from "../eksa/uri.ts";
import { tagOfVersion } from "../eksa/version.ts";
import {
  BUNDLES_ARTIFACT_TYPE,
  BUNDLES_TITLE,
  RELEASE_ARTIFACT_TYPE,
  RELEASE_TITLE,
  type TitledFile,
} from "../eksa/wrap.ts";
import { causes, Fault } from "../oci/fault.ts";
import { formatReference, type Reference } from "../oci/reference.ts";
import { AnswerFault } from "../registry/answer.ts";
import { RegistrySource } from "../registry/source.ts";
import type { Log } from "../terminal/log.ts";
import { ociPlace, type Place, placeOf, readReference } from "./manifest-place.ts";
import type { Network } from "./network.ts";
import { unlessSystem } from "./unless-system.ts";
import { EKSA_VERSION } from "./version.ts";

export interface ReleaseRun {
  values: {
    bundlesOverride: string | undefined;
    releaseManifest: string | undefined;
    eksaVersion: string | undefined;
  };
  /** The working directory. */
  directory: string;
  log: Log;
}

/** The Bundles of a run. */
export interface ChosenBundles {
  file: YamlFile;
  /** Reads what it points to. */
  read: ReadDocument;
  /** All that it points to is in one artifact with it. */
  isWhole: boolean;
  /** The EKS Anywhere version, where it is known. */
  version?: string;
  /** Where a Release led to it. */
  release?: KnownRelease;
  /** That Release as it was read, under the last part of its address. */
  published?: TitledFile;
}

/** Source: EKS Anywhere, Makefile `RELEASE_MANIFEST_URL` of its release builds. */
const PUBLISHED = "https://anywhere-assets.eks.amazonaws.com/releases/eks-a/manifest.yaml";

export interface Reading extends Pick<ReleaseRun, "directory" | "log"> {
  network: Network;
}

/** The Bundles that is meant: the one that is named, else that of a release. */
export async function chooseBundles(
  { values, directory, log }: ReleaseRun,
  network: Network,
): Promise<ChosenBundles> {
  const { bundlesOverride, releaseManifest, eksaVersion } = values;
  const reading = { directory, log, network };
  if (bundlesOverride === undefined) {
    const place = placeOf(releaseManifest ?? PUBLISHED, "Release", directory);
    return chooseByRelease(place, eksaVersion, reading);
  }
  if (releaseManifest !== undefined) {
    throw new Fault("cannot use `--release-manifest` and `--bundles-override` together", {
      hint: "give one of them; beside `--bundles-override`, `--eksa-version` says which version it belongs to",
      kind: "usage",
    });
  }
  const place = placeOf(bundlesOverride, "Bundles", directory);
  const chosen = await readBundles(place, reading).catch((cause: unknown) => {
    throw new Fault(`cannot read the Bundles ${place.name}`, {
      cause,
      hint: unlessSystem(cause, "name the manifest with `--bundles-override SRC`"),
    });
  });
  return { ...chosen, ...(eksaVersion === undefined ? {} : { version: eksaVersion }) };
}

async function chooseByRelease(
  place: Place,
  wanted: string | undefined,
  reading: Reading,
): Promise<ChosenBundles> {
  const { entry, published } = await chooseEntry(place, wanted, reading);
  const { version } = entry;
  const latest =
    (wanted ?? EKSA_VERSION) === undefined ? ", the latest release (`--eksa-version` names another)" : "";
  reading.log.info(`EKS Anywhere ${version}${latest}, from ${place.name}`);
  try {
    const chosen = await readBundles(bundlesPlace(entry, place, reading.directory), reading);
    const file = { title: RELEASE_TITLE, bytes: deriveRelease(entry) };
    return { ...chosen, version, release: { entry, file }, published };
  } catch (cause) {
    throw new Fault(`cannot read the Bundles of EKS Anywhere ${version}`, {
      cause,
      hint: "name its Bundles with `--bundles-override SRC`",
    });
  }
}

/** Of what is kept in a registry, each tag holds one release: where it is another one, its own tag is asked. */
async function chooseEntry(
  place: Place,
  wanted: string | undefined,
  reading: Reading,
): Promise<{ entry: ReleaseEntry; published: TitledFile }> {
  const { release, published } = await readRelease(place, reading);
  const version = wanted ?? EKSA_VERSION;
  try {
    return { entry: chooseRelease(release, wanted, EKSA_VERSION), published };
  } catch (error) {
    if (place.kind !== "oci" || version === undefined || place.reference.digest !== undefined) throw error;
    const { digest: _, ...home } = place.reference;
    const own = ociPlace({ ...home, tag: tagOfVersion(version) });
    if (own.name === place.name) throw error;
    const other = await readRelease(own, reading).catch((cause: unknown) => {
      if (isAbsent(cause)) throw error;
      throw cause;
    });
    return { entry: chooseRelease(other.release, wanted, EKSA_VERSION), published: other.published };
  }
}

/** The list of all releases, under the last part of its address. */
export async function readPublishedRelease(
  { directory, log }: Pick<ReleaseRun, "directory" | "log">,
  network: Network,
): Promise<TitledFile> {
  const place = placeOf(PUBLISHED, "Release", directory);
  return (await readRelease(place, { directory, log, network })).published;
}

interface ReadRelease {
  release: Release;
  published: TitledFile;
}

async function readRelease(place: Place, reading: Reading): Promise<ReadRelease> {
  try {
    const bytes =
      place.kind === "oci"
        ? (await unwrapped(place.reference, { type: RELEASE_ARTIFACT_TYPE, title: RELEASE_TITLE }, reading))
            .bytes
        : await readFile(place, reading);
    const title =
      place.kind === "oci" ? RELEASE_TITLE : basenameOf(place.kind === "url" ? place.url : place.path);
    return { release: parseRelease({ source: place.name, bytes }), published: { title, bytes } };
  } catch (cause) {
    throw new Fault(`cannot read the Release manifest ${place.name}`, {
      cause,
      hint: unlessSystem(
        cause,
        "name another with `--release-manifest SRC`, or a Bundles with `--bundles-override SRC`",
      ),
    });
  }
}

/** Beside a Release in a registry; else where the Release says. */
function bundlesPlace(
  { version, bundleManifestUrl }: ReleaseEntry,
  release: Place,
  directory: string,
): Place {
  if (release.kind === "oci") {
    const { registry, repository } = release.reference;
    const folder = repository.slice(0, repository.lastIndexOf("/") + 1);
    return ociPlace({ registry, repository: `${folder}bundles`, tag: tagOfVersion(version) });
  }
  // What comes from elsewhere does not say which of our files to read.
  const scheme = schemeOf(bundleManifestUrl);
  const isOwnFile = scheme === undefined && release.kind === "file";
  if (isOwnFile || scheme === "oci" || isHttp(bundleManifestUrl)) {
    return placeOf(bundleManifestUrl, "Bundles", directory);
  }
  throw new Fault(
    `cannot use \`${displayUri(bundleManifestUrl).slice(0, 200)}\`, which ${release.name} gives for it`,
    {
      hint: "name its Bundles with `--bundles-override SRC`",
    },
  );
}

export async function readBundles(place: Place, reading: Reading): Promise<ChosenBundles> {
  if (place.kind !== "oci") {
    const bytes = await readFile(place, reading);
    return {
      file: { source: place.name, bytes },
      read: createReader({
        http: (url) => reading.network.fetchFile(url, MAX_FILE_BYTES),
        oci: async (uri) => onlyFile(uri, reading),
        paths: place.kind === "file" ? "read" : "unresolved",
        directory: reading.directory,
      }),
      isWhole: false,
    };
  }
  const wanted = { type: BUNDLES_ARTIFACT_TYPE, title: BUNDLES_TITLE };
  const { bytes, files } = await unwrapped(place.reference, wanted, reading);
  return { file: { source: place.name, bytes }, read: readerOf(place.name, files), isWhole: true };
}

/** What the artifact of a Bundles holds; nothing else is asked for. */
function readerOf(name: string, files: ReadonlyMap<string, Uint8Array>): ReadDocument {
  return async (uri, title) => {
    const bytes = files.get(title);
    // A path or an `embed:` that could not be read when the artifact was made is not in it.
    if (bytes !== undefined || !(isHttp(uri) || schemeOf(uri) === "oci")) return bytes;
    throw new Fault(`${name} holds no \`${title}\``, { hint: "export and push this Bundles again" });
  };
}

/** A document that a Bundles names by an `oci://` URI: the one file of an artifact of any type. */
async function onlyFile(uri: string, { network }: Reading): Promise<Uint8Array> {
  const reference = readReference(uri);
  const { files } = await unwrap(new RegistrySource(network.registries), reference, undefined);
  const [file, ...others] = files;
  if (file !== undefined && others.length === 0) return file.bytes;
  throw new Fault(`cannot read ${formatReference(reference)} as one file: it holds ${files.length}`, {
    hint: "name an artifact of one file there; one with a whole release goes with `--bundles-override`",
  });
}

interface Unwrapped {
  /** Of the file that was asked for. */
  bytes: Uint8Array;
  files: ReadonlyMap<string, Uint8Array>;
}

async function unwrapped(
  reference: Reference,
  { type, title }: { type: string; title: string },
  { network, log }: Reading,
): Promise<Unwrapped> {
  const { descriptor, files } = await unwrap(new RegistrySource(network.registries), reference, type);
  log.debug(1, `${formatReference(reference)} is ${descriptor.digest}`);
  const contents = new Map(files.map((file) => [file.title, file.bytes]));
  const bytes = contents.get(title);
  if (bytes !== undefined) return { bytes, files: contents };
  throw new Fault(`cannot read ${formatReference(reference)}: it holds no \`${title}\``, {
    hint: "export and push it again: what is there was not written by an import",
  });
}

function readFile(place: Exclude<Place, { kind: "oci" }>, { network }: Reading): Promise<Uint8Array> {
  return place.kind === "file" ? readLocal(place.path) : network.fetchFile(place.url, MAX_FILE_BYTES);
}

function isAbsent(error: unknown): boolean {
  return causes(error).some((link) => link instanceof AnswerFault && link.status === 404);
}
