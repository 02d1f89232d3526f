import { discard, readBounded } from "../http/body.ts";
import { Fault } from "../oci/fault.ts";
import { isRecord } from "../oci/manifest.ts";
import { isTag, type Reference } from "../oci/reference.ts";
import { answerFault, wholeAnswer } from "./answer.ts";
import type { Registries } from "./client.ts";
import { nextPage } from "./next-page.ts";

const MAX_PAGES = 1000;
const MAX_PAGE_BYTES = 4 * 1024 * 1024;
const MAX_TAGS = 100_000;
const NAME_ONE = "with a version that is named, e.g. by `--eksa-version`, nothing has to be listed";

/** Every tag of a repository; none where there is no such repository. Spec: distribution-spec, "Listing Tags". */
export async function listTags(
  registries: Registries,
  place: Pick<Reference, "registry" | "repository">,
): Promise<string[]> {
  try {
    return await readTags(registries, place);
  } catch (cause) {
    throw new Fault(`cannot list the tags of ${place.registry}/${place.repository}`, {
      cause,
      hint: NAME_ONE,
    });
  }
}

async function readTags(
  registries: Registries,
  { registry, repository }: Pick<Reference, "registry" | "repository">,
): Promise<string[]> {
  const client = registries.client(registry);
  const scopes = [{ repository, actions: "pull" }] as const;
  const tags = new Set<string>();
  let url: URL | undefined = await client.urlOf({ kind: "listTags", repository });
  for (let page = 1; url !== undefined; page++) {
    if (page > MAX_PAGES || tags.size > MAX_TAGS) {
      throw new Error(`after ${tags.size} there is no end`);
    }
    const asked: URL = url;
    const { response, found } = await wholeAnswer(
      client.http.policy,
      () => client.exchange({ method: "GET", url: asked }, scopes),
      async (response) => ({ response, found: await readPage(response, asked) }),
    );
    for (const tag of found) tags.add(tag);
    url = nextPage(response, asked);
  }
  return [...tags];
}

async function readPage(response: Response, url: URL): Promise<string[]> {
  if (response.status === 404) {
    await discard(response, url);
    return [];
  }
  if (response.status !== 200) throw await answerFault(response, { method: "GET", url });
  const text = new TextDecoder().decode(await readBounded(response, url, MAX_PAGE_BYTES));
  try {
    const body: unknown = JSON.parse(text);
    // A repository whose tags are all deleted has `null`.
    const tags = isRecord(body) ? (body.tags ?? []) : undefined;
    if (!Array.isArray(tags)) throw new Error("it has no `tags`");
    return tags.filter((tag): tag is string => typeof tag === "string" && isTag(tag));
  } catch (cause) {
    throw new Fault(`cannot read what ${url.host} lists as tags`, {
      cause,
      hint: `see what answers for \`${url.host}\`: a registry, or a proxy or page before it`,
    });
  }
}
