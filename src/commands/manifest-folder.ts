import { mkdir, readlink, symlink } from "node:fs/promises";
import { join } from "node:path";
import { localizeBundles } from "../eksa/local-uris.ts";
import { BUNDLES_TITLE, type TitledFile } from "../eksa/wrap.ts";
import { Fault } from "../oci/fault.ts";
import type { Log } from "../terminal/log.ts";
import { cannotWriteInto, writeFolder } from "./folder.ts";

/**
 * What EKS Anywhere tells a file on disk from a URL by: the path of an EKS-D release has this in it.
 * Source: pkg/validations/cluster.go `getReleaseManifestFromBundle`.
 */
export const DOWNLOADS = "eks-anywhere-downloads";

/**
 * Writes the manifests of a release below a folder, for `eksctl anywhere` to read. In the Bundles each file is
 * named by its path. Returns the path of the Bundles, which is written last.
 */
export async function writeManifests(
  directory: string,
  { files, source }: { files: readonly TitledFile[]; source: string },
  { log, signal }: { log: Log; signal: AbortSignal },
): Promise<string> {
  assertReadable(directory, "--directory");
  const named = directory.includes(DOWNLOADS);
  const base = named ? directory : join(directory, DOWNLOADS);
  const written = localized({ files, source }, base, log);
  if (!named) await linkToItself(directory, base);
  await writeFolder(directory, written, { mark: BUNDLES_TITLE, signal });
  return join(directory, BUNDLES_TITLE);
}

/** The same files, each of them named by its path below `base` in the Bundles among them. */
export function localized(
  { files, source }: { files: readonly TitledFile[]; source: string },
  base: string,
  log: Log,
): TitledFile[] {
  const bundles = files.find(({ title }) => title === BUNDLES_TITLE);
  if (bundles === undefined) {
    throw new Fault(`cannot use ${source}: it holds no \`${BUNDLES_TITLE}\``, {
      hint: "import the release again: what is there was not written by an import",
    });
  }
  const titles = new Set(files.map(({ title }) => title));
  const local = localizeBundles({ source: `${BUNDLES_TITLE} of ${source}`, bytes: bundles.bytes }, (title) =>
    titles.has(title) ? join(base, title) : undefined,
  );
  for (const uri of local.kept) log.warn(`${uri} stays as it is: there is no file for it`);
  return files.map((file) => (file === bundles ? { ...file, bytes: local.bytes } : file));
}

/** Go reads a path as a URL first, and stops at a percent sign that begins no escape. `flag` names the folder. */
export function assertReadable(directory: string, flag: string): void {
  if (!/%(?![0-9A-Fa-f]{2})/.test(directory)) return;
  throw new Fault(`cannot write manifests into ${directory}: \`eksctl anywhere\` could not read them there`, {
    cause: new Error("there is a `%` in the path"),
    hint: `choose another folder with \`${flag} DIR\``,
    kind: "usage",
  });
}

/** A folder of any name has its files at a path with the right name in it as well. */
async function linkToItself(directory: string, path: string): Promise<void> {
  await mkdir(directory, { recursive: true }).catch((cause: unknown) => {
    throw cannotWriteInto(directory, cause);
  });
  try {
    await symlink(".", path);
  } catch (cause) {
    if ((await readlink(path).catch(() => undefined)) === ".") return;
    throw new Fault(`cannot make ${path} a link to the folder it is in`, {
      cause,
      hint: `choose a folder with \`${DOWNLOADS}\` in its path: \`eksctl anywhere\` looks for that`,
    });
  }
}
