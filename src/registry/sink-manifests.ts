import { readBounded } from "../http/body.ts";
import { ContentLost } from "../oci/content-lost.ts";
import { MANIFEST_MEDIA_TYPES } from "../oci/descriptor.ts";
import { algorithmOf, type Digest, digestOf, isDigest } from "../oci/digest.ts";
import { Fault } from "../oci/fault.ts";
import { MAX_MANIFEST_BYTES } from "../oci/manifest.ts";
import { AnswerFault, answerFault, wholeAnswer } from "./answer.ts";
import type { Place } from "./referrers.ts";
import { sendUpload, type UploadRequest } from "./upload-address.ts";
import type { UploadTarget } from "./upload-target.ts";
import { warnOf } from "./warning.ts";

/** A manifest under one of its names: a tag or its digest. */
export interface NamedManifest {
  reference: string;
  digest: Digest;
  mediaType: string;
  bytes: Uint8Array;
}

const ACCEPT = { accept: MANIFEST_MEDIA_TYPES.join(", ") };

/** The digest that a tag or digest stands for in a registry; undefined when it holds nothing there. */
export async function storedDigest(
  { client, repository, scopes }: Place,
  reference: string,
): Promise<string | undefined> {
  const head = { kind: "headManifest", repository, reference } as const;
  const answer = await client.send(head, scopes, { headers: ACCEPT });
  if (answer.status === 404) return;
  if (answer.status !== 200) {
    throw await answerFault(answer, { method: "HEAD", url: await client.urlOf(head) });
  }
  const announced = answer.headers.get("docker-content-digest");
  if (announced !== null) return announced;
  // Not every registry says it to HEAD.
  const get = { kind: "getManifest", repository, reference } as const;
  const url = await client.urlOf(get);
  return wholeAnswer(
    client.http.policy,
    () => client.send(get, scopes, { headers: ACCEPT }),
    async (response) => {
      if (response.status === 404) return;
      if (response.status !== 200) throw await answerFault(response, { method: "GET", url });
      const bytes = await readBounded(response, url, MAX_MANIFEST_BYTES);
      return digestOf(bytes, isDigest(reference) ? algorithmOf(reference) : "sha256");
    },
  );
}

/** Returns the registry's answer. Fails when it stores something else, or nothing, whatever it answers. */
export async function sendManifest(target: UploadTarget, manifest: NamedManifest): Promise<Response> {
  const { client, repository } = target;
  const { reference, digest, mediaType, bytes } = manifest;
  const endpoint = { kind: "putManifest", repository, reference } as const;
  const url = await client.urlOf(endpoint);
  const headers = { "content-type": mediaType, "content-length": String(bytes.length) };
  const put: UploadRequest = { method: "PUT", url, headers, body: () => bytes, retry: "exchange" };
  const { response } = await sendUpload(target, put, [201, 200, 202]).catch((error: unknown) => {
    throw lostContent(digest, error);
  });
  warnOf(response, url, target.warn);
  const stored = response.headers.get("docker-content-digest");
  if (stored !== null && stored !== digest) {
    throw new Fault(`cannot keep ${digest}: ${url.host} stored it as ${stored}`, {
      hint: whoAnswers(url.host),
      kind: "mismatch",
    });
  }
  // A host that answers 200 to everything is no registry; a tag is what everybody will come for.
  if (response.status !== 201 || !isDigest(reference)) await assertStored(target, manifest, url.host);
  return response;
}

async function assertStored(
  target: UploadTarget,
  { reference, digest }: NamedManifest,
  host: string,
): Promise<void> {
  const found = await storedDigest(target, reference);
  if (found === digest) return;
  const others =
    found === undefined || isDigest(reference) ? "" : "; or whether another run set this tag, too";
  throw new Fault(`cannot keep ${digest}: ${host} took it, and holds ${found ?? "nothing"} in its place`, {
    hint: `${whoAnswers(host)}${others}`,
  });
}

function whoAnswers(host: string): string {
  return `see what answers for \`${host}\`: a registry, or a proxy or page before it`;
}

function lostContent(digest: Digest, fault: unknown): unknown {
  if (!(fault instanceof AnswerFault)) return fault;
  const unknown = fault.errors.filter(({ code }) => code === "MANIFEST_BLOB_UNKNOWN");
  if (unknown.length === 0) return fault;
  const named = unknown.flatMap(({ message, detail = "" }) => {
    return `${message} ${detail}`.match(/sha(?:256:[0-9a-f]{64}|512:[0-9a-f]{128})(?![0-9a-f])/g) ?? [];
  });
  const digests = [...new Set(named.filter(isDigest))];
  return new ContentLost(`cannot put the manifest ${digest}: what it refers to is gone`, {
    digests,
    cause: fault.withoutHint(),
  });
}

/** What else a PUT over a tag may be refused for with these statuses. */
const OTHER_REASONS = new Set([
  "MANIFEST_INVALID",
  "DIGEST_INVALID",
  "SIZE_INVALID",
  "NAME_INVALID",
  "UNSUPPORTED",
]);

/** A tag that may not move: ECR says 400 (TAG_INVALID), Harbor 412, others 409. */
export function isImmutable(error: unknown): error is AnswerFault {
  if (!(error instanceof AnswerFault)) return false;
  // What is denied is rarely this, unless it is said.
  if (error.status === 403) return error.errors.some(({ message }) => /\bimmutab/i.test(message));
  if (![400, 409, 412].includes(error.status)) return false;
  return !error.errors.some(({ code }) => code !== undefined && OTHER_REASONS.has(code));
}

/** Whether a registry does not accept manifests like this one; `found`: what the tag has stood for so far. */
export function isUnacceptable(error: unknown, found: string | undefined): boolean {
  if (!(error instanceof AnswerFault) || ![400, 405, 406, 415, 422].includes(error.status)) return false;
  return found === undefined || !isImmutable(error);
}

/** A tag that moves with every release. */
export function isFloating(tag: string): boolean {
  return tag === "latest" || /^v\d+-\d+-latest$/.test(tag);
}
