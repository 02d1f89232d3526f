import { afterAll, afterEach, beforeAll, beforeEach, describe, expect } from "bun:test";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { image, type TestContent } from "../support/content.ts";
import { type RunOptions, type RunResult, runExecutable } from "../support/executable.ts";
import { testWith } from "../support/needs.ts";
import type { TestRegistry, TestRegistryOptions } from "../support/registry.ts";
import { putOnline, releaseOf } from "../support/release.ts";
import { type Authority, makeAuthority } from "../support/tls.ts";
import { expectFailure, FIRST, SECOND, Stage } from "./stage.ts";

const ROBOT = { username: "robot", password: "c0rrect-horse" };
const LOGIN = { REGISTRY_USERNAME: ROBOT.username, REGISTRY_PASSWORD: ROBOT.password };
/** The account of the curated packages. */
const PACKAGES = "783794618700.dkr.ecr.us-west-2.amazonaws.com";
const PACKAGE = `${PACKAGES}/package:v1`;
const SPREAD = `
    ociNamespaces:
      - registry: "public.ecr.aws"
        namespace: mirror/eksa
      - registry: ${PACKAGES}
        namespace: curated`;

let stage: Stage;
let authority: Authority;
/** Beside what the stage has, something of another registry. */
let archive: string;

const test = testWith("openssl");

beforeAll(async () => {
  stage = await Stage.set();
  archive = join(stage.folder, "packages.tar");
  if (Bun.which("openssl") !== null) authority = await makeAuthority(stage.folder);
  await exportWithPackage();
});
beforeEach(() => stage.begin());
afterEach(() => stage.end());
afterAll(() => stage.strike());

async function exportWithPackage(): Promise<void> {
  const artifacts = new Map<string, TestContent>([
    ...stage.release.artifacts,
    [PACKAGE, await image({ seed: "package" })],
  ]);
  const release = releaseOf(artifacts);
  const online = await putOnline(release);
  const bundles = join(stage.folder, "packages.yaml");
  await writeFile(bundles, release.yaml);
  const inputs = ["--bundles-override", bundles, ...online.mirrors];
  const result = await runExecutable(["export", "artifacts", "-o", archive, ...inputs]);
  await online.stop();
  expect(result).toMatchObject({ status: 0 });
}

async function startMirror(options: TestRegistryOptions = {}): Promise<TestRegistry> {
  const [cert, key] = await Promise.all([
    readFile(authority.certificate, "utf8"),
    readFile(authority.key, "utf8"),
  ]);
  return stage.startTarget({ tls: { cert, key }, ...options });
}

/** A file as `generate clusterconfig` writes it, with a mirror; `lines` go below its port. */
async function clusterFile(registry: TestRegistry, lines = ""): Promise<string> {
  const path = join(stage.work, "cluster.yaml");
  const [endpoint, port] = registry.host.split(":");
  const text = `apiVersion: anywhere.eks.amazonaws.com/v1alpha1
kind: VSphereMachineConfig
metadata:
  name: mgmt-cp
spec: {osFamily: ubuntu}
---
# The cluster itself.
apiVersion: anywhere.eks.amazonaws.com/v1alpha1
kind: Cluster
metadata:
  name: mgmt
spec:
  kubernetesVersion: "1.31"
  registryMirrorConfiguration:
    endpoint: ${endpoint}
    port: ${port}${lines}
---
`;
  await writeFile(path, text);
  return path;
}

/** The authority's certificate as a field of the mirror. */
async function caCertContent(): Promise<string> {
  const pem = await readFile(authority.ca, "utf8");
  return `\n    caCertContent: |\n${pem.trim().replaceAll(/^/gm, "      ")}`;
}

function importInto(cluster: string, input: string, options: RunOptions = {}): Promise<RunResult> {
  return runExecutable(["import", "artifacts", "-i", input, "-f", cluster], options);
}

function verify(cluster: string, input: string, options: RunOptions = {}): Promise<RunResult> {
  return runExecutable(["verify", "artifacts", "-i", input, "-f", cluster], options);
}

async function tagsOf({ store }: TestRegistry): Promise<string[]> {
  const names = (await store.repositories()).map(async (repository) => {
    return (await store.tags(repository))?.map((tag) => `${repository}:${tag}`) ?? [];
  });
  return (await Promise.all(names)).flat().sort();
}

