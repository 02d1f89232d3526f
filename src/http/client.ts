import { redactUrl } from "./redact.ts";
import { following } from "./redirect.ts";
import { type RetryPolicy, retrying } from "./retry.ts";
import type { Transport } from "./transport.ts";
import { type WireOptions, wire } from "./wire.ts";

/** One exchange that took place, as a log may show it. */
export interface Exchange {
  method: string;
  /** redacted */
  url: string;
  /** Undefined when the connection failed. */
  status: number | undefined;
  milliseconds: number;
}

export interface HttpOptions extends WireOptions {
  retry: Omit<RetryPolicy, "signal">;
  onExchange?: (exchange: Exchange) => void;
}

/** Transport and retry policy: what every client of the network is handed. */
export interface Http {
  transport: Transport;
  policy: RetryPolicy;
}

export function createHttp(options: HttpOptions): Http {
  const policy: RetryPolicy = { ...options.retry, signal: options.signal };
  const bottom = logged(wire(options), options.onExchange);
  return { transport: following(retrying(bottom, policy)), policy };
}

function logged(next: Transport, onExchange: HttpOptions["onExchange"]): Transport {
  if (onExchange === undefined) return next;
  return async (request) => {
    const started = performance.now();
    let status: number | undefined;
    try {
      const response = await next(request);
      status = response.status;
      return response;
    } finally {
      const milliseconds = Math.round(performance.now() - started);
      onExchange({ method: request.method, url: redactUrl(request.url), status, milliseconds });
    }
  };
}
