import { isLoopback } from "../http/address.ts";
import { cancelBody, discard, readStart } from "../http/body.ts";
import type { Http } from "../http/client.ts";
import { type Mirror, mirrorOf } from "../http/mirror.ts";
import { PassingStatus } from "../http/retry.ts";
import { type HttpRequest, NetworkError } from "../http/transport.ts";
import { Fault } from "../oci/fault.ts";
import { AnswerFault, answerError, answerFault, hintAtLogin } from "./answer.ts";
import { Authorizer, type Scope } from "./auth.ts";
import type { CredentialLookup } from "./credentials.ts";
import { type Endpoint, formatEndpoint } from "./endpoint.ts";
import { isWebPage } from "./errors.ts";

export interface RegistriesOptions {
  http: Http;
  credentials: CredentialLookup;
  mirrors?: readonly Mirror[];
  /** Registries whose scheme the user wrote. Others are on https, or on loopback perhaps on http. */
  schemes?: ReadonlyMap<string, "http" | "https">;
  /** The registry that REGISTRY_USERNAME and REGISTRY_PASSWORD are for. */
  target?: { registry: string; variables: "set" | "unset" } | undefined;
  /** Told what goes on all the same but should not. */
  warn?: (text: string) => void;
}

/** Every registry of a run, each met once. */
export class Registries {
  readonly #options: RegistriesOptions;
  readonly #clients = new Map<string, RegistryClient>();

  constructor(options: RegistriesOptions) {
    this.#options = options;
  }

  /** `registry` is `HOST[:PORT]`, as references name it. */
  client(registry: string): RegistryClient {
    const known = this.#clients.get(registry);
    if (known !== undefined) return known;
    const client = new RegistryClient(registry, this.#options);
    this.#clients.set(registry, client);
    return client;
  }
}

type EndpointOf<Kind extends Endpoint["kind"]> = Extract<Endpoint, { kind: Kind }>;
type RepositoryEndpoint = Exclude<Endpoint, EndpointOf<"ping" | "listRepositories">>;

type Body = Omit<HttpRequest, "method" | "url">;

/** One registry: requests go out with the right address and authorization, answers come back as they are. */
export class RegistryClient {
  readonly http: Http;
  readonly #registry: string;
  readonly #prefix: string;
  readonly #origins: readonly URL[];
  readonly #auth: Authorizer;
  readonly #warn: (text: string) => void;
  readonly #warned = new Set<string>();
  readonly #met: { origin?: Promise<URL> } = {};

