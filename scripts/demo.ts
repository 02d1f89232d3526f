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
import { startRegistry } from "../test/support/registry.ts";
import { partsOf, putOnline, type Release, releaseOfRealShape } from "../test/support/release.ts";

const EXECUTABLE = fileURLToPath(new URL("../dist/eksa-airgap", import.meta.url));
const MOST_PROBLEMS = 20;

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
  const release = await step("make a release of real shape and its content", () =>
    releaseOfRealShape({}, { base: 1_000_000, own: 100_000 }),
  );
  const folder = await mkdtemp(join(tmpdir(), "eksa-airgap-demo-"));
  const target = await startRegistry();
  const source = await step("put it online: a registry and a file server", () => putOnline(release));
  try {
    const bundles = join(folder, "bundle-release.yaml");
    await writeFile(bundles, release.yaml);
    const archive = join(folder, "artifacts.tar");
    const from = ["--bundles-override", bundles, ...source.mirrors];
    await step("export artifacts", () => run(folder, "export", "artifacts", ...from, "--output", archive));
    // What is online is out of reach from here on.
    await source.stop();
    const to = ["--input", archive, "--registry", target.host];
    await step("import artifacts", () => run(folder, "import", "artifacts", ...to));
    const arrival = await step("check the second registry", () => checkRegistry(target.url, release));
    const archiveBytes = (await stat(archive)).size;
    report(arrival, `${release.artifacts.size} artifacts, ${megabytes(archiveBytes)} in one file`);
    if (arrival.problems.length > 0) process.exitCode = 1;
  } finally {
    await Promise.all([source.stop(), target.stop()]);
    await rm(folder, { recursive: true, force: true });
  }
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
async function checkRegistry(url: string, release: Release): Promise<Arrival> {
  const arrival: Arrival = { manifests: 0, blobs: 0, bytes: 0, problems: [] };
  const sound = new Set<string>();
  for (const [reference, content] of release.artifacts) {
    const { repository, tag = "" } = partsOf(reference);
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
  arrival.problems.push(...(await checkDocuments(url, release)), ...(await checkCatalog(url, release)));
  return arrival;
}

/** The Bundles and the YAML files that it names are layers of one artifact, the Bundles first. */
async function checkDocuments(url: string, { yaml, documents }: Release): Promise<string[]> {
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

async function checkCatalog(url: string, { artifacts }: Release): Promise<string[]> {
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
