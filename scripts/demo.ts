/**
 * `npm run demo`: a whole air gap on one machine, without the Internet.
 * Two registries and a file server run in this process; the built executable moves a Bundles of real shape
 * from the first to the second through one file; what arrived is then checked with plain HTTP requests.
 */
import { createHash } from "node:crypto";
import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type BundlesFixture, bundlesOfRealShape } from "../test/support/bundles.ts";
import { chart, image, layer, multiArchImage, seed, type TestContent } from "../test/support/content.ts";
import { startRegistry } from "../test/support/registry.ts";

const EXECUTABLE = fileURLToPath(new URL("../dist/eksa-airgap", import.meta.url));
const PUBLIC_REGISTRY = "public.ecr.aws";
const BASE_LAYER_BYTES = 1_000_000;
const LAYER_BYTES = 100_000;
const MOST_PROBLEMS = 20;

/** What has to arrive: reference → its content. */
type Artifacts = Map<string, TestContent>;

interface Arrival {
  manifests: number;
  blobs: number;
  /** bytes of distinct blobs */
  bytes: number;
  problems: string[];
}

try {
  await main();
} catch (error) {
  console.error(`error: ${error instanceof Error ? error.message : error}`);
  process.exitCode = 1;
}

async function main(): Promise<void> {
  const fixture = await step("make a Bundles of real shape and its content", inventRelease);
  const folder = await mkdtemp(join(tmpdir(), "eksa-airgap-demo-"));
  const source = await startRegistry();
  const target = await startRegistry();
  const files = serveFiles(fixture.bundles.documents);
  try {
    await step("seed the public registry", () => seedRegistry(source.store, fixture.artifacts));
    const bundles = join(folder, "bundle-release.yaml");
    await writeFile(bundles, fixture.bundles.yaml);
    const archive = join(folder, "artifacts.tar");
    const mirrors = [`${PUBLIC_REGISTRY}=${source.url}`, ...files.mirrors].flatMap((mirror) => [
      "--mirror",
      mirror,
    ]);
    const from = ["--bundles-override", bundles, ...mirrors];
    await step("export artifacts", () => run(folder, "export", "artifacts", ...from, "--output", archive));
    // What is online is out of reach from here on.
    await Promise.all([source.stop(), files.stop()]);
    const to = ["--input", archive, "--registry", target.host];
    await step("import artifacts", () => run(folder, "import", "artifacts", ...to));
    const arrival = await step("check the second registry", () => checkRegistry(target.url, fixture));
    const archiveBytes = (await stat(archive)).size;
    report(arrival, `${fixture.artifacts.size} artifacts, ${megabytes(archiveBytes)} in one file`);
    if (arrival.problems.length > 0) process.exitCode = 1;
  } finally {
    await Promise.all([source.stop(), target.stop(), files.stop()]);
    await rm(folder, { recursive: true, force: true });
  }
}

interface Release {
  bundles: BundlesFixture;
  artifacts: Artifacts;
}

/** Content first, then the Bundles again with the digests that it turned out to have. */
async function inventRelease(): Promise<Release> {
  const { images, charts } = bundlesOfRealShape();
  const base = [await layer("base", BASE_LAYER_BYTES)];
  const artifacts: Artifacts = new Map();
  for (const [index, reference] of images.entries()) {
    const dialect = index % 3 === 0 ? "docker" : "oci";
    const options = { seed: `image-${index}`, dialect, base, layerSizes: [LAYER_BYTES] } as const;
    const attested = index % 5 === 0;
    const content = index % 10 === 9 ? image(options) : multiArchImage({ ...options, attested });
    artifacts.set(reference, await content);
  }
  for (const reference of charts) {
    const { repository, tag } = partsOf(reference);
    artifacts.set(reference, await chart(repository.slice(repository.lastIndexOf("/") + 1), tag));
  }
  const bundles = bundlesOfRealShape({ imageDigest: (reference) => artifacts.get(reference)?.root.digest });
  return { bundles, artifacts };
}

async function seedRegistry(store: Parameters<typeof seed>[0], artifacts: Artifacts): Promise<void> {
  for (const [reference, content] of artifacts) {
    const { repository, tag } = partsOf(reference);
    await seed(store, repository, tag, content);
  }
}

/** Serves each document below its host's name; `mirrors` says so in the words of `--mirror`. */
function serveFiles(documents: Map<string, string>): { mirrors: string[]; stop(): Promise<void> } {
  const pages = new Map(
    [...documents].map(([url, text]) => [`/${new URL(url).host}${new URL(url).pathname}`, text]),
  );
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch(request) {
      const text = pages.get(new URL(request.url).pathname);
      return text === undefined ? new Response("not found\n", { status: 404 }) : new Response(text);
    },
  });
  const hosts = new Set([...documents.keys()].map((url) => new URL(url).host));
  return {
    mirrors: [...hosts].map((host) => `${host}=http://127.0.0.1:${server.port}/${host}`),
    stop: () => server.stop(true),
  };
}

