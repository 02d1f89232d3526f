import { randomUUID } from "node:crypto";
import type { Endpoint } from "../../src/registry/endpoint.ts";
import { type Answer, answer, type Next, type Quirk, refusal } from "./quirks-wire.ts";

/** How a registry asks who is there, and what its token server makes of the answer. */
export interface AuthQuirks {
  /**
   * How the challenge is written. Default: `bearer`.
   * `BASIC`: Nexus, https://github.com/dotnet/sdk-container-builds/issues/527.
   * `negotiateAndBearer`, `basicAndBearer`: go-containerregistry `transport/ping.go`, one line.
   * `twoLines`: the same as two header lines; oras-go reads the first only, `auth/client.go`.
   * `unquoted`: lower case, bare values. `open`: no login at all.
   */
  challenge?: "bearer" | "BASIC" | "negotiateAndBearer" | "basicAndBearer" | "twoLines" | "unquoted" | "open";
  /** A 401 of anything but the ping says nothing. gcr.io: containers/image `docker/docker_client.go`. */
  challengesOnlyAtPing?: boolean;
  /** The ping lets everybody in; only real requests are challenged. Artifactory's anonymous access. */
  pingIsOpen?: boolean;
  /** The realm is a path of the registry itself. regclient `auth.go`. */
  relativeRealm?: boolean;
  /** A token is good for the first scope only. go-containerregistry `transport/bearer.go`. */
  readsFirstScopeOnly?: boolean;
  /** Of two scopes for a repository the last one counts. GitLab: https://github.com/GoogleContainerTools/kaniko/issues/181 */
  laterScopeOverwrites?: boolean;
  /** The only scope there is. public.ecr.aws: `aws`. */
  scopeOfItsOwn?: string;
  /** No token for two repositories at once. Docker Hub: https://github.com/google/go-containerregistry/pull/1681 */
  refusesSeveralRepositories?: boolean;
  /** How the token answer calls it. Default: `token`. Azure: `access_token`. */
  tokenField?: "token" | "access_token" | "both";
  /** Seconds that the token server says; 0: it says nothing. Default: 300. */
  tokenLifetime?: number;
  /**
   * Requests after which a token is refused, whatever its server said of it: what a run meets whose uploads
   * take longer than tokens live. GitLab: https://github.com/moby/moby/issues/33558
   */
  tokenGoodFor?: number;
  /** The first PATCH ends the token that it came with: the closing PUT needs another. https://github.com/docker/buildx/issues/324 */
  tokenEndsDuringPatch?: boolean;
  /** Those without a login may read. public.ecr.aws, Docker Hub. */
  anonymousPull?: boolean;
  /**
   * The saved login is refused there, though nobody would have needed one: "Your authorization token has expired".
   * public.ecr.aws: https://github.com/twuni/docker-registry.helm/pull/143
   */
  staleLogin?: "token401" | "token403" | "pull403";
  /** The first token answer breaks off after so many bytes. */
  dropTokenAt?: number;
}

export interface Login {
  username: string;
  password: string;
}

/** A token and what it is still good for. */
interface Grant {
  scopes: ReadonlySet<string>;
  usesLeft: number;
}

/** The registry's side and the token server's side of one login. */
export class QuirkyAuth {
  readonly #quirks: AuthQuirks;
  readonly #login: Login;
  readonly #realm: () => string;
  readonly #granted = new Map<string, Grant>();
  #patchesLeft: number;
  #dropsLeft: number;

  constructor(quirks: AuthQuirks, login: Login, realm: () => string) {
    this.#quirks = quirks;
    this.#login = login;
    this.#realm = realm;
    this.#patchesLeft = quirks.tokenEndsDuringPatch ? 1 : 0;
    this.#dropsLeft = quirks.dropTokenAt === undefined ? 0 : 1;
  }

