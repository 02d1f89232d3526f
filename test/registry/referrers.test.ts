import { beforeAll, describe, expect, test } from "bun:test";
import { MEDIA_TYPE } from "../../src/oci/descriptor.ts";
import { type Digest, digestOf } from "../../src/oci/digest.ts";
import { formatReference } from "../../src/oci/reference.ts";
import { RegistrySource } from "../../src/registry/source.ts";
import { image, referrer, seed, type TestContent } from "../support/content.ts";
import { faultOf, textOf } from "../support/faults.ts";
import { rawIndex } from "../support/memory.ts";
import { startRegistry, type TestRegistry, type TestRegistryOptions } from "../support/registry.ts";
import { brokenAnswer } from "./breaking-proxy.ts";
import { connect } from "./connect.ts";
import { asked } from "./fill.ts";
import { stoppedAfterEach } from "./started.ts";

let subject: TestContent;
let signatures: TestContent[];
let cosign: TestContent;
beforeAll(async () => {
  subject = await image({ seed: "subject" });
  signatures = ["one", "two", "three"].map((body) =>
    referrer({ subject: subject.root, artifactType: "application/vnd.example.signature", body }),
  );
  cosign = await image({ seed: "cosign" });
});

const started = stoppedAfterEach();

/** A registry that holds the subject in `a/b`. */
async function start(options: TestRegistryOptions = {}): Promise<TestRegistry> {
  const registry = await started(startRegistry(options));
  await seed(registry.store, "a/b", "v1", subject);
  return registry;
}

async function fill(registry: TestRegistry): Promise<void> {
  for (const signature of signatures) await seed(registry.store, "a/b", undefined, signature);
}

/** The list as clients keep it in registries without the API. */
async function fillByTag(registry: TestRegistry): Promise<void> {
  await fill(registry);
  await seed(registry.store, "a/b", `sha256-${hex(subject)}`, { ...rawIndex(signatures), blobs: new Map() });
}

const hex = ({ root }: TestContent) => root.digest.slice("sha256:".length);
const digests = () => signatures.map(({ root }) => root.digest).sort();

async function referrersIn(
  { host, url }: Pick<TestRegistry, "host" | "url">,
  digest: Digest = subject.root.digest,
  warnings: string[] = [],
): Promise<string[]> {
  const source = new RegistrySource(connect({ urls: [url], warn: (text) => warnings.push(text) }));
  const found = await source.referrers({ registry: host, repository: "a/b", digest });
  return found.map((reference) => formatReference(reference).replace(`${host}/a/b`, "")).sort();
}

const signed = () => digests().map((digest) => `@${digest}`);

/** Answers the API's requests with something else. */
function listAnswers(answer: (url: URL) => Response): TestRegistryOptions {
  return { intercept: (_, url) => (url.pathname.includes("/referrers/") ? answer(url) : undefined) };
}

function listOf(contents: readonly TestContent[], headers: Record<string, string> = {}): Response {
  const bytes = rawIndex(contents).manifests.at(-1)?.bytes ?? new Uint8Array();
  return new Response(bytes.slice(), { headers: { "content-type": MEDIA_TYPE.ociIndex, ...headers } });
}

test("a registry's own list is taken, and the tag not looked at", async () => {
  const registry = await start();
  await fill(registry);
  expect(await referrersIn(registry)).toEqual(signed());
  expect(asked(registry)).not.toContain(`GET /v2/a/b/manifests/sha256-${hex(subject)}`);
});

test("a manifest that nobody signed has no referrers", async () => {
  expect(await referrersIn(await start())).toEqual([]);
  expect(await referrersIn(await start({ withoutReferrers: true }))).toEqual([]);
});

test("cosign's tags are found by name, and pinned to what they stood for", async () => {
  const registry = await start();
  for (const suffix of ["sig", "att", "sbom", "other"]) {
    await seed(registry.store, "a/b", `sha256-${hex(subject)}.${suffix}`, cosign);
  }
  const tags = ["att", "sbom", "sig"].map((suffix) => `:sha256-${hex(subject)}.${suffix}`);
  expect(await referrersIn(registry)).toEqual(tags);
  const source = new RegistrySource(connect({ urls: [registry.url] }));
  const place = { registry: registry.host, repository: "a/b", digest: subject.root.digest };
  for (const { digest } of await source.referrers(place)) expect(digest).toBe(cosign.root.digest);
});