  constructor(registry: string, options: RegistriesOptions) {
    const { http, credentials, mirrors = [], schemes, target, warn = () => {} } = options;
    const mirror = mirrorOf(registry, mirrors);
    const host = mirror?.origin.host ?? registry;
    this.http = http;
    this.#warn = warn;
    this.#registry = registry;
    this.#prefix = mirror?.path ? `${mirror.path}/` : "";
    this.#origins = mirror === undefined ? originsOf(registry, schemes?.get(registry)) : [mirror.origin];
    this.#auth = new Authorizer({
      registry: host,
      http,
      credentials: (repository) => credentials(host, repository),
      variables: target?.registry === host ? target.variables : undefined,
      warn,
    });
  }

  /** Tells what goes on all the same but should not, each text once. */
  warn(text: string): void {
    if (this.#warned.has(text)) return;
    this.#warned.add(text);
    this.#warn(text);
  }

  /** Whether it has asked for a login so far. */
  get asksForLogin(): boolean {
    return this.#auth.isChallenged;
  }

  /** Fails when the host cannot be reached or is no registry. */
  ping(): Promise<URL> {
    this.#met.origin ??= this.#meet();
    return this.#met.origin;
  }

  /** The address of an endpoint, through a mirror's path where there is one. */
  async urlOf(endpoint: RepositoryEndpoint): Promise<URL> {
    const { path } = formatEndpoint({ ...endpoint, repository: this.#pathOf(endpoint.repository) });
    return new URL(path, await this.ping());
  }

  async send(endpoint: RepositoryEndpoint, scopes: readonly Scope[], body: Body = {}): Promise<Response> {
    const { method } = formatEndpoint(endpoint);
    const about = "digest" in endpoint ? { about: endpoint.digest } : {};
    return this.exchange({ method, url: await this.urlOf(endpoint), ...about, ...body }, scopes);
  }

  /** A request to an address that the registry gave; credentials go along only to the registry itself. */
  async exchange(request: HttpRequest, scopes: readonly Scope[]): Promise<Response> {
    const origin = await this.ping();
    if (request.url.origin !== origin.origin) return this.http.transport({ ...request, from: origin });
    const prefixed = this.#prefixed(scopes);
    const { response, authorization } = await this.#exchangeAsSomebody(request, prefixed);
    if (response.status !== 401 && response.status !== 403) return response;
    if (response.status === 401) hintAtLogin(response, await this.#auth.refusalHint(prefixed));
    const anonymous = await this.#auth.anonymousHeader(prefixed, authorization);
    return anonymous === undefined
      ? response
      : this.#readAsNobody({ request, scopes: prefixed, anonymous }, response);
  }

  async #exchangeAsSomebody(
    request: HttpRequest,
    scopes: readonly Scope[],
  ): Promise<{ response: Response; authorization: string | undefined }> {
    let authorization = await this.#auth.header(scopes);
    for (let renewals = 0; ; renewals += 1) {
      const response = await this.#sendAs(authorization, request);
      const isNews = response.status === 401 && this.#auth.learn(response, request.url, authorization);
      const other = isNews && renewals < MOST_RENEWALS ? await this.#auth.header(scopes) : authorization;
      if (other === authorization) return { response, authorization };
      await discard(response, request.url);
      authorization = other;
    }
  }

  /** What a login was refused, if everybody may have it; else the refusal. A 404 may only be hiding it. */
  async #readAsNobody(
    { request, scopes, anonymous }: { request: HttpRequest; scopes: readonly Scope[]; anonymous: string },
    refused: Response,
  ): Promise<Response> {
    const response = await this.#sendAs(anonymous, request);
    if (response.status >= 400) {
      await cancelBody(response);
      return refused;
    }
    await this.#auth.readAnonymously(scopes, (await answerFault(refused, request)).message);
    return response;
  }

  #sendAs(authorization: string | undefined, request: HttpRequest): Promise<Response> {
    const headers = { ...request.headers, ...(authorization === undefined ? {} : { authorization }) };
    return this.http.transport({ ...request, headers });
  }

  #prefixed(scopes: readonly Scope[]): Scope[] {
    return scopes.map((scope) => ({ ...scope, repository: this.#pathOf(scope.repository) }));
  }

  /** What a repository is called there: below a mirror's path, and of Docker Hub's own images in `library`. */
  #pathOf(repository: string): string {
    const isOfficial = this.#registry === DOCKER_HUB && !repository.includes("/");
    return `${this.#prefix}${isOfficial ? "library/" : ""}${repository}`;
  }

  /** The first address at which somebody speaks the protocol. */
  async #meet(): Promise<URL> {
    const [first, ...others] = this.#origins;
    if (first === undefined) throw new Fault(`cannot reach ${this.#registry}: it has no address`);
    try {
      return await this.#greet(first);
    } catch (error) {
      const [plain] = others;
      const isPlain =
        error instanceof NetworkError && (error.code === "EPROTO" || error.code === "ECONNRESET");
      if (plain !== undefined && isPlain) return this.#meetPlain(plain, error);
      throw this.#unreachable(error);
    }
  }

  /** `onTls`: what went wrong there, which is what counts where TLS is spoken all the same. */
  async #meetPlain(origin: URL, onTls: NetworkError): Promise<URL> {
    try {
      return await this.#greet(origin);
    } catch (error) {
      throw this.#unreachable(isFromTlsPort(error) ? onTls : error);
    }
  }

  /** Spec: distribution-spec end-1. Some registries challenge only here. */
  async #greet(origin: URL): Promise<URL> {
    const { method, path } = formatEndpoint({ kind: "ping" });
    const request = { method, url: new URL(path, origin) };
    const response = await this.http.transport(request);
    if (response.ok) await assertNoPage(response, request);
    else if (response.status !== 401) throw await answerToPing(response, request);
    else {
      this.#auth.learn(response, request.url, undefined);
      await discard(response, request.url);
    }
    return origin;
  }

  #unreachable(cause: unknown): Fault {
    return new Fault(`cannot reach the registry ${this.#registry}`, { cause });
  }
}

