import { afterAll, beforeAll, expect } from "bun:test";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parse } from "yaml";
import { digestOf, hexOf } from "../../src/oci/digest.ts";
import { chart, image, multiArchImage, type TestContent } from "../support/content.ts";
import {
  type DockerRegistry,
  type DockerRegistryOptions,
  fastFolder,
  startDockerRegistry,
} from "../support/docker-registry.ts";
import { type RunOptions, type RunResult, runExecutable } from "../support/executable.ts";
import { testWith } from "../support/needs.ts";
import { partsOf, putOnline, type Release, releaseOf } from "../support/release.ts";
import { makeAuthority } from "../support/tls.ts";
import { startTokenServer } from "../support/token-server.ts";
import { type Access, PLAIN, push, skopeo } from "./skopeo.ts";

const PUBLIC = "public.ecr.aws";
const ASSETS = "https://anywhere-assets.eks.amazonaws.com/releases";
const ROBOT = { username: "robot", password: "c0rrect-horse" };
const LOGIN = { REGISTRY_USERNAME: ROBOT.username, REGISTRY_PASSWORD: ROBOT.password };
const SHARED = `${PUBLIC}/eks-anywhere/shared`;
const TOOLS = ["docker-registry", "skopeo"];

let folder: string;
let release: Release;
let archive: string;
/** Content that the Bundles names by digest alone. */
let nameless: TestContent;

