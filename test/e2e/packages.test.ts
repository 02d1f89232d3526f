import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { toYaml } from "../support/bundles-author.ts";
import { runExecutable } from "../support/executable.ts";
import { testWith } from "../support/needs.ts";
import {
  inventPackages,
  PRIVATE_PACKAGES as PRIVATE,
  PUBLIC_PACKAGES as PUBLIC,
} from "../support/packages.ts";
import { PUBLISHED } from "../support/published-bundles.ts";
import type { TestRegistry } from "../support/registry.ts";
import { partsOf } from "../support/release.ts";
import { makeAuthority } from "../support/tls.ts";
import { type Held, held, PackagesStage, releasedBundle } from "./packages-stage.ts";
import { expectFailure } from "./stage.ts";

const BUNDLES = `${PUBLIC}/eks-anywhere-packages-bundles`;

const testWithData = existsSync(PUBLISHED) || process.env.CI !== undefined ? test : test.skip;

let stage: PackagesStage;

beforeAll(async () => {
  stage = await PackagesStage.set();
});
beforeEach(() => stage.begin());
afterEach(() => stage.end());
afterAll(() => stage.strike());

function notFound(isIt: boolean): Response | undefined {
  return isIt ? new Response(null, { status: 404 }) : undefined;
}

/** As the package controller reads it: the first layer of the manifest. */
async function bundleAt(registry: TestRegistry, path: string, tag: string): Promise<string> {
  const manifest = await fetch(`${registry.url}/v2/${path}/manifests/${tag}`);
  const [layer] = JSON.parse(await manifest.text()).layers;
  return (await fetch(`${registry.url}/v2/${path}/blobs/${layer.digest}`)).text();
}

