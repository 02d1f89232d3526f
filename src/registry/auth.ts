import { isLoopback } from "../http/address.ts";
import type { Http } from "../http/client.ts";
import { Fault } from "../oci/fault.ts";
import { AnswerFault } from "./answer.ts";
import { type Challenge, parseChallenges, realmOf } from "./challenge.ts";
import type { Credentials } from "./credentials.ts";
import { loginCommand } from "./ecr.ts";
import { basicAuthorization, fetchToken, type Token } from "./token.ts";

/** What a request needs to be allowed to do. The one that matters most comes first. */
export interface Scope {
  repository: string;
  actions: "pull" | "pull,push" | "delete";
}

export interface AuthorizerOptions {
  /** The registry as users know it, for messages. */
  registry: string;
  http: Http;
  /** Who we are in a repository, or in general. */
  credentials: (repository: string | undefined) => Credentials | undefined | Promise<Credentials | undefined>;
  /** Of REGISTRY_USERNAME and REGISTRY_PASSWORD; undefined where they are not for this registry. */
  variables?: "set" | "unset" | undefined;
  warn: (text: string) => void;
}

/** A token, or the request for it. */
interface Held {
  coming: Promise<Token>;
  value?: string;
}

/** Turns a registry's challenges into `Authorization` headers, and keeps what it was given. */
export class Authorizer {
  readonly #options: AuthorizerOptions;
  #challenge: Challenge | undefined;
  #challengedUrl = new URL("https://invalid");
  readonly #tokens = new Map<string, Held>();
  /** What is read without the login that there is for it, by `keyOf`: one repository's refusal is not another's. */
  readonly #anonymous = new Set<string>();
  /** Logins that the token server does not know, though it knows nobody in particular; by `loginOf`. */
  readonly #unknownLogins = new Set<string>();
  /** By `loginOf`. */
  readonly #warnedOf = new Set<string>();
  #warnedOfPlainHttp = false;

  constructor(options: AuthorizerOptions) {
    this.#options = options;
  }

  get isChallenged(): boolean {
    return this.#challenge !== undefined;
  }

  /**
   * Takes in a 401, and the header that it refused. Returns whether there is a way in.
   * gcr.io challenges at the ping and no more: what it said there stays good.
   */
  learn(response: Response, url: URL, refused: string | undefined): boolean {
    const offered = parseChallenges(response.headers.get("www-authenticate") ?? "");
    const bearer = offered.find((each) => each.scheme === "bearer" && realmOf(each, url) !== undefined);
    const usable = bearer ?? offered.find(({ scheme }) => scheme === "basic");
    if (usable !== undefined) {
      this.#challenge = usable;
      this.#challengedUrl = url;
    }
    // Only the token that was refused: another request may have fetched the next one already.
    for (const [key, { value }] of this.#tokens) {
      if (value !== undefined && refused === `Bearer ${value}`) this.#tokens.delete(key);
    }
    return this.#challenge !== undefined;
  }

