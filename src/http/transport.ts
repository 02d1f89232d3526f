/** One exchange as its caller means it. Bodies are thunks, so that every try sends a fresh one. */
export interface HttpRequest {
  method: "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE";
  url: URL;
  headers?: Record<string, string>;
  body?: () => Bun.BodyInit;
  /**
   * Asked now and then while the body is sent; fails once it cannot be sent to its end. The runtime waits for what
   * a file that has become shorter no longer has.
   */
  assertBody?: () => void;
  /**
   * `exchange` (default): tried again on network errors and passing statuses.
   * `none`: the caller must start over from an earlier point, e.g. of an upload session.
   */
  retry?: "exchange" | "none";
  /** `late`: before it answers the server goes through what it holds, e.g. hashes a whole blob. */
  answers?: "late";
  /** What it is for, e.g. the digest of a blob, which the address may not show: told to whoever watches. */
  about?: string;
  /** Whose answer named this address: a redirect, a token realm, the place of an upload. */
  from?: URL;
}

/** The one way to the network. Layers wrap each other: redirects over retry over throttle over log over wire. */
export type Transport = (request: HttpRequest) => Promise<Response>;

/** A network failure in words for a person; `retryable` when another try may go better. */
export class NetworkError extends Error {
  override readonly name = "NetworkError";
  readonly hint: string | undefined;
  readonly retryable: boolean;
  /** The runtime's or system's own code, e.g. `ECONNREFUSED`. */
  readonly code: string;

  constructor(
    message: string,
    details: { code: string; retryable: boolean; hint?: string; cause?: unknown },
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = details.code;
    this.retryable = details.retryable;
    this.hint = details.hint;
  }
}
