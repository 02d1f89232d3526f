import { NetworkError } from "./transport.ts";

interface Explanation {
  says: string;
  hint?: string;
  retryable: boolean;
}

const CHECK_NETWORK = "check the network between here and there, then run the same command again";

/** What the runtime's error codes mean; anything not listed is taken for a passing network fault. */
const EXPLANATIONS: Record<string, Explanation> = {
  ConnectionRefused: {
    says: "refused the connection",
    hint: "is it running, and is the port right?",
    retryable: true,
  },
  FailedToOpenSocket: { says: "cannot be reached", hint: CHECK_NETWORK, retryable: true },
  ENOTFOUND: {
    says: "has no address",
    hint: "check the spelling and this machine's name resolution",
    retryable: true,
  },
  ECONNRESET: {
    says: "closed the connection",
    hint: "see whether something in between, a firewall or a proxy, does not let it through",
    retryable: true,
  },
  Malformed_HTTP_Response: {
    says: "does not speak HTTP",
    hint: "check the host and the port",
    // A proxy in between may have mixed something up.
    retryable: true,
  },
  EPROTO: {
    // The runtime tells a server without TLS and one that turns us away by the same code.
    says: "does not complete a TLS handshake",
    hint: "if it speaks plain HTTP, write `http://` before the host; if it asks for a client certificate, give one with `--client-cert FILE --client-key FILE`",
    retryable: false,
  },
  CERTIFICATE: {
    says: "shows a certificate that this machine does not trust",
    hint: "give the authority that signed it with `--ca-file FILE`; of a cluster's mirror it belongs into `caCertContent`",
    retryable: false,
  },
};

/** Another authority would not help with these. */
const CERTIFICATE_HINTS: Record<string, string> = {
  ERR_TLS_CERT_ALTNAME_INVALID: "it is for another name: reach the host by the name that is in it",
  CERT_HAS_EXPIRED: "have it renewed, or set this machine's clock",
  CERT_NOT_YET_VALID: "set this machine's clock, or wait until it holds",
};

const ALIASES: Record<string, string> = {
  ECONNREFUSED: "ConnectionRefused",
  EAI_AGAIN: "ENOTFOUND",
  DNSException: "ENOTFOUND",
  ERR_SSL_WRONG_VERSION_NUMBER: "EPROTO",
};

/** `hints` by code, for what the table cannot know. */
export function explain(error: unknown, url: URL, hints: Record<string, string> = {}): unknown {
  return explainOf(`\`${url.host}\``, error, hints);
}

function explainOf(subject: string, error: unknown, hints: Record<string, string>): unknown {
  if (!(error instanceof Error) || error instanceof NetworkError || error.name === "AbortError") return error;
  const raw = codeOf(error);
  const isCertificate = /CERT|ISSUER|LEAF_SIGNATURE|HOSTNAME|SELF_SIGNED/.test(raw);
  const code = isCertificate ? "CERTIFICATE" : (ALIASES[raw] ?? raw);
  const known = EXPLANATIONS[code];
  const fact =
    known === undefined ? `broke the connection (${raw}: ${withoutUrls(error.message)})` : known.says;
  const hint = CERTIFICATE_HINTS[raw] ?? hints[code] ?? (known === undefined ? CHECK_NETWORK : known.hint);
  const detail = isCertificate ? ` (${raw})` : "";
  return new NetworkError(`${subject} ${fact}${detail}`, {
    code,
    retryable: known?.retryable ?? true,
    ...(hint === undefined ? {} : { hint }),
  });
}

/** Codes that, of a request through a proxy, speak of the way to the proxy. */
const ON_THE_WAY = new Set(["ConnectionRefused", "FailedToOpenSocket", "ENOTFOUND"]);
const CHECK_PROXY = "check HTTP_PROXY and HTTPS_PROXY; a host that needs no proxy belongs into NO_PROXY";

/** The same for a request that goes through a proxy: it may be the one that fails. */
export function explainThrough(proxy: URL, error: unknown, url: URL): unknown {
  if (!(error instanceof Error)) return error;
  const raw = codeOf(error);
  const code = ALIASES[raw] ?? raw;
  if (code === "ERR_PROXY_TUNNEL") {
    // The runtime says it in words only: `Proxy refused to open a tunnel: 403 Filtered`.
    const answer = /: (\d{3})\b.*$/.exec(error.message);
    return proxyRefusal(proxy, url, Number(answer?.[1] ?? 0));
  }
  const known = EXPLANATIONS[code];
  if (known === undefined || !ON_THE_WAY.has(code)) return explainBehind(proxy, error, url);
  return new NetworkError(`the proxy \`${proxy.host}\` ${known.says}`, {
    code: `PROXY_${code}`,
    retryable: known.retryable,
    hint: CHECK_PROXY,
  });
}

/** The two handshakes with a host behind a proxy on https fail alike; one on http may show a certificate of its own. */
function explainBehind(proxy: URL, error: Error, url: URL): unknown {
  const explained = explain(error, url);
  const isHandshake =
    explained instanceof NetworkError && (explained.code === "EPROTO" || explained.code === "CERTIFICATE");
  if (!isHandshake) return explained;
  if (proxy.protocol !== "https:")
    return explained.code === "CERTIFICATE" ? through(proxy, explained) : explained;
  const suspect = `the proxy \`${proxy.host}\``;
  const subject = url.protocol === "https:" ? `${suspect}, or \`${url.host}\` behind it,` : suspect;
  return explainOf(subject, error, {
    EPROTO: "if the proxy speaks plain HTTP, write its address with `http://`",
  });
}

/** A proxy may lead elsewhere than the name does here, and may open what it passes on. */
function through(proxy: URL, { message, code, retryable, hint }: NetworkError): NetworkError {
  const way = `the connection goes through the proxy \`${proxy.host}\`: name the host in NO_PROXY if it can be reached without`;
  return new NetworkError(message, {
    code,
    retryable,
    hint: [hint, way].filter((part) => part !== undefined).join("; "),
  });
}

/** A proxy's own refusal; `status` is 0 where it is not known. */
export function proxyRefusal(proxy: URL, url: URL, status: number): NetworkError {
  // tinyproxy answers 401 to wrong ones.
  if (status === 407 || status === 401) {
    const isKnown = proxy.username !== "";
    return new NetworkError(
      `the proxy \`${proxy.host}\` ${isKnown ? "refused" : "asks for"} credentials (${status})`,
      {
        code: "PROXY_CREDENTIALS",
        retryable: false,
        // Without a URL as an example: whatever stands before an `@` there is not shown.
        hint: "write them into the proxy's address, percent-encoded: USER:PASSWORD@ before the host",
      },
    );
  }
  const detail = status === 0 ? "" : ` (${status})`;
  return new NetworkError(`the proxy \`${proxy.host}\` refused a way to \`${url.host}\`${detail}`, {
    code: "PROXY_REFUSED",
    retryable: status === 0 || status >= 500,
    hint: "have the proxy let it through, or name the host in NO_PROXY if it can be reached without",
  });
}

/** The runtime quotes the whole address: the host is named before, and the rest may be secret. */
function withoutUrls(message: string): string {
  return message.replaceAll(/\b[a-z][a-z0-9+.-]*:\/\/[^\s"'`]+/gi, "URL");
}

function codeOf(error: Error): string {
  return "code" in error && typeof error.code === "string" ? error.code : "UNKNOWN";
}
