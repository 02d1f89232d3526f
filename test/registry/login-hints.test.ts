import { expect, test } from "bun:test";
import { answerFault } from "../../src/registry/answer.ts";
import { Authorizer } from "../../src/registry/auth.ts";
import type { Credentials } from "../../src/registry/credentials.ts";
import { startRegistry } from "../support/registry.ts";
import { challenge, tags } from "./ask-for-tags.ts";
import { connect } from "./connect.ts";
import { stoppedAfterEach } from "./started.ts";

const started = stoppedAfterEach();

const LOGINS: Record<string, Credentials> = {
  password: { kind: "password", username: "robot", password: "s3cret-w0rd" },
  identityToken: { kind: "identityToken", token: "refresh-me" },
};

test.each<[string, "set" | "unset" | undefined, string, string]>([
  ["none", undefined, "Basic realm=r", "no login is known for `HOST`: log in with `docker login HOST`"],
  [
    "none",
    "unset",
    "Basic realm=r",
    "no login is known for `HOST`: log in with `docker login HOST`, or set REGISTRY_USERNAME and REGISTRY_PASSWORD",
  ],
  [
    "password",
    "unset",
    "Basic realm=r",
    "check the user name and the password of the saved login, which `HOST` refuses, and log in again with `docker login HOST`, or give the account the right to do this",
  ],
  [
    "password",
    "set",
    "Basic realm=r",
    "check the user name and the password in REGISTRY_USERNAME and REGISTRY_PASSWORD, which `HOST` refuses, or give the account the right to do this",
  ],
  [
    "identityToken",
    undefined,
    "Basic realm=r",
    "log in again with `docker login HOST`: `HOST` refuses the saved token, which may have expired",
  ],
  [
    "password",
    undefined,
    "",
    "`HOST` does not say how to log in, so that no login was sent: see what answers there, a registry, or a proxy or page before it",
  ],
])(
  "a 401 with the login %p, the variables being %p, to the challenge %p",
  async (login, variables, says, hint) => {
    const registry = await started(
      startRegistry({
        intercept: (_, url) => (url.pathname === "/v2/" && says === "" ? undefined : challenge(says)),
      }),
    );
    const client = connect({
      urls: [registry.url],
      credentials: () => LOGINS[login],
      target: variables && { registry: registry.host, variables },
    }).client(registry.host);
    const request = { method: "GET", url: new URL(registry.url) };
    const { hint: said = "" } = await answerFault(await tags(client), request);
    expect(said.replaceAll(registry.host, "HOST")).toBe(hint);
  },
);

test.each([
  ["783794618700.dkr.ecr.us-west-2.amazonaws.com", "aws ecr get-login-password --region us-west-2"],
  ["123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", "aws ecr get-login-password --region cn-north-1"],
  ["public.ecr.aws", "aws ecr-public get-login-password --region us-east-1"],
])("%s, which answers 401, says how to log in there", async (host, password) => {
  const origin = new URL(`https://${host}`);
  const transport = async () => challenge("Basic realm=r");
  const { http } = connect({}).client(host);
  const auth = new Authorizer({
    registry: host,
    http: { ...http, transport },
    credentials: () => undefined,
    warn: () => {},
  });
  auth.learn(await transport(), origin, undefined);
  const command = `${password} | docker login --username AWS --password-stdin ${host}`;
  expect(await auth.refusalHint([])).toBe(`no login is known for \`${host}\`: log in with \`${command}\``);
});
