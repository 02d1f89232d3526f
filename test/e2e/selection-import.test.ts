import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { toYaml } from "../support/bundles-author.ts";
import { image, referrer, seed } from "../support/content.ts";
import { runExecutable } from "../support/executable.ts";
import { putOnline } from "../support/release.ts";
import { CSI, OF_1_30, Selecting, without } from "./selecting.ts";
import { expectFailure } from "./stage.ts";

let selecting: Selecting;
beforeAll(async () => {
  selecting = await Selecting.begin();
}, 60_000);
afterEach(() => selecting.stopTargets());
afterAll(() => selecting.end());

describe("an import", () => {
  test("of a part sends that part, and the Bundles whole", async () => {
    const flags = ["--kubernetes-version", "1.31", "--provider", "vsphere"];
    const { status, stderr, target } = await selecting.importInto(selecting.whole, ...flags);
    expect(status, stderr).toBe(0);
    const wanted = await selecting.listed(...selecting.flags(...flags));
    expect(await selecting.held(target)).toEqual(without(wanted, /csi-components/));
    const report = join(selecting.folder, "import.json");
    await runExecutable([
      "import",
      "artifacts",
      "-i",
      selecting.whole,
      "-r",
      target.url,
      ...flags,
      "--report",
      report,
    ]);
    const { skipped } = JSON.parse(await Bun.file(report).text());
    expect(skipped.map(({ uri }: { uri: string }) => uri).sort()).toEqual(
      selecting.names.filter((name) => !wanted.includes(name) || name === CSI).sort(),
    );
  });

  test("of one version after another takes nothing away", async () => {
    const { target } = await selecting.importInto(
      selecting.whole,
      "--kubernetes-version",
      "1.30",
      "--provider",
      "docker",
    );
    const args = [
      "import",
      "artifacts",
      "-i",
      selecting.whole,
      "-r",
      target.url,
      "--kubernetes-version",
      "1.31",
    ];
    expect(await runExecutable([...args, "--provider", "docker"])).toMatchObject({ status: 0 });
    const both = await selecting.listed(...selecting.flags("--provider", "docker"));
    expect(await selecting.held(target)).toEqual(without(both, /csi-components/));
  });

  test.each(["images", "manifests", "charts"])("of %s alone", async (kind) => {
    const { status, target } = await selecting.importInto(selecting.whole, "--only", kind);
    expect(status).toBe(0);
    expect(await selecting.held(target)).toEqual(
      without(await selecting.listed(...selecting.flags("--only", kind)), /csi-components/),
    );
  });

  test("of a part from a pipe is the same", async () => {
    const target = await selecting.startTarget();
    const flags = ["--kubernetes-version", "1.31", "--provider", "snow"];
    const args = ["import", "artifacts", "-i", "-", "-r", target.url, ...flags];
    const { status, stderr } = await runExecutable(args, { stdin: Bun.file(selecting.whole) });
    expect(status, stderr).toBe(0);
    expect(await selecting.held(target)).toEqual(
      without(await selecting.listed(...selecting.flags(...flags)), /csi-components/),
    );
  });

  test("of a version that the archive's Bundles has and the archive has not says so", async () => {
    const part = join(selecting.folder, "only-1-30.tar");
    await selecting.exportTo(part, "--kubernetes-version", "1.30");
    const { status, stderr } = await selecting.importInto(part, "--kubernetes-version", "1.31");
    expect(status).toBe(0);
    expect(stderr).toMatch(/warning: the archive lacks 2\d artifacts that the selection takes/);
  });

  test("by version needs a Bundles to tell, and versions that it has", async () => {
    const images = join(selecting.folder, "images.tar");
    await selecting.exportTo(images, "--only", "images");
    const flags = ["--kubernetes-version", "1.31"];
    expectFailure(await selecting.importInto(images, ...flags), 2, "the archive holds no Bundles");
    expectFailure(
      await selecting.importInto(selecting.whole, "--kubernetes-version", "1.4"),
      2,
      "choose from `1.30`, `1.31`",
    );
    expectFailure(await selecting.importInto(images, "--only", "charts"), 2, "cannot select nothing");
  });
});

