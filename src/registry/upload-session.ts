import { isRetryable } from "../http/retry.ts";
import { algorithmOf, type Digest } from "../oci/digest.ts";
import { Fault } from "../oci/fault.ts";
import { locationOf, nextAddress, sendUpload } from "./upload-address.ts";
import { arrivedAfter, minimumOf } from "./upload-answer.ts";
import type { UploadTarget } from "./upload-target.ts";

/** An upload that is under way. */
export interface Session {
  url: URL;
  /** Bytes that the registry has for certain. */
  arrived: number;
  /** The smallest chunk it takes; unknown of one that was there before. */
  minimum?: number;
}

export async function beginUpload(target: UploadTarget, digest: Digest): Promise<Session> {
  const { client, repository } = target;
  const algorithm = algorithmOf(digest);
  const start = { kind: "startUpload", repository } as const;
  const endpoint = algorithm === "sha512" ? { ...start, algorithm } : start;
  const url = await client.urlOf(endpoint);
  const answer = await sendUpload(target, { method: "POST", url, retry: "exchange" }, [202]);
  return { url: locationOf(answer.response, answer.url), arrived: 0, minimum: minimumOf(answer) };
}

/** What has arrived. Spec: distribution-spec end-13. Undefined when the registry does not say. */
export async function askUpload(target: UploadTarget, url: URL): Promise<Session | undefined> {
  try {
    const answer = await sendUpload(target, { method: "GET", url, retry: "exchange" }, [204]);
    return { url: nextAddress(answer), arrived: arrivedAfter(answer, 0) };
  } catch (error) {
    if (error instanceof Fault || isRetryable(error)) return;
    throw error;
  }
}
