import { type Digest, isDigest } from "../oci/digest.ts";
import { isRepository, isTag } from "../oci/reference.ts";
import { type ErrorCode, RegistryError } from "./errors.ts";

/** A page of a list: at most `n` entries, those after `last`. */
interface Page {
  n?: number;
  last?: string;
}

interface InRepository {
  repository: string;
}

/** An upload that a registry has begun; its address comes from the registry. */
interface InUpload extends InRepository {
  upload: string;
}

/**
 * Every request of the distribution API, as data: a client formats it, a server parses it.
 * Spec: distribution-spec, "Endpoints"; `end-N` are its numbers.
 */
export type Endpoint =
  /** end-1: does the host speak the API, and may I? */
  | { kind: "ping" }
  /** end-2 */
  | ({ kind: "getBlob" | "headBlob"; digest: Digest } & InRepository)
  /** end-3; `reference` is a tag or a digest. */
  | ({ kind: "getManifest" | "headManifest"; reference: string } & InRepository)
  /** end-4a; `algorithm` when the digest to come is not sha256 (`digest-algorithm`, 1.2). */
  | ({ kind: "startUpload"; algorithm?: "sha512" } & InRepository)
  /** end-4b: the body is the whole blob. */
  | ({ kind: "postBlob"; digest: Digest } & InRepository)
  /** end-5 */
  | ({ kind: "uploadChunk" } & InUpload)
  /** end-6: the body, if any, is the last chunk. */
  | ({ kind: "completeUpload"; digest: Digest } & InUpload)
  /** end-7; `reference` is a tag or a digest. */
  | ({ kind: "putManifest"; reference: string } & InRepository)
  /** end-8 */
  | ({ kind: "listTags" } & InRepository & Page)
  /** end-9; a tag goes alone, a digest takes its tags along. */
  | ({ kind: "deleteManifest"; reference: string } & InRepository)
  /** end-10 */
  | ({ kind: "deleteBlob"; digest: Digest } & InRepository)
  /** end-11; without `from` the registry looks for the blob by itself, if it can. */
  | ({ kind: "mountBlob"; digest: Digest; from?: string } & InRepository)
  /** end-12 */
  | ({ kind: "listReferrers"; digest: Digest; artifactType?: string } & InRepository)
  /** end-13: how much has arrived. */
  | ({ kind: "getUpload" } & InUpload)
  /** end-14 */
  | ({ kind: "cancelUpload" } & InUpload)
  /** Not in the specification; distribution `docs/spec/api.md`, "Listing Repositories". */
  | ({ kind: "listRepositories" } & Page);

export type EndpointOf<Kind extends Endpoint["kind"]> = Extract<Endpoint, { kind: Kind }>;

export interface WireRequest {
  method: "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** From `/v2/` on, with the query. */
  path: string;
}

/** Fails on a repository, tag or digest that no registry could hold, so that none can change the path. */
export function formatEndpoint(endpoint: Endpoint): WireRequest {
  if (endpoint.kind === "ping") return { method: "GET", path: "/v2/" };
  if (endpoint.kind === "listRepositories") return { method: "GET", path: `/v2/_catalog${pageOf(endpoint)}` };
  const base = `/v2/${checkedRepository(endpoint.repository)}`;
  switch (endpoint.kind) {
    case "getBlob":
    case "headBlob":
    case "deleteBlob":
      return { method: METHOD[endpoint.kind], path: `${base}/blobs/${checkedDigest(endpoint.digest)}` };
    case "getManifest":
    case "headManifest":
    case "putManifest":
    case "deleteManifest":
      return {
        method: METHOD[endpoint.kind],
        path: `${base}/manifests/${checkedReference(endpoint.reference)}`,
      };
    case "startUpload":
    case "postBlob":
    case "mountBlob":
      return { method: "POST", path: `${base}/blobs/uploads/${uploadQuery(endpoint)}` };
    case "uploadChunk":
    case "getUpload":
    case "cancelUpload":
      return {
        method: METHOD[endpoint.kind],
        path: `${base}/blobs/uploads/${encodeURIComponent(endpoint.upload)}`,
      };
    case "completeUpload": {
      const query = queryOf({ digest: checkedDigest(endpoint.digest) });
      return { method: "PUT", path: `${base}/blobs/uploads/${encodeURIComponent(endpoint.upload)}${query}` };
    }
    case "listTags":
      return { method: "GET", path: `${base}/tags/list${pageOf(endpoint)}` };
    case "listReferrers": {
      const query = queryOf({ artifactType: endpoint.artifactType });
      return { method: "GET", path: `${base}/referrers/${checkedDigest(endpoint.digest)}${query}` };
    }
  }
}

