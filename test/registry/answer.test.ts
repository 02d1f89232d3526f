import { expect, test } from "bun:test";
import { answerFault } from "../../src/registry/answer.ts";
import { plainWire, type RawAnswer, serve, serveRaw, type TestServer } from "../http/server.ts";
import { stoppedAfterEach } from "./started.ts";

const started = stoppedAfterEach();

test.each([
  ["123456789012.dkr.ecr.eu-west-1.amazonaws.com", "Amazon ECR does not do so by itself"],
  ["public.ecr.aws", "Amazon ECR does not do so by itself"],
  ["harbor.corp:5000", "create the repository, or its project, in `harbor.corp:5000`, or give the account"],
])(
  "a push to %s into a repository that is not there says what to do in that registry",
  async (host, hint) => {
    const answer = Response.json({ errors: [{ code: "NAME_UNKNOWN", message: "no" }] }, { status: 404 });
    const url = new URL(`https://${host}/v2/a/b/blobs/uploads/`);
    expect((await answerFault(answer, { method: "POST", url })).hint).toContain(hint);
  },
);

test.each([
  ["123456789012.dkr.ecr.eu-west-1.amazonaws.com", 405, "UNSUPPORTED", true],
  ["harbor.corp", 400, "MANIFEST_INVALID", true],
  ["harbor.corp", 405, "UNSUPPORTED", false],
  ["harbor.corp", 400, "TAG_INVALID", false],
])(
  "a manifest that %s refuses with %i %s is one to leave out: %p",
  async (host, status, code, isToLeaveOut) => {
    const answer = Response.json({ errors: [{ code, message: "Invalid JSON syntax" }] }, { status });
    const url = new URL(`https://${host}/v2/a/b/manifests/v1`);
    const { message, hint = "" } = await answerFault(answer, { method: "PUT", url });
    expect(message).toEndWith(`answered ${status} (${code}: Invalid JSON syntax)`);
    expect(hint.includes("`--exclude`")).toBe(isToLeaveOut);
  },
);

test.each([
  ...[400, 404, 405, 409, 415, 422].map((status) => ["PUT", "manifests/v1", status] as const),
  ["PATCH", "blobs/uploads/1", 400],
  ["POST", "blobs/uploads/", 415],
  ["GET", "manifests/v1", 400],
] as const)("a %s of %s that is refused with %i is a question to who runs the registry", async (...what) => {
  const [method, path, status] = what;
  const url = new URL(`https://harbor.corp/v2/a/b/${path}`);
  const fault = await answerFault(new Response(null, { status }), { method, url });
  expect(fault.hint).toBe("ask whoever runs `harbor.corp` why it refuses this");
  expect(fault.withoutHint()).toMatchObject({ message: fault.message, status, hint: undefined });
});

test.each([
  ["POST", 200],
  ["POST", 204],
  ["PUT", 200],
  ["GET", 204],
])("a %s that is answered %i has not reached a registry", async (method, status) => {
  const url = new URL("https://harbor.corp/v2/a/b/blobs/uploads/");
  expect((await answerFault(new Response(null, { status }), { method, url })).hint).toBe(
    "see what answers for `harbor.corp`: a registry, or a proxy or page before it",
  );
});

test.each([
  [
    "https://harbor.corp/v2/a/b/blobs/uploads/",
    "it sends this on to `https://harbor.corp`: give that address",
  ],
  ["//login.corp/sso?next=secret", "it sends this on to `http://login.corp`: give that address"],
  ["mailto:admin@harbor.corp", "see what answers for `harbor.corp`"],
  ["/login", "see what answers for `harbor.corp`"],
  ["http://", "see what answers for `harbor.corp`"],
  ["", "see what answers for `harbor.corp`"],
])("of a write that is sent on to `%s` it is said what to do", async (location, hint) => {
  const url = new URL("http://harbor.corp/v2/a/b/blobs/uploads/");
  const answer = new Response(null, { status: 301, headers: { location } });
  const fault = await answerFault(answer, { method: "POST", url });
  expect(fault.hint).toStartWith(hint);
  expect(fault.hint).not.toContain("secret");
});

