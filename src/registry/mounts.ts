import { discard } from "../http/body.ts";
import { passingStatus } from "../http/retry.ts";
import type { Digest } from "../oci/digest.ts";
import { Fault } from "../oci/fault.ts";
import type { Scope } from "./auth.ts";
import { locationOf } from "./upload-address.ts";
import type { UploadTarget } from "./upload-target.ts";

/**
 * Blobs that go from one repository to another within a registry. What it refuses is remembered for the
 * pair of projects, a project being a repository's first path segment: that is where registries (Harbor,
 * GitLab, Quay) draw the line between what one account may read and what not.
 */
export class Mounts {
  readonly #refused = new Set<string>();

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
    if (this.#refused.has(pair)) return "no";
    try {
      const endpoint = {
        kind: "mountBlob",
        repository: to.repository,
        from: from.repository,
        digest,
      } as const;
      const url = await to.client.urlOf(endpoint);
      const response = await post(to, from, endpoint);
      await discard(response, url);
      if (response.status === 201) return "mounted";
      if (response.status === 202) return locationOf(response, url);
      if (passingStatus(response) === undefined) this.#refused.add(pair);
    } catch {
      // The upload that follows meets the same trouble, if it lasts, and names it.
    }
    return "no";
  }
}

/** A mount reads the source, so it needs a token for both. distribution `registry/handlers/app.go`. */
async function post(
  to: UploadTarget,
  from: UploadTarget,
  endpoint: { kind: "mountBlob"; repository: string; from: string; digest: Digest },
): Promise<Response> {
  const both: Scope[] = [...to.scopes, { repository: from.repository, actions: "pull" }];
  try {
    return await to.client.send(endpoint, both);
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    // Docker Hub's token server gives nothing at all where it does not give everything. ggcr PR 1681.
    return await to.client.send(endpoint, to.scopes);
  }
}

export function projectOf(repository: string): string {
  return repository.split("/", 1)[0] ?? repository;
}
