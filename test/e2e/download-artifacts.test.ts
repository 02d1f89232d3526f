import { afterAll, afterEach, beforeAll, beforeEach, describe, expect } from "bun:test";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parse } from "yaml";
import { testWith } from "../support/needs.ts";
import { EksctlStage } from "./eksctl-stage.ts";
import { expectFailure } from "./stage.ts";

const TOOLS = ["openssl", "bash", "tar"];
const test = testWith(...TOOLS);
const hasTools = TOOLS.every((tool) => Bun.which(tool) !== null);
const DIR = "eks-anywhere-downloads";

/**
 * What upstream downloads of a versionsBundle: by folder, the places of the URIs.
 * Source: eks-anywhere, `Manifests` in release/api/v1alpha1/artifacts.go.
 */
const MANIFESTS: Record<string, string[]> = {
  "core-cluster-api": ["clusterAPI.components.uri", "clusterAPI.metadata.uri"],
  "capi-kubeadm-bootstrap": ["bootstrap.components.uri", "bootstrap.metadata.uri"],
  "capi-kubeadm-control-plane": ["controlPlane.components.uri", "controlPlane.metadata.uri"],
  "cert-manager": ["certManager.manifest.uri"],
  "cluster-api-provider-docker": [
    "docker.components.uri",
    "docker.clusterTemplate.uri",
    "docker.metadata.uri",
  ],
  "cluster-api-provider-vsphere": [
    "vSphere.components.uri",
    "vSphere.clusterTemplate.uri",
    "vSphere.metadata.uri",
  ],
  "cluster-api-provider-tinkerbell": [
    "tinkerbell.components.uri",
    "tinkerbell.clusterTemplate.uri",
    "tinkerbell.metadata.uri",
  ],
  "cluster-api-provider-snow": ["snow.components.uri", "snow.metadata.uri"],
  "cluster-api-provider-nutanix": [
    "nutanix.components.uri",
    "nutanix.clusterTemplate.uri",
    "nutanix.metadata.uri",
  ],
  kindnetd: ["kindnetd.manifest.uri"],
  "eks-anywhere-cluster-controller": ["eksa.components.uri"],
  "etcdadm-bootstrap-provider": ["etcdadmBootstrap.components.uri", "etcdadmBootstrap.metadata.uri"],
  "etcdadm-controller": ["etcdadmController.components.uri", "etcdadmController.metadata.uri"],
  "eks-distro": ["eksD.components", "eksD.manifestUrl"],
};

let stage: EksctlStage;

beforeAll(async () => {
  if (hasTools) stage = await EksctlStage.set();
});
beforeEach(() => stage.begin());
afterEach(() => stage.end());
afterAll(() => stage?.strike());

function download(flags = "", environment?: Record<string, string>) {
  return stage.run(`exec eksctl anywhere download artifacts ${flags}`, environment);
}

function read(...path: string[]): Promise<string> {
  return readFile(join(stage.work, ...path), "utf8");
}

