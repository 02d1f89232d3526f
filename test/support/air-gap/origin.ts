import type { Digest } from "../../../src/oci/digest.ts";
import { errorBody } from "../../../src/registry/errors.ts";
import { type Handler, readOnlyHandler } from "../../../src/registry/server.ts";
import type { RegistryContent, StoredManifest } from "../../../src/registry/store.ts";
import { PRIVATE_PACKAGES } from "../packages.ts";
import { partsOf } from "../release.ts";
import type { Artifact, Publication } from "./content.ts";
import type { Traffic } from "./traffic.ts";

export const PUBLIC = "public.ecr.aws";
/** Where registries send those who ask for blobs. */
const CDN = "d5l0dvt14r5h8.cloudfront.net";
const ANONYMOUS = "public-t0ken";
/** For the registry of curated packages. */
export const ROBOT = { username: "AWS", password: "c0rrect-horse" } as const;

/** Every host that there is in the Internet. */
export const NAMES = [
  PUBLIC,
  CDN,
  PRIVATE_PACKAGES,
  "anywhere-assets.eks.amazonaws.com",
  "distro.eks.amazonaws.com",
] as const;

/** The whole Internet, told apart by the host that is asked for. */
export function internet({ releases, documents }: Publication, traffic: Traffic): Handler {
  const artifacts = releases.flatMap((release) => release.artifacts);
  const blobs = new Map(artifacts.flatMap(({ content }) => [...content.blobs]));
  const registryOf = (
    host: string,
    refuse: Handler | ((request: Request) => Response | undefined),
  ): Handler => {
    const handle = readOnlyHandler(
      new Shelf(artifacts.filter(({ reference }) => partsOf(reference).host === host)),
    );
    return async (request) => {
      return traffic.refuse() ?? (await refuse(request)) ?? redirected(request, await handle(request));
    };
  };
  const hosts = new Map<string, Handler>([
    [PUBLIC, registryOf(PUBLIC, anonymously)],
    [PRIVATE_PACKAGES, registryOf(PRIVATE_PACKAGES, withPassword)],
    [CDN, async (request) => traffic.refuse() ?? fromCdn(request, blobs, traffic)],
  ]);
  return async (request) => {
    const url = new URL(request.url);
    const handle = hosts.get(url.host);
    if (handle !== undefined) return handle(request);
    const text = documents.get(`https://${url.host}${url.pathname}`);
    return text === undefined ? new Response("not found\n", { status: 404 }) : new Response(text);
  };
}

/** Tokens for everybody, all with one scope, as public.ecr.aws has it. */
function anonymously(request: Request): Response | undefined {
  const { pathname } = new URL(request.url);
  if (pathname === "/token/") return Response.json({ token: ANONYMOUS });
  if (request.headers.get("Authorization") === `Bearer ${ANONYMOUS}`) return;
  return unauthorized(`Bearer realm="https://${PUBLIC}/token/",service="${PUBLIC}",scope="aws"`);
}

function withPassword(request: Request): Response | undefined {
  const expected = `Basic ${Buffer.from(`${ROBOT.username}:${ROBOT.password}`).toString("base64")}`;
  if (request.headers.get("Authorization") === expected) return;
  return unauthorized(`Basic realm="https://${PRIVATE_PACKAGES}/",service="ecr.amazonaws.com"`);
}

function unauthorized(challenge: string): Response {
  const headers = { "Content-Type": "application/json", "WWW-Authenticate": challenge };
  return new Response(errorBody("UNAUTHORIZED", "Not Authorized"), { status: 401, headers });
}

/** Blobs that are there come from elsewhere. */
function redirected(request: Request, response: Response): Response {
  const digest = /\/blobs\/([^/]+)$/.exec(new URL(request.url).pathname)?.[1];
  if (digest === undefined || !response.ok) return response;
  return new Response(null, {
    status: 307,
    headers: { Location: `https://${CDN}/${digest}?X-Amz-Signature=5` },
  });
}

function fromCdn(request: Request, blobs: ReadonlyMap<Digest, Uint8Array>, traffic: Traffic): Response {
  if (request.headers.has("Authorization")) {
    return new Response("<Error><Code>InvalidArgument</Code></Error>", { status: 400 });
  }
  const bytes = blobs.get(new URL(request.url).pathname.slice(1) as Digest);
  if (bytes === undefined) return new Response("<Error><Code>NoSuchKey</Code></Error>", { status: 404 });
  const from = Number(/^bytes=(\d+)-$/.exec(request.headers.get("Range") ?? "")?.[1] ?? 0);
  const range = `bytes ${from}-${bytes.length - 1}/${bytes.length}`;
  return new Response(sent(bytes.subarray(from), traffic), {
    status: from === 0 ? 200 : 206,
    headers: {
      "Content-Length": String(bytes.length - from),
      ...(from > 0 && { "Content-Range": range }),
    },
  });
}

const CHUNK = 256 * 1024;

function sent(bytes: Uint8Array, traffic: Traffic): ReadableStream<Uint8Array> {
  let at = 0;
  return new ReadableStream({
    async pull(controller) {
      const chunk = bytes.subarray(at, at + CHUNK);
      await traffic.pass(chunk.length);
      at += chunk.length;
      controller.enqueue(chunk);
      if (at >= bytes.length) controller.close();
    },
  });
}

/** A registry's content in memory. */
class Shelf implements RegistryContent {
  readonly #tags = new Map<string, Map<string, Digest>>();
  readonly #manifests = new Map<string, StoredManifest>();
  readonly #blobs = new Map<string, Uint8Array>();

  constructor(artifacts: readonly Artifact[]) {
    for (const { reference, content } of artifacts) {
      const { repository, tag } = partsOf(reference);
      const tags = this.#tags.get(repository) ?? new Map<string, Digest>();
      if (tag !== undefined) tags.set(tag, content.root.digest);
      this.#tags.set(repository, tags);
      for (const manifest of content.manifests)
        this.#manifests.set(`${repository}@${manifest.digest}`, manifest);
      for (const [digest, bytes] of content.blobs) this.#blobs.set(`${repository}@${digest}`, bytes);
    }
  }

  async blob(repository: string, digest: Digest) {
    const bytes = this.#blobs.get(`${repository}@${digest}`);
    if (bytes === undefined) return;
    return { size: bytes.length, read: (start: number, end: number) => new Blob([bytes.slice(start, end)]) };
  }

  async manifest(repository: string, reference: string): Promise<StoredManifest | undefined> {
    return this.#manifests.get(`${repository}@${this.#tags.get(repository)?.get(reference) ?? reference}`);
  }

  async tags(repository: string): Promise<string[] | undefined> {
    const tags = this.#tags.get(repository);
    return tags && [...tags.keys()].sort();
  }

  async repositories(): Promise<string[]> {
    return [...this.#tags.keys()].sort();
  }

  async referrers(): Promise<StoredManifest[]> {
    return [];
  }
}
