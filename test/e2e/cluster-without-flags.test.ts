import { afterAll, beforeAll, beforeEach, describe, expect } from "bun:test";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type RunOptions, runExecutable } from "../support/executable.ts";
import { seedManifests } from "../support/mirrored-manifests.ts";
import { testWith } from "../support/needs.ts";
import { startRegistry, type TestRegistry } from "../support/registry.ts";
import { StandIn } from "../support/stand-in.ts";
import { type Authority, makeAuthority } from "../support/tls.ts";
import { expectFailure } from "./stage.ts";

const test = testWith("openssl");

let folder: string;
let authority: Authority;
let mirror: TestRegistry;
/** New for each test: a working directory, and a folder on PATH with the stand-in. */
let work: string;
let child: StandIn;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eksa-airgap-child-"));
  if (Bun.which("openssl") === null) return;
  authority = await makeAuthority(folder);
  const [cert, key] = await Promise.all([
    readFile(authority.certificate, "utf8"),
    readFile(authority.key, "utf8"),
  ]);
  mirror = await startRegistry({ tls: { cert, key } });
  await seedManifests(mirror.store, {
    number: 1,
    version: "v0.26.1",
    repository: "one/eks-anywhere/bundles",
  });
  await seedManifests(mirror.store, { number: 1, version: "v0.26.1" });
  await seedManifests(mirror.store, { number: 2, version: "v0.27.0+5" });
});
beforeEach(async () => {
  work = await mkdtemp(join(folder, "work-"));
  child = await StandIn.in(join(work, "bin"));
});
afterAll(async () => {
  await mirror?.stop();
  await rm(folder, { recursive: true, force: true });
});

function environment(more: Record<string, string> = {}): Record<string, string> {
  return { PATH: `${child.folder}:${process.env.PATH}`, ...more };
}

function run(args: readonly string[], options: RunOptions = {}) {
  return runExecutable(args, { cwd: work, ...options, env: environment(options.env) });
}

/** A cluster's file, its mirror with `lines` more; `spec` goes beside it. */
async function clusterFile({ lines = "", spec = "" } = {}): Promise<string> {
  const [endpoint, port] = mirror.host.split(":");
  const ca = (await readFile(authority.ca, "utf8")).trim().replaceAll(/^/gm, "      ");
  const text = `apiVersion: anywhere.eks.amazonaws.com/v1alpha1
kind: Cluster
metadata:
  name: mgmt
spec:${spec}
  registryMirrorConfiguration:
    endpoint: ${endpoint}
    port: "${port}"${lines}
    caCertContent: |
${ca}
---
apiVersion: anywhere.eks.amazonaws.com/v1alpha1
kind: DockerDatacenterConfig
metadata:
  name: mgmt
`;
  await writeFile(join(work, "cluster.yaml"), text);
  return "cluster.yaml";
}

const OF_26 = { spec: "\n  eksaVersion: v0.26.1" };

