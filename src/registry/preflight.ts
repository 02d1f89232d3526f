import { discard } from "../http/body.ts";
import { PassingStatus } from "../http/retry.ts";
import { NetworkError } from "../http/transport.ts";
import { Fault } from "../oci/fault.ts";
import type { Root } from "../oci/plan.ts";
import { AnswerFault } from "./answer.ts";
import type { Registries, RegistryClient } from "./client.ts";
import { projectOf } from "./mounts.ts";
import type { Place } from "./referrers.ts";
import { storedDigest } from "./sink-manifests.ts";
import { locationOf, sendUpload } from "./upload-address.ts";

/** What stands in the way of a push. */
export interface Obstacle {
  /** A registry, or a project of it. */
  what: string;
  error: Fault;
}

/** Repositories that are asked for at once. */
const AT_ONCE = 4;
const ECR_HOST = /^\d+\.dkr\.ecr(?:-fips)?\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?$/;

/**
 * Finds all that would keep these roots from being pushed: for each project (a repository's first path
 * segment) an upload is begun in one repository that lacks something, and cancelled. At most the session of
 * an upload is left behind, where the registry does not let it be cancelled. Asks nothing of a project that
 * is complete. Where repositories must be created beforehand (ECR), each is asked for.
 */
export async function preflight(registries: Registries, roots: readonly Root[]): Promise<Obstacle[]> {
  const byRegistry = Map.groupBy(roots, ({ reference }) => reference.registry);
  const obstacles = await Promise.all(
    [...byRegistry].map(([registry, its]) => {
      const client = registries.client(registry);
      return checkRegistry({ client, registry, roots: its });
    }),
  );
  return obstacles.flat();
}

interface Check {
  client: RegistryClient;
  registry: string;
  roots: readonly Root[];
}

async function checkRegistry(check: Check): Promise<Obstacle[]> {
  // On Amazon ECR one repository says nothing of its neighbours.
  const unitOf = ECR_HOST.test(check.registry) ? (repository: string) => repository : projectOf;
  const units = Map.groupBy(check.roots, ({ reference }) => unitOf(reference.repository));
  const verdicts = await eachOf([...units.values()], (roots) => checkUnit({ ...check, roots }));
  const found = verdicts.filter((verdict) => verdict !== undefined);
  const missing = found.filter(({ kind }) => kind === "missing");
  const others = found.filter(({ kind }) => kind !== "missing").map((refusal) => obstacle(check, refusal));
  // A registry that is read-only as a whole says the same of every project.
  const unlike = [...new Map(others.map((other) => [other.what, other])).values()];
  return missing.length === 0 ? unlike : [...unlike, await missingRepositories(check, missing)];
}

/** Why a push is refused. */
interface Refusal {
  kind: "denied" | "missing" | "readOnly" | "other";
  repository: string;
  error: unknown;
}

/** The first repository that lacks a root decides for all of them. */
async function checkUnit({ client, roots }: Check): Promise<Refusal | undefined> {
  for (const { reference, descriptor } of roots) {
    const { repository, tag } = reference;
    const place: Place = { client, repository, scopes: [{ repository, actions: "pull,push" }] };
    try {
      if ((await storedDigest(place, tag ?? descriptor.digest)) === descriptor.digest) continue;
    } catch (error) {
      return refusalOf(repository, error);
    }
    return probe(place);
  }
  return;
}

/** Undefined when the repository takes an upload. */
async function probe(place: Place): Promise<Refusal | undefined> {
  const { client, repository } = place;
  const url = await client.urlOf({ kind: "startUpload", repository });
  try {
    const answer = await sendUpload(place, { method: "POST", url, retry: "exchange" }, [202]);
    await cancel(place, locationOf(answer.response, answer.url));
    return;
  } catch (error) {
    // ECR may close the connection where there is no repository. dotnet/sdk-container-builds PR 279.
    const isAborted = error instanceof NetworkError && error.code === "ECONNRESET" && ECR_HOST.test(url.host);
    return isAborted ? { kind: "missing", repository, error } : refusalOf(repository, error);
  }
}

/**
 * Many accounts that may push may not cancel; the registry then clears the session away by itself. The right
 * is asked for alone, so that its refusal does not cost the token that the push will go on with.
 */
async function cancel({ client, repository }: Place, url: URL): Promise<void> {
  try {
    const scopes = [{ repository, actions: "delete" }] as const;
    await discard(await client.exchange({ method: "DELETE", url, retry: "none" }, scopes), url);
  } catch (error) {
    if (!(error instanceof Fault || error instanceof NetworkError)) throw error;
  }
}

function refusalOf(repository: string, error: unknown): Refusal {
  if (!(error instanceof Fault || error instanceof PassingStatus || error instanceof NetworkError))
    throw error;
  if (!(error instanceof AnswerFault)) return { kind: "other", repository, error };
  const { status, errors } = error;
  const says = (wanted: string) => errors.some(({ code }) => code === wanted);
  if (says("NAME_UNKNOWN")) return { kind: "missing", repository, error };
  // 404 of another kind: Harbor has no such project.
  if (status === 401 || status === 403 || status === 404) return { kind: "denied", repository, error };
  if (status === 405 || says("UNSUPPORTED")) return { kind: "readOnly", repository, error };
  return { kind: "other", repository, error };
}

function obstacle({ registry }: Check, { kind, repository, error }: Refusal): Obstacle {
  const project = projectOf(repository);
  const place = `${registry}/${project}`;
  switch (kind) {
    case "readOnly": {
      const hint =
        "give the address that the registry takes pushes at: this one, e.g. a cache, only hands out";
      return { what: registry, error: new Fault(`cannot push to ${registry}`, { cause: error, hint }) };
    }
    case "denied": {
      // Without the project's name, so that equal obstacles are told once; the message has it.
      const hint =
        "create the project if there is none, or let the account push into it: registries such as Harbor answer the same to both";
      return { what: place, error: new Fault(`cannot push to ${place}`, { cause: error, hint }) };
    }
    default:
      return { what: place, error: new Fault(`cannot push to ${place}`, { cause: error }) };
  }
}

async function missingRepositories(
  { client, registry, roots }: Check,
  found: readonly Refusal[],
): Promise<Obstacle> {
  const known = new Map(found.map((refusal) => [refusal.repository, refusal]));
  const repositories = [...new Set(roots.map(({ reference }) => reference.repository))];
  const refusals = await eachOf(repositories, async (repository) => {
    const scopes = [{ repository, actions: "pull,push" }] as const;
    return known.get(repository) ?? (await probe({ client, repository, scopes }));
  });
  const missing = refusals.flatMap((refusal) => (refusal?.kind === "missing" ? [refusal.repository] : []));
  const region = ECR_HOST.exec(registry)?.[1];
  const at = region === undefined ? "" : ` --region ${region}`;
  const commands = missing.map((name) => `aws ecr create-repository --repository-name ${name}${at}`);
  const message = `cannot push to ${registry}: ${missing.length} of ${repositories.length} repositories are missing`;
  const hint = `create them, on Amazon ECR with\n${commands.join("\n")}`;
  return { what: registry, error: new Fault(message, { cause: found[0]?.error, hint }) };
}

/** Results in the order of the items. */
async function eachOf<T, R>(items: readonly T[], run: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  const queue = items.entries();
  const worker = async () => {
    for (const [index, item] of queue) results[index] = await run(item);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return results;
}
