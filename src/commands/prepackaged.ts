import { checksumsOf } from "../archive/checksums.ts";
import type { FileSet } from "../archive/files.ts";
import type { Layout } from "../archive/layout.ts";
import { RemoteArchive, remoteSource } from "../archive/remote.ts";
import type { Collection } from "../eksa/collect.ts";
import type { Archive } from "../eksa/release.ts";
import { displayUri, isHttp } from "../eksa/uri.ts";
import { Fault } from "../oci/fault.ts";
import type { Source } from "../oci/plan.ts";
import { describeFault } from "../terminal/fault.ts";
import type { Log } from "../terminal/log.ts";
import { formatBytes } from "../terminal/units.ts";
import { type Resolution, resolve } from "../transfer/resolve.ts";
import { disagreements } from "./agreement.ts";
import type { ExportRun, Planned } from "./export.ts";
import { referencesOf } from "./export-plan.ts";
import { failWith } from "./failures.ts";
import { isGiven, SELECTION_FLAGS } from "./flags.ts";
import type { Network } from "./network.ts";
import { isUnavailable } from "./remote-file.ts";
import type { RunReport } from "./report.ts";

/** A ready-made archive, and the checksums that its Release gives: one of the two at least. */
export type Prepackaged = Pick<Archive, "uri" | "sha256" | "sha512">;

/** Flags that say which release it is: all others of a selection take something from it, or add to it. */
const NAMING = new Set(["eksaVersion", "releaseManifest", "bundlesOverride"]);
const BUILD_IT = "`--no-prepackaged` builds the archive from the registries instead";

/** The ready-made archive of a release, where an export wants all of the release and nothing else. */
function offeredTo({ values, log }: ExportRun, { release }: Collection): Prepackaged | undefined {
  const archive = release?.entry.airgapArtifacts;
  if (archive === undefined || archive.uri === "" || values.noPrepackaged) return;
  const { uri, sha256, sha512 } = archive;
  const name = displayUri(uri);
  const why = reasonToBuild(values) ?? reasonNotToAsk(uri);
  if (why !== undefined) {
    log.debug(1, `the ready-made archive ${name} is not used: ${why}`);
    return;
  }
  if (sha256 === undefined && sha512 === undefined) {
    log.warn(`the ready-made archive ${name} is not used: the Release gives no checksum of it`);
    return;
  }
  return { uri, ...(sha256 === undefined ? {} : { sha256 }), ...(sha512 === undefined ? {} : { sha512 }) };
}

function reasonNotToAsk(uri: string): string | undefined {
  if (!isHttp(uri) || !URL.canParse(uri)) return "it is not at an `https://` URL";
  // They would be written down beside the output, for a run that goes on with this one.
  return displayUri(uri) === uri ? undefined : "its address holds a login or a query";
}

function reasonToBuild(values: ExportRun["values"]): string | undefined {
  // What goes into a pipe cannot be taken back when its checksum turns out to be wrong.
  if (values.output === "-") return "the output is a pipe";
  const selecting = [...Object.keys(SELECTION_FLAGS), "since"].filter((key) => !NAMING.has(key));
  const given = Object.entries(values).find(([key, value]) => selecting.includes(key) && isGiven(value));
  return given === undefined ? undefined : "not all of the release is wanted";
}

/** A ready-made archive, opened to plan with. */
export interface Ready {
  prepackaged: Prepackaged;
  archive: RemoteArchive;
  /** The images and charts in it. */
  found: Resolution;
}

/**
 * Reads what the ready-made archive of a release says it holds. Undefined where there is none to be used, and after a
 * warning where it cannot be had: it can be built. Fails where it holds something else than the Bundles names.
 */
export async function openPrepackaged(
  run: ExportRun,
  { collection, network }: { collection: Collection; network: Network },
): Promise<Ready | undefined> {
  const { values, log, signal } = run;
  const prepackaged = offeredTo(run, collection);
  if (prepackaged === undefined) return;
  const { uri } = prepackaged;
  const name = displayUri(uri);
  const unlessUnavailable = (error: unknown) => {
    signal.throwIfAborted();
    if (!isUnavailable(error)) throw unacceptable(name, error);
    warnOf(log, name, error);
  };
  const archive = await network.openFile(uri).then(RemoteArchive.open).catch(unlessUnavailable);
  if (archive === undefined) return;
  failWith(log, disagreements(collection, [...archive.references, ...archive.nameless]), {
    message: `cannot accept ${name}: it does not hold what the Bundles names`,
    hint: `tell whoever published it; ${BUILD_IT}`,
    report: values.report,
  });
  const found = await readGraph(archive, collection, values).catch(unlessUnavailable);
  if (found === undefined) return;
  log.info(`taking the ready-made archive ${name} (${formatBytes(archive.size)}); ${BUILD_IT}`);
  return { prepackaged, archive, found };
}