  /** The header for a request; undefined while the registry has asked for nothing. */
  async header(scopes: readonly Scope[]): Promise<string | undefined> {
    const challenge = this.#challenge;
    if (challenge === undefined) return;
    if (challenge.scheme === "basic") return basicAuthorization(await this.#credentials(scopes));
    return `Bearer ${(await this.#token(challenge, scopes)).value}`;
  }

  /**
   * The header for a read that was refused in spite of a login, as nobody in particular: a login that has
   * expired keeps from nothing that everybody may read. Undefined where that could not help.
   */
  async anonymousHeader(scopes: readonly Scope[], refused: string | undefined): Promise<string | undefined> {
    const challenge = this.#challenge;
    if (challenge?.scheme !== "bearer" || !onlyPulls(scopes)) return;
    if ((await this.#savedLogin(scopes)) === undefined) return;
    // Another request may have found out in the meantime.
    if ((await this.#credentials(scopes)) === undefined) {
      const known = await this.header(scopes);
      return known === refused ? undefined : known;
    }
    const token = await this.#fetch(challenge, scopes, undefined).catch(() => undefined);
    return token && `Bearer ${token.value}`;
  }

  /** From now on this is read as nobody in particular; with one warning for each login. */
  async readAnonymously(scopes: readonly Scope[], why: string): Promise<void> {
    const key = keyOf(merged(scopes));
    if (this.#anonymous.has(key)) return;
    this.#anonymous.add(key);
    this.#tokens.delete(key);
    const login = await this.#savedLogin(scopes);
    if (login !== undefined) this.#warnOf(login, why);
  }

  #warnOf(login: Credentials, why: string): void {
    const { registry, warn } = this.#options;
    if (this.#warnedOf.has(loginOf(login))) return;
    this.#warnedOf.add(loginOf(login));
    warn(`the saved login for ${registry} is refused, reading without it: ${why}`);
  }

  async #credentials(scopes: readonly Scope[]): Promise<Credentials | undefined> {
    const login = await this.#savedLogin(scopes);
    if (login === undefined || !onlyPulls(scopes)) return login;
    const isUseless = this.#anonymous.has(keyOf(merged(scopes))) || this.#unknownLogins.has(loginOf(login));
    return isUseless ? undefined : login;
  }

  async #savedLogin(scopes: readonly Scope[]): Promise<Credentials | undefined> {
    const login = await this.#options.credentials(scopes[0]?.repository);
    if (login !== undefined) this.#warnOfPlainHttp();
    return login;
  }

  /** A token that the login was good for says as much as the login. */
  #warnOfPlainHttp(): void {
    const { protocol, hostname } = this.#challengedUrl;
    if (this.#warnedOfPlainHttp || protocol !== "http:" || isLoopback(hostname)) return;
    this.#warnedOfPlainHttp = true;
    const { registry, warn } = this.#options;
    warn(`the login for ${registry} goes over plain HTTP: whoever is on the way can read it`);
  }

  async #token(challenge: Challenge, asked: readonly Scope[]): Promise<Token> {
    const scopes = merged(asked);
    const greater = await this.#greaterToken(scopes);
    if (greater !== undefined) return greater;
    const key = keyOf(scopes);
    const known = this.#tokens.get(key);
    const token = await known?.coming;
    if (token !== undefined && isUsable(token)) return token;
    // Of the many that find none, or an old one, the first fetches it for all.
    const current = this.#tokens.get(key);
    if (current !== undefined && current !== known) return current.coming;
    const held: Held = { coming: this.#fetchAsSomebody(challenge, scopes) };
    this.#tokens.set(key, held);
    held.coming.then(
      ({ value }) => {
        held.value = value;
      },
      () => {
        if (this.#tokens.get(key) === held) this.#tokens.delete(key);
      },
    );
    return held.coming;
  }

  /** A token to push is good for a pull as well. */
  async #greaterToken(scopes: readonly Scope[]): Promise<Token | undefined> {
    const [scope, ...others] = scopes;
    if (scope?.actions !== "pull" || others.length > 0 || this.#anonymous.has(keyOf(scopes))) return;
    const held = this.#tokens.get(keyOf([{ ...scope, actions: "pull,push" }]));
    const token = await held?.coming.catch(() => undefined);
    return token !== undefined && isUsable(token) ? token : undefined;
  }

  async #fetchAsSomebody(challenge: Challenge, scopes: readonly Scope[]): Promise<Token> {
    const credentials = await this.#credentials(scopes);
    try {
      return await this.#fetch(challenge, scopes, credentials);
    } catch (cause) {
      if (credentials !== undefined && onlyPulls(scopes) && isRefusal(cause)) {
        const token = await this.#fetch(challenge, scopes, undefined).catch(() => undefined);
        if (token !== undefined) {
          if (isUnknownLogin(cause)) this.#unknownLogins.add(loginOf(credentials));
          else this.#anonymous.add(keyOf(scopes));
          this.#warnOf(credentials, cause.message);
          return token;
        }
      }
      throw this.#refused(cause, credentials);
    }
  }

  #fetch(challenge: Challenge, scopes: readonly Scope[], credentials: Credentials | undefined) {
    const { registry, http } = this.#options;
    return fetchToken({ challenge, challengedUrl: this.#challengedUrl, registry, http }, scopes, credentials);
  }

  /** What to do about a refusal of these scopes. */
  async refusalHint(scopes: readonly Scope[]): Promise<string> {
    if (this.#challenge === undefined) {
      const { registry } = this.#options;
      return `\`${registry}\` does not say how to log in, so that no login was sent: see what answers there, a registry, or a proxy or page before it`;
    }
    return this.#hintFor(await this.#savedLogin(scopes));
  }

  #hintFor(login: Credentials | undefined): string {
    const { registry, variables } = this.#options;
    const command = `\`${loginCommand(registry) ?? `docker login ${registry}`}\``;
    if (login === undefined) {
      const others = variables === undefined ? "" : ", or set REGISTRY_USERNAME and REGISTRY_PASSWORD";
      return `no login is known for \`${registry}\`: log in with ${command}${others}`;
    }
    if (login.kind === "identityToken") {
      return `log in again with ${command}: \`${registry}\` refuses the saved token, which may have expired`;
    }
    const right = "or give the account the right to do this";
    return variables === "set"
      ? `check the user name and the password in REGISTRY_USERNAME and REGISTRY_PASSWORD, which \`${registry}\` refuses, ${right}`
      : `check the user name and the password of the saved login, which \`${registry}\` refuses, and log in again with ${command}, ${right}`;
  }

  #refused(cause: unknown, credentials: Credentials | undefined): Fault {
    const { registry } = this.#options;
    // A server that was not reached, or is out of order, has refused nobody; what it takes is said below.
    const hint = isRefusal(cause) ? this.#hintFor(credentials) : undefined;
    return new Fault(`cannot get a token for ${registry}`, { cause, hint });
  }
}

/** Each repository once, with the greater of the actions: some servers read the last scope only. */
function merged(scopes: readonly Scope[]): Scope[] {
  const actions = new Map<string, Scope["actions"]>();
  for (const scope of scopes) {
    if (actions.get(scope.repository) !== "pull,push") actions.set(scope.repository, scope.actions);
  }
  return [...actions].map(([repository, each]) => ({ repository, actions: each }));
}

function onlyPulls(scopes: readonly Scope[]): boolean {
  return scopes.length > 0 && scopes.every(({ actions }) => actions === "pull");
}

/** The server's word against the login; an identity token that has expired is a 400. Spec: RFC 6749, 5.2. */
function isRefusal(error: unknown): error is AnswerFault {
  return error instanceof AnswerFault && [400, 401, 403].includes(error.status);
}

/** As opposed to one that may do much, and not this. */
function isUnknownLogin({ status, errors }: AnswerFault): boolean {
  return status === 401 || errors.some(({ code }) => code === "invalid_grant");
}

/** Tells logins apart. */
function loginOf(credentials: Credentials): string {
  return JSON.stringify(credentials);
}

function isUsable({ usableUntil }: Token): boolean {
  return usableUntil > Date.now();
}

function keyOf(scopes: readonly Scope[]): string {
  return scopes.map(({ repository, actions }) => `${repository}:${actions}`).join(" ");
}
