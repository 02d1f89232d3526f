import { discard } from "../http/body.ts";
import { retried } from "../http/retry.ts";
import type { HttpRequest } from "../http/transport.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { algorithmOf } from "../oci/digest.ts";
import { Fault } from "../oci/fault.ts";
import type { Content } from "../oci/plan.ts";
import { answerError, answerFault } from "./answer.ts";
import type { Scope } from "./auth.ts";
import type { RegistryClient } from "./client.ts";

/** A place for a blob to go to. */
export interface UploadTarget {
  client: RegistryClient;
  repository: string;
  scopes: readonly Scope[];
}

const OCTETS = { "content-type": "application/octet-stream" };

/**
 * Sends a blob the way that every registry understands: begin, one PATCH with all of it and no
 * Content-Range, close with the digest. Whatever breaks, the blob starts over in a session of its own.
 * `session`: one that is open already, e.g. from a mount that was not granted; used for the first try.
 */
export async function upload(
  target: UploadTarget,
  { digest, size }: Descriptor,
  { content, session }: { content: Content; session?: URL | undefined },
): Promise<void> {
  let open = session;
  await retried(
    target.client.http.policy,
    () => `upload of ${digest}`,
    async () => {
      const start = open ?? (await startUpload(target, digest));
      open = undefined;
      const filled = size === 0 ? start : await sendBytes(target, start, { content, size });
      // Added to the query as it stands: a registry may have signed it.
      filled.search += `${filled.search === "" ? "?" : "&"}digest=${encodeURIComponent(digest)}`;
      const put: HttpRequest = { method: "PUT", url: filled, headers: OCTETS, retry: "none" };
      await expect(target, put, [201, 204]);
    },
  );
}

async function startUpload(
  { client, repository, scopes }: UploadTarget,
  digest: Descriptor["digest"],
): Promise<URL> {
  const sha512 = algorithmOf(digest) === "sha512" ? ({ algorithm: "sha512" } as const) : {};
  const endpoint = { kind: "startUpload", repository, ...sha512 } as const;
  const url = await client.urlOf(endpoint);
  const response = await client.send(endpoint, scopes);
  if (response.status !== 202) throw await answerFault(response, { method: "POST", url });
  await discard(response, url);
  return locationOf(response, url);
}

/** Returns where to go on. ECR answers 201 where the specification says 202. */
async function sendBytes(
  target: UploadTarget,
  url: URL,
  { content, size }: { content: Content; size: number },
): Promise<URL> {
  // Over plain HTTP the kernel sends a slice of a file by itself; over TLS the runtime would read all of it
  // into memory. The registry checks the digest in either case.
  const slice = url.protocol === "http:" ? content.slice() : undefined;
  const watched = new WatchedStream(content);
  const body = slice === undefined ? () => watched.open() : () => slice;
  const headers = { ...OCTETS, "content-length": String(size) };
  try {
    const response = await expect(
      target,
      { method: "PATCH", url, headers, body, retry: "none" },
      [201, 202, 204],
    );
    return response.headers.has("location") ? locationOf(response, url) : url;
  } catch (error) {
    throw watched.failure ?? error;
  }
}

/** A request body that remembers why it broke: the runtime would only say that the connection did. */
class WatchedStream {
  failure: unknown;
  readonly #content: Content;

  constructor(content: Content) {
    this.#content = content;
  }

  open(): ReadableStream<Uint8Array> {
    const chunks = this.#content.stream()[Symbol.asyncIterator]();
    return new ReadableStream({
      pull: async (controller) => {
        try {
          const { done, value } = await chunks.next();
          if (done === true) controller.close();
          else controller.enqueue(value);
        } catch (error) {
          this.failure = error;
          controller.error(error);
        }
      },
      cancel: async () => {
        await chunks.return?.();
      },
    });
  }
}

/** Sends a request of an upload; fails unless it is answered with one of `statuses`. */
async function expect(
  { client, scopes }: UploadTarget,
  request: HttpRequest,
  statuses: readonly number[],
): Promise<Response> {
  const response = await client.exchange(request, scopes);
  if (statuses.includes(response.status)) {
    await discard(response, request.url);
    return response;
  }
  throw await answerError(response, request);
}

/** Where an upload goes on: relative or absolute, its query part of it. Fails when it would leave TLS. */
export function locationOf(response: Response, asked: URL): URL {
  const location = response.headers.get("location") ?? "";
  if (location === "" || !URL.canParse(location, asked.href)) {
    throw new Fault(`cannot upload to ${asked.host}: it does not say where`);
  }
  const url = new URL(location, asked);
  if (asked.protocol === "https:" && url.protocol !== "https:") {
    throw new Fault(`cannot upload to ${asked.host}: it sends us from https to ${url.protocol.slice(0, -1)}`);
  }
  return url;
}