/** Whether plain HTTP was refused in the way of a port for TLS: nginx and Go answer 400, others hang up. */
function isFromTlsPort(error: unknown): boolean {
  if (error instanceof NetworkError) return error.code === "ECONNRESET";
  return error instanceof Fault && error.cause instanceof AnswerFault && error.cause.status === 400;
}

/** What registries answer to a ping is of any form; a server of pages has one for every path. */
async function assertNoPage(
  response: Response,
  { method, url }: { method: string; url: URL },
): Promise<void> {
  // What cannot be read of a greeting says nothing against it.
  const start = await readStart(response, url, START_OF_PAGE).catch(() => new Uint8Array());
  if (!isWebPage(new TextDecoder().decode(start))) return;
  const { status } = response;
  const message = `${method} ${url.href} answered ${status} with a web page`;
  throw noRegistry(url, new AnswerFault(message, { status, errors: [], hint: undefined }));
}

/** A refusal to greet; one that passes is no word on what the host is. */
async function answerToPing(
  response: Response,
  request: { method: string; url: URL },
): Promise<Fault | PassingStatus> {
  const cause = await answerError(response, request);
  const isBusy = response.status === 429 || response.status === 503;
  return isBusy || cause instanceof PassingStatus ? cause : noRegistry(request.url, cause);
}

function noRegistry(url: URL, cause: AnswerFault): Fault {
  const why = cause.status === 403 ? "it refuses this machine" : "it does not speak the distribution API";
  return new Fault(`cannot use ${url.host} as a registry: ${why}`, { cause, hint: hintFor(url, cause) });
}

/** What to do about a host that does not greet as a registry does. */
function hintFor({ protocol }: URL, { status, message }: AnswerFault): string {
  if (status === 400 && protocol === "http:") return "if it speaks TLS, write `https://` before the host";
  // nginx completes the handshake first: `No required SSL certificate was sent`, `The SSL certificate error`.
  if (status === 400 && /\bSSL certificate\b/i.test(message)) {
    return "it asks for a client certificate: give one that it accepts with `--client-cert FILE --client-key FILE`";
  }
  // Who only wants a login answers 401.
  if (status === 403) {
    return "have what stands before it (a firewall, a proxy, a list of addresses) let this machine in, and check HTTPS_PROXY and NO_PROXY";
  }
  return "check the host and the port; a path in the address is a namespace, not part of the API's";
}

/** Bytes that show whether a body is a web page. */
const START_OF_PAGE = 512;
/** Of a request's authorization: the first token it gets may be another request's, and end in that very moment. */
const MOST_RENEWALS = 2;
const DOCKER_HUB = "docker.io";
/** Its API is not where its name points to. */
const API_HOSTS: Record<string, string> = { [DOCKER_HUB]: "registry-1.docker.io" };

function originsOf(registry: string, scheme: "http" | "https" | undefined): URL[] {
  const host = API_HOSTS[registry] ?? registry;
  if (scheme !== undefined) return [new URL(`${scheme}://${host}`)];
  const secure = new URL(`https://${host}`);
  return isLoopback(secure.hostname) ? [secure, new URL(`http://${host}`)] : [secure];
}
