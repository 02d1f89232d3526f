import { AnswerFault } from "./answer.ts";
import type { UploadAnswer } from "./upload-address.ts";

/** A registry that does not take blobs this way; the `cause` is what it said. */
export class MethodRefused extends Error {
  override readonly name = "MethodRefused";

  constructor(cause: unknown) {
    super("the registry does not take blobs this way", { cause });
  }
}

/** Bytes that an upload holds, the session's first `sent` at most being known to have gone. */
export function arrivedAfter({ response }: UploadAnswer, sent: number): number {
  const range = response.headers.get("range");
  if (range === null) return sent;
  const [, last] = /^(?:bytes=)?0-(\d{1,15})$/.exec(range.trim()) ?? [];
  if (last === undefined) return 0;
  // `0-0` is one byte, or none: distribution `registry/handlers/blobupload.go`.
  return last === "0" && sent !== 1 ? 0 : Number(last) + 1;
}

/** Spec: distribution-spec, "Pushing a blob in chunks". */
export function minimumOf({ response }: UploadAnswer): number {
  const text = response.headers.get("oci-chunk-min-length") ?? "";
  return /^\d{1,15}$/.test(text) ? Number(text) : 0;
}

/** No other way of sending the bytes would change it. */
export function isDenial(error: AnswerFault): boolean {
  return error.status === 401 || error.status === 403;
}

export function isTooLarge(error: unknown): boolean {
  return error instanceof AnswerFault && error.status === 413;
}

/** The session is gone; a new one may live longer. */
export function isForgotten(error: unknown): boolean {
  return error instanceof AnswerFault && error.errors.some(({ code }) => code === "BLOB_UPLOAD_UNKNOWN");
}

/** The request is none that the registry knows: Artifactory 404, others 405 or 501. */
export function isUnsupported(error: unknown): boolean {
  if (!(error instanceof AnswerFault) || isForgotten(error)) return false;
  const { status, errors } = error;
  return [404, 405, 501].includes(status) || errors.some(({ code }) => code === "UNSUPPORTED");
}
