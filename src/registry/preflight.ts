import { discard } from "../http/body.ts";
import { PassingStatus } from "../http/retry.ts";
import { NetworkError } from "../http/transport.ts";
import { Fault } from "../oci/fault.ts";
import type { Root } from "../oci/plan.ts";
import { AnswerFault } from "./answer.ts";
import type { Registries, RegistryClient } from "./client.ts";
import { eachOf } from "./each-of.ts";
import { createCommand, isEcr } from "./ecr.ts";
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

/**
 * Finds all that would keep these roots from being pushed: for each project (a repository's first path
 * segment) an upload is begun in one repository that lacks something, and cancelled. At most the session of
 * an upload is left behind, where the registry does not let it be cancelled. Begins nothing in a project that
 * is complete. Where repositories must be created beforehand (ECR), each is asked for.
 */
export async function preflight(registries: Registries, roots: readonly Root[]): Promise<Obstacle[]> {
  const obstacles: Obstacle[] = [];
  for (const [registry, its] of Map.groupBy(roots, ({ reference }) => reference.registry)) {
    obstacles.push(...(await checkRegistry({ client: registries.client(registry), registry, roots: its })));
  }
  return obstacles;
}

interface Check {
  client: RegistryClient;
  registry: string;
  roots: readonly Root[];
}

async function checkRegistry(check: Check): Promise<Obstacle[]> {
  const lacking = await firstLacking(check);
  const verdicts = await eachOf(lacking, async (found) =>
    found.error === undefined
      ? probe(check, found.repository)
      : refusalOf(check, found.repository, found.error),
  );
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

/** A repository that lacks a root, or one that would not say whether it does. */
interface Lacking {
  repository: string;
  error?: unknown;
}

/**
 * The first repository of each project that lacks something: it decides for all of them. Always the same one
 * whatever the order of the answers, as roots are asked for in order until one is known to be lacking.
 */
async function firstLacking({ client, registry, roots }: Check): Promise<Lacking[]> {
  // On Amazon ECR one repository says nothing of its neighbours.
  const unitOf = isEcr(registry) ? (repository: string) => repository : projectOf;
  const decided = new Set<string>();
  const answers = await eachOf(roots, async (root) => {
    const { repository } = root.reference;
    if (decided.has(unitOf(repository))) return;
    const found = await lookFor(client, root);
    if (found !== undefined) decided.add(unitOf(repository));
    return found;
  });
  const found = answers.filter((answer) => answer !== undefined);
  const byUnit = Map.groupBy(found, ({ repository }) => unitOf(repository));
  return [...byUnit.values()].flatMap(([first]) => first ?? []);
}

/** Undefined when the root is there. */
async function lookFor(
  client: RegistryClient,
  { reference, descriptor }: Root,
): Promise<Lacking | undefined> {
  const { repository, tag } = reference;
  try {
    const stored = await storedDigest(placeOf(client, repository), tag ?? descriptor.digest);
    return stored === descriptor.digest ? undefined : { repository };
  } catch (error) {
    return { repository, error };
  }
}

function placeOf(client: RegistryClient, repository: string): Place {
  return { client, repository, scopes: [{ repository, actions: "pull,push" }] };
}

/** Undefined when the repository takes an upload. */
async function probe(check: Check, repository: string): Promise<Refusal | undefined> {
  const place = placeOf(check.client, repository);
  const url = await check.client.urlOf({ kind: "startUpload", repository });
  try {
    const answer = await sendUpload(place, { method: "POST", url, retry: "exchange" }, [202]);
    await cancel(place, locationOf(answer.response, answer.url));
    return;
  } catch (error) {
    const refusal = refusalOf(check, repository, error);
    // ECR may close the connection where there is no repository. dotnet/sdk-container-builds PR 279.
    const isClosed = error instanceof NetworkError && error.code === "ECONNRESET" && isEcr(check.registry);
    return isClosed ? { ...refusal, kind: "missing" } : refusal;
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

function refusalOf({ client }: Check, repository: string, error: unknown): Refusal {
  const isTrouble = error instanceof Fault || error instanceof PassingStatus || error instanceof NetworkError;
  if (client.http.policy.signal.aborted || !isTrouble) throw error;
  if (!(error instanceof AnswerFault)) return { kind: "other", repository, error };
  const { status, errors } = error;
  const says = (wanted: string) => errors.some(({ code }) => code === wanted);
  if (says("NAME_UNKNOWN")) return { kind: "missing", repository, error };
  // 404 of another kind: Harbor has no such project.
  if (status === 404) return { kind: "denied", repository, error: error.withoutHint() };
  if (status === 401 || status === 403) return { kind: "denied", repository, error };
  if (status === 405 || says("UNSUPPORTED"))
    return { kind: "readOnly", repository, error: error.withoutHint() };
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

async function missingRepositories(check: Check, found: readonly Refusal[]): Promise<Obstacle> {
  const { registry, roots } = check;
  const known = new Map(found.map((refusal) => [refusal.repository, refusal]));
  const repositories = [...new Set(roots.map(({ reference }) => reference.repository))];
  const refusals = await eachOf(
    repositories,
    async (repository) => known.get(repository) ?? (await probe(check, repository)),
  );
  const missing = refusals.flatMap((refusal) => (refusal?.kind === "missing" ? [refusal] : []));
  // A closed connection is no word on the repository.
  const doubtful = missing.find(({ error }) => error instanceof NetworkError);
  const are = doubtful === undefined ? "are" : "may be";
  const message = `cannot push to ${registry}: ${missing.length} of ${repositories.length} repositories ${are} missing`;
  const names = missing.map(({ repository }) => repository);
  const hint =
    doubtful === undefined
      ? hintFor(registry, names)
      : `see which of them exist: Amazon ECR may close the connection where there is none; ${hintFor(registry, names)}`;
  return { what: registry, error: new Fault(message, { cause: (doubtful ?? missing[0])?.error, hint }) };
}

function hintFor(registry: string, repositories: readonly string[]): string {
  const commands = repositories.flatMap((repository) => createCommand(registry, repository) ?? []);
  const [what, lines] =
    commands.length > 0
      ? ["create those that are missing with", commands]
      : [`create them in \`${registry}\`, or give the account the right to create them:`, repositories];
  return `${what}\n${lines.join("\n")}`;
}
