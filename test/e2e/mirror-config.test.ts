import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { image } from "../support/content.ts";
import { podmanIn, runTool, startContainerd, testAsRootWith } from "../support/daemons.ts";
import { type DockerRegistry, startDockerRegistry } from "../support/docker-registry.ts";
import { runExecutable } from "../support/executable.ts";
import { putOnline, releaseOf } from "../support/release.ts";
import { type Authority, makeAuthority } from "../support/tls.ts";
import { expectFailure, FIRST, SECOND, Stage } from "./stage.ts";

const ROBOT = { username: "robot", password: "c0rrect-horse" };
const LOGIN = { REGISTRY_USERNAME: ROBOT.username, REGISTRY_PASSWORD: ROBOT.password };
const testWithRuntime = testAsRootWith("containerd", "ctr", "podman", "docker-registry", "openssl");

let stage: Stage;
let authority: Authority;
beforeAll(async () => {
  stage = await Stage.set();
  if (Bun.which("openssl") !== null) authority = await makeAuthority(stage.folder);
});
beforeEach(() => stage.begin());
afterEach(() => stage.end());
afterAll(() => stage.strike());

/** A registry with a certificate that nobody trusts and a login, and the archive in a namespace of it. */
async function startMirror(): Promise<DockerRegistry> {
  const { certificate, key } = authority;
  const mirror = await startDockerRegistry({
    tls: { certificate, key },
    auth: { kind: "htpasswd", ...ROBOT },
  });
  stage.running.push(mirror);
  const flags = ["-i", stage.archive, "-r", `${mirror.host}/team/eksa`, "--ca-file", authority.ca];
  const result = await runExecutable(["import", "artifacts", ...flags], { env: LOGIN });
  expect(result).toMatchObject({ status: 0 });
  return mirror;
}

function generate(...flags: string[]) {
  return runExecutable(["generate", "mirror-config", ...flags], { env: LOGIN, cwd: stage.work });
}

describe("a runtime with the generated files finds public names in the mirror", () => {
  testWithRuntime(
    "containerd",
    async () => {
      const mirror = await startMirror();
      const flags = ["-r", `${mirror.host}/team/eksa`, "--ca-file", authority.ca, "--format", "containerd"];
      expect(await generate(...flags, "-d", "node")).toMatchObject({ status: 0, stdout: "" });
      const containerd = await startContainerd();
      stage.running.push(containerd);
      const hosts = join(stage.work, "node/certs.d");
      const pull = ["images", "pull", "--hosts-dir", hosts, "--snapshotter", "native"];
      for (const reference of [FIRST, SECOND, `${mirror.host}/team/eksa/eks-anywhere/first:v1`]) {
        await runTool(...containerd.client, ...pull, reference);
      }
      const listed = await runTool(...containerd.client, "images", "list", "--quiet");
      expect(listed.split("\n")).toContain(FIRST);
      // A login is in them.
      expect((await stat(join(hosts, "public.ecr.aws/hosts.toml"))).mode & 0o777).toBe(0o600);
    },
    60_000,
  );

  testWithRuntime(
    "podman",
    async () => {
      const mirror = await startMirror();
      const flags = ["-r", `${mirror.host}/team/eksa`, "--ca-file", authority.ca, "--format", "podman"];
      const { status, stderr } = await generate(...flags, "-d", "node");
      expect({ status, stderr }).toMatchObject({ status: 0 });
      expect(stderr).toContain(`podman login ${mirror.host}`);
      const forCrio = await generate("-r", `${mirror.host}/team/eksa`, "--format", "crio", "-d", "crio");
      expect(forCrio.stderr).toContain("`global_auth_file` in CRI-O's configuration");
      const node = join(stage.work, "node");
      const auth = Buffer.from(`${ROBOT.username}:${ROBOT.password}`).toString("base64");
      await writeFile(join(node, "auth.json"), JSON.stringify({ auths: { [mirror.host]: { auth } } }));
      // It takes short paths only.
      const storage = await mkdtemp(join(tmpdir(), "eksa-"));
      stage.running.push({ stop: () => rm(storage, { recursive: true, force: true }) });
      const podman = await podmanIn(storage);
      const [file = ""] = await readdir(join(node, "registries.conf.d"));
      const config = `CONTAINERS_REGISTRIES_CONF=${join(node, "registries.conf.d", file)}`;
      const certificates = ["--cert-dir", join(node, "certs.d", mirror.host)];
      const login = ["--authfile", join(node, "auth.json")];
      await runTool("env", config, ...podman, "pull", ...certificates, ...login, FIRST);
      const names = await runTool(...podman, "images", "--format", "{{.Repository}}:{{.Tag}}");
      expect(names.trim()).toBe(FIRST);
    },
    60_000,
  );
});