test("what cosign has tagged and the registry lists as well, as Harbor does, is found by its tag alone", async () => {
  const registry = await start(listAnswers(() => listOf([cosign, ...signatures])));
  const tag = `sha256-${hex(subject)}.sig`;
  await seed(registry.store, "a/b", tag, cosign);
  expect(await referrersIn(registry)).toEqual([`:${tag}`, ...signed()]);
});

describe("a long list", () => {
  const pages = (url: URL): Response => {
    const page = Number(url.searchParams.get("page") ?? 0);
    const link = page < 2 ? { link: `<${url.pathname}?page=${page + 1}>; rel="next"` } : {};
    return listOf(signatures.slice(page, page + 1), link);
  };

  test("is read page by page", async () => {
    expect(await referrersIn(await start(listAnswers(pages)))).toEqual(signed());
  });

  test("that never ends is given up", async () => {
    const registry = await start(
      listAnswers((url) => listOf(signatures, { link: `<${url.pathname}>; rel="next"` })),
    );
    const fault = await faultOf(() => referrersIn(registry));
    expect(textOf(fault)).toContain(`cannot list the referrers of ${subject.root.digest}`);
    expect(textOf(fault)).toContain("after 300 there is still no end");
    expect(registry.requests.length).toBeLessThan(110);
  });

  test("of more than anybody has is given up", async () => {
    const entry = { mediaType: MEDIA_TYPE.ociManifest, digest: subject.root.digest, size: 1 };
    const list = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: Array(10_001).fill(entry) };
    const headers = { "content-type": MEDIA_TYPE.ociIndex };
    const registry = await start(listAnswers(() => new Response(JSON.stringify(list), { headers })));
    expect(textOf(await faultOf(() => referrersIn(registry)))).toContain("after 10001");
  });

  test("of a page too large to be one is not read to its end", async () => {
    const headers = { "content-type": MEDIA_TYPE.ociIndex };
    const registry = await start(listAnswers(() => new Response(" ".repeat(5 * 1024 ** 2), { headers })));
    expect(textOf(await faultOf(() => referrersIn(registry)))).toContain("more than 4194304 bytes");
  });

  test("whose entry is no descriptor is refused", async () => {
    const list = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: [{ digest: "sha256:../x" }] };
    const headers = { "content-type": MEDIA_TYPE.ociIndex };
    const registry = await start(listAnswers(() => new Response(JSON.stringify(list), { headers })));
    expect(textOf(await faultOf(() => referrersIn(registry)))).toContain("`manifests[0]`");
  });

  test("that breaks off is no list at all", async () => {
    const first = (url: URL) =>
      listOf(signatures.slice(0, 1), { link: `<${url.pathname}?page=1>; rel="next"` });
    const rest = () => new Response("404 page not found\n", { status: 404 });
    const registry = await start(listAnswers((url) => (url.search === "" ? first(url) : rest())));
    expect(textOf(await faultOf(() => referrersIn(registry)))).toContain("the list breaks off after 1");
  });

  test("that goes on at another host is not followed", async () => {
    const other = await start();
    const link = `<${other.url}/v2/a/b/referrers/x>; rel="next"`;
    const registry = await start(listAnswers(() => listOf(signatures, { link })));
    expect(textOf(await faultOf(() => referrersIn(registry)))).toContain("goes on somewhere else");
    expect(other.requests).toEqual([]);
  });
});

