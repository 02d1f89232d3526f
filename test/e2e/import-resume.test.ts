import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { layer, multiArchImage, type TestContent } from "../support/content.ts";
import { runExecutable, startExecutable } from "../support/executable.ts";
import { startRegistry, type TestRegistry } from "../support/registry.ts";
import { partsOf, putOnline, type Release, releaseOf } from "../support/release.ts";

const SEED = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31));
const KILLS = Number(process.env.STRESS ?? 12);

let folder: string;
let archive: string;
let release: Release;

beforeAll(async () => {
  console.log(`SEED=${SEED}`);
  folder = await mkdtemp(join(tmpdir(), "eksa-airgap-import-resume-"));
  archive = join(folder, "artifacts.tar");
  const base = [await layer("base", 400_000)];
  const artifacts = new Map<string, TestContent>();
  for (let index = 0; index < 25; index++) {
    const content = await multiArchImage({ seed: `image-${index}`, base, layerSizes: [60_000, 2000] });
    artifacts.set(`public.ecr.aws/eks-anywhere/image-${index}:v1`, content);
  }
  release = releaseOf(artifacts);
  const online = await putOnline(release);
  const bundles = join(folder, "bundle-release.yaml");
  await writeFile(bundles, release.yaml);
  const args = ["export", "artifacts", "-o", archive, "--bundles-override", bundles, ...online.mirrors];
  expect(await runExecutable(args)).toMatchObject({ status: 0 });
  await online.stop();
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** How many of the release's tags are there; fails when one stands for less than all of its content. */
async function countWhole({ url }: TestRegistry): Promise<number> {
  let whole = 0;
  for (const [reference, { root, manifests, blobs }] of release.artifacts) {
    const { repository, tag } = partsOf(reference);
    const place = `${url}/v2/${repository}`;
    const found = await fetch(`${place}/manifests/${tag}`, { method: "HEAD" });
    if (found.status === 404) continue;
    whole++;
    expect(found.headers.get("docker-content-digest")).toBe(root.digest);
    for (const { digest } of manifests) {
      expect((await fetch(`${place}/manifests/${digest}`, { method: "HEAD" })).status).toBe(200);
    }
    for (const digest of blobs.keys()) {
      expect((await fetch(`${place}/blobs/${digest}`, { method: "HEAD" })).status).toBe(200);
    }
  }
  return whole;
}

/** Numbers below one, the same for the same seed. */
function* randomNumbers(seed: number): Generator<number> {
  for (let state = seed; ; ) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    yield state / 2 ** 32;
  }
}

test("an import that is killed anywhere leaves whole images, and the next one sends only what is missing", async () => {
  const random = randomNumbers(SEED);
  const target = await startRegistry();
  try {
    const args = ["import", "artifacts", "-i", archive, "-r", target.url, "--quiet"];
    const undisturbed = await startRegistry();
    const started = performance.now();
    expect(await runExecutable([...args.slice(0, 5), undisturbed.url, "--quiet"])).toMatchObject({
      status: 0,
    });
    const duration = performance.now() - started;
    const uploads = undisturbed.requests.filter(({ method }) => method === "PATCH").length;
    await undisturbed.stop();

    let before = 0;
    for (let kill = 0; kill < KILLS; kill++) {
      const run = await startExecutable(args);
      await Bun.sleep((random.next().value ?? 0) * duration * 0.6);
      run.kill("SIGKILL");
      await run.result;
      const whole = await countWhole(target);
      expect(whole).toBeGreaterThanOrEqual(before);
      before = whole;
    }
    expect(await runExecutable(args)).toMatchObject({ status: 0 });
    expect(await countWhole(target)).toBe(release.artifacts.size);
    // A blob is sent again only when the run was killed while it was on its way: at most `jobs` a kill.
    const sent = target.requests.filter(({ method }) => method === "PATCH").length;
    expect(sent).toBeLessThanOrEqual(uploads + KILLS * 8);

    const requests = target.requests.length;
    expect(await runExecutable(args)).toMatchObject({ status: 0 });
    const writes = target.requests
      .slice(requests)
      .filter(({ method }) => method !== "GET" && method !== "HEAD");
    expect(writes).toEqual([]);
  } finally {
    await target.stop();
  }
}, 60_000);
