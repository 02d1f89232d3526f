import { assertMayLead, hintForNoPlace, isLoopback } from "./address.ts";
import { cancelBody } from "./body.ts";
import { explain, explainThrough, proxyRefusal } from "./explain.ts";
import { redactUrl } from "./redact.ts";
import { type Ask, takenWithin } from "./sending.ts";
import { answeredWithin, STALL_AFTER } from "./stall.ts";
import { type HttpRequest, NetworkError, type Transport } from "./transport.ts";

/** What we show to one host that wants to know who we are; PEM. */
export interface ClientCertificate {
  /** `HOST[:PORT]`, as in a URL. */
  host: string;
  certificate: string;
  key: string;
}

export interface WireOptions {
  /** PEM; replaces the runtime's own list. */
  authorities: readonly string[];
  /** Hosts whose certificate is not looked at. */
  insecureHosts?: Pick<ReadonlySet<string>, "has">;
  clientCertificate?: ClientCertificate | undefined;
  /** `HOST:PORT` that the user wrote with `http://`; elsewhere plain HTTP is for loopback only. */
  plainHosts: ReadonlySet<string>;
  /** The proxy for a URL, if it needs one. Default: none. */
  proxyFor?: (url: URL) => URL | undefined;
  /** Milliseconds without an answer, or without a byte taken, that count as broken. Default: a minute. */
  stallAfter?: number;
  userAgent: string;
  signal: AbortSignal;
}

/** The lowest layer: one `fetch`, bytes untouched, redirects left to the layers above. */
export function wire(options: WireOptions): Transport {
  const secured = securing(options);
  return async (request) => {
    const { url } = request;
    assertMayBePlain(request, options.plainHosts);
    if (request.from !== undefined) await assertMayLead(request.from, url);
    const proxy = options.proxyFor?.(url);
    assertMayTrust(proxy, url, options);
    const ask: Ask = async (signal, body) =>
      fetch(url, {
        method: request.method,
        // identity: a blob is the bytes as stored, whatever compression a proxy would like to add.
        headers: { "user-agent": options.userAgent, "accept-encoding": "identity", ...request.headers },
        ...(body === undefined ? {} : { body }),
        redirect: "manual",
        // The streams of one HTTP/2 connection share its congestion window, and registries break off long ones.
        protocol: "http1.1",
        decompress: false,
        timeout: false,
        signal,
        ...(proxy === undefined ? {} : { proxy: proxy.href }),
        ...secured(url, proxy),
      });
    let response: Response;
    try {
      response = await patiently(request, options, ask);
    } catch (error) {
      options.signal.throwIfAborted();
      throw proxy === undefined ? explainDirect(error, url, options) : explainThrough(proxy, error, url);
    }
    // Of what goes through a tunnel, the proxy's own refusal is an error already.
    if (proxy === undefined || url.protocol !== "http:" || !isFromProxy(response)) return response;
    await cancelBody(response);
    throw proxyRefusal(proxy, url, response.status);
  };
}

/** tinyproxy answers 401 to a wrong password, and 407 to none. */
function isFromProxy({ status, headers }: Response): boolean {
  return status === 407 || (status === 401 && /^tinyproxy\b/i.test(headers.get("server") ?? ""));
}

/** Fails where the server neither takes what is sent nor answers. */
function patiently(
  { method, url, body, answers, assertBody }: HttpRequest,
  { signal, stallAfter = STALL_AFTER }: WireOptions,
  ask: Ask,
): Promise<Response> {
  const watched = { url, signal };
  if (method === "PUT" || method === "PATCH") {
    const late = answers === undefined ? {} : { answers };
    const asserted = assertBody === undefined ? {} : { assertBody };
    return takenWithin(stallAfter, { ...watched, ...late, ...asserted, body: body?.() }, ask);
  }
  return answeredWithin(stallAfter, watched, (ending) => ask(ending, body?.()));
}

/** What `fetch` has to know about TLS with a host. */
function securing({ authorities, insecureHosts, clientCertificate }: WireOptions) {
  const ca = [...authorities];
  // The runtime holds a proxy on https to the same settings as the host behind it.
  return ({ protocol, host }: URL, proxy: URL | undefined): { tls?: Bun.TLSOptions } => {
    if (protocol !== "https:") return proxy?.protocol === "https:" ? { tls: { ca } } : {};
    const own = clientCertificate?.host === host ? clientCertificate : undefined;
    const shown = own === undefined ? {} : { cert: own.certificate, key: own.key };
    return { tls: { ca, rejectUnauthorized: insecureHosts?.has(host) !== true, ...shown } };
  };
}

function assertMayBePlain({ url, from }: HttpRequest, plainHosts: ReadonlySet<string>): void {
  if (url.protocol === "https:") return;
  if (url.protocol === "http:" && (isLoopback(url.hostname) || plainHosts.has(url.host))) return;
  if (url.protocol !== "http:") {
    throw new NetworkError(
      `\`${(from ?? url).host}\` leads to ${redactUrl(url)}, an address that is neither on http nor on https`,
      {
        code: "SCHEME",
        retryable: false,
        hint: hintForNoPlace(from ?? url),
      },
    );
  }
  const hint =
    from === undefined || from.host === url.host
      ? `serve \`${url.host}\` over https, or write \`http://${url.host}\` in \`--registry\` or \`--mirror\``
      : `\`${from.host}\` names this address: let its settings name one on https, or one on \`${from.host}\` itself`;
  throw new NetworkError(`${redactUrl(url)} would go over plain HTTP`, {
    code: "PLAIN_HTTP",
    retryable: false,
    hint,
  });
}

/** Fails where not to look at the host's certificate would mean not to look at its proxy's either. */
function assertMayTrust(proxy: URL | undefined, url: URL, { insecureHosts }: WireOptions): void {
  if (proxy?.protocol !== "https:" || url.protocol !== "https:" || insecureHosts?.has(url.host) !== true)
    return;
  throw new NetworkError(
    `the certificate of the proxy \`${proxy.host}\` would be checked no more than that of \`${url.host}\``,
    {
      code: "PROXY_INSECURE",
      retryable: false,
      hint: `give the authority that signed the certificate of \`${url.host}\` with \`--ca-file FILE\` instead of \`--insecure\`, or name the host in NO_PROXY`,
    },
  );
}

function explainDirect(error: unknown, url: URL, { clientCertificate }: WireOptions): unknown {
  // A server that expects TLS ends a plain connection without a word.
  if (url.protocol === "http:") {
    return explain(error, url, { ECONNRESET: "if it speaks TLS, write `https://` before the host" });
  }
  if (clientCertificate?.host !== url.host) return explain(error, url);
  // Which of the two depends on the version of TLS.
  const refusal = "it may not accept the client certificate";
  return explain(error, url, { EPROTO: refusal, ECONNRESET: refusal });
}
