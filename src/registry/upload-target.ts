import type { Digest } from "../oci/digest.ts";
import { answerFault } from "./answer.ts";
import type { Scope } from "./auth.ts";
import type { RegistryClient } from "./client.ts";
import type { UploadManner } from "./upload-manner.ts";

/** A place for a blob to go to. */
export interface UploadTarget {
  client: RegistryClient;
  repository: string;
  scopes: readonly Scope[];
  /** One for each registry. */
  manner: UploadManner;
  /** Told what is odd about the registry and does not stop the run. */
  warn: (message: string) => void;
}

export async function holdsBlob(
  { client, repository, scopes }: Pick<UploadTarget, "client" | "repository" | "scopes">,
  digest: Digest,
): Promise<boolean> {
  const endpoint = { kind: "headBlob", repository, digest } as const;
  const response = await client.send(endpoint, scopes);
  if (response.status === 200) return true;
  if (response.status === 404) return false;
  throw await answerFault(response, { method: "HEAD", url: await client.urlOf(endpoint) });
}
