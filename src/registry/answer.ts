import { readStart } from "../http/body.ts";
import { redactUrl } from "../http/redact.ts";
import {
  formatWait,
  isRetryable,
  LONGEST_RETRY_AFTER,
  type PassingStatus,
  passingStatus,
  pause,
  type RetryPolicy,
  retryAfter,
} from "../http/retry.ts";
import { Fault } from "../oci/fault.ts";
import { isEcr, loginCommand } from "./ecr.ts";
import { formatEndpoint } from "./endpoint.ts";
import { parseErrors, type ReportedError } from "./errors.ts";

/** Error bodies are read this far: some proxies send a whole page. */
const MAX_ERROR_BYTES = 64 * 1024;

/** A registry's refusal: what was asked, the status, and the registry's own words. */
export class AnswerFault extends Fault {
  readonly status: number;
  readonly errors: readonly ReportedError[];

  constructor(message: string, { status, errors, hint }: Pick<AnswerFault, "status" | "errors" | "hint">) {
    const isMismatch = errors.some(({ code }) => code === "DIGEST_INVALID" || code === "SIZE_INVALID");
    super(message, { kind: isMismatch ? "mismatch" : "failed", hint });
    this.status = status;
    this.errors = errors;
  }

  /** For a caller that knows better what to do. */
  withoutHint(): AnswerFault {
    return new AnswerFault(this.message, { status: this.status, errors: this.errors, hint: undefined });
  }
}

/** Of refusals, what the login that was sent, or not, has to do with them: only who sent it knows. */
const LOGIN_HINTS = new WeakMap<Response, string>();

export function hintAtLogin(refusal: Response, hint: string): void {
  LOGIN_HINTS.set(refusal, hint);
}

/** Reads an answer that is not what was hoped for. */
export async function answerFault(
  response: Response,
  { method, url }: { method: string; url: URL },
): Promise<AnswerFault> {
  const { status, headers } = response;
  const body = await readStart(response, url, MAX_ERROR_BYTES).catch(() => new Uint8Array());
  const errors = parseErrors(status, headers.get("content-type") ?? "", new TextDecoder().decode(body));
  const said = errors.map(({ code, message, detail }) => {
    const words = code === undefined ? message : `${code}: ${message}`;
    return detail === undefined ? words : `${words}: ${detail}`;
  });
  const isRedirect = status >= 300 && status < 400;
  const hint = isRedirect
    ? hintForRedirect(url, headers)
    : (LOGIN_HINTS.get(response) ?? hintToWait(url, headers) ?? hintFor({ method, url }, status, errors));
  return new AnswerFault(`${method} ${redactUrl(url)} answered ${status} (${said.join("; ")})`, {
    status,
    errors,
    hint,
  });
}

/** The same as an error that another try may mend, where the status says so. */
export async function answerError(
  response: Response,
  request: { method: string; url: URL },
): Promise<AnswerFault | PassingStatus> {
  const passing = passingStatus(response);
  const fault = await answerFault(response, request);
  return passing === undefined ? fault : Object.assign(passing, { cause: fault, message: fault.message });
}

/**
 * A small answer, read whole: asked for again where it breaks off on the way. That there is no answer at all is
 * final here, since `ask` has tried again by itself.
 */
export async function wholeAnswer<T>(
  policy: RetryPolicy,
  ask: () => Promise<Response>,
  read: (response: Response) => Promise<T>,
): Promise<T> {
  for (let tries = 1; ; tries++) {
    const response = await ask();
    try {
      return await read(response);
    } catch (error) {
      if (policy.signal.aborted || tries >= policy.attempts || !isRetryable(error)) throw error;
      await pause(policy, { what: () => "an answer that broke off", error, tries });
    }
  }
}

/** Reads are followed, and writes as far as the specification knows redirects of them. */
function hintForRedirect(url: URL, headers: Headers): string {
  const location = headers.get("location") ?? "";
  const { protocol, origin } = URL.canParse(location, url.href) ? new URL(location, url) : url;
  if (origin === url.origin || !/^https?:$/.test(protocol)) return otherThanRegistry(url);
  return `it sends this on to \`${origin}\`: give that address if the registry is there`;
}

/** What to do about an answer that no registry would give. */
export function otherThanRegistry({ host }: URL): string {
  return `see what answers for \`${host}\`: a registry, or a proxy or page before it`;
}

/** Of a wait that is too long to sit out. */
function hintToWait({ host }: URL, headers: Headers): string | undefined {
  const wait = retryAfter(headers.get("retry-after"), Date.now());
  if (wait === undefined || wait <= LONGEST_RETRY_AFTER) return;
  return `\`${host}\` wants no more requests for ${formatWait(wait)}: run the same command again after that time`;
}

function hintFor(
  { method, url }: { method: string; url: URL },
  status: number,
  errors: readonly ReportedError[],
): string | undefined {
  const isWrite = method !== "GET" && method !== "HEAD";
  if (isWrite && errors.some(({ code }) => code === "NAME_UNKNOWN")) {
    return isEcr(url.host)
      ? "create the repository first: Amazon ECR does not do so by itself"
      : `create the repository, or its project, in \`${url.host}\`, or give the account the right to create it`;
  }
  if (method === "PUT" && url.pathname.includes("/manifests/") && isAboutManifest(url, errors)) {
    return "the registry does not take this manifest as it was published, and another one would have another digest: leave the artifact out when you export (`--exclude`), or have it published anew";
  }
  const login = loginCommand(url.host);
  switch (status) {
    case 403:
      // The ping brings no login that could be changed.
      if (url.pathname === formatEndpoint({ kind: "ping" }).path) return;
      // What it answers to a login that has expired, too.
      if (login !== undefined) {
        return `log in again with \`${login}\`, or give the account the right to do this`;
      }
      return "give the account the right to do this, or log in as another; some registries say so of a full quota, too";
    case 404:
    case 410:
      if (!url.pathname.startsWith("/v2/")) return `check the address: \`${url.host}\` has nothing there`;
      return isWrite ? toAsk(url) : undefined;
    case 413:
      return "raise the body size that the proxy before the registry allows";
    case 408:
    case 425:
    case 429:
      return "wait a little and run the same command again, or lower `--jobs`";
    default:
      if (status >= 500) return "look at the registry's own log, then run the same command again";
      if (status < 300) return otherThanRegistry(url);
      return method === "HEAD" ? undefined : toAsk(url);
  }
}

function toAsk({ host }: URL): string {
  return `ask whoever runs \`${host}\` why it refuses this`;
}

/** ECR's code for a manifest that it does not like is that of a request which it does not know. containers/image PR 584. */
function isAboutManifest({ host }: URL, errors: readonly ReportedError[]): boolean {
  return errors.some(({ code }) => code === "MANIFEST_INVALID" || (code === "UNSUPPORTED" && isEcr(host)));
}
