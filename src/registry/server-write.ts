import { algorithmOf, type Digest, digestOf, isDigest } from "../oci/digest.ts";
import { Fault } from "../oci/fault.ts";
import { childrenOf, MAX_MANIFEST_BYTES, type Manifest, parseManifest } from "../oci/manifest.ts";
import type { ByteStream } from "../oci/plan.ts";
import { type Endpoint, type EndpointOf, formatEndpoint } from "./endpoint.ts";
import { RegistryError } from "./errors.ts";
import { blobUnknown, type ReadEndpoint } from "./server-read.ts";
import type { RegistryStore, Upload } from "./store.ts";

export async function answerWrite(
  store: RegistryStore,
  endpoint: Exclude<Endpoint, ReadEndpoint>,
  request: Request,
): Promise<Response> {
  switch (endpoint.kind) {
    case "startUpload":
      return uploadAnswer(202, endpoint.repository, await store.startUpload(endpoint.repository));
    case "mountBlob":
      return mountBlob(store, endpoint);
    case "postBlob":
      return postBlob(store, endpoint, request);
    case "uploadChunk": {
      const upload = knownUpload(store, endpoint);
      await appendBody(upload, request);
      return uploadAnswer(202, endpoint.repository, upload);
    }
    case "completeUpload": {
      const upload = knownUpload(store, endpoint);
      await appendBody(upload, request);
      await upload.commit(endpoint.digest);
      return blobCreated(endpoint);
    }
    case "getUpload":
      return uploadAnswer(204, endpoint.repository, knownUpload(store, endpoint));
    case "cancelUpload":
      await knownUpload(store, endpoint).cancel();
      return new Response(null, { status: 204 });
    case "putManifest":
      return putManifest(store, endpoint, request);
    case "deleteManifest":
      return deleteManifest(store, endpoint);
    case "deleteBlob":
      if (!(await store.deleteBlob(endpoint.repository, endpoint.digest))) throw blobUnknown(endpoint.digest);
      return new Response(null, { status: 202 });
  }
}

async function mountBlob(store: RegistryStore, endpoint: EndpointOf<"mountBlob">): Promise<Response> {
  const { repository, digest, from } = endpoint;
  if (from !== undefined && (await store.mount(repository, digest, from))) return blobCreated(endpoint);
  return uploadAnswer(202, repository, await store.startUpload(repository));
}

async function postBlob(
  store: RegistryStore,
  endpoint: EndpointOf<"postBlob">,
  request: Request,
): Promise<Response> {
  const upload = await store.startUpload(endpoint.repository);
  try {
    await appendBody(upload, request);
    await upload.commit(endpoint.digest);
  } catch (error) {
    await upload.cancel();
    throw error;
  }
  return blobCreated(endpoint);
}

function knownUpload(
  store: RegistryStore,
  { repository, upload: id }: { repository: string; upload: string },
): Upload {
  const upload = store.upload(repository, id);
  if (upload === undefined) throw new RegistryError("BLOB_UPLOAD_UNKNOWN", "there is no such upload");
  return upload;
}

/** Takes a body whose `Content-Range`, if any, goes on where the upload stands. */
async function appendBody(upload: Upload, request: Request): Promise<void> {
  const range = request.headers.get("Content-Range");
  const length = request.headers.get("Content-Length");
  if (range !== null) {
    const [, first, last] = /^(\d{1,15})-(\d{1,15})$/.exec(range) ?? [];
    if (first === undefined || Number(first) !== upload.size) {
      throw new RegistryError("BLOB_UPLOAD_INVALID", `the upload stands at ${upload.size} bytes`);
    }
    if (length !== null && Number(last) - Number(first) + 1 !== Number(length)) {
      throw new RegistryError("SIZE_INVALID", "`Content-Range` and `Content-Length` differ");
    }
  }
  const before = upload.size;
  if (request.body !== null) await upload.append(request.body);
  if (length !== null && upload.size - before !== Number(length)) {
    throw new RegistryError("SIZE_INVALID", "the body is shorter than its `Content-Length`");
  }
}

