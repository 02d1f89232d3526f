import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test as plainTest } from "bun:test";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { toYaml } from "../support/bundles-author.ts";
import { image, seed } from "../support/content.ts";
import { type RunResult, runExecutable } from "../support/executable.ts";
import { seedManifests } from "../support/mirrored-manifests.ts";
import { testWith } from "../support/needs.ts";
import { startRegistry, type TestRegistry, type TestRegistryOptions } from "../support/registry.ts";
import { partsOf } from "../support/release.ts";
import { type Authority, makeAuthority } from "../support/tls.ts";
import { OF_1_30, Selecting, without } from "./selecting.ts";
import { expectFailure } from "./stage.ts";

const test = testWith("openssl");
const MANIFESTS = "eks-anywhere/bundles:bundles-1";
const VSPHERE = ["--kubernetes-version", "1.31", "--provider", "vsphere"];

interface Problem {
  kind: string;
  digest?: string;
  place?: string;
  artifacts: string[];
}

interface Report {
  ok: boolean;
  registry: string;
  cluster: Record<string, unknown>;
  problems: Problem[];
  notes: { kind: string; artifacts: string[]; detail: string }[];
}

let selecting: Selecting;
let authority: Authority;
/** What a cluster of 1.31 on vSphere needs, the Bundles left out. */
let wanted: string[];
/** Holds just that; no test changes it. */
let filled: TestRegistry;

beforeAll(async () => {
  selecting = await Selecting.begin();
  if (Bun.which("openssl") === null) return;
  authority = await makeAuthority(selecting.folder);
  wanted = await needed(...VSPHERE);
  filled = await startRegistry(await secured());
  await fill(filled, selecting.whole, ...VSPHERE);
}, 60_000);
beforeEach(() => {
  filled?.requests.splice(0);
});
afterEach(() => selecting.stopTargets());
afterAll(async () => {
  await Promise.all([selecting.end(), filled?.stop()]);
});

async function secured(): Promise<TestRegistryOptions> {
  const [cert, key] = await Promise.all([
    readFile(authority.certificate, "utf8"),
    readFile(authority.key, "utf8"),
  ]);
  return { tls: { cert, key } };
}

async function startMirror(): Promise<TestRegistry> {
  return selecting.startTarget(await secured());
}

/** A cluster of 1.31 on vSphere in a mirror's folder `team`; `spec` stands beside or in place of that. */
async function clusterFile(mirror: TestRegistry, spec: object = {}): Promise<string> {
  const path = join(selecting.folder, "cluster.yaml");
  const [endpoint, port] = mirror.host.split(":");
  const document = {
    apiVersion: "anywhere.eks.amazonaws.com/v1alpha1",
    kind: "Cluster",
    metadata: { name: "mgmt" },
    spec: {
      kubernetesVersion: "1.31",
      datacenterRef: { kind: "VSphereDatacenterConfig", name: "mgmt" },
      registryMirrorConfiguration: {
        endpoint,
        port,
        caCertContent: await readFile(authority.ca, "utf8"),
        ociNamespaces: [{ registry: "public.ecr.aws", namespace: "team" }],
      },
      ...spec,
    },
  };
  await writeFile(path, toYaml(document));
  return path;
}

async function fill(mirror: TestRegistry, input: string, ...flags: string[]): Promise<void> {
  const to = ["-f", await clusterFile(mirror)];
  const result = await runExecutable(["import", "artifacts", "-i", input, ...to, ...flags]);
  expect(result.status, result.stderr).toBe(0);
}

function verify(...flags: string[]): Promise<RunResult> {
  return runExecutable(["verify", "artifacts", ...flags]);
}

async function reportOf(...flags: string[]): Promise<Report> {
  const { status, stdout, stderr } = await verify(...flags, "-o", "json");
  const report: Report = JSON.parse(stdout);
  expect({ status, ok: report.ok }, stderr).toEqual(
    report.problems.length === 0 ? { status: 0, ok: true } : { status: 4, ok: false },
  );
  return report;
}