beforeAll(async () => {
  folder = await mkdtemp(join(fastFolder(), "eksa-airgap-registries-"));
  archive = join(folder, "artifacts.tar");
  release = await smallRelease();
  if (Bun.which("docker-registry") !== null) await exportFromDockerRegistry();
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Every kind of content that a Bundles names, once or twice. */
async function smallRelease(): Promise<Release> {
  nameless = await image({ seed: "nameless" });
  const artifacts = new Map<string, TestContent>([
    [`${PUBLIC}/eks-anywhere/multi:v1`, await multiArchImage({ seed: "multi", attested: true })],
    [`${PUBLIC}/eks-distro/docker:v2`, await multiArchImage({ seed: "docker", dialect: "docker" })],
    [
      `${PUBLIC}/eks-distro/bare:v3`,
      await image({ seed: "bare", dialect: "docker", layerSizes: [400_000, 10] }),
    ],
    [`${PUBLIC}/eks-anywhere/copy:v1`, await multiArchImage({ seed: "multi", attested: true })],
    [`${SHARED}:v1`, await image({ seed: "shared" })],
    [`${SHARED}:0.1.0`, await chart("shared", "0.1.0")],
    [`${PUBLIC}/eks-anywhere/nameless@${nameless.root.digest}`, nameless],
  ]);
  const documents = new Map(["a", "b"].map((name) => [`${ASSETS}/${name}.yaml`, `# ${name}\nkind: List\n`]));
  return releaseOf(artifacts, documents);
}

/** The source too is a real registry: it checks what it is given, and answers as one. */
async function exportFromDockerRegistry(): Promise<void> {
  const source = await startDockerRegistry({ parent: fastFolder() });
  const online = await putOnline({ artifacts: new Map(), documents: release.documents });
  try {
    for (const [reference, content] of release.artifacts) await push(source, reference, content);
    const bundles = join(folder, "bundle-release.yaml");
    await writeFile(bundles, release.yaml);
    const inputs = ["--bundles-override", bundles, "--mirror", `${PUBLIC}=${source.url}`, ...online.mirrors];
    const { status, stderr } = await runExecutable([
      ...["export", "artifacts", "--output", archive, "--eksa-version", "v0.26.0"],
      ...inputs,
    ]);
    if (status !== 0) throw new Error(stderr);
  } finally {
    await Promise.all([source.stop(), online.stop()]);
  }
}

function importTo(
  registry: string,
  args: readonly string[] = [],
  options: RunOptions = {},
): Promise<RunResult> {
  return runExecutable(["import", "artifacts", "-i", archive, "-r", registry, ...args], options);
}

/** Everything in its place, seen by another program. */
async function expectEverything(target: string, access: Access): Promise<void> {
  for (const [reference, { root, manifests }] of release.artifacts) {
    const { repository, tag } = partsOf(reference);
    const name = `docker://${target}/${repository}`;
    const raw = await skopeo("inspect", "--raw", ...access, `${name}:${tag ?? hexOf(root.digest)}`);
    expect({ reference, digest: digestOf(raw) }).toEqual({ reference, digest: root.digest });
    for (const { digest } of manifests) {
      expect(digestOf(await skopeo("inspect", "--raw", ...access, `${name}@${digest}`))).toBe(digest);
    }
  }
}

/** The blobs as well: skopeo checks each against its digest on the way. */
async function expectBlobs(target: string, access: Access): Promise<void> {
  for (const [reference, { root, manifests, blobs }] of release.artifacts) {
    const { repository, tag } = partsOf(reference);
    const directory = await mkdtemp(join(folder, "copy-"));
    const source = `docker://${target}/${repository}:${tag ?? hexOf(root.digest)}`;
    await skopeo(
      "copy",
      "--all",
      ...access.map((flag) => flag.replace("--", "--src-")),
      source,
      `dir:${directory}`,
    );
    const found = new Set(await readdir(directory));
    for (const digest of blobs.keys())
      expect({ reference, digest, found: found.has(hexOf(digest)) }).toEqual({
        reference,
        digest,
        found: true,
      });
    const children = [...found].filter((file) => file.endsWith(".manifest.json") && file !== "manifest.json");
    expect(children).toHaveLength(manifests.length - 1);
    await rm(directory, { recursive: true, force: true });
  }
}

async function withRegistry(
  options: DockerRegistryOptions,
  work: (registry: DockerRegistry) => Promise<void>,
): Promise<void> {
  const registry = await startDockerRegistry({ parent: fastFolder(), ...options });
  try {
    await work(registry);
  } finally {
    await registry.stop();
  }
}

/** Requests, as `-v 4` shows them, that would send a blob. */
function uploads({ stderr }: RunResult): string[] {
  return stderr.split("\n").filter((line) => /^(?:POST|PATCH|PUT) .*\/blobs\/uploads\//.test(line));
}

testWith(...TOOLS)(
  "plain HTTP on loopback, with no scheme written: everything arrives under its mirror name",
  async () => {
    await withRegistry({}, async ({ host }) => {
      const result = await importTo(host, ["-v", "4"]);
      expect(result).toMatchObject({ status: 0 });
      expect(uploads(result).length).toBeGreaterThan(0);
      expect(result.stdout).toBe(
        `registryMirrorConfiguration:\n  endpoint: 127.0.0.1\n  port: "${host.split(":")[1]}"\n`,
      );
      await expectEverything(host, PLAIN);
      await expectBlobs(host, PLAIN);
    });
  },
);

testWith(...TOOLS)("a second import sends nothing", async () => {
  await withRegistry({}, async ({ host }) => {
    await importTo(host);
    const again = await importTo(host, ["-v", "4"]);
    expect(again.status).toBe(0);
    expect(again.stderr).toContain("HEAD http://");
    // A mount is how a blob is asked for where another repository holds it.
    expect(uploads(again).filter((line) => !/^POST .*\?mount=.* 201 /.test(line))).toEqual([]);
    expect(again.stderr).not.toMatch(/^PUT /m);
    await expectEverything(host, PLAIN);
  });
});

testWith(...TOOLS)("an image and a chart that share a repository are both there", async () => {
  await withRegistry({}, async ({ host }) => {
    await importTo(host);
    const { Tags }: { Tags: string[] } = JSON.parse(
      (await skopeo("list-tags", ...PLAIN, `docker://${host}/eks-anywhere/shared`)).toString(),
    );
    expect(Tags.sort()).toEqual(["0.1.0", "v1"]);
    const kept = JSON.parse(
      (await skopeo("inspect", "--raw", ...PLAIN, `docker://${host}/eks-anywhere/shared:0.1.0`)).toString(),
    );
    expect(kept.config.mediaType).toBe("application/vnd.cncf.helm.config.v1+json");
  });
});

testWith(...TOOLS)("content that is known only by digest gets it as a tag", async () => {
  await withRegistry({}, async ({ host }) => {
    await importTo(host);
    const { Tags }: { Tags: string[] } = JSON.parse(
      (await skopeo("list-tags", ...PLAIN, `docker://${host}/eks-anywhere/nameless`)).toString(),
    );
    expect(Tags).toEqual([hexOf(nameless.root.digest)]);
  });
});

testWith(...TOOLS)(
  "the Bundles and its manifests are one artifact, under its number and its version",
  async () => {
    await withRegistry({}, async ({ host, url }) => {
      await importTo(host);
      const name = `docker://${host}/eks-anywhere/bundles`;
      const manifest = await skopeo("inspect", "--raw", ...PLAIN, `${name}:bundles-1`);
      expect(await skopeo("inspect", "--raw", ...PLAIN, `${name}:v0.26.0`)).toEqual(manifest);
      const { artifactType, layers } = JSON.parse(manifest.toString());
      expect(artifactType).toBe("application/vnd.amazonaws.eks-anywhere.bundles.v1alpha1");
      const files = new Map<string, string>();
      for (const { digest, annotations } of layers) {
        const blob = await fetch(`${url}/v2/eks-anywhere/bundles/blobs/${digest}`);
        files.set(annotations["org.opencontainers.image.title"], await blob.text());
      }
      expect([...files.keys()][0]).toBe("bundle-release.yaml");
      expect(files.get("bundle-release.yaml")).toBe(release.yaml);
      expect([...files.values()].slice(1).sort()).toEqual([...release.documents.values()].sort());
    });
  },
);

testWith(...TOOLS)(
  "a namespace goes before every repository, and into the configuration to paste",
  async () => {
    await withRegistry({}, async ({ host }) => {
      const result = await importTo(`http://${host}/eksa`);
      expect(result).toMatchObject({ status: 0 });
      expect(result.stdout).toContain(`ociNamespaces:\n    - registry: ${PUBLIC}\n      namespace: eksa\n`);
      await expectEverything(`${host}/eksa`, PLAIN);
    });
  },
);

testWith(...TOOLS, "openssl")("TLS with a private authority: only with `--ca-file`", async () => {
  const { ca, certificate, key } = await makeAuthority(folder);
  await withRegistry({ tls: { certificate, key } }, async ({ host }) => {
    const untrusted = await importTo(host);
    expect(untrusted.status).toBe(1);
    expect(untrusted.stderr).toContain("a certificate that this machine does not trust");
    expect(untrusted.stderr).toContain("--ca-file FILE");
    const trusted = await importTo(host, ["--ca-file", ca]);
    expect(trusted).toMatchObject({ status: 0 });
    const { registryMirrorConfiguration: told } = parse(trusted.stdout);
    expect(told.caCertContent.trim()).toBe((await Bun.file(ca).text()).trim());
    await expectEverything(host, PLAIN);
    await expectBlobs(host, PLAIN);
    // As EKS Anywhere's own tools are told.
    expect(await importTo(`https://${host}`, [], { env: { EKSA_REGISTRY_MIRROR_CA: ca } })).toMatchObject({
      status: 0,
    });
  });
});

testWith(...TOOLS)("a password: from the environment", async () => {
  await withRegistry({ auth: { kind: "htpasswd", ...ROBOT } }, async ({ host }) => {
    const { status, stdout } = await importTo(host, [], { env: LOGIN });
    expect(status).toBe(0);
    expect(parse(stdout).registryMirrorConfiguration).toMatchObject({ authenticate: true });
    const access = [...PLAIN, `--creds=${ROBOT.username}:${ROBOT.password}`];
    await expectEverything(host, access);
  });
});

testWith(...TOOLS)("a password: from docker's login file", async () => {
  await withRegistry({ auth: { kind: "htpasswd", ...ROBOT } }, async ({ host }) => {
    const config = await mkdtemp(join(folder, "docker-"));
    const auth = Buffer.from(`${ROBOT.username}:${ROBOT.password}`).toString("base64");
    await writeFile(join(config, "config.json"), JSON.stringify({ auths: { [host]: { auth } } }));
    const result = await importTo(host, [], { env: { DOCKER_CONFIG: config } });
    expect(result).toMatchObject({ status: 0 });
    // Nodes have no such file.
    expect(parse(result.stdout).registryMirrorConfiguration).toMatchObject({ authenticate: true });
    expect(result.stderr).toContain("its nodes log in with REGISTRY_USERNAME and REGISTRY_PASSWORD");
    await expectEverything(host, [...PLAIN, `--creds=${ROBOT.username}:${ROBOT.password}`]);
  });
});

testWith(...TOOLS)(
  "a saved login that nobody asks for says nothing of nodes, not even a broken one",
  async () => {
    await withRegistry({}, async ({ host }) => {
      for (const login of ["robot:s3cret", "no colon"]) {
        const config = await mkdtemp(join(folder, "docker-"));
        const auths = { [host]: { auth: Buffer.from(login).toString("base64") } };
        await writeFile(join(config, "config.json"), JSON.stringify({ auths }));
        const result = await importTo(host, [], { env: { DOCKER_CONFIG: config } });
        expect(result).toMatchObject({ status: 0 });
        expect(result.stdout).not.toContain("authenticate");
      }
    });
  },
);

testWith(...TOOLS)("a wrong password and none are refused, naming what is to be done", async () => {
  await withRegistry({ auth: { kind: "htpasswd", ...ROBOT } }, async ({ host }) => {
    for (const env of [{}, { ...LOGIN, REGISTRY_PASSWORD: "wr0ng-w0rd" }]) {
      const { status, stdout, stderr } = await importTo(host, [], { env });
      expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
      expect(stderr).toContain("answered 401");
      expect(stderr).toMatch(/^ {2}hint: .*REGISTRY_USERNAME/m);
      expect(stderr).not.toContain("wr0ng-w0rd");
    }
  });
});

testWith(...TOOLS, "openssl")(
  "a token server: each token for what it is needed for, mounts included",
  async () => {
    const tokens = await startTokenServer({ folder, ...ROBOT });
    try {
      const { realm, service, issuer, certificate } = tokens;
      await withRegistry(
        { auth: { kind: "token", realm, service, issuer, certificate } },
        async ({ host }) => {
          const result = await importTo(`${host}/eksa`, ["-v", "4"], { env: LOGIN });
          expect(result).toMatchObject({ status: 0 });
          expect(result.stderr).toMatch(/^POST .*\?mount=.* 201 /m);
          expect(tokens.asked).toContainEqual(["repository:eksa/eks-distro/bare:pull,push"]);
          const mounts = tokens.asked.filter((scopes) => scopes.length > 1);
          for (const scopes of mounts)
            expect(scopes).toEqual([expect.stringMatching(/:pull,push$/), expect.stringMatching(/:pull$/)]);
          expect(mounts.length).toBeGreaterThan(0);
          // Once for each set of scopes.
          expect(new Set(tokens.asked.map(String)).size).toBe(tokens.asked.length);
          for (const token of tokens.issued) expect(result.stderr).not.toContain(token);
          await expectEverything(`${host}/eksa`, [...PLAIN, `--creds=${ROBOT.username}:${ROBOT.password}`]);
        },
      );
    } finally {
      await tokens.stop();
    }
  },
);
