import { basename, dirname, normalize, resolve } from "node:path";
import { gzipSync } from "node:zlib";
import { tarFolder } from "../archive/folder-tar.ts";
import { bundleArtifacts } from "../eksa/artifacts.ts";
import { parseBundles } from "../eksa/bundles.ts";
import { collectArtifacts } from "../eksa/collect.ts";
import { assertTitles } from "../eksa/titles.ts";
import { displayUri } from "../eksa/uri.ts";
import { BUNDLES_TITLE, type TitledFile } from "../eksa/wrap.ts";
import { Fault } from "../oci/fault.ts";
import { describeFault } from "../terminal/fault.ts";
import { count } from "../terminal/progress-view.ts";
import { sanitizeLine } from "../terminal/sanitize.ts";
import type { Run } from "./command.ts";
import { defineDeprecated, hidden } from "./deprecated.ts";
import { NETWORK_FLAGS, OUTPUT_FLAGS, SELECTION_FLAGS } from "./flags.ts";
import { writeFolder } from "./folder.ts";
import { assertReadable, DOWNLOADS, localized } from "./manifest-folder.ts";
import { type Network, openNetwork } from "./network.ts";
import { chooseBundles, readPublishedRelease } from "./release-source.ts";

const { eksaVersion, releaseManifest } = SELECTION_FLAGS;
const { caFile, mirror } = NETWORK_FLAGS;

const FLAGS = {
  ...hidden({ releaseManifest, mirror }),
  eksaVersion,
  caFile,
  downloadDir: {
    type: "string",
    alias: "d",
    default: DOWNLOADS,
    valueHint: "DIR",
    description: "the folder of the manifests, in DIR.tar.gz",
  },
  bundlesOverride: {
    type: "string",
    valueHint: "SRC",
    description: "a Bundles manifest in place of the release's",
  },
  dryRun: { type: "boolean", description: "print the URIs of the manifests and download none of them" },
  retainDir: { type: "boolean", alias: "r", description: "leave the folder beside the file" },
  filename: { type: "string", alias: "f", valueHint: "FILE", description: "without effect (deprecated)" },
  ...OUTPUT_FLAGS,
} as const;

type DownloadRun = Run<typeof FLAGS>;

/** Source: eks-anywhere, cmd/eksctl-anywhere/cmd/downloadartifacts.go. */
export const downloadArtifacts = defineDeprecated(
  {
    line: {
      name: "download artifacts",
      summary:
        "Download the manifests of a release of EKS Anywhere into one file, named by their paths in the Bundles among them.",
      example: "eksa-airgap download artifacts --download-dir eks-anywhere-downloads",
      flags: FLAGS,
    },
    successor: "export artifacts",
    flags: { filename: "it has no effect" },
  },
  async (run) => {
    const { values, environment, signal, log } = run;
    const folder = folderOf(values.downloadDir);
    const progress = run.progress("downloading");
    try {
      const network = openNetwork({ values, environment, signal, log, onWait: progress.note });
      if (values.dryRun) return await listManifests(run, network);
      const files = await readFiles(run, network);
      const written = localized({ files, source: "the release" }, folder, log);
      await writeDownloads(run, folder, written);
      progress.stop();
      log.info(`wrote ${folder}.tar.gz (${count(written.length, "file")})`);
    } finally {
      progress.stop();
    }
  },
);

/** As it stands in the URIs and in the file: without a slash at its end. */
function folderOf(text: string): string {
  const folder = normalize(text).replace(/(?<=.)[/\\]+$/, "");
  if (/^\.{0,2}$/.test(basename(folder))) {
    throw new Fault(`cannot download into ${text}: it has no name of its own`, {
      hint: "name a folder with `--download-dir DIR`",
      kind: "usage",
    });
  }
  assertReadable(folder, "--download-dir");
  return folder;
}

/** In the words that scripts look for, a line for each file that there would be. */
async function listManifests(run: DownloadRun, network: Network): Promise<void> {
  const { file } = await chooseBundles(run, network);
  const { manifests } = bundleArtifacts(parseBundles(file));
  const lines = manifests.map(({ uri }) => sanitizeLine(`Found artifact: ${displayUri(uri)}`));
  if (lines.length > 0) await run.print(lines.join("\n"));
}

/** The Bundles, all it points to, and the Release. */
async function readFiles(run: DownloadRun, network: Network): Promise<TitledFile[]> {
  const { file, read, published } = await chooseBundles(run, network);
  const { files } = await collectArtifacts(file, read);
  const release = published ?? (await releaseBeside(run, network));
  return release === undefined ? files : [...files, release];
}

/** It says nothing of a Bundles that the user names: whoever has no way to it goes without. */
async function releaseBeside(run: DownloadRun, network: Network): Promise<TitledFile | undefined> {
  try {
    return await readPublishedRelease(run, network);
  } catch (error) {
    run.signal.throwIfAborted();
    const { message, because } = describeFault(error);
    run.log.warn(`left out: the Release manifest (${[message, ...because].join(": ")})`);
    return;
  }
}

async function writeDownloads(
  { values, directory, log, signal }: DownloadRun,
  folder: string,
  files: readonly TitledFile[],
): Promise<void> {
  if (!folder.includes(DOWNLOADS)) {
    log.warn(
      `\`eksctl anywhere\` takes the manifests in ${folder} for some on the Internet: it looks for \`${DOWNLOADS}\` in their paths`,
    );
  }
  assertTitles(files.map(({ title }) => title));
  const contents = files.map(({ title, bytes }) => ({ path: title, bytes }));
  const tar = tarFolder(folder.replaceAll("\\", "/"), contents);
  const path = resolve(directory, `${folder}.tar.gz`);
  if (values.retainDir) await writeFolder(resolve(directory, folder), files, { mark: BUNDLES_TITLE, signal });
  await writeFolder(dirname(path), [{ title: basename(path), bytes: gzip(tar) }], { signal });
}

/** Without a name, a time or a system. Spec: RFC 1952, 2.3. */
function gzip(bytes: Uint8Array): Uint8Array {
  const compressed = gzipSync(bytes, { level: 9 });
  compressed[9] = 255;
  return compressed;
}