describe("where there is no API the list is read from the tag", () => {
  test.each<[string, () => Response]>([
    ["a page that is not found", () => new Response("404 page not found\n", { status: 404 })],
    ["a request that is not understood", () => new Response("", { status: 400 })],
    ["a method that is not allowed", () => new Response("", { status: 405 })],
    ["a code of its own", () => Response.json({ errors: [{ code: "MANIFEST_UNKNOWN" }] }, { status: 404 })],
    [
      "a web page for every address",
      () => new Response("<html>", { headers: { "content-type": "text/html" } }),
    ],
    ["JSON that says it is no index", () => Response.json({ manifests: [] })],
  ])("the API answers with %s", async (_, answer) => {
    const registry = await start(listAnswers(answer));
    await fillByTag(registry);
    expect(await referrersIn(registry)).toEqual(signed());
  });

  test("an image that happens to have the tag lists nothing", async () => {
    const registry = await start({ withoutReferrers: true });
    await seed(registry.store, "a/b", `sha256-${hex(subject)}`, cosign);
    expect(await referrersIn(registry)).toEqual([]);
  });

  test("of a sha512 digest, which is longer than a tag, by its first 64 digits", async () => {
    const registry = await start({ withoutReferrers: true });
    const digest = digestOf(new Uint8Array(), "sha512");
    await referrersIn(registry, digest);
    const tags = asked(registry).filter((line) => line.includes("/manifests/"));
    expect(tags).toEqual([`GET /v2/a/b/manifests/sha512-${digest.slice(7, 7 + 64)}`]);
  });
});

test("a repository that is not there is a failure, not a registry without the API", async () => {
  const unknown = () => Response.json({ errors: [{ code: "NAME_UNKNOWN" }] }, { status: 404 });
  const registry = await start(listAnswers(unknown));
  await fillByTag(registry);
  const fault = await faultOf(() => referrersIn(registry));
  expect(fault.message).toBe(
    `cannot read what signs or describes ${registry.host}/a/b@${subject.root.digest}`,
  );
  expect(textOf(fault)).toContain("NAME_UNKNOWN");
});

describe("what this account may not read", () => {
  const denied = (status: number) => new Response("", { status });
  /** Denies these tags, by the end of their names. */
  const tagsDenied = (status: number, ...ends: string[]): TestRegistryOptions => ({
    intercept: (_, url) =>
      url.pathname.includes("/manifests/") && ends.some((end) => url.pathname.endsWith(end))
        ? denied(status)
        : undefined,
  });

  test.each([401, 403])("the API (%i): the tag has the list, and one warning says so", async (status) => {
    const registry = await start(listAnswers(() => denied(status)));
    await fillByTag(registry);
    await seed(registry.store, "a/b", `sha256-${hex(subject)}.sig`, cosign);
    const warnings: string[] = [];
    const source = new RegistrySource(connect({ urls: [registry.url], warn: (text) => warnings.push(text) }));
    for (const digest of [subject.root.digest, cosign.root.digest]) {
      const found = await source.referrers({ registry: registry.host, repository: "a/b", digest });
      expect(found).toHaveLength(digest === subject.root.digest ? 4 : 0);
    }
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain(`\`${registry.host}\` does not let this account list`);
    expect(warnings[0]).toContain("some may be missing");
  });

  test.each([401, 403])(
    "where a tag that does not exist is denied (%i), one that is denied counts as absent, with one warning",
    async (status) => {
      const registry = await start(tagsDenied(status, ".att", ".sbom", ".sig"));
      await fill(registry);
      const warnings: string[] = [];
      expect(await referrersIn(registry, subject.root.digest, warnings)).toEqual(signed());
      expect(warnings).toHaveLength(1);
      expect(warnings[0]).toContain(`denies tags that do not exist (${status})`);
    },
  );

  test("a signature that alone is denied is there: its loss is a failure", async () => {
    const registry = await start(tagsDenied(403, `${hex(subject)}.sig`));
    expect(textOf(await faultOf(() => referrersIn(registry)))).toContain(
      `manifests/sha256-${hex(subject)}.sig answered 403`,
    );
  });
});

test.each(["referrers/", "manifests/"])(
  "an answer of %s that breaks off is asked for again",
  async (part) => {
    const registry = await start(part === "manifests/" ? { withoutReferrers: true } : {});
    await fillByTag(registry);
    const proxy = await started(brokenAnswer(registry.url, part));
    expect(await referrersIn(proxy)).toEqual(signed());
  },
);
