import { afterAll, beforeAll, expect } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Descriptor } from "../../src/oci/descriptor.ts";
import { digestOf } from "../../src/oci/digest.ts";
import type { Node } from "../../src/oci/plan.ts";
import { RegistrySource } from "../../src/registry/source.ts";
import { faultOf, textOf } from "../support/faults.ts";
import { testWith } from "../support/needs.ts";
import { startRegistry, type TestRegistry } from "../support/registry.ts";
import { type Authority, makeAuthority } from "../support/tls.ts";
import { connect } from "./connect.ts";
import { stoppedAfterEach } from "./started.ts";

const BYTES = new TextEncoder().encode("a layer that may not be redistributed");
const LOGIN = { username: "robot", password: "s3cret" };

let folder: string;
let authority: Authority;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eksa-airgap-foreign-"));
  if (Bun.which("openssl") !== null) authority = await makeAuthority(folder);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const started = stoppedAfterEach();

interface Place {
  url: string;
  /** What reached it. */
  headers: Headers[];
  stop(): Promise<unknown>;
}

/** A file host on https. */
async function place(answer: () => Response): Promise<Place> {
  const headers: Headers[] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    tls: { cert: Bun.file(authority.certificate), key: Bun.file(authority.key) },
    fetch(request) {
      headers.push(new Headers(request.headers));
      return answer();
    },
  });
  return started({ url: `https://127.0.0.1:${server.port}/l`, headers, stop: () => server.stop(true) });
}

function foreign({ host }: TestRegistry, urls: string[]): Node {
  const descriptor: Descriptor = {
    mediaType: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    digest: digestOf(BYTES),
    size: BYTES.length,
    urls,
  };
  return { descriptor, kind: "blob", children: [], repositories: new Set([`${host}/a/b` as const]) };
}

async function sourceOf({ url }: TestRegistry): Promise<RegistrySource> {
  const authorities = [await Bun.file(authority.ca).text()];
  const credentials = () => ({ kind: "password", ...LOGIN }) as const;
  return new RegistrySource(connect({ urls: [url], authorities, credentials }));
}

async function read(source: RegistrySource, node: Node): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(await source.open(node)));
}

const start = () => started(startRegistry({ auth: { scheme: "basic", ...LOGIN } }));

testWith("openssl")("a foreign layer is asked for at the registry first", async () => {
  const registry = await start();
  const upload = await registry.store.startUpload("a/b");
  await upload.append(new Blob([BYTES]).stream());
  await upload.commit(digestOf(BYTES));
  const other = await place(() => new Response(BYTES));
  expect(await read(await sourceOf(registry), foreign(registry, [other.url]))).toEqual(Buffer.from(BYTES));
  expect(other.headers).toEqual([]);
});

testWith("openssl")(
  "what the registry lacks comes from the first place that has it, without a login",
  async () => {
    const registry = await start();
    const [empty, full] = [
      await place(() => new Response(null, { status: 404 })),
      await place(() => new Response(BYTES)),
    ];
    const node = foreign(registry, [empty.url, full.url.replace("https://", "https://me:word@")]);
    expect(await read(await sourceOf(registry), node)).toEqual(Buffer.from(BYTES));
    for (const { headers } of [empty, full]) {
      expect(headers.map((each) => [each.get("authorization"), each.get("cookie")])).toEqual([[null, null]]);
    }
  },
);

testWith("openssl")("a layer that is nowhere to be had is named, and so is every place", async () => {
  const registry = await start();
  const empty = await place(() => new Response(null, { status: 403 }));
  const places = [empty.url, "http://127.0.0.1:1/l", "ftp://files.example/l", "no url"];
  const node = foreign(registry, places);
  const fault = await faultOf(async () => read(await sourceOf(registry), node));
  expect(fault.message).toBe(`cannot fetch the foreign layer ${digestOf(BYTES)}`);
  for (const words of ["answered 404", "answered 403", "without TLS", "not a URL"]) {
    expect(textOf(fault)).toContain(words);
  }
});
