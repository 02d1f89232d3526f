import { existsSync, realpathSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { resolve as resolvePath } from "node:path";
import { checksumsOf } from "../archive/checksums.ts";
import { matchesLayout } from "../archive/compare.ts";
import { FileSet } from "../archive/files.ts";
import { layOut } from "../archive/layout.ts";
import { ArchiveSource } from "../archive/source.ts";
import { findArchive } from "../archive/volumes.ts";
import { collectArtifacts } from "../eksa/collect.ts";
import type { YamlFile } from "../eksa/documents.ts";
import { type Offer, offerArchive } from "../eksa/offer.ts";
import { readLocal } from "../eksa/reader.ts";
import { chooseRelease, deriveRelease, parseRelease, type ReleaseEntry } from "../eksa/release.ts";
import { unwrap } from "../eksa/unwrap.ts";
import { basenameOf, schemeOf } from "../eksa/uri.ts";
import { tagOfVersion } from "../eksa/version.ts";
import { BUNDLES_ARTIFACT_TYPE, BUNDLES_REFERENCE, BUNDLES_TITLE, RELEASE_TITLE } from "../eksa/wrap.ts";
import { isLoopback } from "../http/address.ts";
import { Fault } from "../oci/fault.ts";
import type { Plan } from "../oci/plan.ts";
import { formatReference } from "../oci/reference.ts";
import { resolve } from "../transfer/resolve.ts";
import { disagreements } from "./agreement.ts";
import { defineCommandLine } from "./arguments.ts";
import { describeArtifact } from "./artifact-kind.ts";
import { defineCommand, type Run } from "./command.ts";
import { failWith } from "./failures.ts";
import { namesFolder } from "./file-name.ts";
import { OUTPUT_FLAGS } from "./flags.ts";

const LINE = defineCommandLine({
  name: "release artifacts",
  summary:
    "For those who publish releases: write into a Release manifest where a ready-made archive is to be had. `export artifacts` then downloads that, and builds nothing. Nothing else in the manifest is changed.",
  example:
    "eksa-airgap release artifacts --input artifacts.tar --uri https://assets.example.com/v0.26.1/artifacts.tar --eksa-version v0.26.1 --release-manifest manifest.yaml",
  flags: {
    input: {
      type: "string",
      alias: "i",
      required: true,
      valueHint: "FILE",
      description: "the archive, as `export artifacts` has written it for this release",
    },
    uri: {
      type: "string",
      required: true,
      valueHint: "URL",
      description: "where the archive is published, in one file",
    },
    eksaVersion: {
      type: "string",
      required: true,
      valueHint: "V",
      description: "the release that it belongs to",
    },
    releaseManifest: {
      type: "string",
      required: true,
      valueHint: "FILE",
      description: "the Release manifest that lists the release",
    },
    output: {
      type: "string",
      alias: "o",
      valueHint: "FILE",
      description: "where to write the manifest; default: where it is",
    },
    ...OUTPUT_FLAGS,
  },
});

type ReleaseRun = Run<typeof LINE.flags>;

export const releaseArtifacts = defineCommand(LINE, async (run) => {
  const { values, directory, log, signal } = run;
  const { input, uri, eksaVersion, releaseManifest } = values;
  assertPublished(uri);
  const output = outputOf(run);
  const file = await readManifest(resolvePath(directory, releaseManifest), releaseManifest);
  const release = parseRelease(file);
  const entry = chooseRelease(release, eksaVersion);
  const path = resolvePath(directory, input);
  const plan = await readPlan(run, path, entry);
  log.info(`reading all of ${input}`);
  if (!(await matchesLayout(path, layOut(plan), signal))) {
    throw new Fault(`cannot offer ${input}: it is not what \`export artifacts\` writes`, {
      hint: whatIsWrong(input),
      kind: "mismatch",
    });
  }
  const files = new FileSet(findArchive(path).members, "r");
  const checksums = await checksumsOf(files, signal).finally(() => files.close());
  const offer: Offer = {
    name: basenameOf(uri),
    description: `Everything that EKS Anywhere ${entry.version} needs, to be carried across an air gap`,
    os: "linux",
    arch: architecturesOf(plan),
    uri,
    ...checksums,
  };
  write(output, offerArchive(file, release.releases.indexOf(entry), offer));
  log.info(`${entry.version} offers ${uri} in ${values.output ?? releaseManifest}`);
});

function whatIsWrong(input: string): string {
  return `\`eksa-airgap verify artifacts --input ${input}\` says what is wrong`;
}

/** Everything in the archive. Fails where that is not, as far as can be told from it alone, what the release needs. */
async function readPlan({ values, log }: ReleaseRun, path: string, entry: ReleaseEntry): Promise<Plan> {
  const { input } = values;
  const source = new ArchiveSource(path);
  try {
    const collection = await collectionIn(source, entry);
    const { references, nameless } = source;
    failWith(log, disagreements(collection, [...references, ...nameless]), {
      message: `cannot offer ${input}: it does not hold what EKS Anywhere ${entry.version} needs`,
      hint: `make it anew with \`eksa-airgap export artifacts --no-prepackaged --output NEW --release-manifest ${values.releaseManifest} --eksa-version ${entry.version}\``,
      report: false,
    });
    const { plan, failures } = await resolve(source, references, { jobs: 1 });
    for (const { reference, error } of failures) {
      throw new Fault(`cannot offer ${input}: ${formatReference(reference)} in it is damaged`, {
        cause: error,
        hint: whatIsWrong(input),
      });
    }
    source.assertHolds(plan);
    return plan;
  } finally {
    source.close();
  }
}

/** What the archive's own copy of the Bundles names, read with its own copies of all documents. */
async function collectionIn(source: ArchiveSource, entry: ReleaseEntry) {
  const name = formatReference({ ...BUNDLES_REFERENCE, tag: tagOfVersion(entry.version) });
  const reference = source.references.find((each) => formatReference(each) === name);
  if (reference === undefined) {
    throw new Fault(`cannot offer ${source.path}: it holds no ${name}`, {
      hint: "export it with `--release-manifest` and `--eksa-version`, so that it holds what it belongs to",
    });
  }
  const { files } = await unwrap(source, reference, BUNDLES_ARTIFACT_TYPE);
  const contents = new Map(files.map(({ title, bytes }) => [title, bytes]));
  const bytes = contents.get(BUNDLES_TITLE);
  if (bytes === undefined) {
    throw new Fault(`cannot read ${name} in ${source.path}: it holds no \`${BUNDLES_TITLE}\``, {
      hint: "export the archive anew",
    });
  }
  const bundles = { source: `\`${BUNDLES_TITLE}\` in ${source.path}`, bytes };
  const collection = await collectArtifacts(bundles, async (_, title) => contents.get(title));
  const file = { title: RELEASE_TITLE, bytes: deriveRelease(entry) };
  return { ...collection, version: entry.version, release: { entry, file } };
}

function architecturesOf(plan: Plan): string[] {
  const platforms = plan.roots.flatMap((root) => describeArtifact(plan, root).platforms);
  const architectures = platforms.flatMap((platform) => /^linux\/([^/]+)/.exec(platform)?.[1] ?? []);
  return [...new Set(architectures)].sort();
}

function assertPublished(uri: string): void {
  const url = URL.canParse(uri) ? new URL(uri) : undefined;
  const isOpen = url?.protocol === "https:" || (url?.protocol === "http:" && isLoopback(url.hostname));
  const isBare =
    url !== undefined && [url.username, url.password, url.search, url.hash].every((part) => part === "");
  if (isOpen && isBare && basenameOf(uri) !== "") return;
  throw new Fault("cannot use the value of `--uri`: it is no address that everybody can read from", {
    hint: "give an `https://` URL of a file, without a login and without a query",
    kind: "usage",
  });
}

/** The path to write to, where a link leads. */
function outputOf({ values, directory }: ReleaseRun): string {
  const { input, output, releaseManifest } = values;
  const path = resolvePath(directory, output ?? releaseManifest);
  const real = existsSync(path) ? realpathSync(path) : path;
  const isArchive = real === resolvePath(directory, input);
  const found = statSync(real, { throwIfNoEntry: false });
  // Of a folder that is no output it is said when it is read.
  const isPossible =
    found === undefined
      ? !namesFolder(output ?? releaseManifest)
      : found.isFile() || (output === undefined && found.isDirectory());
  if (output !== "-" && !isArchive && isPossible) return real;
  throw new Fault(`cannot use \`${output ?? releaseManifest}\` for the manifest`, {
    hint: "name a file of its own with `--output FILE`",
    kind: "usage",
  });
}

async function readManifest(path: string, name: string): Promise<YamlFile> {
  try {
    return { source: name, bytes: await readLocal(path) };
  } catch (cause) {
    const hint = schemeOf(name) === undefined ? undefined : "download it first: it is a file that is changed";
    throw new Fault(`cannot read the Release manifest ${name}`, { cause, hint });
  }
}

/** Whole or not at all. */
function write(path: string, bytes: Uint8Array): void {
  const unfinished = `${path}.partial`;
  try {
    const mode = existsSync(path) ? { mode: statSync(path).mode } : {};
    writeFileSync(unfinished, bytes, mode);
    renameSync(unfinished, path);
  } catch (cause) {
    rmSync(unfinished, { force: true });
    throw new Fault(`cannot write ${path}`, {
      cause,
      hint: "choose a place that may be written to with `--output FILE`",
    });
  }
}
