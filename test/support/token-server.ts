import { createPrivateKey, createSign, randomUUID, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";

export interface TokenServerOptions {
  /** Where its key and certificate are made. */
  folder: string;
  username: string;
  password: string;
}

export interface TokenServer {
  realm: string;
  service: string;
  issuer: string;
  /** PEM, a file: what a registry trusts its tokens by. */
  certificate: string;
  /** Every token that was handed out. */
  issued: string[];
  /** The scopes of each request, in the order in which they were asked for. */
  asked: string[][];
  stop(): Promise<void>;
}

const ISSUER = "test issuer";
const SERVICE = "test service";

/** Who knows the password gets whatever is asked for. Needs openssl. Spec: distribution, token authentication. */
export async function startTokenServer({
  folder,
  username,
  password,
}: TokenServerOptions): Promise<TokenServer> {
  const [certificate, keyFile] = [join(folder, "token.crt"), join(folder, "token.key")];
  const newKey = ["-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=token"];
  await Bun.$`openssl req -x509 ${newKey} -keyout ${keyFile} -out ${certificate}`.quiet();
  const key = createPrivateKey(await readFile(keyFile));
  const header = {
    typ: "JWT",
    alg: "RS256",
    x5c: [new X509Certificate(await readFile(certificate)).raw.toString("base64")],
  };
  const expected = `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
  const issued: string[] = [];
  const asked: string[][] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch(request) {
      if (request.headers.get("authorization") !== expected) return new Response("denied\n", { status: 401 });
      const scopes = new URL(request.url).searchParams.getAll("scope");
      asked.push(scopes);
      const body = `${encode(header)}.${encode(claims(username, scopes))}`;
      const token = `${body}.${createSign("RSA-SHA256").update(body).sign(key).toString("base64url")}`;
      issued.push(token);
      return Response.json({ token, expires_in: 300 });
    },
  });
  return {
    realm: `http://127.0.0.1:${server.port}/token`,
    service: SERVICE,
    issuer: ISSUER,
    certificate,
    issued,
    asked,
    stop: () => server.stop(true),
  };
}

function claims(subject: string, scopes: readonly string[]): object {
  const now = Math.floor(Date.now() / 1000);
  const access = scopes.map((scope) => {
    const [type, name, actions = ""] = scope.split(":");
    return { type, name, actions: actions.split(",") };
  });
  const times = { iat: now, nbf: now - 10, exp: now + 300 };
  return { iss: ISSUER, sub: subject, aud: SERVICE, jti: randomUUID(), access, ...times };
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}