describe("curated packages", () => {
  test("cross whole, to where a cluster looks for them", async () => {
    expect(await stage.exportTo("a.tar")).toMatchObject({ status: 0, stdout: "" });
    const target = await stage.startTarget();
    const to = ["-r", `http://${target.host}/corp`];
    const imported = await stage.importTo("a.tar", ...to);
    expect(imported).toMatchObject({ status: 0 });
    const place = "corp/eks-anywhere";
    expect(await held(target)).toEqual(stage.expected(stage.bundles, { home: place, pkgs: place }));
    expect(imported.stdout).toContain(
      `- registry: ${PRIVATE}\n      namespace: corp/eks-anywhere\n    - registry: public.ecr.aws\n      namespace: corp\n`,
    );
    const path = "corp/eks-anywhere/eks-anywhere-packages-bundles";
    for (const { yaml } of stage.bundles) {
      expect(yaml).toContain("eksa.aws.com/signature");
      const tag = /name: (v1-3\d)-/.exec(yaml)?.[1];
      expect(await bundleAt(target, path, `${tag}-latest`)).toBe(yaml);
    }
    const verified = await stage.run("verify", "artifacts", "-i", "a.tar", ...to);
    expect(verified).toMatchObject({ status: 0 });
  });

  test("cross with the deprecated commands where `--include-packages` asks for them", async () => {
    await writeFile(join(stage.work, "a.yaml"), "kind: List\n");
    const local = stage.yaml().replaceAll("https://files.example/a.yaml", "a.yaml");
    await writeFile(join(stage.work, "bundle-release.yaml"), local);
    const download = ["download", "images", "-o", "images.tar", ...stage.selection(), "--include-packages"];
    expect(await stage.run(...download)).toMatchObject({ status: 0, stdout: "" });
    const [all, own] = [await stage.startTarget(), await stage.startTarget()];
    const line = ["import", "images", "-i", "images.tar", "-b", "bundle-release.yaml"];
    const imported = await stage.run(...line, "-r", all.host, "--include-packages");
    expect(imported).toMatchObject({ status: 0 });
    expect(await held(all)).toEqual(stage.expected(stage.bundles));
    expect(await all.store.repositories()).not.toContain("eks-anywhere/bundles");
    for (const { stderr } of [imported, await stage.run(...download)]) {
      expect(stderr).toContain("Flag --include-packages has been deprecated, use `eksa-airgap ");
    }
    expect(await stage.run(...line, "-r", own.host)).toMatchObject({ status: 0 });
    expect(await held(own)).toEqual(stage.expected([]));
  });

  testWithData("that were published cross in full", async () => {
    const published = await Bun.file(join(PUBLISHED, "package-bundle-v1-24-116.yaml")).text();
    const bundle = await inventPackages(published);
    await stage.publish(bundle);
    await writeFile(join(stage.work, "other.yaml"), stage.yaml("1.24"));
    const flags = [...stage.selection("other.yaml"), "--include-packages"];
    expect((await stage.run("export", "artifacts", "-o", "a.tar", ...flags)).status).toBe(0);
    const target = await stage.startTarget();
    expect((await stage.importTo("a.tar", "-r", `http://${target.host}`)).status).toBe(0);

    const own = Object.keys(stage.expected([]));
    const others = Object.keys(stage.expected(stage.bundles.slice(0, 1)));
    const arrived = await held(target);
    for (const name of [...own, ...others]) delete arrived[name];
    const expected: Held = {};
    for (const [name, { root }] of bundle.charts) expected[name.replace("public.ecr.aws/", "")] = root.digest;
    for (const [name, { root }] of bundle.images) {
      const { repository } = partsOf(name);
      expected[`eks-anywhere/${repository}:${root.digest.slice("sha256:".length)}`] = root.digest;
    }
    const home = "eks-anywhere/eks-anywhere-packages-bundles";
    expected[`${home}:v1-24-116`] = expected[`${home}:v1-24-latest`] ?? "";
    // 11 charts, 24 images, the bundle by two tags.
    expect(Object.keys(expected)).toHaveLength(37);
    expect(arrived).toEqual(expected);
    expect(await bundleAt(target, home, "v1-24-latest")).toBe(bundle.yaml);
  });

  test("are not asked for without the flag", async () => {
    const flags = stage.selection();
    expect(await stage.run("export", "artifacts", "-o", "a.tar", ...flags)).toMatchObject({ status: 0 });
    expect(stage.vault.requests).toEqual([]);
    const { stdout } = await stage.run("list", "artifacts", "-i", "a.tar");
    expect(stdout).not.toContain(PRIVATE);
    expect(stdout).not.toContain(BUNDLES);
  });

  test("are reported: what moved, which version has none, every artifact", async () => {
    expect(await stage.exportTo("a.tar", "--report", "report.json")).toMatchObject({ status: 0 });
    const report = await Bun.file(join(stage.work, "report.json")).json();
    expect(report.unpinned.map(({ name }: { name: string }) => name)).toEqual([
      "https://files.example/a.yaml",
      `${BUNDLES}:v1-30-latest`,
      `${BUNDLES}:v1-31-latest`,
    ]);
    expect(report.skipped).toEqual([
      {
        uri: "the curated packages of Kubernetes 1.29",
        reason: "no package controller is named, and so no curated packages",
        where: ["versionsBundles[0].packageController"],
      },
    ]);
    const digest = stage.bundles[1]?.charts.get(`${BUNDLES}:v1-31-latest`)?.root.digest;
    for (const tag of ["v1-31-latest", "v1-31-118"]) {
      expect(report.artifacts).toContainEqual(
        expect.objectContaining({ reference: `${BUNDLES}:${tag}`, digest, state: "done" }),
      );
    }
  });

  test("are listed with what they are", async () => {
    const flags = [...stage.selection(), "--include-packages"];
    const { status, stdout } = await stage.run("list", "artifacts", ...flags, "-o", "json");
    expect(status).toBe(0);
    const kinds = new Map<string, string>(
      JSON.parse(stdout).artifacts.map(({ reference, kind }: Record<string, string>) => [reference, kind]),
    );
    expect(kinds.get(`${BUNDLES}:v1-31-latest`)).toBe("manifest");
    expect(kinds.get(`${PUBLIC}/harbor/harbor-helm:2.5.1-b`)).toBe("chart");
    expect(kinds.get(`${PRIVATE}/harbor/harbor-db:v2-b`)).toBe("image");
    const images = await stage.run("list", "images", ...flags);
    const lines = images.stdout.trimEnd().split("\n");
    expect(lines.filter((line) => line.startsWith(PRIVATE))).toHaveLength(3);
    expect(lines).toHaveLength(5);
  });

  test("stay those of the plan though their tag has moved on when the export is resumed", async () => {
    stage.intercept = ({ pathname }) => notFound(pathname.includes("/harbor-core/blobs/"));
    expect((await stage.exportTo("a.tar")).status).toBe(1);
    stage.intercept = undefined;
    const newer = await releasedBundle("v1-31-119", "c");
    await stage.publish(newer);
    try {
      // Another selection is another export.
      const other = await stage.run("export", "artifacts", "-o", "a.tar", ...stage.selection());
      expectFailure(other, 1, "another export to it was interrupted", "--include-packages");
      expect((await stage.exportTo("a.tar")).status).toBe(0);
      const target = await stage.startTarget();
      const to = ["-r", `http://${target.host}`];
      expect((await stage.importTo("a.tar", ...to)).status).toBe(0);
      expect(await held(target)).toEqual(stage.expected(stage.bundles));

      // The next export has the next bundle; what it replaces stays under its own name.
      expect((await stage.exportTo("b.tar")).status).toBe(0);
      expect((await stage.importTo("b.tar", ...to)).status).toBe(0);
      expect(await held(target)).toEqual(stage.expected([...stage.bundles, newer]));
    } finally {
      for (const bundle of stage.bundles) await stage.publish(bundle);
    }
  });

  testWith("openssl")(
    "go where the namespaces of a cluster say, the controller's image with its chart",
    async () => {
      expect((await stage.exportTo("a.tar")).status).toBe(0);
      const { ca, certificate, key } = await makeAuthority(stage.work);
      const tls = { cert: await readFile(certificate, "utf8"), key: await readFile(key, "utf8") };
      const target = await stage.startTarget({ tls });
      await writeFile(join(stage.work, "cluster.yaml"), clusterYaml(target));
      const imported = await stage.importTo("a.tar", "-f", "cluster.yaml", "--ca-file", ca);
      expect(imported).toMatchObject({ status: 0 });
      const places = { home: "core/eks-anywhere", pkgs: "pkgs" };
      expect(await held(target)).toEqual(stage.expected(stage.bundles, places));
    },
  );
});