const artifactsOf = (problems: readonly Problem[]) =>
  [...new Set(problems.flatMap(({ artifacts }) => artifacts))].sort();

/** What a selection takes and is sent, the Bundles left out. */
async function needed(...flags: string[]): Promise<string[]> {
  return without(await selecting.listed(...selecting.flags(...flags)), /csi-components/, /bundles:/);
}

describe("what a cluster needs of its mirror, told by the manifests in it", () => {
  test("is there after an import of just that, and nothing else is asked for", async () => {
    const cluster = await clusterFile(filled);
    const report = await reportOf("-f", cluster);
    expect(report).toMatchObject({
      registry: filled.host,
      cluster: {
        file: cluster,
        release: "bundles-1",
        source: `${filled.host}/team/${MANIFESTS}`,
        kubernetesVersions: ["1.31"],
        provider: "vsphere",
        artifacts: wanted.length,
      },
      problems: [],
    });
    expect(new Set(filled.requests.map(({ method }) => method))).toEqual(new Set(["GET", "HEAD"]));
    // Of blobs the YAML files alone are read.
    const read = filled.requests.filter(({ method, path }) => method === "GET" && path.includes("/blobs/"));
    const others = without(
      read.map(({ path }) => path),
      /^\/v2\/team\/eks-anywhere\/bundles\//,
    );
    expect(others).toEqual([]);
    const unpinned = report.notes.find(({ kind }) => kind === "unpinned")?.artifacts ?? [];
    expect(unpinned.length).toBeGreaterThan(0);
    expect(wanted).toEqual(expect.arrayContaining(unpinned));

    const { status, stdout } = await verify("-f", cluster);
    expect(status).toBe(0);
    expect(stdout).toMatch(
      /^unpinned: .*\nok: \S+ against \S+ \(bundles-1, Kubernetes 1\.31, vsphere\): \d+ artifacts, \d+ manifests, \d+ blobs\n$/,
    );
  });

  test("goes by its provider", async () => {
    const docker = { datacenterRef: { kind: "DockerDatacenterConfig", name: "mgmt" } };
    const { problems } = await reportOf("-f", await clusterFile(filled, docker));
    const lacking = (await needed("--kubernetes-version", "1.31", "--provider", "docker")).filter(
      (name) => !wanted.includes(name),
    );
    expect(new Set(problems.map(({ kind }) => kind))).toEqual(new Set(["missing"]));
    expect(artifactsOf(problems)).toEqual(lacking);
  });

  test("goes by its control plane and its node groups", async () => {
    const mixed = { workerNodeGroupConfigurations: [{ name: "a", kubernetesVersion: "1.30" }] };
    const { cluster, problems } = await reportOf("-f", await clusterFile(filled, mixed));
    expect(cluster).toMatchObject({ kubernetesVersions: ["1.31", "1.30"] });
    expect(artifactsOf(problems).length).toBeGreaterThan(0);
    expect(without(artifactsOf(problems), OF_1_30)).toEqual([]);
  });

  test("is missing or different where it was removed or moved", async () => {
    const mirror = await startMirror();
    await fill(mirror, selecting.whole, ...VSPHERE);
    const [first = "", second = "", third = ""] = without(wanted, /eks-distro/);
    const place = (name: string) => `team/${partsOf(name).repository}`;
    const tagOf = (name: string) => partsOf(name).tag ?? "";
    const moved = await image({ seed: "moved" });
    await seed(mirror.store, place(first), tagOf(first), moved);
    expect(await mirror.store.deleteTag(place(second), tagOf(second))).toBe(true);
    const manifest = await fetch(`${mirror.url}/v2/${place(third)}/manifests/${tagOf(third)}`, {
      tls: { rejectUnauthorized: false },
    });
    const document = JSON.parse(await manifest.text());
    const gone = document.layers?.[0].digest ?? document.manifests[0].digest;
    const remove = document.layers === undefined ? "deleteManifest" : "deleteBlob";
    expect(await mirror.store[remove](place(third), gone)).toBe(true);

    const { problems, notes } = await reportOf("-f", await clusterFile(mirror));
    const said = problems.map(({ kind, artifacts }) => ({ kind, artifacts }));
    expect(said).toContainEqual({ kind: "different", artifacts: [first] });
    expect(said).toContainEqual({ kind: "missing", artifacts: [second] });
    expect(said).toContainEqual({ kind: "missing", artifacts: [third] });
    expect(artifactsOf(problems)).toEqual([first, second, third].sort());
    expect(problems.map((problem) => problem.place)).toContain(
      `${mirror.host}/${place(second)}:${tagOf(second)}`,
    );
    // It is no index.
    expect(notes.map(({ kind }) => kind)).not.toContain("pruned");
    const text = await verify("-f", await clusterFile(mirror));
    expect(text.stdout).toContain("the tag stands for sha256:");
    expect(text.stderr).toContain("hint: import an archive of bundles-1 that has it all");
  });

  test("is not known to be right where it was pruned, and that is said", async () => {
    const mirror = await startMirror();
    const pruned = join(selecting.folder, "pruned.tar");
    await selecting.exportTo(pruned, ...VSPHERE, "--platform", "linux/amd64");
    await fill(mirror, pruned);
    const cluster = await clusterFile(mirror);
    const { problems, notes } = await reportOf("-f", cluster);
    expect(new Set(problems.map(({ kind }) => kind))).toEqual(new Set(["different"]));
    const note = notes.find(({ kind }) => kind === "pruned");
    expect(note?.artifacts.toSorted()).toEqual(artifactsOf(problems));
    const { stdout } = await verify("-f", cluster);
    expect(stdout).toMatch(/^pruned: \d+ artifacts may be different only .*`--input`/m);
    expect(await verify("-f", cluster, "-i", pruned)).toMatchObject({ status: 0 });
  });
});

