import { discard, readBounded } from "../http/body.ts";
import { type Descriptor, MANIFEST_MEDIA_TYPES, MEDIA_TYPE } from "../oci/descriptor.ts";
import { algorithmOf, type Digest, digestOf, hexOf, isDigest } from "../oci/digest.ts";
import { Fault } from "../oci/fault.ts";
import { MAX_MANIFEST_BYTES, parseManifest } from "../oci/manifest.ts";
import { isTag } from "../oci/reference.ts";
import { assertDigest } from "../oci/verified.ts";
import { AnswerFault, answerFault, wholeAnswer } from "./answer.ts";
import type { Scope } from "./auth.ts";
import type { RegistryClient } from "./client.ts";
import { nextPage } from "./next-page.ts";
import { isDenial } from "./upload-answer.ts";

/** One repository, and what to ask for in it. */
export interface Place {
  client: RegistryClient;
  repository: string;
  scopes: readonly Scope[];
}

/** More than anybody lists for one manifest: what goes on beyond is no list but an attack or a loop. */
const MAX_PAGES = 100;
const MAX_REFERRERS = 10_000;
/** What cosign hangs onto a manifest by name. Source: sigstore/cosign pkg/oci/remote/remote.go. */
const COSIGN_SUFFIXES = ["sig", "att", "sbom"];
/** Signs a manifest that nobody can have. */
const ABSENT_TAG = `sha256-${"0".repeat(64)}.sig`;
/** How registries say that they do not know the API; go-containerregistry `referrers.go` takes 400, 404 and 406. */
const WITHOUT_API = new Set([400, 404, 405, 406, 501]);

/** Everything that signs or describes a manifest: by tag where it has one, else by digest. */
export async function findReferrers(
  place: Place,
  subject: Digest,
): Promise<{ tag?: string; digest: Digest }[]> {
  const listed = (await listReferrers(place, subject)) ?? (await listByTag(place, subject));
  const tagged = await cosignTags(place, subject);
  // Harbor lists what cosign has tagged as well.
  const isTagged = new Set(tagged.map(({ digest }) => digest));
  const others = listed.filter(({ digest }) => !isTagged.has(digest));
  return [...others.map(({ digest }) => ({ digest })), ...tagged];
}

/**
 * The registry's own list of the manifests whose subject is `digest`; undefined where it keeps none. It is
 * asked each time: some answer so for one manifest, and keep the lists of others.
 * Fails when there is no such repository. Spec: distribution-spec, "Listing Referrers".
 */
export async function listReferrers(place: Place, digest: Digest): Promise<Descriptor[] | undefined> {
  const { client, repository, scopes } = place;
  let url = await client.urlOf({ kind: "listReferrers", repository, digest });
  const found: Descriptor[] = [];
  for (let page = 1; page <= MAX_PAGES; page++) {
    const headers = { accept: MEDIA_TYPE.ociIndex };
    const asked = url;
    const { response, entries } = await wholeAnswer(
      client.http.policy,
      () => client.exchange({ method: "GET", url: asked, headers }, scopes),
      async (response) => ({ response, entries: await readPage(response, { client, url: asked }) }),
    );
    if (entries === undefined && page === 1) return;
    if (entries === undefined) {
      throw new Fault(`cannot list the referrers of ${digest}: the list breaks off after ${found.length}`);
    }
    found.push(...entries);
    const next = nextPage(response, asked);
    if (found.length > MAX_REFERRERS) break;
    if (next === undefined) return found;
    url = next;
  }
  throw new Fault(`cannot list the referrers of ${digest}: after ${found.length} there is still no end`);
}