/** The files below a folder, by their paths there. */
async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(join(stage.work, folder), { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  return files.map(({ parentPath, name }) =>
    join(parentPath, name).slice(stage.work.length + folder.length + 2),
  );
}

/** The folder as upstream's code makes it, path → content, and its Bundles. */
function upstream(folder: string): { files: Map<string, string>; bundles: unknown } {
  const bundles = parse(stage.release.yaml);
  const files = new Map([["manifest.yaml", stage.manifest]]);
  for (const versionsBundle of bundles.spec.versionsBundles) {
    for (const [component, places] of Object.entries(MANIFESTS)) {
      for (const place of places) {
        const keys = place.split(".");
        const last = keys.pop() ?? "";
        const holder = keys.reduce((value, key) => value[key], versionsBundle);
        const uri: string = holder[last];
        const path = `${versionsBundle.kubeVersion}/${component}/${uri.slice(uri.lastIndexOf("/") + 1)}`;
        files.set(path, stage.release.documents.get(uri) ?? expect.unreachable());
        holder[last] = `${folder}/${path}`;
      }
    }
  }
  return { files, bundles };
}

describe("the folder of `download artifacts`", () => {
  test.each([
    ["", DIR],
    ["-d ./build/eks-anywhere-downloads/", "build/eks-anywhere-downloads"],
  ])("has the files and the URIs that upstream gives them: %s", async (flags, folder) => {
    await mkdir(join(stage.work, "build"));
    const result = await download(flags);
    expect(result, result.stderr).toMatchObject({ status: 0, stdout: "" });
    expect(await stage.run(`tar -xf ${folder}.tar.gz`)).toMatchObject({ status: 0, stderr: "" });
    const { files, bundles } = upstream(folder);
    expect((await filesBelow(folder)).sort()).toEqual([...files.keys(), "bundle-release.yaml"].sort());
    for (const [path, text] of files) expect(await read(folder, path)).toBe(text);
    expect(parse(await read(folder, "bundle-release.yaml"))).toEqual(bundles);
    // What EKS Anywhere looks for in these.
    for (const { eksD } of parse(await read(folder, "bundle-release.yaml")).spec.versionsBundles) {
      expect(eksD.manifestUrl).toContain("eks-anywhere-downloads");
    }
  });

  test("is in the file in the order of upstream's walk, and is gone", async () => {
    await download();
    expect((await readdir(stage.work)).sort()).toEqual([`${DIR}.tar.gz`, "script.sh"]);
    const { stdout } = await stage.run(`tar -tf ${DIR}.tar.gz; tar -xf ${DIR}.tar.gz`);
    // Each folder, and then what is in it by name.
    const walk = await stage.run(`find ${DIR} | LC_ALL=C sed 's,/,\\x01,g' | LC_ALL=C sort | tr '\\001' /`);
    expect(stdout).toBe(walk.stdout);
    expect(stdout.split("\n").slice(0, 2)).toEqual([DIR, `${DIR}/1.30`]);
  });

  test("stays with `--retain-dir`, whole; without, one that is there is left alone", async () => {
    expect(await download("-r")).toMatchObject({ status: 0 });
    const packed = await stage.run(`mkdir x && tar -xf ${DIR}.tar.gz -C x && diff -r ${DIR} x/${DIR}`);
    expect(packed).toMatchObject({ status: 0, stdout: "" });
    await writeFile(join(stage.work, DIR, "mine"), "mine");
    expect(await download()).toMatchObject({ status: 0 });
    expect(await read(DIR, "mine")).toBe("mine");
    const { stdout } = await stage.run(`tar -tf ${DIR}.tar.gz`);
    expect(stdout).not.toContain("mine");
  });

  test("gives the same file again, from the folder as well", async () => {
    const flags = `--bundles-override ${DIR}/bundle-release.yaml`;
    const steps = [
      "set -e",
      "eksctl anywhere download artifacts",
      `cp ${DIR}.tar.gz first && tar -xf first`,
      `sleep 1.1 && touch -d 2001-01-01 first && rm ${DIR}.tar.gz`,
      `TZ=Asia/Tokyo eksctl anywhere download artifacts ${flags}`,
      `cmp first ${DIR}.tar.gz`,
    ];
    const { status, stderr } = await stage.run(steps.join("\n"));
    expect(status, stderr).toBe(0);
  });

  test("can be made without a way to the Release, where a Bundles is named", async () => {
    expect(await download("-r")).toMatchObject({ status: 0 });
    const { stderr } = await download(`--bundles-override ${DIR}/bundle-release.yaml`, {
      HTTPS_PROXY: "ftp://127.0.0.1",
    });
    expect(stderr).toContain("warning: left out: the Release manifest (cannot read");
    expect(stderr).toContain(`wrote ${DIR}.tar.gz (59 files)`);
    expectFailure(await download("", { HTTPS_PROXY: "ftp://127.0.0.1" }), 1, "cannot read the Release");
  });

  test("under another name is one that EKS Anywhere does not know, which is said", async () => {
    const { status, stderr } = await download("-d downloads");
    expect(status).toBe(0);
    expect(stderr).toContain(
      "warning: `eksctl anywhere` takes the manifests in downloads for some on the Internet",
    );
    expect((await download()).stderr).not.toContain("warning:");
  });
});

test("a dry run lists the files that there would be, and reads and writes nothing else", async () => {
  const { status, stdout } = await download("--dry-run");
  expect(status).toBe(0);
  const { files } = upstream(DIR);
  const lines = stdout.trimEnd().split("\n");
  expect(lines.length).toBe(files.size - 1);
  const uris = [...stage.release.documents.keys()];
  expect([...new Set(lines)].sort()).toEqual(uris.map((uri) => `Found artifact: ${uri}`).sort());
  expect(stage.internet.asked.every((path) => path.endsWith("/manifest.yaml"))).toBe(true);
  expect(await readdir(stage.work)).toEqual(["script.sh"]);
});

describe("what cannot be downloaded is named, and no file is left", () => {
  test.each([
    ["-d .", 2, "cannot download into .: it has no name of its own"],
    ["-d ..", 2, "name a folder with `--download-dir DIR`"],
    ["-d 100%", 2, "there is a `%` in the path"],
    ["-d ''", 2, "cannot use `-d` with an empty value"],
    ["--bundles-override nowhere.yaml", 1, "cannot read the Bundles nowhere.yaml"],
    ["--eksa-version v0.1.0", 2, "cannot find EKS Anywhere v0.1.0 in the Release"],
  ])("%s", async (flags, status, text) => {
    expectFailure(await download(flags), status, text);
    expect(await readdir(stage.work)).toEqual(["script.sh"]);
  });

  test("a manifest that is not to be had", async () => {
    const lost = stage.release.yaml.replace("kindnetd.yaml", "lost.yaml");
    await writeFile(join(stage.work, "bundles.yaml"), lost);
    expectFailure(await download("--bundles-override bundles.yaml"), 1, "lost.yaml", "404");
    expect((await readdir(stage.work)).sort()).toEqual(["bundles.yaml", "script.sh"]);
  });
});