describe("what is generated", () => {
  test("is printed, without the login", async () => {
    const { status, stdout, stderr } = await generate("-r", "reg.example/eksa", "--format", "containerd");
    expect({ status, stdout }).toEqual({
      status: 0,
      stdout: [
        "# /etc/containerd/certs.d/reg.example:443/hosts.toml",
        'server = "https://reg.example:443"',
        "",
        '[host."https://reg.example:443/v2"]',
        '  capabilities = ["pull", "resolve"]',
        "  override_path = true",
        "",
        "# /etc/containerd/certs.d/public.ecr.aws/hosts.toml",
        'server = "https://public.ecr.aws"',
        "",
        '[host."https://reg.example:443/v2/eksa"]',
        '  capabilities = ["pull", "resolve"]',
        "  override_path = true",
        "",
      ].join("\n"),
    });
    expect(stderr).toContain("the login is left out");
    expect(await readdir(stage.work)).toEqual([]);
  });

  test("of a cluster is what the cluster says", async () => {
    const cluster = join(stage.work, "cluster.yaml");
    const mirror = [
      "registryMirrorConfiguration:",
      "  endpoint: reg.example",
      '  port: "443"',
      "  ociNamespaces:",
      "    - registry: public.ecr.aws",
      "      namespace: mirror",
      "    - registry: quay.io:8443",
      '      namespace: ""',
      "  authenticate: true",
      "  insecureSkipVerify: true",
      "",
    ].join("\n");
    const head = "apiVersion: anywhere.eks.amazonaws.com/v1alpha1\nkind: Cluster\nspec:\n";
    await writeFile(cluster, head + mirror.replaceAll(/^(?=.)/gm, "  "));
    // No login is needed to write this down.
    const flags = ["generate", "mirror-config", "-f", cluster];
    expect(await runExecutable(flags)).toMatchObject({ status: 0, stdout: mirror });
    const crio = await runExecutable([...flags, "--format", "crio"]);
    expect(crio.stdout).toContain('location = "reg.example/mirror"\ninsecure = true\n');
    expect(crio.stdout).toContain(
      'location = "quay.io:8443"\n[[registry.mirror]]\nlocation = "reg.example"\n',
    );
    const missing = await runExecutable([...flags, "--format", "containerd"]);
    expectFailure(missing, 2, "there is none", "`authenticate: true`", "REGISTRY_USERNAME");
    expect(await generate("-f", cluster, "--format", "containerd", "-d", ".")).toMatchObject({ status: 0 });
    expect(await readFile(join(stage.work, "certs.d/quay.io:8443/hosts.toml"), "utf8")).toBe(
      [
        'server = "https://quay.io:8443"',
        "",
        '[host."https://reg.example:443/v2"]',
        '  capabilities = ["pull", "resolve"]',
        "  override_path = true",
        "  skip_verify = true",
        '  [host."https://reg.example:443/v2".header]',
        `    authorization = "Basic ${Buffer.from(`${ROBOT.username}:${ROBOT.password}`).toString("base64")}"`,
        "",
      ].join("\n"),
    );
  });

  test("has an entry for every registry of an archive", async () => {
    const quay = await image({ seed: "quay" });
    const release = releaseOf(new Map([["quay.io/team/app:v1", quay]]));
    const online = await putOnline(release);
    stage.running.push(online);
    await writeFile(join(stage.work, "bundles.yaml"), release.yaml);
    const inputs = ["--bundles-override", "bundles.yaml", ...online.mirrors];
    const exporting = ["export", "artifacts", "-o", "quay.tar", ...inputs];
    expect(await runExecutable(exporting, { cwd: stage.work })).toMatchObject({ status: 0 });
    const { status, stdout } = await generate("-r", "reg.example/eksa", "-i", "quay.tar", "-d", "out");
    expect({ status, stdout }).toEqual({ status: 0, stdout: "" });
    expect(await readFile(join(stage.work, "out/registry-mirror-configuration.yaml"), "utf8")).toBe(
      [
        "registryMirrorConfiguration:",
        "  endpoint: reg.example",
        '  port: "443"',
        "  ociNamespaces:",
        "    - registry: public.ecr.aws",
        "      namespace: eksa",
        "    - registry: quay.io",
        "      namespace: eksa/quay.io",
        "  authenticate: true",
        "",
      ].join("\n"),
    );
  });
});
