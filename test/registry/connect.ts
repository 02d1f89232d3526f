import { createHttp } from "../../src/http/client.ts";
import type { Mirror } from "../../src/http/mirror.ts";
import type { RetryPolicy } from "../../src/http/retry.ts";
import { Registries, type RegistriesOptions } from "../../src/registry/client.ts";
import type { CredentialLookup } from "../../src/registry/credentials.ts";

export interface ConnectOptions {
  /** Registries whose scheme is known: `http://127.0.0.1:PORT`. */
  urls?: readonly string[];
  credentials?: CredentialLookup;
  mirrors?: readonly Mirror[];
  target?: RegistriesOptions["target"];
  /** PEM. */
  authorities?: readonly string[];
  /** Tries of each request. Default: 3. */
  attempts?: number;
  /** Milliseconds before the second try of a request. Default: 1. */
  firstDelay?: number;
  /** Milliseconds of silence after which a body counts as broken. */
  stallAfter?: number;
  warn?: (text: string) => void;
  onRetry?: RetryPolicy["onRetry"];
  /** Stops all requests. Default: nothing does. */
  signal?: AbortSignal;
}

/** The program's own way to registries, only less patient. */
export function connect({
  urls = [],
  credentials,
  mirrors = [],
  target,
  authorities = [],
  attempts = 3,
  firstDelay = 1,
  stallAfter,
  warn = () => {},
  onRetry = () => {},
  signal = new AbortController().signal,
}: ConnectOptions) {
  const http = createHttp({
    authorities,
    plainHosts: new Set(),
    userAgent: "test",
    signal,
    retry: { attempts, firstDelay, longestDelay: 5 * firstDelay, onRetry },
    ...(stallAfter === undefined ? {} : { stallAfter }),
  });
  const schemes = new Map(
    urls.map((url) => [new URL(url).host, url.startsWith("https:") ? ("https" as const) : ("http" as const)]),
  );
  return new Registries({
    http,
    credentials: credentials ?? (() => undefined),
    mirrors,
    schemes,
    target,
    warn,
  });
}
