import { hintForNoPlace } from "./address.ts";
import { cancelBody } from "./body.ts";
import { redactUrl } from "./redact.ts";
import { type HttpRequest, NetworkError, type Transport } from "./transport.ts";

const MOST_REDIRECTS = 5;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);
/** Never shown to another origin than the one they were made for. */
const PRIVATE_HEADERS = new Set(["authorization", "cookie", "proxy-authorization"]);

/**
 * Follows redirects of reads. Credentials stay with the origin they were meant for: object stores answer
 * 400 to a second authentication, and another host must not see them at all. For the same reason nobody hears
 * what login that host would like: its token server would be given ours. Writes are never followed: the runtime
 * would send an empty body to the new place.
 */
export function following(next: Transport): Transport {
  return async (request) => {
    let current = request;
    for (let hops = 0; ; hops++) {
      const response = await next(current);
      const location = response.headers.get("location");
      const follow = request.method === "GET" || request.method === "HEAD";
      if (!follow || !REDIRECTS.has(response.status) || location === null) {
        return current.url.origin === request.url.origin ? response : withoutChallenge(response);
      }
      await cancelBody(response);
      if (hops >= MOST_REDIRECTS) {
        const hint = `check the scheme, the host and the port: \`${current.url.host}\` sends every request on`;
        throw refused(current.url, `more than ${MOST_REDIRECTS} redirects`, hint);
      }
      current = redirected(current, location);
    }
  };
}

function withoutChallenge(response: Response): Response {
  response.headers.delete("www-authenticate");
  return response;
}

function redirected(request: HttpRequest, location: string): HttpRequest {
  if (!URL.canParse(location, request.url.href)) throw refused(request.url, "its redirect is not a URL");
  const url = new URL(location, request.url);
  if (request.url.protocol === "https:" && url.protocol !== "https:") {
    throw refused(request.url, `its redirect leaves https for ${redactUrl(url)}`);
  }
  if (url.origin === request.url.origin) return { ...request, url, from: request.url };
  const headers = Object.entries(request.headers ?? {}).filter(
    ([name]) => !PRIVATE_HEADERS.has(name.toLowerCase()),
  );
  return { ...request, url, headers: Object.fromEntries(headers), from: request.url };
}

function refused(url: URL, why: string, hint = hintForNoPlace(url)): NetworkError {
  return new NetworkError(`${redactUrl(url)} cannot be followed: ${why}`, {
    code: "REDIRECT",
    retryable: false,
    hint,
  });
}
