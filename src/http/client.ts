import { redactUrl } from "./redact.ts";
import { following } from "./redirect.ts";
import { type RetryPolicy, retrying } from "./retry.ts";
import { STALL_AFTER } from "./stall.ts";
import { throttling, type WaitNotice } from "./throttle.ts";
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
  /** Told when a host asks for patience. */
  onWait?: (notice: WaitNotice) => void;
  onExchange?: (exchange: Exchange) => void;
}

/** Transport and retry policy: what every client of the network is handed. */
export interface Http {
  transport: Transport;
  policy: RetryPolicy;
}

export function createHttp(options: HttpOptions): Http {
  const { retry, signal, onWait, stallAfter = STALL_AFTER } = options;
  const policy: RetryPolicy = { ...retry, signal, stallAfter };
  const bottom = logged(wire(options), options.onExchange);
  const throttled = throttling(bottom, { ...retry, signal, ...(onWait === undefined ? {} : { onWait }) });
  return { transport: following(retrying(throttled, policy)), policy };
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
