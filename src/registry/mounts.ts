import { PassingStatus } from "../http/retry.ts";
import { NetworkError } from "../http/transport.ts";
import type { Digest } from "../oci/digest.ts";
import { causes, Fault } from "../oci/fault.ts";
import { AnswerFault } from "./answer.ts";
import type { Scope } from "./auth.ts";
import type { RegistryClient } from "./client.ts";
import { locationOf, sendUpload, type UploadAnswer } from "./upload-address.ts";
import type { UploadTarget } from "./upload-target.ts";

/**
 * Blobs that go from one repository to another within a registry. What it refuses is remembered for the
 * pair of projects, a project being a repository's first path segment: that is where registries (Harbor,
 * GitLab, Quay) draw the line between what one account may read and what not.
 */
export class Mounts {
  readonly #refused = new WeakMap<RegistryClient, Set<string>>();

  /**
   * Mounts a blob from one of those that hold it, of the same project if possible. `no`, or the upload
   * session that a registry opens instead; whatever goes wrong, the blob can be sent.
   */
  async mount(
    to: UploadTarget,
    holders: readonly UploadTarget[],
    digest: Digest,
  ): Promise<"mounted" | "no" | URL> {
    const project = projectOf(to.repository);
    const near = holders.filter(({ client }) => client === to.client);
    const from = near.find(({ repository }) => projectOf(repository) === project) ?? near[0];
    if (from === undefined) return "no";
    const pair = `${projectOf(from.repository)} ${project}`;
    const refused = this.#refused.get(to.client) ?? new Set();
    this.#refused.set(to.client, refused);
    if (refused.has(pair)) return "no";
    try {
      const { response, url } = await post(to, from.repository, digest);
      return response.status === 201 ? "mounted" : locationOf(response, url);
    } catch (error) {
      if (to.client.http.policy.signal.aborted || !isTrouble(error)) throw error;
      // The upload that follows meets the same trouble, if it lasts, and names it.
      if (error instanceof AnswerFault && !isPassing(error)) refused.add(pair);
      return "no";
    }
  }
}

/**
 * A mount reads the source, so it needs a token for both (distribution `registry/handlers/app.go`). It is not
 * tried again: some registries break over each mount (ECR Public, aws/containers-roadmap 1459), and sending the
 * blob is no loss.
 */
async function post(to: UploadTarget, from: string, digest: Digest): Promise<UploadAnswer> {
  const { client, repository, scopes } = to;
  const url = await client.urlOf({ kind: "mountBlob", repository, from, digest });
  const send = (asked: readonly Scope[]) =>
    sendUpload({ client, scopes: asked }, { method: "POST", url }, [201, 202]);
  try {
    return await send([...scopes, { repository: from, actions: "pull" }]);
  } catch (error) {
    if (!(error instanceof Fault) || error instanceof AnswerFault || isPassing(error)) throw error;
    // Docker Hub's token server gives nothing at all where it does not give everything. ggcr PR 1681.
    return send(scopes);
  }
}

function isTrouble(error: unknown): boolean {
  return error instanceof Fault || error instanceof NetworkError || error instanceof PassingStatus;
}

/** Says nothing of mounts: a host that is down or asks for patience, or a token server that is. */
function isPassing(error: unknown): boolean {
  return causes(error).some((link) => {
    if (link instanceof AnswerFault)
      return link.status === 429 || (link.status >= 500 && link.status !== 501);
    return link instanceof NetworkError || link instanceof PassingStatus;
  });
}

export function projectOf(repository: string): string {
  return repository.split("/", 1)[0] ?? repository;
}
