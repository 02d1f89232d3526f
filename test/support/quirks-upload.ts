import { randomUUID } from "node:crypto";
import { located, locatedAs, redirected, UPLOADS } from "./quirks-location.ts";
import type { SignedAddresses } from "./quirks-read.ts";
import { type Answer, answer, headerOf, type Quirk, refusal } from "./quirks-wire.ts";

/** What registries do to blobs on their way in. */
export interface UploadQuirks {
  /**
   * Every PATCH of a session but the first is thrown away, and answered 201 all the same.
   * ECR: https://github.com/aws/containers-roadmap/issues/2831
   */
  discardsLaterPatches?: boolean;
  /** ECR: 201, regclient `scheme/reg/blob.go`. The specification says 202. */
  patchAnswers?: 201 | 204;
  /** The specification says 201. regclient `scheme/reg/blob.go` */
  blobPutAnswers?: 200 | 204;
  /** A closing PUT with a body is 404. Artifactory: https://github.com/docker/buildx/issues/196 */
  refusesPutWithBody?: boolean;
  /** Some proxies and serverless registries know no PATCH. */
  refusesPatch?: 404 | 405 | 501;
  /** `Location` carries a state that changes with every answer; a stale one is 404. https://github.com/oras-project/oras-py/pull/150 */
  rotatingState?: boolean;
  /** No `Range` in the answers. Google's, GitHub's. */
  noUploadRange?: boolean;
  /** A PATCH is answered without `Location`: the old one stays good. */
  patchWithoutLocation?: boolean;
  /**
   * How `Location` is written. Default: a path. `withoutScheme`: containerd `remotes/docker/pusher.go`.
   * `otherHost`: a store of its own with a signed address that refuses a second way to log in.
   */
  location?: "absolute" | "networkPath" | "withoutScheme" | "otherHost";
  /** Requests to a session are sent on to the store with a 307. registries.md: the runtime would send an empty body there. */
  redirectsUploads?: "PUT" | "PATCH" | "all";
  /**
   * A mount that is not granted. 202: Harbor, https://github.com/goharbor/harbor/issues/17097. 401: Harbor's robots.
   * 405, 404, 500: ECR Public, https://github.com/aws/containers-roadmap/issues/1459.
   */
  mountAnswers?: 202 | 401 | 403 | 404 | 405 | 500;
  /** Bodies over this are 413. nginx `client_max_body_size`, Cloudflare's 100 MB. */
  bodyLimit?: number;
  /** Chunks over this are 416, bodies without Content-Range are not. GHCR: https://github.com/oras-project/rust-oci-client/issues/35 */
  chunkLimit?: number;
  /** Chunks under this are refused, but for the last. distribution-spec, `OCI-Chunk-Min-Length`; ECR's parts of 5 MB */
  minChunk?: number;
  /** The first so many PATCHes take in half of what they bring, and end with their connection. */
  breaksPatches?: number;
  /** The first so many closing PUTs are 502 though nothing is wrong. A registry that hashes for too long behind a proxy. */
  gatewayTimeoutAtPut?: number;
  /** `GET` of a session is not known. GCR, ECR. */
  noUploadStatus?: boolean;
  /** Cancelling a session needs a right that nobody has. containers/image `docker/docker_image_dest.go` */
  refusesCancel?: boolean;
  /** The specification says `application/octet-stream`. distribution `handlers/blobupload.go` */
  needsOctetStream?: boolean;
  /** 411 without a length. Nexus: https://github.com/sonatype/nexus-public/issues/1040 */
  needsContentLength?: boolean;
  /** The closing PUT of nothing. ECR 400, https://github.com/devcontainers/cli/pull/815; Quay 500, https://github.com/opencontainers/image-spec/issues/1025 */
  refusesEmptyBlobs?: 400 | 500;
  /** The closing PUT is 403, when all has been sent. Harbor: https://github.com/goharbor/harbor/issues/11508 */
  quotaExceededAtPut?: boolean;
  /** Nothing is created on the way. ECR 404 or a closed connection, https://github.com/dotnet/sdk-container-builds/pull/279; Harbor 401 for a project. */
  repositoryMustExist?: 404 | 401 | "closes";
}