test.each([
  ["7200", 429, "`harbor.corp` wants no more requests for 2 h: run the same command again after that time"],
  [
    "5000",
    503,
    "`harbor.corp` wants no more requests for 84 min: run the same command again after that time",
  ],
  ["9".repeat(400), 429, "`harbor.corp` wants no more requests for 8760 h: run"],
  ["30", 429, "wait a little and run the same command again, or lower `--jobs`"],
  ["soon", 429, "wait a little and run the same command again, or lower `--jobs`"],
])(
  "an answer with `Retry-After: %.10s` says how long to stay away where that is long",
  async (after, status, hint) => {
    const answer = new Response(null, { status, headers: { "retry-after": after } });
    const url = new URL("https://harbor.corp/v2/a/b/manifests/v1");
    expect((await answerFault(answer, { method: "GET", url })).hint).toStartWith(hint);
  },
);

const PAGE = "<!DOCTYPE html><title>Under maintenance until nine</title><body>";
const SAYS = "answered 502 (Under maintenance until nine)";

async function messageFrom(server: TestServer): Promise<string> {
  const request = { method: "GET", url: server.url } as const;
  return (await answerFault(await plainWire(request), request)).message;
}

test("of an error without end no more than its start is read, and its words are passed on", async () => {
  let sent = 0;
  const server = await started(
    serve(() => {
      const body = new ReadableStream<Uint8Array>({
        async pull(controller) {
          await Bun.sleep(0);
          const chunk = Buffer.from(sent === 0 ? PAGE : "<br>".repeat(16_000));
          sent += chunk.length;
          controller.enqueue(chunk);
        },
      });
      return new Response(body, { status: 502, headers: { "content-type": "text/html" } });
    }),
  );
  expect(await messageFrom(server)).toEndWith(SAYS);
  expect(sent).toBeLessThan(50_000_000);
});

test("what comes after the first 64 KiB of an error is not looked at", async () => {
  const padded = `<html>${" ".repeat(64 * 1024)}<title>too late</title>`;
  const server = await started(serve(() => new Response(padded, { status: 502 })));
  expect(await messageFrom(server)).toEndWith("answered 502 (Bad Gateway)");
});

test.each<[string, Partial<RawAnswer>]>([
  ["breaks off", { length: 100_000 }],
  ["is announced as terabytes", { length: 10 ** 13 }],
  ["does not say how long it is", { length: undefined }],
])("an error that %s says what has come of it", async (_, answer) => {
  let looks = 0;
  const until = () => ++looks > 50;
  const server = await started(serveRaw(() => ({ status: 502, body: PAGE, until, ...answer })));
  expect(await messageFrom(server)).toEndWith(SAYS);
});

test("an error that is compressed unasked is read", async () => {
  const headers = { "content-encoding": "gzip" };
  const body = Bun.gzipSync(PAGE);
  const server = await started(serve(() => new Response(body, { status: 502, headers })));
  expect(await messageFrom(server)).toEndWith(SAYS);
});

const PACKAGES = "783794618700.dkr.ecr.us-west-2.amazonaws.com";
const CHINA = "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn";

test.each([
  [PACKAGES, 403, "log in again with", "aws ecr get-login-password --region us-west-2"],
  [CHINA, 403, "log in again with", "aws ecr get-login-password --region cn-north-1"],
  ["public.ecr.aws", 403, "log in again with", "aws ecr-public get-login-password --region us-east-1"],
] as const)("%s, which answers %d, says how to log in there", async (host, status, words, password) => {
  const answer = Response.json({ errors: [{ code: "DENIED", message: "no" }] }, { status });
  const url = new URL(`https://${host}/v2/a/b/manifests/v1`);
  const command = `${password} | docker login --username AWS --password-stdin ${host}`;
  expect((await answerFault(answer, { method: "GET", url })).hint).toStartWith(`${words} \`${command}\``);
});
