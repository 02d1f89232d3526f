import type { RemoteFile } from "../archive/remote.ts";
import { readBounded } from "../http/body.ts";
import { createHttp, type Exchange, type Http } from "../http/client.ts";
import { type Mirror, mirroredUrl, mirrorOf, parseMirror, redactMirror } from "../http/mirror.ts";
import { proxyFor } from "../http/proxy.ts";
import { redactUrl } from "../http/redact.ts";
import { trustedAuthorities } from "../http/tls.ts";
import type { WireOptions } from "../http/wire.ts";
import { isDigest } from "../oci/digest.ts";
import { Fault } from "../oci/fault.ts";
import { AnswerFault, answerFault } from "../registry/answer.ts";
import { Registries } from "../registry/client.ts";
import { type CredentialLookup, fileCredentials, targetCredentials } from "../registry/credentials.ts";
import type { Log } from "../terminal/log.ts";
import type { Wait } from "../terminal/waits.ts";
import { readAuthorities, readClientCertificate } from "./certificates.ts";
import { openRemoteFile } from "./remote-file.ts";
import { BUILD } from "./version.ts";

/** What the flags say. */
interface NetworkValues {
  caFile: string | undefined;
  mirror: readonly string[];
  verbosity: number;
  /** Files in PEM form, for the target alone. */
  clientCert?: string | undefined;
  clientKey?: string | undefined;
  /** The target's certificate is not looked at. */
  insecure?: boolean;
  /** No registry's certificate is looked at; a YAML file's host has no digest to answer for it. */
  insecureRegistries?: boolean;
}

export interface NetworkOptions {
  values: NetworkValues;
  environment: NodeJS.ProcessEnv;
  signal: AbortSignal;
  log: Log;
  /** Told when something waits, e.g. for a registry that asks for patience. */
  onWait: (why: string, wait: Wait) => void;
  /** Where content goes, and what else is said of it. */
  destination?: NetworkDestination;
}

interface NetworkDestination {
  /** The registry, and the scheme that was written before it. */
  target: { registry: string; scheme?: "http" | "https" };
  /** In PEM form, trusted like `--ca-file`, with every host. */
  authorities?: string;
  /** The setting beside `--insecure` that turns off the check of the target's certificate. */
  unchecked?: string;
}

/** The way to all registries and file hosts of a run. */
export interface Network {
  registries: Registries;
  /** A YAML file behind a URL, whole. Fails on any status but 200, and on a web page: neither is a document. */
  fetchFile: (url: string, limit: number) => Promise<Uint8Array>;
  /** A large file behind a URL, to be read in parts. */
  openFile: (url: string) => Promise<RemoteFile>;
}

/** Shown with every request. Spec: RFC 9110, 10.1.5. */
const USER_AGENT = `eksa-airgap/${BUILD}`;
/** The verbosity that shows every request. */
const SHOW_REQUESTS = 4;
/** About six seconds; of who was there before, about three quarters of a minute. */
const RETRY = { attempts: 5, attemptsWhileAway: 8, firstDelay: 500, longestDelay: 30_000 };

export function openNetwork(options: NetworkOptions): Network {
  const { log } = options;
  const target = options.destination?.target;
  const mirrors = readMirrors(options.values.mirror);
  if (target !== undefined) assertIsItself(target.registry, mirrors);
  const http = openHttp(options, mirrors);
  const registryHttp = options.values.insecureRegistries ? openUnchecked(options, mirrors) : http;
  const schemes = new Map<string, "http" | "https">();
  if (target?.scheme !== undefined) schemes.set(target.registry, target.scheme);
  const credentials = credentialsFor(options);
  return {
    registries: new Registries({
      http: registryHttp,
      credentials,
      mirrors,
      schemes,
      target: target && { registry: target.registry, variables: variablesIn(options.environment) },
      warn: (text) => log.warn(text),
    }),
    fetchFile: (url, limit) => fetchFile(http, mirroredUrl(new URL(url), mirrors), limit),
    openFile: (url) => openRemoteFile(http, mirroredUrl(new URL(url), mirrors)),
  };
}

function openUnchecked(options: NetworkOptions, mirrors: Mirror[]): Http {
  options.log.warn("the certificates of the registries are not checked (`--insecure`)");
  return openHttp(options, mirrors, { insecureHosts: { has: () => true } });
}

