import { type Descriptor, MEDIA_TYPE } from "../oci/descriptor.ts";
import type { Digest } from "../oci/digest.ts";
import { compareBytewise } from "../oci/reference.ts";
import { type Endpoint, type EndpointOf, formatEndpoint } from "./endpoint.ts";
import { RegistryError } from "./errors.ts";
import { describeReferrer } from "./referrer.ts";
import type { RegistryContent } from "./store.ts";

const READS = [
  "ping",
  "getBlob",
  "headBlob",
  "getManifest",
  "headManifest",
  "listTags",
  "listReferrers",
  "listRepositories",
] as const;

export type ReadEndpoint = EndpointOf<(typeof READS)[number]>;

export function isRead(endpoint: Endpoint): endpoint is ReadEndpoint {
  return (READS as readonly string[]).includes(endpoint.kind);
}

export async function answerRead(
  content: RegistryContent,
  endpoint: ReadEndpoint,
  request: Request,
): Promise<Response> {
  switch (endpoint.kind) {
    case "ping":
      return Response.json({});
    case "getBlob":
    case "headBlob":
      return answerBlob(content, endpoint, request.headers.get("Range"));
    case "getManifest":
    case "headManifest":
      return answerManifest(content, endpoint);
    case "listTags":
      return answerTags(content, endpoint);
    case "listReferrers":
      return answerReferrers(content, endpoint);
    case "listRepositories": {
      const { entries, headers } = page(await content.repositories(), endpoint);
      return Response.json({ repositories: entries }, { headers });
    }
  }
}

async function answerBlob(
  content: RegistryContent,
  { kind, repository, digest }: EndpointOf<"getBlob" | "headBlob">,
  wanted: string | null,
): Promise<Response> {
  const blob = await content.blob(repository, digest);
  if (blob === undefined) throw blobUnknown(digest);
  const headers = new Headers({
    "Content-Type": "application/octet-stream",
    "Accept-Ranges": "bytes",
    "Docker-Content-Digest": digest,
  });
  if (kind === "headBlob") {
    headers.set("Content-Length", String(blob.size));
    return new Response(null, { headers });
  }
  const range = parseRange(wanted, blob.size);
  if (range === "unsatisfiable") {
    return new Response(null, { status: 416, headers: { "Content-Range": `bytes */${blob.size}` } });
  }
  const { start, end } = range ?? { start: 0, end: blob.size };
  headers.set("Content-Length", String(end - start));
  if (range !== undefined) headers.set("Content-Range", `bytes ${start}-${end - 1}/${blob.size}`);
  return new Response(blob.read(start, end), { status: range === undefined ? 200 : 206, headers });
}

/** Half-open. Undefined, as RFC 9110 (14.2) allows, for what is no single range of bytes. */
function parseRange(
  header: string | null,
  size: number,
): { start: number; end: number } | "unsatisfiable" | undefined {
  const [, first = "", last = ""] = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header ?? "") ?? [];
  if (first === "" && last === "") return;
  if (first === "") {
    const suffix = Math.min(Number(last), size);
    return suffix === 0 ? "unsatisfiable" : { start: size - suffix, end: size };
  }
  const start = Number(first);
  const end = last === "" ? size : Math.min(Number(last) + 1, size);
  if (last !== "" && Number(last) < start) return;
  return start >= size ? "unsatisfiable" : { start, end };
}

async function answerManifest(
  content: RegistryContent,
  { kind, repository, reference }: EndpointOf<"getManifest" | "headManifest">,
): Promise<Response> {
  const manifest = await content.manifest(repository, reference);
  if (manifest === undefined) {
    throw new RegistryError("MANIFEST_UNKNOWN", `there is no manifest \`${reference}\` in ${repository}`);
  }
  const headers = {
    "Content-Type": manifest.mediaType,
    "Content-Length": String(manifest.bytes.length),
    "Docker-Content-Digest": manifest.digest,
  };
  return new Response(kind === "headManifest" ? null : manifest.bytes.slice(), { headers });
}

async function answerTags(content: RegistryContent, endpoint: EndpointOf<"listTags">): Promise<Response> {
  const tags = await content.tags(endpoint.repository);
  if (tags === undefined) {
    throw new RegistryError("NAME_UNKNOWN", `there is no repository \`${endpoint.repository}\``);
  }
  const { entries, headers } = page(tags, endpoint);
  return Response.json({ name: endpoint.repository, tags: entries }, { headers });
}

async function answerReferrers(
  content: RegistryContent,
  { repository, digest, artifactType }: EndpointOf<"listReferrers">,
): Promise<Response> {
  const all: Descriptor[] = (await content.referrers(repository, digest)).map(describeReferrer);
  const manifests = artifactType === undefined ? all : all.filter((one) => one.artifactType === artifactType);
  const headers: Record<string, string> = { "Content-Type": MEDIA_TYPE.ociIndex };
  if (artifactType !== undefined) headers["OCI-Filters-Applied"] = "artifactType";
  const index = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests };
  return new Response(JSON.stringify(index), { headers });
}

/** Cuts a sorted list and links to what follows. Spec: distribution-spec, "Listing Tags". */
function page(
  all: string[],
  endpoint: EndpointOf<"listTags" | "listRepositories">,
): { entries: string[]; headers: Record<string, string> } {
  const { n, last } = endpoint;
  const rest = last === undefined ? all : all.filter((entry) => compareBytewise(entry, last) > 0);
  const entries = rest.slice(0, n);
  const final = entries.at(-1);
  if (final === undefined || entries.length === rest.length) return { entries, headers: {} };
  const { path } = formatEndpoint({ ...endpoint, last: final });
  return { entries, headers: { Link: `<${path}>; rel="next"` } };
}

export function blobUnknown(digest: Digest): RegistryError {
  return new RegistryError("BLOB_UNKNOWN", `there is no blob ${digest} in this repository`, {
    detail: digest,
  });
}
