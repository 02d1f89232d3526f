import { answer, type Quirk, refusal } from "./quirks-wire.ts";

/** What proxies, load balancers and busy registries do to any request. */
export interface TrafficQuirks {
  /** The first so many requests are answered 429. Docker Hub, public.ecr.aws, Quay. */
  rateLimitFirst?: number;
  /** What goes with a 429: a second, a date just ahead, or nothing. Only containers/image reads all. RFC 9110, 10.2.3. */
  retryAfter?: "seconds" | "date";
  /** Each so manieth request is answered 429, whatever it brings. nginx `limit_req` without a burst. */
  rateLimitEvery?: number;
  /**
   * Milliseconds between two answered pulls; what comes earlier is a 429 without Retry-After.
   * public.ecr.aws: one second, anonymously. https://github.com/aws/aws-lambda-web-adapter/issues/429
   */
  onePullEvery?: number;
  /** The first request of each kind is answered so. Restarting registries and the proxies before them. */
  failsFirst?: 408 | 500 | 502 | 503 | 504;
  /** The first request of each kind ends with its connection. Idle timeouts, rolling restarts. */
  closesFirst?: boolean;
  /** Errors carry a page in place of JSON. nginx, HAProxy, corporate proxies. */
  htmlErrors?: boolean;
  /** Errors carry nothing at all. GitLab on HEAD, AWS load balancers. */
  emptyErrors?: boolean;
  /** Every answer brings a warning. distribution-spec, "Warnings". */
  extraWarningHeader?: boolean;
  /** Every answer sets a cookie, which is nobody else's business. Harbor (`sid`), AWS load balancers. */
  setsCookies?: boolean;
  /**
   * A portal that answers 200 to everything is no registry.
   * https://github.com/containers/image `docker/docker_image_dest.go`: "require 201".
   */
  answers200ToEverything?: boolean;
}

const PAGE = "<!DOCTYPE html><html><head><title>Please stand by</title></head><body>s3cret</body></html>";

export function trafficQuirks(quirks: TrafficQuirks): Quirk[] {
  const wanted: [unknown, () => Quirk][] = [
    [quirks.extraWarningHeader, () => withHeader("warning", '299 - "this registry is deprecated"')],
    [quirks.setsCookies, () => withHeader("set-cookie", "sid=c00kie; Path=/")],
    [quirks.answers200ToEverything, () => async () => answer(200, { "content-type": "text/html" }, PAGE)],
    [quirks.htmlErrors, () => errorsAs("text/html", PAGE)],
    [quirks.emptyErrors, () => errorsAs(undefined, "")],
    [quirks.rateLimitFirst, () => rateLimited(quirks.rateLimitFirst ?? 0, quirks.retryAfter)],
    [quirks.rateLimitEvery, () => everyNth(quirks.rateLimitEvery ?? 2)],
    [quirks.onePullEvery, () => spaced(quirks.onePullEvery ?? 0)],
    [quirks.failsFirst, () => firstOfEachKind(() => answer(quirks.failsFirst ?? 500, {}, "try again"))],
    [quirks.closesFirst, () => firstOfEachKind(() => ({ ...answer(500), cutAt: -1 }))],
  ];
  return wanted.flatMap(([isWanted, make]) => (isWanted ? [make()] : []));
}

function withHeader(name: string, value: string): Quirk {
  return async (asked, next) => {
    const given = await next(asked);
    given.headers.set(name, value);
    return given;
  };
}

function errorsAs(type: string | undefined, body: string): Quirk {
  return async (asked, next) => {
    const given = await next(asked);
    if (given.status < 400) return given;
    const headers = new Map(given.headers);
    headers.delete("content-length");
    headers.delete("content-type");
    if (type !== undefined) headers.set("content-type", type);
    return { ...given, headers, body: new TextEncoder().encode(body) };
  };
}

function rateLimited(times: number, retryAfter: TrafficQuirks["retryAfter"]): Quirk {
  let left = times;
  return async (asked, next) => {
    if (left-- <= 0) return next(asked);
    const given = refusal(429, "TOOMANYREQUESTS", "slow down");
    if (retryAfter === "seconds") given.headers.set("retry-after", "1");
    if (retryAfter === "date") given.headers.set("retry-after", new Date(Date.now() + 1000).toUTCString());
    return given;
  };
}

function everyNth(interval: number): Quirk {
  let count = 0;
  return async (asked, next) =>
    ++count % interval === 0 ? refusal(429, "TOOMANYREQUESTS", "slow down") : next(asked);
}

function spaced(interval: number): Quirk {
  let free = 0;
  return async (asked, next) => {
    const kind = asked.endpoint?.kind;
    if (kind !== "getManifest" && kind !== "getBlob") return next(asked);
    const now = performance.now();
    if (now < free) return refusal(429, "TOOMANYREQUESTS", "Rate exceeded");
    free = now + interval;
    return next(asked);
  };
}

function firstOfEachKind(failure: () => ReturnType<typeof answer>): Quirk {
  const met = new Set<string>();
  return async (asked, next) => {
    const kind = asked.endpoint?.kind ?? "other";
    if (met.has(kind)) return next(asked);
    met.add(kind);
    return failure();
  };
}
