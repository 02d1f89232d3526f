import { gzipSync } from "node:zlib";
import { type Answer, answer, type Quirk, refusal } from "./quirks-wire.ts";

/** What registries and what stands before them do to blobs on their way out. */
export interface ReadQuirks {
  /**
   * Blobs come from a store on another port, which answers 400 to a second way to log in, by an address that is
   * good for one request. S3: https://github.com/open-policy-agent/opa/issues/6580.
   * `relative`: from another path of the registry. Google's: https://github.com/sonatype/nexus-public/issues/1061
   */
  redirectsBlobs?: "store" | "relative";
  /** HEAD of a blob is 401, GET is not. public.ecr.aws: https://github.com/distribution/distribution/issues/4383 */
  blobHead401?: boolean;
  /** The first two answers for each blob end after so many bytes. */
  dropBodyAt?: number;
  /** The first answer for each blob stops after so many bytes, and its connection stays. */
  hangAfter?: number;
  /** Ranges are answered 200 with everything. RFC 9110, 14.2 allows it; pull-through caches do it. */
  ignoresRange?: boolean;
  /** Ranges are answered 206 with other bytes than those asked for, once each. containers/image `docker/body_reader.go`. */
  wrongRangeOnce?: boolean;
  /** Blobs come without `Content-Length`. Caches that compress or stream. */
  unmeasuredBlobs?: boolean;
  /** HEAD comes without `Content-Length`. Cloudflare's R2 registry, proxies. */
  noHeadContentLength?: boolean;
  /** Blobs come compressed, whatever was asked for. nginx with `gzip_types *`, Cloudflare. */
  gzipContentEncoding?: boolean;
}

/** Those that apply wherever a blob comes from. */
export function bodyQuirks(quirks: ReadQuirks): Quirk[] {
  const { dropBodyAt, hangAfter } = quirks;
  const wanted: [unknown, () => Quirk][] = [
    [dropBodyAt, () => firstAnswers(2, (given) => ({ ...given, cutAt: dropBodyAt ?? 0 }))],
    [hangAfter, () => firstAnswers(1, (given) => ({ ...given, hangAt: hangAfter ?? 0 }))],
    [quirks.unmeasuredBlobs, () => ofBlobs((given) => ({ ...given, unmeasured: true }))],
    [quirks.gzipContentEncoding, () => ofBlobs(compressed)],
    [quirks.wrongRangeOnce, wrongRangeOnce],
    [quirks.ignoresRange, () => ignoresRange],
  ];
  return wanted.flatMap(([isWanted, make]) => (isWanted ? [make()] : []));
}

/** `storage`: the host of a store beside the registry. */
export function readQuirks(quirks: ReadQuirks, addresses: SignedAddresses, storage: () => string): Quirk[] {
  const toStore = (path: string) => `http://${storage()}${path}`;
  const toPath = (path: string) => `${DOWNLOADS}${path}`;
  const wanted: [unknown, () => Quirk][] = [
    [quirks.blobHead401, () => blobHead401],
    [quirks.noHeadContentLength, () => noHeadContentLength],
    [quirks.redirectsBlobs === "store", () => redirects((path) => toStore(addresses.sign(path)))],
    [quirks.redirectsBlobs === "relative", () => redirects((path) => toPath(addresses.sign(path)))],
  ];
  return wanted.flatMap(([isWanted, make]) => (isWanted ? [make()] : []));
}

/** Where a registry serves blobs from by itself, to whoever has a signed address. */
export const DOWNLOADS = "/artifacts-downloads";

/** Signed addresses, each good for one request. */
export class SignedAddresses {
  readonly #unused = new Set<string>();

  sign(path: string): string {
    const signature = crypto.randomUUID();
    this.#unused.add(signature);
    return `${path}${path.includes("?") ? "&" : "?"}X-Amz-Signature=${signature}`;
  }

  /** As S3 answers a signature that it does not know, or no longer. */
  refused(url: URL): Answer | undefined {
    if (this.#unused.delete(url.searchParams.get("X-Amz-Signature") ?? "")) return;
    return answer(403, {}, "<Error>Request has expired</Error>");
  }
}

function redirects(locate: (path: string) => string): Quirk {
  return async (asked, next) =>
    asked.endpoint?.kind === "getBlob" ? answer(307, { location: locate(asked.url.pathname) }) : next(asked);
}

function ofBlobs(change: (given: Answer) => Answer): Quirk {
  return async (asked, next) => {
    const given = await next(asked);
    const isBody = asked.endpoint?.kind === "getBlob" && (given.status === 200 || given.status === 206);
    return isBody ? change(given) : given;
  };
}

/** Changes the first so many answers for each blob that is longer than nothing. */
function firstAnswers(times: number, change: (given: Answer) => Answer): Quirk {
  const seen = new Map<string, number>();
  return async (asked, next) => {
    const given = await next(asked);
    const { endpoint } = asked;
    if (endpoint?.kind !== "getBlob" || given.status >= 300 || given.body.length === 0) return given;
    const before = seen.get(endpoint.digest) ?? 0;
    seen.set(endpoint.digest, before + 1);
    return before < times ? change(given) : given;
  };
}

function compressed(given: Answer): Answer {
  const body = gzipSync(given.body);
  const headers = new Map(given.headers).set("content-encoding", "gzip");
  return { ...given, headers: headers.set("content-length", String(body.length)), body };
}

const ignoresRange: Quirk = (asked, next) => {
  const headers = new Headers(asked.headers);
  headers.delete("range");
  return next({ ...asked, headers });
};

function wrongRangeOnce(): Quirk {
  const met = new Set<string>();
  return async (asked, next) => {
    const range = asked.headers.get("range");
    if (range === null || met.has(asked.url.pathname)) return next(asked);
    met.add(asked.url.pathname);
    const headers = new Headers(asked.headers);
    headers.set("range", "bytes=0-9");
    return next({ ...asked, headers });
  };
}

const blobHead401: Quirk = async (asked, next) =>
  asked.endpoint?.kind === "headBlob" ? refusal(401, "UNAUTHORIZED") : next(asked);

const noHeadContentLength: Quirk = async (asked, next) => {
  const given = await next(asked);
  if (asked.method === "HEAD") given.headers.delete("content-length");
  return given;
};
