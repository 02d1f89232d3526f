import { afterEach, describe, expect, test } from "bun:test";
import { assertMayLead, isInternal } from "../../src/http/address.ts";
import { following } from "../../src/http/redirect.ts";
import { wire } from "../../src/http/wire.ts";
import { plainWire, serve, type TestServer, wireOptions } from "./server.ts";

let server: TestServer | undefined;
afterEach(() => server?.stop());

test.each([
  ["localhost", true],
  ["a.localhost", true],
  ["localhost.example.com", false],
  ["127.0.0.1", true],
  ["0.0.0.0", true],
  ["10.255.0.1", true],
  ["11.0.0.1", false],
  ["100.64.0.1", true],
  ["100.128.0.1", false],
  ["169.254.169.254", true],
  ["172.16.0.1", true],
  ["172.32.0.1", false],
  ["192.168.0.1", true],
  ["192.169.0.1", false],
  ["[::1]", true],
  ["[::]", true],
  ["[::2]", false],
  ["[fd00:ec2::254]", true],
  ["[fe80::1]", true],
  ["[2001:db8::1]", false],
  ["[::ffff:10.0.0.1]", true],
  ["[::ffff:a9fe:a9fe]", true],
  ["[::ffff:8.8.8.8]", false],
  ["10.example.com", false],
  ["registry.corp", false],
])("%s can only mean the inside of a network: %p", (host, expected) => {
  expect(isInternal(new URL(`http://${host}/`).hostname)).toBe(expected);
});

describe("an answer", () => {
  test.each([
    ["https://8.8.8.8/", "https://169.254.169.254/latest"],
    ["https://8.8.8.8/", "https://localhost/"],
    ["https://8.8.8.8/", "https://[::ffff:127.0.0.1]/"],
    ["https://8.8.8.8/", "https://0x7f000001/"],
    ["https://[2001:4860::1]/", "https://192.168.1.1/"],
    ["https://nowhere.invalid/", "https://10.0.0.1/"],
  ])("of %s may not lead to %s", async (from, to) => {
    await expect(assertMayLead(new URL(from), new URL(to))).rejects.toMatchObject({
      code: "INTERNAL_ADDRESS",
      retryable: false,
    });
  });

  test.each([
    ["https://8.8.8.8/", "https://9.9.9.9/"],
    ["https://8.8.8.8/", "https://minio.corp/"],
    ["https://10.0.0.1/", "https://10.0.0.2/"],
    ["https://10.0.0.1/", "https://127.0.0.1/"],
    ["https://localhost/", "https://10.0.0.1/"],
    ["https://10.0.0.1/", "https://10.0.0.1:9000/"],
    ["https://10.0.0.1/", "https://8.8.8.8/"],
  ])("of %s may lead to %s", async (from, to) => {
    await assertMayLead(new URL(from), new URL(to));
  });
});

test("a request that a public host sends inside is not made, whoever asked for it", async () => {
  server = serve(() => new Response("metadata"));
  const request = { method: "GET", url: server.url, from: new URL("https://8.8.8.8/") } as const;
  await expect(plainWire(request)).rejects.toMatchObject({
    code: "INTERNAL_ADDRESS",
    message: `\`8.8.8.8\` leads to ${server.url}, an address inside this network`,
  });
  expect(server.requests).toEqual([]);
});

test("a redirect says where it comes from, so that a public host cannot lead inside", async () => {
  const inside = serve(() => new Response("metadata"));
  server = inside;
  const bottom = wire(wireOptions());
  const transport = following(async (request) => {
    if (request.url.hostname !== "8.8.8.8") return bottom(request);
    return new Response(null, { status: 307, headers: { location: inside.url.href } });
  });
  await expect(transport({ method: "GET", url: new URL("http://8.8.8.8/") })).rejects.toMatchObject({
    code: "INTERNAL_ADDRESS",
  });
  expect(inside.requests).toEqual([]);
});

test("who is led to a plain host is told to mend the one that leads there", async () => {
  const transport = wire(wireOptions({ plainHosts: new Set(["registry.corp:5000"]) }));
  const from = new URL("http://registry.corp:5000/v2/");
  const request = { method: "GET", url: new URL("http://auth.corp/token"), from } as const;
  await expect(transport(request)).rejects.toMatchObject({
    code: "PLAIN_HTTP",
    hint: "`registry.corp:5000` names this address: let its settings name one on https, or one on `registry.corp:5000` itself",
  });
});