function openHttp(options: NetworkOptions, mirrors: Mirror[], security = targetSecurity(options)): Http {
  const { values, environment, signal, log, onWait, destination } = options;
  const target = destination?.target;
  const plain = mirrors.filter(({ origin }) => origin.protocol === "http:").map(({ origin }) => origin.host);
  if (target?.scheme === "http") plain.push(new URL(`http://${target.registry}`).host);
  const files = [values.caFile, environment.EKSA_REGISTRY_MIRROR_CA].flatMap((path) => path || []);
  const extra = [
    ...files.map(readAuthorities),
    ...(destination?.authorities ? [destination.authorities] : []),
  ];
  return createHttp({
    authorities: trustedAuthorities(extra, environment),
    plainHosts: new Set(plain),
    ...security,
    proxyFor: (url) => proxyFor(url, environment),
    userAgent: USER_AGENT,
    signal,
    retry: {
      ...RETRY,
      onRetry: ({ what, why, delay, about = "" }) => {
        log.debug(1, `${what}: ${why}; trying again in ${(delay / 1000).toFixed(1)} s`);
        onWait(why, { milliseconds: delay, digest: isDigest(about) ? about : undefined });
      },
    },
    onWait: ({ delay, why }) => {
      log.debug(1, `${why}; going on in ${(delay / 1000).toFixed(1)} s`);
      onWait(why, { milliseconds: delay });
    },
    ...(values.verbosity < SHOW_REQUESTS ? {} : { onExchange: (exchange) => showExchange(log, exchange) }),
  });
}

/** What goes for the target alone, whoever it leads to. */
function targetSecurity({
  values,
  destination,
  log,
}: NetworkOptions): Pick<WireOptions, "clientCertificate" | "insecureHosts"> {
  const own = readClientCertificate(values);
  if (destination === undefined) return {};
  const { host } = new URL(`https://${destination.target.registry}`);
  const unchecked = values.insecure === true ? "`--insecure`" : destination.unchecked;
  if (unchecked !== undefined) log.warn(`the certificate of ${host} is not checked (${unchecked})`);
  return {
    ...(own === undefined ? {} : { clientCertificate: { host, ...own } }),
    ...(unchecked !== undefined ? { insecureHosts: new Set([host]) } : {}),
  };
}

function showExchange(log: Log, { method, url, status, milliseconds }: Exchange): void {
  log.debug(SHOW_REQUESTS, `${method} ${url} ${status ?? "failed"} ${milliseconds} ms`);
}

/** Fails on a host that is given twice: which of the two would be meant? */
function readMirrors(texts: readonly string[]): Mirror[] {
  const mirrors = texts.map(readMirror);
  for (const [host, { length }] of Map.groupBy(mirrors, (mirror) => mirror.host)) {
    if (length < 2) continue;
    throw new Fault(`cannot read ${host} from two mirrors`, {
      hint: "give `--mirror` once a host",
      kind: "usage",
    });
  }
  return mirrors;
}

/** What is sent to a registry must not end up in what only stands in for it. */
function assertIsItself(registry: string, mirrors: readonly Mirror[]): void {
  if (mirrorOf(registry, mirrors) === undefined) return;
  throw new Fault(`cannot send to ${registry} and read it from a mirror`, {
    hint: "leave out that `--mirror`, or name another registry",
    kind: "usage",
  });
}

function readMirror(text: string): Mirror {
  const mirror = parseMirror(text);
  if (mirror !== undefined) return mirror;
  throw new Fault(
    `cannot use \`${redactMirror(text)}\` as a value of \`--mirror\`: it is not of the form HOST=URL`,
    {
      hint: "write it as `--mirror public.ecr.aws=https://mirror.example.com/prefix`; credentials come from the login file",
      kind: "usage",
    },
  );
}

function variablesIn(environment: NodeJS.ProcessEnv): "set" | "unset" {
  return targetCredentials(environment) === undefined ? "unset" : "set";
}

/** The environment speaks of the target alone, and wins over files there. */
function credentialsFor({ environment, destination, log }: NetworkOptions): CredentialLookup {
  const target = destination?.target;
  const files = fileCredentials(environment, (text) => log.warn(text));
  const own = target === undefined ? undefined : targetCredentials(environment);
  return (registry, repository) =>
    registry === target?.registry && own !== undefined ? own : files(registry, repository);
}

/** No YAML document begins like this: a login page or an error page does, with 200 at times. */
function assertNoPage(bytes: Uint8Array, { host }: URL): void {
  if (!/^\s*<[!?a-z]/i.test(new TextDecoder().decode(bytes.subarray(0, 512)))) return;
  throw new Fault(`${host} answered with a web page, where YAML is expected`, {
    hint: "check the address, and whether a proxy or a login page answers in its place",
  });
}

/** What is said of registries and their logins does not help with a file, which is fetched without one. */
function fileFault(fault: AnswerFault): Fault {
  const { status } = fault;
  const hint =
    status === 401 || status === 403 || status === 413
      ? "files are fetched without a login: fetch it by other means, and name the file"
      : status >= 500
        ? "run the same command again later, or fetch it by other means and name the file"
        : fault.hint;
  return new AnswerFault(fault.message, { status, errors: fault.errors, hint });
}

async function fetchFile({ transport }: Http, url: URL, limit: number): Promise<Uint8Array> {
  const request = { method: "GET", url } as const;
  try {
    const response = await transport(request);
    if (response.status !== 200) throw fileFault(await answerFault(response, request));
    const bytes = await readBounded(response, url, limit);
    assertNoPage(bytes, url);
    return bytes;
  } catch (cause) {
    throw new Fault(`cannot read ${redactUrl(url)}`, { cause });
  }
}