describe("an import of one Kubernetes version", () => {
  const ONE = ["--kubernetes-version", "1.31"];
  const ofOne = () => stage.expected(stage.bundles.slice(1));

  test("sends the curated packages of that version, and what they share with another", async () => {
    expect((await stage.exportTo("a.tar")).status).toBe(0);
    const target = await stage.startTarget();
    const to = ["-r", `http://${target.host}`, ...ONE];
    const { status, stderr } = await stage.importTo("a.tar", ...to, "--report", "report.json");
    expect(status, stderr).toBe(0);
    expect(stderr).not.toContain("warning");
    const [other, own] = [stage.expected(stage.bundles), ofOne()];
    expect(Object.keys(other).length).toBeGreaterThan(Object.keys(own).length);
    expect(await held(target)).toEqual(own);
    expect(Object.keys(own).filter((name) => name.includes("harbor-core"))).toHaveLength(1);
    const { skipped } = await Bun.file(join(stage.work, "report.json")).json();
    expect(skipped.map(({ uri }: { uri: string }) => uri).sort()).toEqual([
      `${PRIVATE}/harbor/harbor-db:v2-a`,
      `${BUNDLES}:v1-30-7`,
      `${BUNDLES}:v1-30-latest`,
      `${PUBLIC}/harbor/harbor-helm:2.5.1-a`,
    ]);
  });

  test("from a pipe, where their bundles come too late to tell, sends all of them and says so", async () => {
    expect((await stage.exportTo("a.tar")).status).toBe(0);
    const target = await stage.startTarget();
    const args = ["import", "artifacts", "-i", "-", "-r", `http://${target.host}`, ...ONE];
    const { status, stderr } = await runExecutable(args, { stdin: Bun.file(join(stage.work, "a.tar")) });
    expect(status, stderr).toBe(0);
    expect(stderr).toContain("warning: the curated packages of every Kubernetes version are taken");
    expect(await held(target)).toEqual(stage.expected(stage.bundles));
  });

  test("from a delta, in which the package bundles travel like all YAML files", async () => {
    expect((await stage.exportTo("a.tar")).status).toBe(0);
    expect((await stage.exportTo("b.tar", "--since", "a.tar")).status).toBe(0);
    const target = await stage.startTarget();
    const to = ["-r", `http://${target.host}`, ...ONE];
    expect((await stage.importTo("a.tar", ...to)).status).toBe(0);
    const { status, stderr } = await stage.importTo("b.tar", ...to);
    expect(status, stderr).toBe(0);
    expect(stderr).not.toContain("of every Kubernetes version");
    expect(await held(target)).toEqual(ofOne());
  });
});