/** Outermost first. */
export function uploadQuirks(
  quirks: UploadQuirks,
  addresses: SignedAddresses,
  storage: () => string,
): Quirk[] {
  const { redirectsUploads, location } = quirks;
  const wanted: [unknown, () => Quirk][] = [
    [quirks.repositoryMustExist, () => repositoryMustExist(quirks.repositoryMustExist)],
    [quirks.needsContentLength, () => needsContentLength],
    [quirks.bodyLimit, () => bodyLimit(quirks.bodyLimit ?? 0)],
    [location, () => locatedAs((path) => located(path, { location, addresses, storage }))],
    [redirectsUploads, () => redirected(redirectsUploads ?? "all", addresses, storage)],
    [quirks.mountAnswers, () => mountAnswers(quirks.mountAnswers ?? 202)],
  ];
  return wanted.flatMap(([isWanted, make]) => (isWanted ? [make()] : []));
}

/** Those that apply wherever a session is served from. Outermost first. */
export function sessionQuirks(quirks: UploadQuirks): Quirk[] {
  const { refusesPatch, refusesEmptyBlobs } = quirks;
  const wanted: [unknown, () => Quirk][] = [
    [refusesPatch, () => refuse("uploadChunk", () => refusal(refusesPatch ?? 405, "UNSUPPORTED"))],
    [quirks.noUploadStatus, () => refuse("getUpload", () => refusal(404, "BLOB_UPLOAD_UNKNOWN"))],
    [quirks.refusesCancel, () => refuse("cancelUpload", () => refusal(401, "UNAUTHORIZED"))],
    [quirks.rotatingState, rotatingState],
    [quirks.needsOctetStream, () => needsOctetStream],
    [quirks.chunkLimit, () => chunkLimit(quirks.chunkLimit ?? 0)],
    [quirks.minChunk, () => minChunk(quirks.minChunk ?? 0)],
    [quirks.refusesPutWithBody, () => refusesPutWithBody],
    [quirks.quotaExceededAtPut, () => refuse("completeUpload", () => refusal(403, "DENIED", QUOTA))],
    [quirks.gatewayTimeoutAtPut, () => gatewayTimeoutAtPut(quirks.gatewayTimeoutAtPut ?? 0)],
    [refusesEmptyBlobs, () => refusesEmpty(refusesEmptyBlobs ?? 400)],
    [quirks.breaksPatches, () => breaksPatches(quirks.breaksPatches ?? 0)],
    [quirks.patchAnswers, () => answersTo("uploadChunk", 202, quirks.patchAnswers ?? 202)],
    [quirks.blobPutAnswers, () => answersTo("completeUpload", 201, quirks.blobPutAnswers ?? 201)],
    [quirks.patchWithoutLocation, () => without("location")],
    [quirks.noUploadRange, () => without("range")],
    [quirks.discardsLaterPatches, discardsLaterPatches],
  ];
  return wanted.flatMap(([isWanted, make]) => (isWanted ? [make()] : []));
}

type Kind = "startUpload" | "uploadChunk" | "completeUpload" | "getUpload" | "cancelUpload";

const QUOTA =
  "adding 1.0 MiB of storage resource, which when updated to current usage of 9.9 GiB will exceed";

function refuse(kind: Kind, refused: () => Answer): Quirk {
  return async (asked, next) => (asked.endpoint?.kind === kind ? refused() : next(asked));
}

function answersTo(kind: Kind, from: number, to: number): Quirk {
  return async (asked, next) => {
    const given = await next(asked);
    return asked.endpoint?.kind === kind && given.status === from ? { ...given, status: to } : given;
  };
}

function without(header: "location" | "range"): Quirk {
  return async (asked, next) => {
    const given = await next(asked);
    const isPatch = asked.endpoint?.kind === "uploadChunk";
    if (isPatch || header === "range") given.headers.delete(header);
    return given;
  };
}

function repositoryMustExist(how: UploadQuirks["repositoryMustExist"]): Quirk {
  return async (asked, next) => {
    if (!["startUpload", "postBlob", "mountBlob"].includes(asked.endpoint?.kind ?? "")) return next(asked);
    if (how === "closes") return { ...answer(500), cutAt: -1 };
    return how === 401
      ? refusal(401, "UNAUTHORIZED", "unauthorized to access repository")
      : refusal(404, "NAME_UNKNOWN", "The repository does not exist in the registry");
  };
}

const needsContentLength: Quirk = async (asked, next) => {
  const isWrite = ["POST", "PUT", "PATCH"].includes(asked.method);
  return isWrite && !asked.headers.has("content-length") ? answer(411) : next(asked);
};

