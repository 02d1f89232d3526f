import { discard } from "../http/body.ts";
import { passingStatus } from "../http/retry.ts";
import type { HttpRequest } from "../http/transport.ts";
import { Fault } from "../oci/fault.ts";
import { answerError, answerFault, otherThanRegistry } from "./answer.ts";
import type { Scope } from "./auth.ts";
import type { RegistryClient } from "./client.ts";

const MOST_REDIRECTS = 5;
/** Of one request, each waited out in full. */
const MOST_REFUSALS = 100;

export interface UploadRequest extends Pick<HttpRequest, "answers" | "assertBody"> {
  method: "POST" | "PUT" | "PATCH" | "GET";
  url: URL;
  headers?: Record<string, string>;
  /** Made anew for each address that it is sent to. */
  body?: (url: URL) => Bun.BodyInit;
  /** Default: `none`, since an upload goes on from where it stands. */
  retry?: HttpRequest["retry"];
}

/** An answer whose body is read. */
export interface UploadAnswer {
  response: Response;
  /** What gave it. */
  url: URL;
  /** What was asked at first; another than `url` after a redirect, which holds for one request only. */
  asked: URL;
}

/**
 * Sends a request of an upload; fails unless it is answered with one of `statuses`. A 307 or 308 is followed
 * by hand with a new body: the runtime replays a slice of a file as nothing at all.
 */
export async function sendUpload(
  { client, scopes }: { client: RegistryClient; scopes: readonly Scope[] },
  { method, url, headers = {}, body, assertBody, retry = "none", answers }: UploadRequest,
  statuses: readonly number[],
): Promise<UploadAnswer> {
  let at = url;
  let refusals = 0;
  for (let hops = 0; ; ) {
    const here = at;
    const request: HttpRequest = {
      method,
      url: here,
      headers,
      ...(body === undefined ? {} : { body: () => body(here) }),
      ...(assertBody === undefined ? {} : { assertBody }),
      retry,
      ...(answers === undefined ? {} : { answers }),
    };
    const response = await client.exchange(request, scopes);
    if (statuses.includes(response.status)) {
      await discard(response, here);
      return { response, url: here, asked: url };
    }
    // Nothing of it was taken in, so the session stands where it stood. The host's pause is the transport's.
    if (response.status === 429) {
      // Final: to start the upload over would only be one more of what is too many.
      const isFinal = passingStatus(response) === undefined || ++refusals >= MOST_REFUSALS;
      if (isFinal) throw await answerFault(response, request);
      await discard(response, here);
      continue;
    }
    const isRedirect = response.status === 307 || response.status === 308;
    if (!isRedirect || hops++ >= MOST_REDIRECTS) throw await answerError(response, request);
    await discard(response, here);
    at = locationOf(response, here);
  }
}

/** Where an upload goes on; the address that was asked, where the answer names none. */
export function nextAddress({ response, url, asked }: UploadAnswer): URL {
  return response.headers.has("location") ? locationOf(response, url) : new URL(asked);
}

/**
 * What `Location` names: relative or absolute, its query part of it. A missing scheme is the one that was
 * asked (seen by containerd, `remotes/docker/pusher.go`), and so is a port that a proxy has dropped on the
 * same host (oras-go `registry/remote/repository.go`). Fails when it would leave TLS.
 */
export function locationOf(response: Response, asked: URL): URL {
  const text = (response.headers.get("location") ?? "").trim();
  const location = /^[A-Za-z0-9.-]+(?::\d{1,5})?\/v2\//.test(text) ? `//${text}` : text;
  if (location === "" || !URL.canParse(location, asked.href)) {
    throw new Fault(`cannot upload to ${asked.host}: it does not say where`, {
      hint: otherThanRegistry(asked),
    });
  }
  const url = new URL(location, asked);
  if (asked.protocol === "https:" && url.protocol !== "https:") {
    throw new Fault(
      `cannot upload to ${asked.host}: it sends us from https to ${url.protocol.slice(0, -1)}`,
      {
        hint: "let the proxy before the registry send `X-Forwarded-Proto: https`, so that it names itself by https",
      },
    );
  }
  const namesPort = /^(?:[a-z]+:)?\/\/[^/?#]*:\d+(?:[/?#]|$)/i.test(location);
  if (url.hostname === asked.hostname && url.protocol === asked.protocol && !namesPort) url.port = asked.port;
  return url;
}
