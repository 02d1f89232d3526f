import { afterAll, afterEach, beforeAll, beforeEach, expect } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { testWith } from "../support/needs.ts";
import type { TestRegistry } from "../support/registry.ts";
import { partsOf } from "../support/release.ts";
import { EksctlStage } from "./eksctl-stage.ts";
import { expectFailure } from "./stage.ts";

const TOOLS = ["openssl", "bash"];
const test = testWith(...TOOLS);
const hasTools = TOOLS.every((tool) => Bun.which(tool) !== null);

let stage: EksctlStage;

beforeAll(async () => {
  if (hasTools) stage = await EksctlStage.set();
});
beforeEach(() => stage.begin());
afterEach(() => stage.end());
afterAll(() => stage?.strike());

test("`download images --insecure` reads registries that nobody vouches for, and no file host", async () => {
  const { HTTPS_PROXY = "" } = stage.internet.environment;
  const setUp = "set -e\neksctl anywhere download artifacts -r\nunset EKSA_REGISTRY_MIRROR_CA";
  const line = "eksctl anywhere download images -o images.tar";
  const local = "--bundles-override eks-anywhere-downloads/bundle-release.yaml";
  const read = await stage.run(`${setUp}\n${line} ${local} --insecure`);
  expect(read.status, read.stderr).toBe(0);
  expect(read.stderr).toContain("warning: the certificates of the registries are not checked");
  const files = await stage.run(`${line} --insecure`, { HTTPS_PROXY });
  expectFailure(files, 1, "cannot read the Release", "certificate");
  expectFailure(await stage.run(`${line} ${local}`, { HTTPS_PROXY }), 1, "cannot be read", "certificate");
});

test("a Bundles that somebody has cut down, whose signature is void, is taken as it always was", async () => {
  const cut = stage.release.yaml.replace(
    /^metadata:\n/m,
    "metadata:\n  annotations:\n    anywhere.eks.amazonaws.com/signature: MEYCIQ==\n",
  );
  await writeFile(join(stage.work, "bundles.yaml"), cut);
  const from = "--bundles-override bundles.yaml";
  expectFailure(await stage.run(`eksctl anywhere export artifacts -o out.tar ${from}`), 4, "is not valid");
  const old = ["download images -o out.tar", "download artifacts"].map(
    (words) => `eksctl anywhere ${words} ${from}`,
  );
  const { status, stderr } = await stage.run(old.join(" && "));
  expect(status, stderr).toBe(0);
});

/** `lines` go below the spec. */
async function clusterFor({ host }: TestRegistry, lines = ""): Promise<void> {
  const [endpoint, port] = host.split(":");
  const text = `apiVersion: anywhere.eks.amazonaws.com/v1alpha1
kind: Cluster
metadata:
  name: mgmt
spec:
  kubernetesVersion: "1.31"
  registryMirrorConfiguration:
    endpoint: ${endpoint}
    port: "${port}"
    ociNamespaces:
    - registry: public.ecr.aws
      namespace: eksa
${lines}`;
  await writeFile(join(stage.work, "cluster.yaml"), text);
}

/** Tags of the images that only one Kubernetes version has. */
function versioned(version: string): string[] {
  const dashed = version.replace(".", "-");
  return [...stage.release.artifacts.keys()].filter((reference) => reference.includes(`eks-${dashed}-`));
}

test("`import-images` sends what the cluster's versions need to where its nodes look", async () => {
  const target = await stage.startSecureTarget();
  await clusterFor(target);
  const { status, stdout, stderr } = await stage.run("exec eksctl anywhere import-images -f cluster.yaml");
  expect(status, stderr).toBe(0);
  expect(stdout).toContain("namespace: eksa\n");
  const [wanted, others] = [versioned("1.31"), versioned("1.30")];
  expect(Math.min(wanted.length, others.length)).toBeGreaterThan(5);
  const isThere = async (reference: string) => {
    const { repository, tag = "" } = partsOf(reference);
    return (await target.store.manifest(`eksa/${repository}`, tag)) !== undefined;
  };
  expect(await Promise.all(wanted.map(isThere))).not.toContain(false);
  expect(await Promise.all(others.map(isThere))).not.toContain(true);
  const repositories = await target.store.repositories();
  expect(repositories.filter((name) => /bundles|release-manifest/.test(name))).toEqual([]);
});

test.each(["import-images", "copy artifacts"])(
  "`%s` takes the release that the cluster names, and needs a mirror in it",
  async (words) => {
    const target = await stage.startSecureTarget();
    await clusterFor(target, "  eksaVersion: v0.25.0\n");
    const line = `exec eksctl anywhere ${words} --filename cluster.yaml`;
    expectFailure(
      await stage.run(line),
      2,
      "cannot find EKS Anywhere v0.25.0 in the Release",
      "it holds v0.26.1",
    );
    await writeFile(join(stage.work, "cluster.yaml"), "apiVersion: v1\nkind: List\n");
    expectFailure(await stage.run(line), 1, "cluster.yaml");
    expect(await target.store.repositories()).toEqual([]);
  },
);
