import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { namesMirror, seemsToNameMirror } from "../eksa/cluster.ts";
import { PUBLIC_REGISTRY } from "../eksa/mirror.ts";
import { readLocal } from "../eksa/reader.ts";
import { Fault } from "../oci/fault.ts";
import { describeFault } from "../terminal/fault.ts";
import { createLog, type Log } from "../terminal/log.ts";
import { asksForHelp } from "./arguments.ts";
import { type Call, childEnvironment, findChild, versionOfChild } from "./child.ts";
import { readChildLine, SHARED, variableOf, withFlag } from "./child-line.ts";
import type { Surroundings } from "./command.ts";
import { DOWNLOADS, writeManifests } from "./manifest-folder.ts";
import { readManifests } from "./mirror-manifests.ts";
import { openNetwork } from "./network.ts";
import { greet, readTarget } from "./target.ts";

/**
 * How the real `eksctl-anywhere` is to be called with a command line; undefined where the line cannot be meant
 * for it. `own`: the names of this program's commands. Where the line names a cluster with a registry mirror, and
 * nobody names a Bundles, the manifests are taken from that mirror before, and the flag that gives them to the
 * command is added.
 */
export async function handOver(
  argv: readonly string[],
  surroundings: Surroundings,
  own: readonly string[],
): Promise<Call | "absent" | undefined> {
  const { environment, directory, screen } = surroundings;
  const { words, command, filename, namesBundles } = readChildLine(argv);
  if (!isForChild(words, own)) return;
  const path = findChild(surroundings);
  if (path === undefined) return "absent";
  const call: Call = { path, argv, environment: childEnvironment(environment, path), directory };
  if (command === undefined || filename === undefined || asksForHelp(argv)) return call;
  const log = createLog({ screen });
  if (!(await hasMirror(resolve(directory, filename), log))) return call;
  const { name, flag, goesOnline } = command;
  if (goesOnline) {
    log.warn(
      `\`${name}\` reads the Release from the Internet whatever it is given: without a way there it fails`,
    );
  }
  if (flag === undefined || namesBundles || environment[variableOf(flag)]) return call;
  try {
    const bundles = await takeManifests({ call, filename }, surroundings, log);
    return bundles === undefined ? call : { ...call, argv: withFlag(argv, flag, bundles) };
  } catch (cause) {
    throw new Fault(`cannot take the manifests for \`${name}\` from the mirror in ${filename}`, {
      cause,
      hint: `to go without the mirror's, name a Bundles with \`${flag} FILE\``,
    });
  }
}

/** Neither a slip in a command of ours, nor one of ours behind flags. */
function isForChild(words: readonly string[], own: readonly string[]): boolean {
  const [first] = words;
  if (first === undefined) return false;
  return own.every((name) => {
    const names = name.split(" ");
    const isSame = names.every((each, index) => each === words[index]);
    return !isSame && (names[0] !== first || SHARED.has(first));
  });
}

/** What cannot be read is left to the child, which may be less strict; what can be read once, as a pipe, to read. */
async function hasMirror(path: string, log: Log): Promise<boolean> {
  if (!(await stat(path).catch(() => undefined))?.isFile()) return false;
  const bytes = await readLocal(path).catch(() => undefined);
  if (bytes === undefined) return false;
  const file = { source: path, bytes };
  try {
    return namesMirror(file);
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    const { message, because } = describeFault(error);
    if (seemsToNameMirror(file)) {
      log.warn(`no manifests are taken from a mirror: ${[message, ...because].join(": ")}`);
    }
    return false;
  }
}

/** The path of the Bundles; undefined where the mirror stands for other registries alone. */
async function takeManifests(
  { call, filename }: { call: Call; filename: string },
  { environment, directory, signal }: Surroundings,
  log: Log,
): Promise<string | undefined> {
  const destination = await readTarget({
    values: { registry: undefined, filename },
    environment,
    directory,
    log,
  });
  const { target } = destination;
  if (target.ociNamespaces?.has(PUBLIC_REGISTRY) === false) {
    log.warn(
      `no manifests are taken from ${target.registry}: \`ociNamespaces\` in ${filename} has no ${PUBLIC_REGISTRY}`,
    );
    return;
  }
  const { registries } = openNetwork({
    values: { caFile: undefined, mirror: [], verbosity: 0 },
    environment,
    signal,
    log,
    onWait: (text) => log.info(text),
    destination,
  });
  await greet(registries, destination);
  const { tag, files, source } = await readManifests(registries, destination, {
    version: destination.eksaVersion,
    otherwise: () => askVersion(call, log),
    hint: `write \`eksaVersion\` into the cluster's spec in ${filename}`,
  });
  const bundles = await writeManifests(join(directory, DOWNLOADS, tag), { files, source }, { log, signal });
  log.info(`taken from ${source}: ${bundles}`);
  return bundles;
}

/** In a folder of its own: it leaves its log where it fails. */
async function askVersion({ path, environment }: Call, log: Log): Promise<string | undefined> {
  const directory = await mkdtemp(join(tmpdir(), "eksa-airgap-version-"));
  log.info(`asking ${path} for its version`);
  try {
    const version = await versionOfChild({ path, environment, directory });
    if (version === undefined) log.info(`${path} has not said its version (\`version -o json\`)`);
    return version;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