const needsOctetStream: Quirk = async (asked, next) => {
  const kind = asked.endpoint?.kind;
  const isBlob = kind === "uploadChunk" || (kind === "completeUpload" && asked.body.length > 0);
  const isRight = asked.headers.get("content-type") === "application/octet-stream";
  return isBlob && !isRight ? refusal(400, "BLOB_UPLOAD_INVALID", "bad Content-Type") : next(asked);
};

function bodyLimit(bytes: number): Quirk {
  return async (asked, next) =>
    asked.body.length > bytes ? answer(413, {}, "<title>413 Request Entity Too Large</title>") : next(asked);
}

function chunkLimit(bytes: number): Quirk {
  return async (asked, next) => {
    const isChunk = asked.endpoint?.kind === "uploadChunk" && asked.headers.has("content-range");
    if (isChunk && asked.body.length > bytes) return refusal(416, "BLOB_UPLOAD_INVALID", "chunk too large");
    return next(asked);
  };
}

function minChunk(bytes: number): Quirk {
  const small = new Set<string>();
  return async (asked, next) => {
    const kind = asked.endpoint?.kind;
    const path = asked.url.pathname;
    if (kind === "uploadChunk" && asked.headers.has("content-range")) {
      if (small.has(path)) return refusal(400, "SIZE_INVALID", "the chunk before was too small");
      if (asked.body.length < bytes) small.add(path);
    }
    const given = await next(asked);
    if (kind === "startUpload") given.headers.set("oci-chunk-min-length", String(bytes));
    return given;
  };
}

function mountAnswers(status: number): Quirk {
  return async (asked, next) => {
    const { endpoint, url } = asked;
    if (endpoint?.kind !== "mountBlob") return next(asked);
    if (status !== 202) return refusal(status, "UNSUPPORTED", "no mounts here");
    const { repository } = endpoint;
    return next({ ...asked, url: new URL(url.pathname, url), endpoint: { kind: "startUpload", repository } });
  };
}

function rotatingState(): Quirk {
  const states = new Map<string, string>();
  return async (asked, next) => {
    const path = asked.url.pathname;
    const isSession = UPLOADS.test(path);
    if (isSession && states.get(path) !== asked.url.searchParams.get("_state")) {
      return refusal(404, "BLOB_UPLOAD_UNKNOWN", "stale state");
    }
    const given = await next(asked);
    const location = new URL(headerOf(given, "location") ?? path, asked.url);
    if (!UPLOADS.test(location.pathname)) return given;
    // Signed as it stands: one encoded slash too few or too many makes it another.
    const state = `${randomUUID()}/+%=`;
    states.set(location.pathname, state);
    given.headers.set("location", `${location.pathname}?_state=${encodeURIComponent(state)}`);
    return given;
  };
}

function discardsLaterPatches(): Quirk {
  const met = new Set<string>();
  return async (asked, next) => {
    if (asked.endpoint?.kind !== "uploadChunk") return next(asked);
    const { upload, repository } = asked.endpoint;
    const isFirst = !met.has(upload);
    met.add(upload);
    if (isFirst) return { ...(await next(asked)), status: 201 };
    const state = await next({
      ...asked,
      method: "GET",
      body: new Uint8Array(),
      endpoint: { kind: "getUpload", upload, repository },
    });
    return { ...state, status: 201 };
  };
}

const refusesPutWithBody: Quirk = async (asked, next) =>
  asked.endpoint?.kind === "completeUpload" && asked.body.length > 0
    ? refusal(404, "BLOB_UPLOAD_UNKNOWN")
    : next(asked);

function gatewayTimeoutAtPut(times: number): Quirk {
  let left = times;
  return async (asked, next) =>
    asked.endpoint?.kind === "completeUpload" && left-- > 0 ? answer(502) : next(asked);
}

/** The SHA-256 of nothing. */
const EMPTY = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

function refusesEmpty(status: number): Quirk {
  return async (asked, next) =>
    asked.endpoint?.kind === "completeUpload" && asked.endpoint.digest === EMPTY
      ? refusal(status, "SIZE_INVALID", "layer is empty")
      : next(asked);
}

function breaksPatches(times: number): Quirk {
  let left = times;
  return async (asked, next) => {
    if (asked.endpoint?.kind !== "uploadChunk" || asked.body.length < 2 || left-- <= 0) return next(asked);
    const half = asked.body.subarray(0, asked.body.length >> 1);
    const headers = new Headers(asked.headers);
    headers.delete("content-range");
    headers.delete("content-length");
    return { ...(await next({ ...asked, headers, body: half })), cutAt: -1 };
  };
}
