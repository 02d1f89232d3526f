import * as v from "valibot";
import { readBounded } from "../http/body.ts";
import type { Transport } from "../http/transport.ts";
import { Fault } from "../oci/fault.ts";
import { answerFault } from "./answer.ts";
import { type Challenge, parseChallenges } from "./challenge.ts";
import type { Credentials } from "./credentials.ts";

/** What a request needs to be allowed to do. The one that matters most comes first. */
export interface Scope {
  repository: string;
  actions: "pull" | "pull,push";
}

const TokenAnswer = v.object({
  token: v.optional(v.string()),
  access_token: v.optional(v.string()),
  expires_in: v.optional(v.number()),
});

const MAX_TOKEN_BYTES = 1024 * 1024;
/** A server that says less, or nothing, means this: seconds. Spec: distribution, token authentication. */
const SHORTEST_LIFE = 60;
/** Seconds before its end at which a token is no longer used for a new request. */
const RENEW_EARLY = 5;

interface Token {
  value: string;
  /** milliseconds since the epoch */
  usableUntil: number;
}

export interface AuthorizerOptions {
  /** The registry as users know it, for messages. */
  registry: string;
  transport: Transport;
  credentials: Credentials | undefined;
}

/** Turns a registry's challenges into `Authorization` headers, and keeps what it was given. */
export class Authorizer {
  readonly #options: AuthorizerOptions;
  #challenge: Challenge | undefined;
  #challengedUrl = new URL("https://invalid");
  readonly #tokens = new Map<string, Promise<Token>>();

  constructor(options: AuthorizerOptions) {
    this.#options = options;
  }

  /**
   * Takes in a 401. Returns whether another try makes sense: there is a way in, and it was not this
   * header that was just refused.
   */
  learn(response: Response, url: URL, scopes: readonly Scope[]): boolean {
    const offered = parseChallenges(response.headers.get("www-authenticate") ?? "");
    const bearer = offered.find(({ scheme, parameters }) => scheme === "bearer" && parameters.has("realm"));
    const basic = offered.find(({ scheme }) => scheme === "basic");
    const usable = bearer ?? (this.#options.credentials === undefined ? undefined : basic);
    if (usable === undefined) return false;
    const wasTried = this.#challenge?.scheme === "basic" && usable.scheme === "basic";
    this.#challenge = usable;
    this.#challengedUrl = url;
    this.#tokens.delete(keyOf(scopes));
    return !wasTried;
  }

  /** The header for a request; undefined while the registry has asked for nothing. */
  async header(scopes: readonly Scope[]): Promise<string | undefined> {
    const challenge = this.#challenge;
    if (challenge === undefined) return;
    if (challenge.scheme === "basic") return this.#basic();
    return `Bearer ${(await this.#token(challenge, scopes)).value}`;
  }

  async #token(challenge: Challenge, scopes: readonly Scope[]): Promise<Token> {
    const key = keyOf(scopes);
    const known = this.#tokens.get(key);
    const token = await known;
    if (token !== undefined && token.usableUntil > Date.now()) return token;
    // Of the many that find none, or an old one, the first fetches it for all.
    const current = this.#tokens.get(key);
    if (current !== undefined && current !== known) return current;
    const fresh = this.#fetchToken(challenge, scopes);
    this.#tokens.set(key, fresh);
    fresh.catch(() => this.#tokens.delete(key));
    return fresh;
  }

  #basic(): string | undefined {
    const { credentials } = this.#options;
    if (credentials?.kind !== "password") return;
    return `Basic ${Buffer.from(`${credentials.username}:${credentials.password}`).toString("base64")}`;
  }

  async #fetchToken(challenge: Challenge, scopes: readonly Scope[]): Promise<Token> {
    const { registry, credentials } = this.#options;
    const realm = this.#realmOf(challenge);
    const service = challenge.parameters.get("service");
    const wanted = scopesFor(challenge, scopes);
    try {
      if (credentials?.kind === "identityToken") {
        const answer = await this.#refresh(realm, { service, wanted, token: credentials.token });
        if (answer !== undefined) return answer;
      }
      const url = new URL(realm);
      if (service !== undefined) url.searchParams.set("service", service);
      for (const scope of wanted) url.searchParams.append("scope", scope);
      const authorization = this.#basic();
      const headers: Record<string, string> = authorization === undefined ? {} : { authorization };
      const request = { method: "GET", url, headers } as const;
      return await readToken(await this.#options.transport(request), request);
    } catch (cause) {
      throw new Fault(`cannot get a token for ${registry}`, {
        cause,
        hint:
          credentials === undefined
            ? `log in with \`docker login ${registry}\`, or set REGISTRY_USERNAME and REGISTRY_PASSWORD for the target`
            : `check the user name and the password for ${registry}`,
      });
    }
  }

  /** OAuth2's refresh grant; undefined when the server does not offer it. */
  async #refresh(
    url: URL,
    { service, wanted, token }: { service: string | undefined; wanted: string[]; token: string },
  ): Promise<Token | undefined> {
    const form = new URLSearchParams({
      grant_type: "refresh_token",
      client_id: "eksa-airgap",
      refresh_token: token,
      scope: wanted.join(" "),
    });
    if (service !== undefined) form.set("service", service);
    const response = await this.#options.transport({
      method: "POST",
      url,
      headers: { "content-type": "application/x-www-form-urlencoded" },
      body: () => form.toString(),
    });
    if (response.status === 404 || response.status === 405) return;
    return readToken(response, { method: "POST", url });
  }

  /** Fails on a realm that would carry credentials from https to the clear. */
  #realmOf({ parameters }: Challenge): URL {
    const text = parameters.get("realm") ?? "";
    const base = this.#challengedUrl;
    const realm = URL.canParse(text, base.href) ? new URL(text, base) : undefined;
    if (realm !== undefined && (realm.protocol === "https:" || base.protocol === "http:")) return realm;
    throw new Fault(`cannot log in to ${this.#options.registry}: its token server is not on https`);
  }
}

async function readToken(response: Response, { method, url }: { method: string; url: URL }): Promise<Token> {
  if (!response.ok) throw await answerFault(response, { method, url });
  const body = new TextDecoder().decode(await readBounded(response, url, MAX_TOKEN_BYTES));
  const answer = v.safeParse(TokenAnswer, parseJson(body));
  const value = answer.success ? answer.output.token || answer.output.access_token : undefined;
  // The body is not quoted: half a token is a secret too.
  if (!answer.success || value === undefined || /[\r\n]/.test(value)) {
    throw new Fault(`cannot read the answer of ${url.host}: it holds no token`);
  }
  const life = Math.max(answer.output.expires_in ?? 0, SHORTEST_LIFE);
  return { value, usableUntil: Date.now() + (life - RENEW_EARLY) * 1000 };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return;
  }
}

/** Our scopes as the token server reads them; a registry with scopes of its own gets these echoed. */
function scopesFor({ parameters }: Challenge, scopes: readonly Scope[]): string[] {
  const asked = parameters.get("scope");
  if (asked !== undefined && !asked.startsWith("repository:") && !asked.startsWith("registry:")) {
    return [asked];
  }
  return scopes.map(({ repository, actions }) => `repository:${repository}:${actions}`);
}

function keyOf(scopes: readonly Scope[]): string {
  return scopes.map(({ repository, actions }) => `${repository}:${actions}`).join(" ");
}
