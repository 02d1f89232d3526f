import { assertPlaces, type MirrorSecurity, mapRoot, mirrorConfiguration } from "../eksa/mirror.ts";
import { withTypedConfigs } from "../eksa/wrap.ts";
import type { Digest } from "../oci/digest.ts";
import type { Plan, Root, Source } from "../oci/plan.ts";
import { formatReference, type RepositoryName } from "../oci/reference.ts";
import type { Registries } from "../registry/client.ts";
import { preflight } from "../registry/preflight.ts";
import { presenceOf } from "../registry/presence.ts";
import { RegistrySink } from "../registry/sink.ts";
import type { Log } from "../terminal/log.ts";
import type { Progress } from "../terminal/progress.ts";
import { formatSummary } from "../terminal/progress-view.ts";
import { renamePlan } from "../transfer/plan.ts";
import { type TransferResult, transfer } from "../transfer/transfer.ts";
import type { Surroundings } from "./command.ts";
import { failWith, lostArtifacts } from "./failures.ts";
import { type LatestRelease, latestRelease, settleLatest } from "./latest-release.ts";
import { formatMapping } from "./mapping.ts";
import { nodeSecurity } from "./node-security.ts";
import type { RunReport } from "./report.ts";
import { type Destination, greet, type Login, loginOf } from "./target.ts";

export type DeliveryRun = Pick<Surroundings, "print" | "signal" | "environment"> & {
  log: Log;
  values: {
    jobs: number;
    keepGoing: boolean;
    dryRun: boolean;
    report: string | undefined;
    filename: string | undefined;
    caFile: string | undefined;
    insecure: boolean;
  };
};

/** What goes to a registry, and where it comes from. */
export interface Delivery {
  /** For messages. */
  verb: "import" | "copy";
  /** Under the names that it comes by. */
  plan: Plan;
  /** Gives the content of the plan's nodes, whatever repositories they are said to be in. */
  source: Source;
  destination: Destination;
  registries: Registries;
  progress: Progress;
  report: RunReport;
  /** Where in the target is what the source does not have. Default: it has everything. */
  known?: (placed: Plan) => Promise<ReadonlyMap<Digest, RepositoryName>>;
  /** Done when nothing more is sent, before it is told what was lost. */
  settle?: (lost: TransferResult["lost"]) => Promise<void>;
  /** What to do about what was lost, where that is another thing than to run again. */
  hintAfter?: (lost: TransferResult["lost"]) => string | undefined;
}

/** Sends a plan to its target, under the names that it has there, and says how a cluster finds it. */
export async function deliver(run: DeliveryRun, delivery: Delivery): Promise<void> {
  const { values, log } = run;
  const { verb, plan, destination, progress, report } = delivery;
  assertPlaces(plan.roots, destination.target);
  const placed = renamePlan(plan, (root) => mapRoot(root, destination.target));
  report.placed(plan, placed);
  if (values.dryRun) return foretell(run, delivery, placed);
  const { lost, latest, count } = await send(run, delivery, placed);
  await delivery.settle?.(lost);
  progress.stop();
  failWith(log, lostArtifacts(verb, lost), {
    message: `cannot ${verb}: ${lost.length} of ${count} artifacts are missing in ${destination.name}`,
    hint: delivery.hintAfter?.(lost) ?? "what arrived stays; run the same command again to send the rest",
    kind: values.keepGoing ? "partial" : "failed",
    report: values.report,
  });
  log.info(formatSummary(verb === "copy" ? "copied" : "imported", progress.totals()));
  if (latest !== undefined) log.info(latest.text);
  const registriesOfOrigin = plan.roots.map(({ reference }) => reference.registry);
  const login = await usedLogin(delivery, run.environment);
  const security = nodeSecurity(run, destination, login !== undefined);
  log.info(purposeOf(run, destination, { security, login }));
  await run.print(mirrorConfiguration(destination.target, registriesOfOrigin, security).trimEnd());
}

/** A saved login that nobody has asked for, or that cannot be read, was not needed. */
async function usedLogin(
  { destination, registries }: Delivery,
  environment: DeliveryRun["environment"],
): Promise<Login | undefined> {
  const login = await loginOf(destination, environment).catch(() => undefined);
  const isAsked = registries.client(destination.target.registry).asksForLogin;
  return login === "file" && !isAsked ? undefined : login;
}

/** What the configuration that follows is for, and what it does not say. */
function purposeOf(
  { values: { filename } }: DeliveryRun,
  { authorities = "" }: Destination,
  { security, login }: { security: MirrorSecurity; login: Login | undefined },
): string {
  if (filename === undefined) {
    const nodes =
      "; its nodes log in with REGISTRY_USERNAME and REGISTRY_PASSWORD, to be set where the cluster is created";
    return `for the cluster's spec${login === "file" ? nodes : ""}:`;
  }
  const isWhole = (security.authorities ?? "").trim() === authorities.trim();
  if (isWhole) return `where ${filename} lets nodes look:`;
  return `for the spec of ${filename}, which does not hold all of these certificates:`;
}

interface Sent extends TransferResult {
  latest: LatestRelease | undefined;
  /** Names that were to be given. */
  count: number;
}

async function send(run: DeliveryRun, delivery: Delivery, placed: Plan): Promise<Sent> {
  const { values, log, signal } = run;
  const { verb, plan, source, destination, registries, progress, report } = delivery;
  const { target, name } = destination;
  await greet(registries, destination);
  const obstacles = await preflight(registries, placed.roots);
  report.obstacles(obstacles);
  failWith(log, obstacles, {
    message: `cannot ${verb} ${verb === "copy" ? "to" : "into"} ${name}: nothing has been sent`,
    hint: "once that is put right, run the same command again",
    report: values.report,
  });
  const known = await delivery.known?.(placed);
  const latest = await latestRelease(plan, { target, registries, log, signal });
  const named = withRoot(placed, latest?.root);
  report.planned(named);
  const sink = new RegistrySink(registries, named.roots, {
    warn: (text) => log.warn(text),
    movable: new Set(latest === undefined ? [] : [formatReference(latest.root.reference)]),
    variants: withTypedConfigs(placed),
    ...(known === undefined ? {} : { known }),
  });
  const { lost } = await transfer(named, source, sink, {
    jobs: values.jobs,
    onFailure: values.keepGoing ? "continue" : "stop",
    listener: (event) => {
      report.listener(event);
      progress.listener(event);
    },
    signal,
  });
  if (latest !== undefined && lost.length === 0) {
    await settleLatest(latest, { target, registries, log, signal });
  }
  return { lost, latest, count: named.roots.length };
}

function withRoot(plan: Plan, root: Root | undefined): Plan {
  return root === undefined ? plan : { ...plan, roots: [...plan.roots, root] };
}

/** What would go where. Nothing is written, and the right to write is not asked for. */
async function foretell(
  { print, log, signal }: DeliveryRun,
  { plan, destination, registries }: Delivery,
  placed: Plan,
): Promise<void> {
  await greet(registries, destination);
  const { target, name } = destination;
  const latest = await latestRelease(plan, { target, registries, log, signal });
  const mapping = { plan: withRoot(plan, latest?.origin), placed: withRoot(placed, latest?.root) };
  const presence = await presenceOf(registries, mapping.placed.roots);
  await print(formatMapping({ ...mapping, presence }));
  log.info(`whether the account may push to ${name} was not tried`);
}