  /** What stands before the registry. */
  readonly guard: Quirk = async (asked, next) => {
    const { challenge, challengesOnlyAtPing, pingIsOpen, relativeRealm } = this.#quirks;
    const isPing = asked.endpoint?.kind === "ping";
    if (relativeRealm && asked.url.pathname === "/token") return this.issue(asked);
    if (challenge === "open" || (isPing && pingIsOpen)) return next(asked);
    const authorization = asked.headers.get("authorization") ?? "";
    const wanted = scopesOf(asked.endpoint);
    const refused = this.#refused(authorization, wanted, asked.method === "PATCH");
    if (refused === undefined) return next(asked);
    if (refused.status === 401 && (isPing || !challengesOnlyAtPing)) {
      refused.headers.set("www-authenticate", this.#challenges(wanted));
    }
    return refused;
  };

  /** The token server. */
  readonly issue: Next = async (asked) => {
    const { tokenField = "token", tokenLifetime = 300, tokenGoodFor, staleLogin, dropTokenAt } = this.#quirks;
    if (asked.method !== "GET") return answer(404);
    const authorization = asked.headers.get("authorization");
    const isKnown = authorization === basicOf(this.#login);
    if (isKnown && (staleLogin === "token401" || staleLogin === "token403")) {
      return refusal(Number(staleLogin.slice(5)), "DENIED", "Your authorization token has expired");
    }
    if (!isKnown && (authorization !== null || !this.#quirks.anonymousPull)) {
      return answer(401, {}, JSON.stringify({ details: "incorrect username or password" }));
    }
    const scopes = this.#readScopes(asked.url.searchParams.getAll("scope"));
    if (scopes === undefined) return answer(400, {}, JSON.stringify({ details: "invalid scope" }));
    const token = `t0ken-${randomUUID()}`;
    const mayPush = isKnown || staleLogin !== undefined;
    const granted = mayPush ? scopes : scopes.filter((scope) => scope.endsWith(":pull") || scope === "*");
    const stale = isKnown && staleLogin === "pull403";
    this.#granted.set(token, {
      scopes: new Set(stale ? ["stale"] : granted),
      usesLeft: tokenGoodFor ?? Number.POSITIVE_INFINITY,
    });
    const names = tokenField === "both" ? ["token", "access_token"] : [tokenField];
    const said = Object.fromEntries(names.map((name) => [name, token]));
    const life = tokenLifetime === 0 ? {} : { expires_in: tokenLifetime };
    const given = answer(200, { "content-type": "application/json" }, JSON.stringify({ ...said, ...life }));
    return dropTokenAt !== undefined && this.#dropsLeft-- > 0 ? { ...given, cutAt: dropTokenAt } : given;
  };

  #refused(authorization: string, wanted: string[], isPatch: boolean): Answer | undefined {
    if (this.#quirks.challenge === "BASIC") {
      return authorization === basicOf(this.#login) ? undefined : refusal(401, "UNAUTHORIZED");
    }
    const token = /^Bearer (.+)$/.exec(authorization)?.[1] ?? "";
    const grant = this.#granted.get(token);
    if (grant?.scopes.has("stale")) return refusal(403, "DENIED", "Your authorization token has expired");
    const isGood = grant !== undefined && grant.usesLeft-- > 0;
    if (!isGood) return refusal(401, "UNAUTHORIZED");
    if (!grant.scopes.has("*") && !wanted.every((scope) => grant.scopes.has(scope))) {
      return refusal(401, "UNAUTHORIZED", "insufficient scope");
    }
    if (isPatch && this.#patchesLeft-- > 0) this.#granted.delete(token);
    return;
  }

  /** `repository:NAME:ACTION` each, or `*`; undefined when the server refuses to read them. */
  #readScopes(asked: string[]): string[] | undefined {
    const { readsFirstScopeOnly, laterScopeOverwrites, scopeOfItsOwn, refusesSeveralRepositories } =
      this.#quirks;
    if (scopeOfItsOwn !== undefined) return asked.join(" ") === scopeOfItsOwn ? ["*"] : undefined;
    const each = asked.flatMap((scope) => scope.split(" "));
    if (refusesSeveralRepositories && new Set(each.map(nameOf)).size > 1) return;
    const read = readsFirstScopeOnly ? each.slice(0, 1) : each;
    if (!laterScopeOverwrites) return read.flatMap(actionsOf);
    return [...new Map(read.map((scope) => [nameOf(scope), scope])).values()].flatMap(actionsOf);
  }

  #challenges(wanted: string[]): string | string[] {
    const { challenge = "bearer", relativeRealm, scopeOfItsOwn } = this.#quirks;
    const realm = relativeRealm ? "/token" : this.#realm();
    const scope = scopeOfItsOwn ?? challengeScope(wanted);
    const bearer = `Bearer realm="${realm}",service="quirky"${scope === "" ? "" : `,scope="${scope}"`}`;
    switch (challenge) {
      case "BASIC":
        return 'BASIC realm="Sonatype Nexus Repository Manager"';
      case "negotiateAndBearer":
        return `Negotiate, ${bearer}`;
      case "basicAndBearer":
        return `Basic realm="a, b=\\"c\\"", ${bearer}`;
      case "twoLines":
        return ['Basic realm="quirky"', bearer];
      case "unquoted":
        return `bearer REALM="${realm}", Service=quirky${scopeOfItsOwn ? `, Scope=${scopeOfItsOwn}` : ""}`;
      default:
        return bearer;
    }
  }
}

function basicOf({ username, password }: Login): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
}

function nameOf(scope: string): string {
  return scope.slice(0, scope.lastIndexOf(":"));
}

/** `repository:a:pull,push` → `repository:a:pull` and `repository:a:push`. */
function actionsOf(scope: string): string[] {
  const actions = scope.slice(scope.lastIndexOf(":") + 1).split(",");
  return actions.map((action) => `${nameOf(scope)}:${action}`);
}

function challengeScope(wanted: string[]): string {
  const byName = Map.groupBy(wanted, nameOf);
  const actions = (scopes: string[]) => scopes.map((scope) => scope.slice(scope.lastIndexOf(":") + 1));
  return [...byName].map(([name, scopes]) => `${name}:${actions(scopes).join(",")}`).join(" ");
}

const WRITES = /^(?:start|post|mount|upload|complete|getUpload|cancel|put)/;

function scopesOf(endpoint: Endpoint | undefined): string[] {
  if (endpoint === undefined || !("repository" in endpoint)) return [];
  const name = `repository:${endpoint.repository}`;
  const own = WRITES.test(endpoint.kind) ? [`${name}:pull`, `${name}:push`] : [`${name}:pull`];
  const isMount = endpoint.kind === "mountBlob" && endpoint.from !== undefined;
  return isMount ? [...own, `repository:${endpoint.from}:pull`] : own;
}