function uploadAnswer(status: number, repository: string, upload: Upload): Response {
  const headers = {
    Location: formatEndpoint({ kind: "getUpload", repository, upload: upload.id }).path,
    // Of nothing too, as distribution does: a client cannot tell it from one byte.
    Range: `0-${Math.max(0, upload.size - 1)}`,
    "Docker-Upload-Uuid": upload.id,
  };
  return new Response(null, { status, headers });
}

function blobCreated({ repository, digest }: { repository: string; digest: Digest }): Response {
  const { path } = formatEndpoint({ kind: "getBlob", repository, digest });
  return new Response(null, { status: 201, headers: { Location: path, "Docker-Content-Digest": digest } });
}

async function putManifest(
  store: RegistryStore,
  { repository, reference }: EndpointOf<"putManifest">,
  request: Request,
): Promise<Response> {
  const bytes = await boundedBody(request);
  const digest = isDigest(reference) ? digestOf(bytes, algorithmOf(reference)) : digestOf(bytes);
  if (isDigest(reference) && digest !== reference) {
    throw new RegistryError("DIGEST_INVALID", `the manifest is not ${reference}`, { detail: digest });
  }
  const { manifest, subject } = readManifest(bytes);
  const mediaType = mediaTypeOf(manifest, request.headers.get("Content-Type"));
  await requireChildren(store, repository, manifest);
  const tag = isDigest(reference) ? undefined : reference;
  await store.putManifest(repository, { digest, mediaType, bytes, tag, subject });
  const { path } = formatEndpoint({ kind: "getManifest", repository, reference: digest });
  const headers = new Headers({ Location: path, "Docker-Content-Digest": digest });
  if (subject !== undefined) headers.set("OCI-Subject", subject);
  return new Response(null, { status: 201, headers });
}

async function boundedBody(request: Request): Promise<Uint8Array> {
  const tooLarge = new RegistryError("SIZE_INVALID", `a manifest has at most ${MAX_MANIFEST_BYTES} bytes`, {
    status: 413,
  });
  if (Number(request.headers.get("Content-Length")) > MAX_MANIFEST_BYTES) throw tooLarge;
  const chunks: Uint8Array[] = [];
  let size = 0;
  const body: ByteStream | null = request.body;
  for await (const chunk of body ?? []) {
    size += chunk.length;
    if (size > MAX_MANIFEST_BYTES) throw tooLarge;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function readManifest(bytes: Uint8Array): { manifest: Manifest; subject: Digest | undefined } {
  try {
    const manifest = parseManifest(bytes);
    return { manifest, subject: manifest.subject?.digest };
  } catch (error) {
    if (error instanceof Fault) throw new RegistryError("MANIFEST_INVALID", error.message);
    throw error;
  }
}

function mediaTypeOf(manifest: Manifest, contentType: string | null): string {
  const sent = contentType?.split(";")[0]?.trim();
  if (sent === manifest.mediaType) return sent;
  throw new RegistryError(
    "MANIFEST_INVALID",
    `it was sent as \`${sent ?? "no type"}\` but is ${manifest.mediaType}`,
  );
}

/** Layers with `urls` may be absent: that is what makes them foreign. */
async function requireChildren(store: RegistryStore, repository: string, manifest: Manifest): Promise<void> {
  for (const { digest } of manifest.manifests) {
    if ((await store.manifest(repository, digest)) === undefined) throw childUnknown(digest);
  }
  for (const { digest, urls } of childrenOf({ ...manifest, manifests: [] })) {
    if (urls === undefined && (await store.blob(repository, digest)) === undefined)
      throw childUnknown(digest);
  }
}

function childUnknown(digest: Digest): RegistryError {
  return new RegistryError("MANIFEST_BLOB_UNKNOWN", `this repository does not have ${digest}`, {
    detail: digest,
  });
}

async function deleteManifest(
  store: RegistryStore,
  { repository, reference }: EndpointOf<"deleteManifest">,
): Promise<Response> {
  const deleted = isDigest(reference)
    ? await store.deleteManifest(repository, reference)
    : await store.deleteTag(repository, reference);
  if (!deleted) throw new RegistryError("MANIFEST_UNKNOWN", `there is no manifest \`${reference}\``);
  return new Response(null, { status: 202 });
}
