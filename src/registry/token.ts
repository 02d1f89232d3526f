import * as v from "valibot";
import { discard, readBounded } from "../http/body.ts";
import type { Http } from "../http/client.ts";
import { Fault } from "../oci/fault.ts";
import { answerFault, wholeAnswer } from "./answer.ts";
import type { Scope } from "./auth.ts";
import { type Challenge, realmOf } from "./challenge.ts";
import type { Credentials } from "./credentials.ts";

export interface Token {
  value: string;
  /** milliseconds since the epoch */
  usableUntil: number;
}

/** One way in, as a registry described it. */
export interface TokenServer {
  /** Of the bearer scheme. */
  challenge: Challenge;
  /** What was asked for when it was described: a realm may be relative to it, and must be as safe. */
  challengedUrl: URL;
  /** The registry as users know it, for messages. */
  registry: string;
  http: Http;
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

/** Asks for a token as `credentials`, or as nobody in particular; fails with the server's refusal. */
export async function fetchToken(
  server: TokenServer,
  scopes: readonly Scope[],
  credentials: Credentials | undefined,
): Promise<Token> {
  const realm = safeRealm(server);
  const service = server.challenge.parameters.get("service");
  const wanted = scopesFor(server.challenge, scopes);
  if (credentials?.kind === "identityToken") {
    const answer = await refresh(server, realm, { service, wanted, token: credentials.token });
    if (answer !== undefined) return answer;
  }
  const url = new URL(realm);
  if (service !== undefined) url.searchParams.set("service", service);
  for (const scope of wanted) url.searchParams.append("scope", scope);
  const authorization = basicAuthorization(credentials);
  const headers: Record<string, string> = authorization === undefined ? {} : { authorization };
  const request = { method: "GET", url, headers, from: server.challengedUrl } as const;
  const { transport, policy } = server.http;
  return wholeAnswer(
    policy,
    () => transport(request),
    (response) => readToken(response, request),
  );
}

export function basicAuthorization(credentials: Credentials | undefined): string | undefined {
  if (credentials?.kind !== "password") return;
  return `Basic ${Buffer.from(`${credentials.username}:${credentials.password}`).toString("base64")}`;
}

/** OAuth2's refresh grant; undefined when the server does not offer it. */
async function refresh(
  { http, challengedUrl }: TokenServer,
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
  const request = {
    method: "POST",
    url,
    headers: { "content-type": "application/x-www-form-urlencoded" },
    body: () => form.toString(),
    from: challengedUrl,
  } as const;
  return wholeAnswer(
    http.policy,
    () => http.transport(request),
    async (response) => {
      if (response.status !== 404 && response.status !== 405) return readToken(response, request);
      await discard(response, url);
      return;
    },
  );
}

/** Fails on a realm that would carry credentials from https to the clear. */
function safeRealm({ challenge, challengedUrl, registry }: TokenServer): URL {
  const realm = realmOf(challenge, challengedUrl);
  if (realm !== undefined && (realm.protocol === "https:" || challengedUrl.protocol === "http:"))
    return realm;
  throw new Fault(`cannot log in to ${registry}: its token server is not on https`, {
    hint: "let the registry's settings name its token server by https",
  });
}

async function readToken(response: Response, { method, url }: { method: string; url: URL }): Promise<Token> {
  if (!response.ok) throw await answerFault(response, { method, url });
  const body = new TextDecoder().decode(await readBounded(response, url, MAX_TOKEN_BYTES));
  const answer = v.safeParse(TokenAnswer, parseJson(body));
  const value = answer.success ? answer.output.token || answer.output.access_token : undefined;
  // The body is not quoted: half a token is a secret too.
  if (!answer.success || value === undefined || !/^[\x20-\x7e]+$/.test(value)) {
    throw new Fault(`cannot read the answer of ${url.host}: it holds no token`, {
      hint: `see what answers for \`${url.host}\`: a token server, or a proxy or page before it`,
    });
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