const METHOD = {
  getBlob: "GET",
  headBlob: "HEAD",
  deleteBlob: "DELETE",
  getManifest: "GET",
  headManifest: "HEAD",
  putManifest: "PUT",
  deleteManifest: "DELETE",
  uploadChunk: "PATCH",
  getUpload: "GET",
  cancelUpload: "DELETE",
} as const;

/**
 * What a request asks for; undefined when the path is none of the API's.
 * Fails with a `RegistryError` on a bad name, digest, tag or page, and on a method the path does not know.
 */
export function parseEndpoint(method: string, url: URL): Endpoint | undefined {
  const path = decodedPath(url);
  if (path === "/v2/" || path === "/v2") return only(method, "GET", { kind: "ping" });
  if (path === "/v2/_catalog") {
    return only(method, "GET", { kind: "listRepositories", ...parsePage(url.searchParams) });
  }
  if (path?.startsWith("/v2/") !== true) return;
  // From the end: a repository's own components may be called `blobs` or `tags`.
  const segments = path.slice("/v2/".length).split("/");
  const last = segments.pop() ?? "";
  const noun = segments.pop();
  if (noun === "uploads" && segments.at(-1) === "blobs") {
    const repository = checkedRepository(segments.slice(0, -1).join("/"));
    return last === ""
      ? only(method, "POST", parseUploadStart(repository, url.searchParams))
      : parseUpload(method, { repository, upload: last }, url.searchParams);
  }
  const repository = segments.join("/");
  switch (noun) {
    case "blobs":
      return parseBlob(method, checkedRepository(repository), last);
    case "manifests":
      return parseManifestRequest(method, checkedRepository(repository), last);
    case "tags": {
      if (last !== "list") return;
      const page = parsePage(url.searchParams);
      return only(method, "GET", { kind: "listTags", repository: checkedRepository(repository), ...page });
    }
    case "referrers":
      return only(method, "GET", parseReferrers(checkedRepository(repository), last, url.searchParams));
    default:
      return;
  }
}

function decodedPath(url: URL): string | undefined {
  try {
    return decodeURIComponent(url.pathname);
  } catch {
    return;
  }
}

function parseBlob(method: string, repository: string, last: string): Endpoint {
  const digest = checkedDigest(last);
  if (method === "GET") return { kind: "getBlob", repository, digest };
  if (method === "HEAD") return { kind: "headBlob", repository, digest };
  if (method === "DELETE") return { kind: "deleteBlob", repository, digest };
  throw unsupported(method);
}

function parseManifestRequest(method: string, repository: string, last: string): Endpoint {
  // What cannot be stored is not there either.
  const reference = checkedReference(last, method === "PUT" ? "MANIFEST_INVALID" : "MANIFEST_UNKNOWN");
  if (method === "GET") return { kind: "getManifest", repository, reference };
  if (method === "HEAD") return { kind: "headManifest", repository, reference };
  if (method === "PUT") return { kind: "putManifest", repository, reference };
  if (method === "DELETE") return { kind: "deleteManifest", repository, reference };
  throw unsupported(method);
}