describe("a cluster that cannot be checked", () => {
  test("has a mirror without manifests: the import that is missing is named", async () => {
    const mirror = await startMirror();
    const cluster = await clusterFile(mirror);
    expectFailure(await verify("-f", cluster), 1, "cannot find any manifests in", "import artifacts --input");
  });

  test("has a mirror with several releases: which is meant is the cluster's or the user's to say", async () => {
    const mirror = await startMirror();
    const repository = "team/eks-anywhere/bundles";
    await seedManifests(mirror.store, { number: 1, version: "v0.26.1", repository });
    await seedManifests(mirror.store, { number: 2, version: "v0.27.0", repository });
    const cluster = await clusterFile(mirror);
    expectFailure(await verify("-f", cluster), 2, "v0.27.0, v0.26.1", "name one with `--eksa-version V`");
    const asked = await reportOf("-f", cluster, "--eksa-version", "v0.26.1");
    expect(asked.cluster).toMatchObject({ release: "v0.26.1" });
    const own = await reportOf("-f", await clusterFile(mirror, { eksaVersion: "v0.27.0" }));
    expect(own.cluster).toMatchObject({ release: "v0.27.0" });
  });

  test("is of a version or a provider that the release does not have", async () => {
    const mirror = await startMirror();
    await seedManifests(mirror.store, { repository: "team/eks-anywhere/bundles" });
    const later = await clusterFile(mirror, { kubernetesVersion: "1.99" });
    const says = ["the Kubernetes version `1.99`", `${later} has it as \`spec.kubernetesVersion\``];
    expectFailure(await verify("-f", later), 1, ...says, "`1.30`, `1.31`");
    const kinds = await clusterFile(mirror, { datacenterRef: { kind: "AWSDatacenterConfig" } });
    expectFailure(await verify("-f", kinds), 1, "spec.datacenterRef.kind", "VSphereDatacenterConfig");
  });
});

plainTest("without an archive a cluster is needed, and its flags are its own", async () => {
  expectFailure(await verify(), 2, "without either `--input FILE` or `--filename FILE`");
  expectFailure(await verify("-r", "registry.example"), 2, "either `--input FILE` or `--filename FILE`");
  expectFailure(await verify("-i", "a.tar", "--eksa-version", "v1"), 2, "`--input` and `--eksa-version`");
});