/** Runs the executable in `folder`, with nothing of this user's registries and proxies in its environment. */
async function run(folder: string, ...args: string[]): Promise<void> {
  console.log(`  $ eksa-airgap ${args.join(" ").replaceAll(folder, "…")}`);
  const { PATH, SystemRoot } = process.env;
  const env = { PATH, SystemRoot, HOME: folder, USERPROFILE: folder, TMPDIR: folder, TEMP: folder };
  const child = Bun.spawn([EXECUTABLE, ...args], {
    cwd: folder,
    env,
    stdio: ["ignore", "inherit", "inherit"],
  });
  const status = await child.exited;
  if (status !== 0) throw new Error(`\`eksa-airgap ${args.slice(0, 2).join(" ")}\` ended with ${status}`);
}

/** Every artifact under its mirror name, by tag and by digest, down to the last blob; and nothing else. */
async function checkRegistry(url: string, { artifacts, bundles }: Release): Promise<Arrival> {
  const arrival: Arrival = { manifests: 0, blobs: 0, bytes: 0, problems: [] };
  const sound = new Set<string>();
  for (const [reference, content] of artifacts) {
    const { repository, tag } = partsOf(reference);
    const tagged = await fetchManifest(url, repository, tag);
    if (sha256(tagged) !== content.root.digest)
      arrival.problems.push(`${reference}: the tag has another digest`);
    for (const { digest, bytes } of content.manifests) {
      const got = await fetchManifest(url, repository, digest);
      if (Buffer.compare(got, bytes) !== 0) arrival.problems.push(`${reference}: manifest ${digest} differs`);
      arrival.manifests++;
    }
    for (const digest of content.blobs.keys()) {
      const blob = `${url}/v2/${repository}/blobs/${digest}`;
      // Hashed once, but there it has to be in every repository.
      const response = await fetch(blob, { method: sound.has(digest) ? "HEAD" : "GET" });
      const bytes = await response.bytes();
      const isSound = response.ok && (sound.has(digest) || sha256(bytes) === digest);
      if (!isSound) arrival.problems.push(`${reference}: blob ${digest} is missing or differs`);
      else if (!sound.has(digest)) arrival.bytes += bytes.length;
      if (isSound) sound.add(digest);
    }
  }
  arrival.blobs = sound.size;
  arrival.problems.push(...(await checkDocuments(url, bundles)), ...(await checkCatalog(url, artifacts)));
  return arrival;
}

/** The Bundles and the YAML files that it names are layers of one artifact, the Bundles first. */
async function checkDocuments(url: string, { yaml, documents }: BundlesFixture): Promise<string[]> {
  const repository = "eks-anywhere/bundles";
  const manifest = await fetchManifest(url, repository, "bundles-1");
  if (manifest.length === 0) return ["the Bundles artifact is missing"];
  const { layers }: { layers: { digest: string }[] } = JSON.parse(manifest.toString());
  const texts = new Set<string>();
  for (const { digest } of layers) {
    texts.add(await (await fetch(`${url}/v2/${repository}/blobs/${digest}`)).text());
  }
  const problems = [...documents]
    .filter(([, text]) => !texts.has(text))
    .map(([from]) => `${from} is missing`);
  if (layers[0]?.digest !== sha256(yaml)) problems.push("the Bundles is not the one that was exported");
  return problems;
}

async function checkCatalog(url: string, artifacts: Artifacts): Promise<string[]> {
  const { repositories }: { repositories: string[] } = JSON.parse(
    await (await fetch(`${url}/v2/_catalog`)).text(),
  );
  const expected = new Set([...artifacts.keys()].map((reference) => partsOf(reference).repository));
  expected.add("eks-anywhere/bundles");
  return repositories.filter((name) => !expected.has(name)).map((name) => `${name} is not wanted by anybody`);
}

/** Empty when there is none. */
async function fetchManifest(url: string, repository: string, reference: string): Promise<Buffer> {
  const response = await fetch(`${url}/v2/${repository}/manifests/${reference}`);
  return response.ok ? Buffer.from(await response.bytes()) : Buffer.alloc(0);
}

function sha256(content: Uint8Array | string): string {
  return `sha256:${createHash("sha256").update(content).digest("hex")}`;
}

/** `public.ecr.aws/P:TAG`: `P` is the name in the source and in the target alike. */
function partsOf(reference: string): { repository: string; tag: string } {
  const path = reference.slice(PUBLIC_REGISTRY.length + 1);
  const colon = path.lastIndexOf(":");
  return { repository: path.slice(0, colon), tag: path.slice(colon + 1) };
}

async function step<T>(name: string, work: () => Promise<T>): Promise<T> {
  console.log(`• ${name}`);
  const start = performance.now();
  const result = await work();
  console.log(`  took ${((performance.now() - start) / 1000).toFixed(2)} s`);
  return result;
}

function report({ manifests, blobs, bytes, problems }: Arrival, carried: string): void {
  for (const problem of problems.slice(0, MOST_PROBLEMS)) console.error(`error: ${problem}`);
  if (problems.length > MOST_PROBLEMS) console.error(`error: and ${problems.length - MOST_PROBLEMS} more`);
  const verdict = problems.length === 0 ? "everything arrived, byte for byte" : "not all is right";
  console.log(`${carried}: ${manifests} manifests, ${blobs} blobs, ${megabytes(bytes)} checked: ${verdict}`);
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