/** Undefined where this is not the API's answer: some hosts send a page of their own for any address. */
async function readPage(
  response: Response,
  { client, url }: { client: RegistryClient; url: URL },
): Promise<Descriptor[] | undefined> {
  if (response.status !== 200) {
    const fault = await answerFault(response, { method: "GET", url });
    if (isDenial(fault)) {
      const denied = `\`${url.host}\` does not let this account list what signs or describes a manifest`;
      client.warn(`${denied} (${response.status}): it is looked for by tag alone, and some may be missing`);
      return;
    }
    if (WITHOUT_API.has(response.status) && !isUnknownName(fault)) return;
    throw fault;
  }
  const type = response.headers.get("content-type")?.split(";")[0]?.trim().toLowerCase();
  if (type === MEDIA_TYPE.ociIndex) {
    return parseManifest(await readBounded(response, url, MAX_MANIFEST_BYTES)).manifests;
  }
  await discard(response, url);
  return;
}

function isUnknownName({ errors }: AnswerFault): boolean {
  return errors.some(({ code }) => code === "NAME_UNKNOWN");
}

/** The tag under which clients keep the list where the registry keeps none. Spec: "Referrers Tag Schema". */
export function referrersTag(digest: Digest): string {
  return `${algorithmOf(digest)}-${hexOf(digest).slice(0, 64)}`;
}

/** The content of a tag; undefined where there is none. */
export async function readTag(
  { client, repository, scopes }: Place,
  tag: string,
): Promise<{ digest: Digest; bytes: Uint8Array } | undefined> {
  const endpoint = { kind: "getManifest", repository, reference: tag } as const;
  const url = await client.urlOf(endpoint);
  const headers = { accept: MANIFEST_MEDIA_TYPES.join(", ") };
  return wholeAnswer(
    client.http.policy,
    () => client.send(endpoint, scopes, { headers }),
    async (response) => {
      if (response.status === 404) {
        await discard(response, url);
        return;
      }
      if (response.status !== 200) throw await answerFault(response, { method: "GET", url });
      const bytes = await readBounded(response, url, MAX_MANIFEST_BYTES);
      const announced = response.headers.get("docker-content-digest") ?? "";
      if (isDigest(announced)) assertDigest(bytes, announced);
      return { digest: digestOf(bytes), bytes };
    },
  );
}

/**
 * The content of a tag that may not be there; undefined also where it is denied as every tag is that does not
 * exist. A tag that alone is denied is there, and its loss a failure.
 */
async function readOptionalTag(place: Place, tag: string): ReturnType<typeof readTag> {
  try {
    return await readTag(place, tag);
  } catch (error) {
    if (!isDenied(error) || !(await deniesAbsentTags(place))) throw error;
    const { host } = await place.client.ping();
    const denied = `\`${host}\` denies tags that do not exist (${error.status}) instead of saying so`;
    place.client.warn(`${denied}: signatures that this account may not read count as absent`);
    return;
  }
}

async function deniesAbsentTags(place: Place): Promise<boolean> {
  try {
    await readTag(place, ABSENT_TAG);
    return false;
  } catch (error) {
    if (isDenied(error)) return true;
    throw error;
  }
}

function isDenied(error: unknown): error is AnswerFault {
  return error instanceof AnswerFault && isDenial(error);
}

/** What is kept under the referrers tag; what is there without being a list lists nothing. */
async function listByTag(place: Place, digest: Digest): Promise<Descriptor[]> {
  const index = await readOptionalTag(place, referrersTag(digest));
  return index === undefined ? [] : parseManifest(index.bytes).manifests;
}

/**
 * cosign's signature, attestations and list of contents of a manifest, as far as they are there.
 * Each is asked for by name: lists of tags are long, and a pull-through cache lists what it holds only.
 */
async function cosignTags(place: Place, subject: Digest): Promise<{ tag: string; digest: Digest }[]> {
  const tags = COSIGN_SUFFIXES.map((suffix) => `${subject.replace(":", "-")}.${suffix}`).filter(isTag);
  const found = [];
  for (const tag of tags) {
    const manifest = await readOptionalTag(place, tag);
    if (manifest !== undefined) found.push({ tag, digest: manifest.digest });
  }
  return found;
}