/** First all of it, which says where everything lies; then, with the configs that are to be looked into, what is wanted. */
async function readGraph(
  archive: RemoteArchive,
  { images }: Collection,
  { jobs }: ExportRun["values"],
): Promise<Resolution> {
  const whole = await resolve(archive, archive.references, { jobs });
  for (const { error } of whole.failures) throw error;
  archive.follow(whole.plan);
  const wanted = await resolve(archive, referencesOf(images), { jobs });
  for (const { error } of wanted.failures) throw error;
  return wanted;
}

/** Fails where a ready-made archive is not, as far as can be told without its blobs, what a build would write. */
export function assertLaidOut({ archive, prepackaged }: Ready, layout: Layout): void {
  if (archive.startsAs(layout)) return;
  const why = new Fault("its bytes are not in the order that an export writes them in");
  throw unacceptable(displayUri(prepackaged.uri), why);
}

/** Where the content of a ready-made archive comes from, and what is asked of the file that is made of it. */
interface Origin {
  source: Source;
  /** Fails where a finished file is not what the Release says of the ready-made archive. */
  accept: (files: FileSet) => Promise<void>;
}

/**
 * Opens the ready-made archive that a plan was made from, to be downloaded; undefined where there is none, or it
 * cannot be had, or not any more: the content can be had from the registries as well.
 */
export async function readyMade(
  run: Pick<ExportRun, "values" | "log" | "signal">,
  { prepackaged }: Planned["notes"],
  { layout, network, report }: { layout: Layout; network: Network; report: RunReport },
): Promise<Origin | undefined> {
  const { values, log, signal } = run;
  if (prepackaged === undefined || values.noPrepackaged) return;
  const name = displayUri(prepackaged.uri);
  try {
    const file = await network.openFile(prepackaged.uri);
    if (file.size !== layout.size) {
      throw new Fault(`it has ${file.size} bytes, and had ${layout.size} when this export was begun`);
    }
    report.prepackaged(name);
    return {
      source: remoteSource(file, layout),
      accept: (files) => assertChecksums(files, prepackaged, run),
    };
  } catch (error) {
    signal.throwIfAborted();
    if (!isUnavailable(error)) throw unacceptable(name, error);
    warnOf(log, name, error);
    return;
  }
}

async function assertChecksums(
  files: FileSet,
  { uri, ...expected }: Prepackaged,
  { log, signal }: Pick<ExportRun, "log" | "signal">,
): Promise<void> {
  const name = displayUri(uri);
  const found = await checksumsOf(files, signal);
  const algorithms = (["sha256", "sha512"] as const).filter((each) => expected[each] !== undefined);
  const wrong = algorithms.filter((each) => expected[each]?.toLowerCase() !== found[each]);
  if (wrong.length === 0) {
    log.info(`downloaded ${name}: its ${algorithms.join(" and ")} are those of the Release`);
    return;
  }
  const facts = wrong.map((each) => `its ${each} is ${found[each]}, and the Release says ${expected[each]}`);
  throw unacceptable(name, new Fault(facts.join("; ")));
}

function unacceptable(name: string, error: unknown): Fault {
  const { message, because } = describeFault(error);
  // Without their hints: they are for those who have the file.
  const facts = [message, ...because].reduceRight<Fault | undefined>(
    (cause, text) => new Fault(text, { cause }),
    undefined,
  );
  return new Fault(`cannot accept ${name} as what the Release offers`, {
    cause: facts,
    hint: `tell whoever published it; ${BUILD_IT}`,
    kind: "mismatch",
  });
}

function warnOf(log: Log, name: string, error: unknown): void {
  const { message, because } = describeFault(error);
  log.warn(
    `the ready-made archive ${name} cannot be had (${because.at(-1) ?? message}): its content comes from the registries instead`,
  );
}