test("signatures go with what they are about, and stay behind with it", async () => {
  const [docker, vsphere] = [await image({ seed: "docker" }), await image({ seed: "vsphere" })] as const;
  const signatures = [docker, vsphere].map(({ root }) =>
    referrer({ subject: root, artifactType: "application/vnd.sig", body: root.digest }),
  );
  const name = (provider: string) => `public.ecr.aws/eks-anywhere/${provider}:v1`;
  const artifacts = new Map([
    [name("docker"), docker],
    [name("vsphere"), vsphere],
  ]);
  const online = await putOnline({ artifacts, documents: new Map() });
  const { store } = online.registry;
  const cosign = (root: { digest: string }) => `${root.digest.replace(":", "-")}.sig`;
  const [sig] = signatures;
  if (sig === undefined) throw new Error("no signature");
  await seed(store, "eks-anywhere/docker", undefined, sig);
  await seed(store, "eks-anywhere/vsphere", undefined, signatures[1] ?? sig);
  await seed(store, "eks-anywhere/docker", cosign(docker.root), await image({ seed: "sig-docker" }));
  await seed(store, "eks-anywhere/vsphere", cosign(vsphere.root), await image({ seed: "sig-vsphere" }));
  try {
    const [yaml, tar] = [
      join(selecting.folder, "signed.yaml"),
      join(selecting.folder, "signed.tar"),
    ] as const;
    const components = {
      docker: { manager: { uri: name("docker") } },
      vSphere: { manager: { uri: name("vsphere") } },
    };
    const spec = { number: 1, versionsBundles: [{ kubeVersion: "1.31", ...components }] };
    const head = { apiVersion: "anywhere.eks.amazonaws.com/v1alpha1", kind: "Bundles" };
    await writeFile(yaml, toYaml({ ...head, spec }));
    const args = ["-o", tar, "--include-signatures", "--bundles-override", yaml, ...online.mirrors];
    expect(await runExecutable(["export", "artifacts", ...args])).toMatchObject({ status: 0 });
    const { status, target } = await selecting.importInto(tar, "--provider", "docker");
    expect(status).toBe(0);
    const there = async (repository: string, reference: string) =>
      (await fetch(`${target.url}/v2/eks-anywhere/${repository}/manifests/${reference}`)).status;
    expect(await there("docker", sig.root.digest)).toBe(200);
    expect(await there("docker", cosign(docker.root))).toBe(200);
    expect(await there("vsphere", cosign(vsphere.root))).toBe(404);
    expect(await there("vsphere", signatures[1]?.root.digest ?? "")).toBe(404);
  } finally {
    await online.stop();
  }
});

describe("CSI components", () => {
  test("are carried, are not sent, are not missed, and all of that is said", async () => {
    const exported = await selecting.exportTo(join(selecting.folder, "csi.tar"));
    expect(exported.stderr).toContain("1 CSI component images are carried, and not sent on import");
    expect(await selecting.listed("-i", selecting.whole)).toContain(CSI);
    const { status, stderr, target } = await selecting.importInto(selecting.whole);
    expect(status).toBe(0);
    expect(stderr).toContain("left out 1: a CSI component, of which EKS Anywhere uses none");
    expect(await selecting.held(target)).toEqual(without(selecting.names, /csi-components/));
    const verified = await runExecutable(["verify", "artifacts", "-i", selecting.whole, "-r", target.url]);
    expect(verified).toMatchObject({ status: 0 });
  });
});

describe("list images for a cluster", () => {
  const cluster = (worker: string) =>
    `apiVersion: anywhere.eks.amazonaws.com/v1alpha1\nkind: Cluster\nmetadata: {name: c}\nspec:\n  kubernetesVersion: "1.31"\n  workerNodeGroupConfigurations:\n  - name: a\n  - {name: b, kubernetesVersion: ${worker}}\n---\nkind: VSphereDatacenterConfig\n`;
  const images = async (...flags: string[]) => {
    const { status, stdout, stderr } = await runExecutable(["list", "images", ...flags]);
    expect(status, stderr).toBe(0);
    return stdout.split("\n").map((line) => line.replace(/@.*/, ""));
  };

  test.each<[string, () => string[]]>([
    ["a Bundles", () => selecting.flags()],
    ["an archive", () => ["-i", selecting.whole]],
  ])("gives what the Bundles has for its versions, of %s", async (_, from) => {
    const [one, two] = [join(selecting.folder, "one.yaml"), join(selecting.folder, "two.yaml")] as const;
    await writeFile(one, cluster("null"));
    await writeFile(two, cluster("1.30"));
    const all = await images(...from());
    expect(await images(...from(), "-f", two)).toEqual(all);
    expect(await images(...from(), "-f", one)).toEqual(all.filter((name) => !OF_1_30.test(name)));
  });

  test("fails on a version that is not there, a file without a cluster, and two ways to say it", async () => {
    const path = join(selecting.folder, "other.yaml");
    await writeFile(path, cluster("1.32"));
    const list = (...flags: string[]) =>
      runExecutable(["list", "images", "-f", path, ...selecting.flags(...flags)]);
    const named = `${path} has it as \`spec.kubernetesVersion\``;
    expectFailure(await list(), 1, "cannot select the Kubernetes version `1.32`", named, "`1.30`, `1.31`");
    expectFailure(await list("--kubernetes-version", "1.31"), 2, "`--filename` and `--kubernetes-version`");
    await writeFile(path, "kind: VSphereDatacenterConfig\n");
    expectFailure(await list(), 1, "cannot take the Kubernetes versions from", "it holds 0 documents");
    await writeFile(path, cluster("[x]"));
    expectFailure(await list(), 1, "workerNodeGroupConfigurations[1].kubernetesVersion", "`1.31`");
  });
});
