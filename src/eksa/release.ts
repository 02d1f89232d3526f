import * as v from "valibot";
import { stringify } from "yaml";
import { Fault } from "../oci/fault.ts";
import { isRecord } from "../oci/manifest.ts";
import { type DocumentType, parseYamlDocument, parseYamlValues, type YamlFile } from "./documents.ts";
import { MEND } from "./failures.ts";
import {
  compareVersions,
  isLaterBuild,
  isSamePrerelease,
  parseVersion,
  readVersion,
  type Version,
} from "./version.ts";

/** A file to download, and what it must hash to; in hex. */
export interface Archive {
  /** Empty where there is none. */
  uri: string;
  sha256?: string;
  sha512?: string;
  name?: string;
  os?: string;
  arch?: readonly string[];
}

/** One release of EKS Anywhere, as a Release manifest lists it. */
export interface ReleaseEntry {
  /** `v0.26.1` */
  version: string;
  number: number;
  bundleManifestUrl: string;
  /** Everything that the release needs, in one file. */
  airgapArtifacts?: Archive;
  /** All of its fields, with the numbers and booleans that they hold. */
  raw: Readonly<Record<string, unknown>>;
}

export interface Release {
  /** Empty where the manifest names none. */
  latestVersion: string;
  releases: readonly ReleaseEntry[];
}

const API_VERSION = "anywhere.eks.amazonaws.com/v1alpha1";
const KIND = "Release";
/** The build metadata that stands for the latest build of a prerelease. */
const LATEST = "latest";
/** The versions that a message names. */
const MOST_NAMED = 8;

const archive = v.object(
  {
    // Go writes a struct without content as `{}`.
    uri: v.exactOptional(v.string("the URI of an archive"), ""),
    sha256: v.exactOptional(v.string("a checksum")),
    sha512: v.exactOptional(v.string("a checksum")),
    name: v.exactOptional(v.string("a name")),
    os: v.exactOptional(v.string("an operating system")),
    arch: v.exactOptional(v.array(v.string("an architecture"), "a list of architectures")),
  },
  "a mapping with a `uri`",
);
const entry = v.object(
  {
    version: v.pipe(
      v.string("a version like `v0.26.1`"),
      v.nonEmpty("a version like `v0.26.1`"),
      v.maxLength(128, "a version like `v0.26.1`"),
    ),
    number: v.pipe(
      v.string("a whole number"),
      v.regex(/^[0-9]{1,15}$/, "a whole number"),
      v.transform(Number),
    ),
    bundleManifestUrl: v.string("the URL of a Bundles"),
    airgapArtifacts: v.exactOptional(archive),
  },
  "a mapping with `version`, `number` and `bundleManifestUrl`",
);
const RELEASE: DocumentType<{
  spec: { latestVersion: string; releases: Omit<ReleaseEntry, "raw">[] };
}> = {
  apiVersion: API_VERSION,
  kind: KIND,
  schema: v.object(
    {
      spec: v.object(
        {
          latestVersion: v.string("a version like `v0.26.1`"),
          releases: v.pipe(v.array(entry, "a list of releases"), v.minLength(1, "at least one release")),
        },
        "a mapping with `latestVersion` and `releases`",
      ),
    },
    "a mapping with a `spec`",
  ),
};

/** Reads a Release manifest. Fields that this program does not know are kept in `raw` alone. */
export function parseRelease(file: YamlFile): Release {
  const { latestVersion, releases } = parseYamlDocument(file, RELEASE).spec;
  const raws = rawEntries(parseYamlValues(file));
  return { latestVersion, releases: releases.map((one, index) => ({ ...one, raw: raws[index] ?? {} })) };
}

/**
 * The release of a version, letter for letter; `+latest` takes the latest build of that prerelease. Without a
 * version that was asked for, the one that this program was built for; without either, the one that the manifest
 * says is the latest. Source: EKS Anywhere, pkg/manifests/releases/read.go.
 * Fails listing what there is, the nearest first.
 */