describe("a cluster with a mirror needs no flag", () => {
  test("its manifests are taken from there, and the flag is added", async () => {
    const file = await clusterFile(OF_26);
    const result = await run(["create", "cluster", "-f", file, "-v", "3"], { stdin: new Blob(["yes"]) });
    expect(result).toMatchObject({ status: 7, stdout: "out\n" });
    const bundles = join(work, "eks-anywhere-downloads/v0.26.1/bundle-release.yaml");
    expect(await child.argv()).toEqual([
      "create",
      "cluster",
      "-f",
      file,
      "-v",
      "3",
      "--bundles-override",
      bundles,
    ]);
    expect(await child.lines("stdin")).toEqual(["yes"]);
    expect(result.stderr).toContain(`taken from ${mirror.host}/eks-anywhere/bundles:v0.26.1: ${bundles}`);
    const [, eksd = ""] = /manifestUrl: (\S+)/.exec(await readFile(bundles, "utf8")) ?? [];
    expect(eksd).toContain("/eks-anywhere-downloads/");
    expect(await readFile(eksd, "utf8")).toContain("kind: Release");
    // It was not asked for its version.
    await expect(child.lines("version")).rejects.toThrow();
  });

  test("which release: the cluster's, else the only one there is, else the program's own", async () => {
    const one = "\n    ociNamespaces: [{registry: public.ecr.aws, namespace: one}]";
    const versions: [{ lines?: string; spec?: string }, string][] = [
      [{ spec: "\n  eksaVersion: v0.27.0+5" }, "v0.27.0_5"],
      [{ lines: one }, "v0.26.1"],
      [{}, "v0.26.1"],
    ];
    for (const [cluster, version] of versions) {
      await run(["upgrade", "cluster", `--filename=${await clusterFile(cluster)}`]);
      const path = join(work, "eks-anywhere-downloads", version, "bundle-release.yaml");
      expect((await child.argv()).slice(-2)).toEqual(["--bundles-override", path]);
      await rm(join(child.folder, "argv"));
    }
    // Only the last had to ask, and what that leaves behind is elsewhere.
    const asked = await child.lines("version");
    expect(asked).toEqual([expect.stringMatching(/^version -o json in /), ""]);
    expect(asked[0]).not.toContain(work);
  });

  test("each command gets the flag that it takes", async () => {
    const file = await clusterFile(OF_26);
    for (const [line, flag] of [
      ["generate support-bundle -f", "--bundles-manifest"],
      ["delete cluster --filename", "--bundles-override"],
      ["upgrade plan cluster -f", "--bundles-override"],
      ["generate tinkerbelltemplateconfig -f", "--bundles-override"],
    ] as const) {
      await run([...line.split(" "), file]);
      expect((await child.argv()).at(-2)).toBe(flag);
      await rm(join(child.folder, "argv"));
    }
  });

  test("nothing is added where somebody names a Bundles, or the command takes none", async () => {
    const file = await clusterFile(OF_26);
    for (const [line, env] of [
      [["create", "cluster", "-f", file, "--bundles-override", "mine.yaml"], {}],
      [["create", "cluster", "--bundles-override=mine.yaml", "-f", file], {}],
      [["create", "cluster", "-f", file], { BUNDLES_OVERRIDE: "mine.yaml" }],
      [["generate", "support-bundle", "-f", file, "--bundles-manifest=mine.yaml"], {}],
      [["create", "cluster", "-f", file, "--help"], {}],
      [["renew", "certificates", "-f", file], {}],
      [["create", "cluster", "-f", "absent.yaml"], {}],
    ] as const) {
      expect(await run(line, { env })).toMatchObject({ status: 7, stderr: "err\n" });
      expect(await child.argv()).toEqual([...line]);
      await rm(join(child.folder, "argv"));
    }
    expect((await readdir(work)).sort()).toEqual(["bin", "cluster.yaml"]);
  });

  test("two commands go to the Internet all the same, which is said", async () => {
    const file = await clusterFile(OF_26);
    for (const line of ["upgrade management-components -f", "upgrade plan management-components -f"]) {
      const { status, stderr } = await run([...line.split(" "), file]);
      expect(status).toBe(7);
      expect(stderr).toMatch(/^warning: `upgrade .*components` reads the Release from the Internet/m);
      expect((await child.argv()).at(-2)).toBe("--bundles-override");
      await rm(join(child.folder, "argv"));
    }
  });

  test("a login, and an authority that a variable names, are those of the mirror", async () => {
    const login = { username: "robot", password: "c0rrect-horse" };
    const [cert, key] = await Promise.all([
      readFile(authority.certificate, "utf8"),
      readFile(authority.key, "utf8"),
    ]);
    const closed = await startRegistry({ tls: { cert, key }, auth: { scheme: "bearer", ...login } });
    try {
      await seedManifests(closed.store, { version: "v0.26.1" });
      const [endpoint, port] = closed.host.split(":");
      const mirrored = `registryMirrorConfiguration: {endpoint: ${endpoint}, port: ${port}, authenticate: true}`;
      const text = `apiVersion: anywhere.eks.amazonaws.com/v1alpha1\nkind: Cluster\nspec: {${mirrored}}\n`;
      await writeFile(join(work, "cluster.yaml"), text);
      const line = ["create", "cluster", "-f", "cluster.yaml"];
      const logins = { REGISTRY_USERNAME: login.username, REGISTRY_PASSWORD: login.password };
      expectFailure(await run(line), 2, "`authenticate: true`", "`--bundles-override FILE`");
      expectFailure(await run(line, { env: logins }), 1, "registry 127.0.0.1 is using self-signed certs");
      const env = { ...logins, EKSA_REGISTRY_MIRROR_CA: authority.ca };
      expect(await run(line, { env })).toMatchObject({ status: 7 });
      expect((await child.argv()).at(-2)).toBe("--bundles-override");
    } finally {
      await closed.stop();
    }
  });

  test("a mirror without the release names the import that is missing", async () => {
    const file = await clusterFile({ spec: "\n  eksaVersion: v0.28.0" });
    expectFailure(
      await run(["create", "cluster", "-f", file]),
      1,
      `cannot find the manifests of EKS Anywhere v0.28.0 in ${mirror.host}/eks-anywhere/bundles`,
      "it holds v0.27.0_5, v0.26.1, bundles-1, bundles-2",
      "`eksa-airgap export artifacts --eksa-version v0.28.0 --output artifacts.tar`",
      "`eksa-airgap import artifacts --input artifacts.tar --filename cluster.yaml`",
    );
    await expect(child.argv()).rejects.toThrow();
  });

  test("a file that the child may read, and we do not, is handed over with a warning", async () => {
    const file = await clusterFile({ spec: "\n  podIamConfig: {" });
    const { stderr } = await run(["create", "cluster", "-f", file]);
    expect(stderr).toContain("warning: no manifests are taken from a mirror: cannot read");
    expect(await child.argv()).toEqual(["create", "cluster", "-f", file]);
    await writeFile(join(work, file), "{[\n");
    expect((await run(["create", "cluster", "-f", file])).stderr).not.toContain("warning");
  });

  test("a mirror that is not for public.ecr.aws is left alone", async () => {
    const file = await clusterFile({ lines: "\n    ociNamespaces: [{registry: quay.io, namespace: q}]" });
    const { stderr } = await run(["create", "cluster", "-f", file]);
    expect(stderr).toContain("`ociNamespaces` in cluster.yaml has no public.ecr.aws");
    expect(await child.argv()).toEqual(["create", "cluster", "-f", file]);
  });
});
