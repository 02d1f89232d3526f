import { redactUrl } from "./redact.ts";
import { NetworkError, type Transport } from "./transport.ts";

export interface WireOptions {
  /** PEM; replaces the runtime's own list. */
  authorities: readonly string[];
  /** Hosts whose certificate is not looked at. */
  insecureHosts?: ReadonlySet<string>;
  /** `HOST:PORT` that the user wrote with `http://`; elsewhere plain HTTP is for loopback only. */
  plainHosts: ReadonlySet<string>;
  userAgent: string;
  signal: AbortSignal;
}

/** The lowest layer: one `fetch`, bytes untouched, redirects left to the layers above. */
export function wire(options: WireOptions): Transport {
  const authorities = [...options.authorities];
  /** Origins that may be spoken to as they are. */
  const cleared = new Set<string>();
  return async (request) => {
    const { url } = request;
    if (!cleared.has(url.origin)) {
      assertMayBePlain(url, options.plainHosts);
      cleared.add(url.origin);
    }
    const tls = { ca: authorities, rejectUnauthorized: !options.insecureHosts?.has(url.host) };
    try {
      return await fetch(url, {
        method: request.method,
        // identity: a blob is the bytes as stored, whatever compression a proxy would like to add.
        headers: { "user-agent": options.userAgent, "accept-encoding": "identity", ...request.headers },
        ...(request.body === undefined ? {} : { body: request.body() }),
        redirect: "manual",
        decompress: false,
        // Registries hash for minutes before they answer the last PUT of a large blob.
        timeout: false,
        signal: options.signal,
        ...(url.protocol === "https:" ? { tls } : {}),
      });
    } catch (error) {
      options.signal.throwIfAborted();
      // A server that expects TLS ends a plain connection without a word.
      const hint = "if it speaks TLS, write `https://` before the host";
      throw explain(error, url, url.protocol === "http:" ? { ECONNRESET: hint } : {});
    }
  };
}

export function isLoopback(hostname: string): boolean {
  return hostname === "localhost" || hostname === "[::1]" || /^127(?:\.\d{1,3}){3}$/.test(hostname);
}

function assertMayBePlain(url: URL, plainHosts: ReadonlySet<string>): void {
  if (url.protocol === "https:") return;
  if (url.protocol === "http:" && (isLoopback(url.hostname) || plainHosts.has(url.host))) return;
  throw new NetworkError(`${redactUrl(url)} would go over plain ${url.protocol.slice(0, -1)}`, {
    code: "PLAIN_HTTP",
    retryable: false,
    hint: `serve \`${url.host}\` over https, or write \`http://${url.host}\` in \`--registry\` or \`--mirror\``,
  });
}

/** What the runtime's error codes mean; anything not listed is taken for a passing network fault. */
const EXPLANATIONS: Record<string, { says: string; hint?: string; retryable: boolean }> = {
  ConnectionRefused: {
    says: "refused the connection",
    hint: "is it running, and is the port right?",
    retryable: true,
  },
  FailedToOpenSocket: { says: "cannot be reached", retryable: true },
  ENOTFOUND: {
    says: "has no address",
    hint: "check the spelling and this machine's name resolution",
    retryable: true,
  },
  ECONNRESET: { says: "closed the connection", retryable: true },
  EPROTO: {
    says: "does not speak TLS",
    hint: "if it really speaks plain HTTP, write `http://` before the host",
    retryable: false,
  },
  CERTIFICATE: {
    says: "shows a certificate that this machine does not trust",
    hint: "give the authority that signed it with `--ca-file FILE`",
    retryable: false,
  },
};

const ALIASES: Record<string, string> = {
  ECONNREFUSED: "ConnectionRefused",
  EAI_AGAIN: "ENOTFOUND",
  DNSException: "ENOTFOUND",
  ERR_SSL_WRONG_VERSION_NUMBER: "EPROTO",
};

/** `hints` by code, for what the table cannot know. */
function explain(error: unknown, url: URL, hints: Record<string, string> = {}): unknown {
  if (!(error instanceof Error) || error.name === "AbortError") return error;
  const raw = "code" in error && typeof error.code === "string" ? error.code : "UNKNOWN";
  const isCertificate = /CERT|ISSUER|LEAF_SIGNATURE|HOSTNAME|SELF_SIGNED/.test(raw);
  const code = isCertificate ? "CERTIFICATE" : (ALIASES[raw] ?? raw);
  const known = EXPLANATIONS[code];
  const fact = known === undefined ? `broke the connection (${raw}: ${error.message})` : known.says;
  const hint = hints[code] ?? known?.hint;
  const detail = isCertificate ? ` (${raw})` : "";
  return new NetworkError(`\`${url.host}\` ${fact}${detail}`, {
    code,
    retryable: known?.retryable ?? true,
    ...(hint === undefined ? {} : { hint }),
  });
}

/** A body that breaks after the headers fails with the same words as a request that breaks before. */
export function explainBody(error: unknown, url: URL): unknown {
  return error instanceof NetworkError ? error : explain(error, url);
}