export function chooseRelease(
  release: Release,
  version: string | undefined,
  builtFor?: string | undefined,
): ReleaseEntry {
  const wanted = version ?? builtFor ?? release.latestVersion;
  const listed = `it holds ${listOf(release, wanted)}`;
  if (wanted === "") {
    throw new Fault("cannot tell which release is the latest: the Release has no `spec.latestVersion`", {
      cause: new Error(listed),
      hint: "name one with `--eksa-version`",
    });
  }
  const found = findRelease(release.releases, wanted);
  if (found !== undefined) return found;
  if (version === undefined && builtFor !== undefined) {
    throw new Fault(`cannot find EKS Anywhere ${wanted}, which this program was built for, in the Release`, {
      cause: new Error(listed),
      hint: "name one of these with `--eksa-version`, or a Release that has it with `--release-manifest`",
    });
  }
  throw new Fault(`cannot find EKS Anywhere ${wanted.slice(0, 128)} in the Release`, {
    cause: new Error(listed),
    hint: "name one of these with `--eksa-version`",
    kind: version === undefined ? "failed" : "usage",
  });
}

/**
 * A Release that holds one release alone, in canonical form: the published one grows with every release.
 * The archive of everything is left out, since what is derived here is part of that archive.
 */
export function deriveRelease({ version, raw }: ReleaseEntry): Uint8Array {
  const { airgapArtifacts: _, ...own } = raw;
  const document = {
    apiVersion: API_VERSION,
    kind: KIND,
    metadata: { name: "eks-anywhere" },
    spec: { latestVersion: version, releases: [own] },
  };
  // Go's YAML reader follows 1.1, where more words want quotes.
  const form = { version: "1.1", sortMapEntries: true, lineWidth: 0, aliasDuplicateObjects: false } as const;
  return new TextEncoder().encode(stringify(document, form));
}

function findRelease(releases: readonly ReleaseEntry[], wanted: string): ReleaseEntry | undefined {
  const version = parseVersion(wanted);
  let latest: { one: ReleaseEntry; version: Version } | undefined;
  for (const one of releases) {
    if (one.version === wanted) return one;
    if (version.build !== LATEST) continue;
    const own = readVersion(one.version);
    if (own === undefined) {
      throw new Fault(`cannot find EKS Anywhere ${wanted}: \`${one.version}\` in the Release is no version`, {
        hint: MEND,
      });
    }
    if (!isSamePrerelease(version, own)) continue;
    if (latest === undefined || isLaterBuild(own, latest.version)) latest = { one, version: own };
  }
  return latest?.one;
}

/** What is spelled most alike first; of those, the latest. */
function listOf({ releases }: Release, wanted: string): string {
  const alike = (text: string) => {
    const [a, b] = [text.replace(/^v/, ""), wanted.replace(/^v/, "")];
    return [...a].findIndex((letter, index) => letter !== b[index]);
  };
  const versions = releases.map((one) => {
    const likeness = alike(one.version);
    return { text: one.version, likeness: likeness < 0 ? Number.POSITIVE_INFINITY : likeness };
  });
  versions.sort((a, b) => (a.likeness === b.likeness ? later(a.text, b.text) : b.likeness - a.likeness));
  const named = versions.slice(0, MOST_NAMED).map(({ text }) => text);
  const more = versions.length - named.length;
  return named.join(", ") + (more > 0 ? `, and ${more} more` : "");
}

function later(a: string, b: string): number {
  const [one, other] = [readVersion(a), readVersion(b)];
  if (one === undefined || other === undefined)
    return Number(one === undefined) - Number(other === undefined);
  return compareVersions(other, one);
}

function rawEntries(document: unknown): Record<string, unknown>[] {
  const spec = isRecord(document) && isRecord(document.spec) ? document.spec : {};
  return Array.isArray(spec.releases) ? spec.releases.map((one) => (isRecord(one) ? one : {})) : [];
}