describe("a cluster's registry mirror as the target", () => {
  test("everything goes where its nodes look: its authority, its login, its namespaces", async () => {
    const mirror = await startMirror({ auth: { scheme: "basic", ...ROBOT } });
    const cluster = await clusterFile(mirror, `${SPREAD}\n    authenticate: true${await caCertContent()}`);
    const result = await importInto(cluster, archive, { env: LOGIN });
    expect(result).toMatchObject({ status: 0 });
    expect(result.stderr).toContain(`where ${cluster} lets nodes look:`);
    const elsewhere = join(stage.folder, "elsewhere");
    await mkdir(elsewhere);
    const { ca } = await makeAuthority(elsewhere);
    const told = await importInto(cluster, archive, { env: { ...LOGIN, EKSA_REGISTRY_MIRROR_CA: ca } });
    expect(told.stderr).toContain(
      `for the spec of ${cluster}, which does not hold all of these certificates:`,
    );
    const tags = await tagsOf(mirror);
    expect(tags).toEqual([
      "curated/package:v1",
      "mirror/eksa/eks-anywhere/bundles:bundles-1",
      "mirror/eksa/eks-anywhere/first:v1",
      "mirror/eksa/eks-anywhere/second:v2",
    ]);
    expect(result.stdout).toStartWith(
      [
        "registryMirrorConfiguration:",
        "  endpoint: 127.0.0.1",
        `  port: "${mirror.host.split(":")[1]}"`,
        "  ociNamespaces:",
        `    - registry: ${PACKAGES}`,
        "      namespace: curated",
        "    - registry: public.ecr.aws",
        "      namespace: mirror/eksa",
        "  authenticate: true",
        "  caCertContent: |",
        "    -----BEGIN CERTIFICATE-----",
        "",
      ].join("\n"),
    );

    const whole = await verify(cluster, archive, { env: LOGIN });
    expect(whole).toMatchObject({ status: 0 });
    expect(whole.stdout).toStartWith(`ok: ${mirror.host} against ${archive}`);
    expect(await mirror.store.deleteTag("mirror/eksa/eks-anywhere/second", "v2")).toBe(true);
    const { status, stdout } = await verify(cluster, archive, { env: LOGIN });
    expect(status).toBe(4);
    expect(stdout).toMatch(
      new RegExp(
        `^missing: .* in ${mirror.host}/mirror/eksa/eks-anywhere/second:v2: .*\n {2}${SECOND}$`,
        "m",
      ),
    );
    expect(stdout).not.toContain(FIRST);
  });

  test("without namespaces public.ecr.aws is at the root, and a saved login will do", async () => {
    const mirror = await startMirror({ auth: { scheme: "bearer", ...ROBOT } });
    await clusterFile(mirror, `\n    authenticate: true${await caCertContent()}`);
    const auth = Buffer.from(`${ROBOT.username}:${ROBOT.password}`).toString("base64");
    await writeFile(join(stage.work, "config.json"), JSON.stringify({ auths: { [mirror.host]: { auth } } }));
    // The file is named relative to the working directory.
    const options = { cwd: stage.work, env: { DOCKER_CONFIG: stage.work } };
    expect(await importInto("cluster.yaml", stage.archive, options)).toMatchObject({ status: 0 });
    expect(await tagsOf(mirror)).toEqual([
      "eks-anywhere/bundles:bundles-1",
      "eks-anywhere/first:v1",
      "eks-anywhere/second:v2",
    ]);
    expect(await verify("cluster.yaml", stage.archive, options)).toMatchObject({ status: 0 });
  });

  test("`insecureSkipVerify` goes for it alone, with a warning", async () => {
    const mirror = await startMirror();
    const cluster = await clusterFile(mirror, "\n    insecureSkipVerify: true");
    const result = await importInto(cluster, stage.archive);
    expect(result).toMatchObject({ status: 0 });
    expect(result.stderr).toContain(
      `the certificate of ${mirror.host} is not checked (\`insecureSkipVerify\` in ${cluster})`,
    );
  });

  test("a certificate that its authority did not sign is refused", async () => {
    const mirror = await startMirror();
    const result = await importInto(await clusterFile(mirror), stage.archive);
    expectFailure(
      result,
      1,
      "registry 127.0.0.1 is using self-signed certs, please provide the certificate using caCertContent field",
      "a certificate that this machine does not trust",
    );
    expect(mirror.requests).toEqual([]);
  });
});

describe("before anything is sent", () => {
  test("registries without a place are named, all at once", async () => {
    const mirror = await startMirror();
    const ca = await caCertContent();
    const toRoot = await importInto(await clusterFile(mirror, ca), archive);
    expectFailure(toRoot, 1, `cannot place what comes from ${PACKAGES} at ${mirror.host}`, "`ociNamespaces`");
    const elsewhere = `\n    ociNamespaces: [{registry: quay.io, namespace: q}]${ca}`;
    for (const run of [importInto, verify]) {
      const result = await run(await clusterFile(mirror, elsewhere), archive);
      expectFailure(result, 1, `cannot place what comes from ${PACKAGES}, public.ecr.aws at`);
    }
    expect(mirror.requests).toEqual([]);
  });

  test("a login that the cluster speaks of has to be there", async () => {
    const mirror = await startMirror();
    const cluster = await clusterFile(mirror, `\n    authenticate: true${await caCertContent()}`);
    for (const run of [importInto, verify]) {
      const result = await run(cluster, stage.archive);
      expectFailure(
        result,
        2,
        `cannot log in to ${mirror.host}`,
        "`authenticate: true`",
        "REGISTRY_USERNAME",
      );
    }
    expect(mirror.requests).toEqual([]);
  });

  test("a file without a mirror, and one that is not there", async () => {
    const path = join(stage.work, "cluster.yaml");
    expectFailure(await importInto(path, stage.archive), 1, `cannot read the cluster in ${path}`);
    await writeFile(path, stage.release.yaml);
    expectFailure(await importInto(path, stage.archive), 1, `${path}: it holds no Cluster`, "`Bundles`");
  });

  test("a report would not replace the cluster's file", async () => {
    const path = await clusterFile(await startMirror());
    const flags = ["-i", stage.archive, "-f", path, "--report", path];
    expectFailure(await runExecutable(["import", "artifacts", ...flags]), 2, "it would replace");
  });
});