function parseUploadStart(repository: string, query: URLSearchParams): Endpoint {
  const mount = query.get("mount");
  const from = query.get("from");
  if (mount !== null) {
    const digest = checkedDigest(mount);
    if (from === null) return { kind: "mountBlob", repository, digest };
    return { kind: "mountBlob", repository, digest, from: checkedRepository(from) };
  }
  const digest = query.get("digest");
  if (digest !== null) return { kind: "postBlob", repository, digest: checkedDigest(digest) };
  const algorithm = query.get("digest-algorithm") ?? "sha256";
  if (algorithm === "sha256") return { kind: "startUpload", repository };
  if (algorithm === "sha512") return { kind: "startUpload", repository, algorithm };
  throw new RegistryError("DIGEST_INVALID", `\`${clip(algorithm)}\` is not a digest algorithm known here`);
}

function parseUpload(method: string, upload: InUpload, query: URLSearchParams): Endpoint {
  if (method === "PATCH") return { kind: "uploadChunk", ...upload };
  if (method === "GET") return { kind: "getUpload", ...upload };
  if (method === "DELETE") return { kind: "cancelUpload", ...upload };
  if (method !== "PUT") throw unsupported(method);
  return { kind: "completeUpload", ...upload, digest: checkedDigest(query.get("digest") ?? "") };
}

function parseReferrers(repository: string, last: string, query: URLSearchParams): Endpoint {
  const digest = checkedDigest(last);
  const artifactType = query.get("artifactType");
  if (artifactType === null) return { kind: "listReferrers", repository, digest };
  return { kind: "listReferrers", repository, digest, artifactType };
}

function parsePage(query: URLSearchParams): Page {
  const page: Page = {};
  const n = query.get("n");
  const last = query.get("last");
  if (n !== null) {
    if (!/^[0-9]{1,9}$/.test(n)) {
      throw new RegistryError("PAGINATION_NUMBER_INVALID", `\`${clip(n)}\` is not a number of entries`);
    }
    page.n = Number(n);
  }
  if (last !== null) page.last = last;
  return page;
}

function uploadQuery(endpoint: EndpointOf<"startUpload" | "postBlob" | "mountBlob">): string {
  switch (endpoint.kind) {
    case "startUpload":
      return queryOf({ "digest-algorithm": endpoint.algorithm });
    case "postBlob":
      return queryOf({ digest: checkedDigest(endpoint.digest) });
    case "mountBlob": {
      const from = endpoint.from === undefined ? undefined : checkedRepository(endpoint.from);
      return queryOf({ mount: checkedDigest(endpoint.digest), from });
    }
  }
}

function pageOf({ n, last }: Page): string {
  return queryOf({ n: n?.toString(), last });
}

function queryOf(parameters: Record<string, string | undefined>): string {
  const present = Object.entries(parameters).filter(
    (entry): entry is [string, string] => entry[1] !== undefined,
  );
  return present.length === 0 ? "" : `?${new URLSearchParams(present)}`;
}

function only(method: string, allowed: string, endpoint: Endpoint): Endpoint {
  // A HEAD of a list or of the ping answers as its GET does, without the body.
  if (method === allowed || (method === "HEAD" && allowed === "GET")) return endpoint;
  throw unsupported(method);
}

function checkedRepository(text: string): string {
  if (isRepository(text)) return text;
  throw new RegistryError("NAME_INVALID", `\`${clip(text)}\` is not a repository name`);
}

function checkedDigest(text: string): Digest {
  if (isDigest(text)) return text;
  throw new RegistryError("DIGEST_INVALID", `\`${clip(text)}\` is not a digest`);
}

function checkedReference(text: string, code: ErrorCode = "MANIFEST_INVALID"): string {
  if (isDigest(text) || isTag(text)) return text;
  throw new RegistryError(code, `\`${clip(text)}\` is neither a tag nor a digest`);
}

function unsupported(method: string): RegistryError {
  return new RegistryError("UNSUPPORTED", `\`${clip(method)}\` is not possible here`);
}

function clip(text: string): string {
  return text.length > 300 ? `${text.slice(0, 300)}…` : text;
}