test("an older package bundle after a newer one moves the tag back, and that is said", async () => {
  expect((await stage.exportTo("old.tar")).status).toBe(0);
  const newer = await releasedBundle("v1-31-119", "c");
  await stage.publish(newer);
  const exported = await stage.exportTo("new.tar");
  for (const bundle of stage.bundles) await stage.publish(bundle);
  expect(exported.status).toBe(0);
  const target = await stage.startTarget();
  const to = ["-r", `http://${target.host}`];
  const digestOf = ({ charts }: { charts: ReadonlyMap<string, { root: { digest: string } }> }) =>
    charts.get(`${BUNDLES}:v1-31-latest`)?.root.digest;
  const [old, young] = [stage.bundles[1], newer].map((bundle) => bundle && digestOf(bundle));
  const tag = `${target.host}/eks-anywhere/eks-anywhere-packages-bundles:v1-31-latest`;
  const moved = async (input: string) => {
    const { status, stderr } = await stage.importTo(input, ...to);
    expect(status, stderr).toBe(0);
    return stderr.match(/the tag .* now, and stood for .*/g);
  };
  expect(await moved("old.tar")).toBeNull();
  expect(await moved("new.tar")).toEqual([
    `the tag ${tag} stands for ${young} now, and stood for ${old} before`,
  ]);
  expect(await moved("old.tar")).toEqual([
    `the tag ${tag} stands for ${old} now, and stood for ${young} before`,
  ]);
  // The newer one is there by its own name, with all that it names.
  expect(await held(target)).toEqual({
    ...stage.expected([newer]),
    ...stage.expected(stage.bundles),
  });
});

function clusterYaml({ host }: TestRegistry): string {
  const [endpoint, port] = host.split(":");
  const ociNamespaces = [
    { registry: "public.ecr.aws", namespace: "core" },
    { registry: PRIVATE, namespace: "pkgs" },
  ];
  const registryMirrorConfiguration = { endpoint, port, ociNamespaces };
  return toYaml({
    apiVersion: "anywhere.eks.amazonaws.com/v1alpha1",
    kind: "Cluster",
    metadata: { name: "mgmt" },
    spec: { kubernetesVersion: "1.31", registryMirrorConfiguration },
  });
}

describe("curated packages that cannot be had", () => {
  test("are all named at once, bundles and images, and can be left out knowingly", async () => {
    await writeFile(join(stage.work, "other.yaml"), stage.yaml("1.99"));
    stage.intercept = ({ pathname }) => notFound(pathname.includes("/harbor-core/"));
    const flags = [...stage.selection("other.yaml"), "--include-packages"];
    const failed = await stage.run("export", "artifacts", "-o", "a.tar", ...flags);
    const absent = `${BUNDLES}:v1-99-latest`;
    expectFailure(
      failed,
      1,
      "error: cannot export: 2 of ",
      `cannot read ${absent}`,
      "manifests/v1-99-latest answered 404",
      `cannot read ${PRIVATE}/harbor/harbor-core@`,
      "leave it out knowingly with `--exclude REFERENCE`",
    );
    expect(failed.stderr).not.toContain(`${BUNDLES}:v1-31-latest`);
    stage.intercept = undefined;
    const left = await stage.run("export", "artifacts", "-o", "a.tar", ...flags, "--exclude", absent);
    expect(left).toMatchObject({ status: 0 });
    expect(left.stderr).toContain(`left out as asked: ${absent}`);
  });

  test("for want of a login say so of every image, and nothing is written", async () => {
    const args = ["export", "artifacts", "-o", "a.tar", ...stage.selection(), "--include-packages"];
    const failed = await runExecutable(args, { cwd: stage.work });
    expectFailure(failed, 1, "error: cannot export: 3 of ", "answered 401", "hint: no login is known for");
    expect(await Bun.file(join(stage.work, "a.tar.partial")).exists()).toBe(false);
  });

  test("are refused where an archive is listed", async () => {
    const refused = await stage.run("list", "images", "-i", "a.tar", "--include-packages");
    expectFailure(refused, 2, "--include-packages");
  });
});
