import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { digestOf } from "../../src/oci/digest.ts";
import { image, referrer, seed } from "../support/content.ts";
import { fastFolder, startDockerRegistry } from "../support/docker-registry.ts";
import { executable } from "../support/executable.ts";
import { testWith } from "../support/needs.ts";
import type { TestRegistry } from "../support/registry.ts";
import { partsOf, putOnline, releaseOf, releaseOfRealShape } from "../support/release.ts";
import { expectFailure, FIRST, SECOND, Stage } from "./stage.ts";

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.set();
});
beforeEach(() => stage.begin());
afterEach(() => stage.end());
afterAll(() => stage.strike());

interface Piped {
  /** Of each program, in order. */
  statuses: number[];
  stdout: string;
  stderr: string;
}

/** Runs programs in a pipe, as a shell does. */
async function piped(...programs: (readonly string[])[]): Promise<Piped> {
  const line = programs.map((words) => words.map((word) => `'${word}'`).join(" ")).join(" | ");
  const child = Bun.spawn(["bash", "-c", `${line}; echo "\${PIPESTATUS[@]}" > statuses`], {
    cwd: stage.work,
    env: { PATH: process.env.PATH ?? "", HOME: stage.work, TMPDIR: stage.work },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  await child.exited;
  const statuses = (await readFile(join(stage.work, "statuses"), "utf8")).trim().split(" ").map(Number);
  return { statuses, stdout, stderr };
}

const exporting = async (...flags: string[]) => [await executable(), ...stage.exportArgs("-", ...flags)];
const importing = async (host: string, input = "-") => {
  return [await executable(), "import", "artifacts", "-i", input, "-r", host];
};

async function expectImages(target: TestRegistry, references: readonly string[]): Promise<void> {
  for (const reference of references) {
    const { repository, tag = "" } = partsOf(reference);
    const stored = await target.store.manifest(repository, tag);
    expect(stored?.digest).toBe(stage.release.artifacts.get(reference)?.root.digest);
  }
}

describe("a pipe", () => {
  test("gets the very bytes of the file, and nothing else goes to stdout", async () => {
    const { statuses } = await piped(await exporting(), ["cp", "/dev/stdin", "piped.tar"]);
    expect(statuses).toEqual([0, 0]);
    expect(Buffer.compare(await readFile(join(stage.work, "piped.tar")), await readFile(stage.archive))).toBe(
      0,
    );
  });

  test("takes a whole release from one registry to another, signatures and all", async () => {
    const release = await releaseOfRealShape();
    const online = await putOnline(release);
    const [[signed = "", { root: subject }] = ["", await image({ seed: "" })]] = [...release.artifacts];
    const signature = referrer({ subject, artifactType: "application/example.signature", body: "signed" });
    const signedIn = partsOf(signed).repository;
    await seed(online.registry.store, signedIn, undefined, signature);
    const target = await stage.startTarget();
    try {
      const bundles = join(stage.work, "bundles.yaml");
      await writeFile(bundles, release.yaml);
      const source = ["--bundles-override", bundles, ...online.mirrors, "--include-signatures"];
      const from = [await executable(), "export", "artifacts", "-o", "-", ...source];
      const { statuses, stdout, stderr } = await piped(from, await importing(target.host));
      expect(statuses, stderr).toEqual([0, 0]);
      expect(stdout).toStartWith("registryMirrorConfiguration:");
      for (const [reference, { root }] of release.artifacts) {
        const { host, repository, tag = "" } = partsOf(reference);
        const place = host === "public.ecr.aws" ? repository : `${host}/${repository}`;
        expect((await target.store.manifest(place, tag))?.digest).toBe(root.digest);
      }
      expect(await target.store.manifest(signedIn, signature.root.digest)).toBeDefined();
    } finally {
      await online.stop();
    }
  });

  testWith("docker-registry")("fills a real registry, with layers of several chunks too", async () => {
    const large = await image({ seed: "large", layerSizes: [40, 20, 5].map((size) => size * 1024 ** 2) });
    const release = releaseOf(new Map([["public.ecr.aws/eks-anywhere/large:v1", large]]));
    const [online, registry] = [
      await putOnline(release),
      await startDockerRegistry({ parent: fastFolder() }),
    ];
    try {
      const bundles = join(stage.work, "bundles.yaml");
      await writeFile(bundles, release.yaml);
      const source = ["--bundles-override", bundles, ...online.mirrors];
      const from = [await executable(), "export", "artifacts", "-o", "-", ...source];
      const { statuses, stderr } = await piped(from, await importing(registry.host));
      expect(statuses, stderr).toEqual([0, 0]);
      for (const digest of large.blobs.keys()) {
        const answer = await fetch(`${registry.url}/v2/eks-anywhere/large/blobs/${digest}`);
        expect(digestOf(await answer.bytes())).toBe(digest);
      }
      const tags = await fetch(`${registry.url}/v2/eks-anywhere/large/tags/list`);
      expect(await tags.json()).toMatchObject({ tags: ["v1"] });
    } finally {
      await Promise.all([online.stop(), registry.stop()]);
    }
  });

  test("whose reader goes away ends the export, with a word on whom to ask", async () => {
    const { statuses, stderr } = await piped(await exporting("-q"), ["head", "-c", "5000"]);
    expect(statuses).toEqual([1, 0]);
    expect(stderr).toContain("because: cannot write the archive: the reader of the pipe has gone");
  });

  test("whose writer fails leaves no name on what is not whole", async () => {
    stage.intercept = stage.largeBlobs((bytes) => bytes.map((byte) => byte ^ 1));
    const target = await stage.startTarget();
    const { statuses, stderr } = await piped(await exporting("-q"), await importing(target.host));
    expect(statuses).toEqual([4, 4]);
    expect(stderr).toContain("it is cut short");
    expect(await target.store.manifest(partsOf(FIRST).repository, "v1")).toBeUndefined();
  });

  test("that is cut says at which byte; the next run sends the rest", async () => {
    const target = await stage.startTarget();
    const cut = await stage.importTo(target.host, "-", {
      stdin: (await readFile(stage.archive)).subarray(0, 200_000),
    });
    expectFailure(
      cut,
      4,
      "it is cut short",
      "it ends at byte 200000",
      FIRST.replace("public.ecr.aws", target.host),
    );
    const blobs = target.requests.filter(({ method }) => method === "PUT").length;
    const rest = await stage.importTo(target.host, "-", { stdin: Bun.file(stage.archive) });
    expect(rest.status, rest.stderr).toBe(0);
    expect(blobs).toBeGreaterThan(0);
    await expectImages(target, [FIRST, SECOND]);
  });

  testWith("tar")("in another order is refused, with what to do", async () => {
    await mkdir(join(stage.work, "layout"));
    await Bun.$`tar -xf ${stage.archive} -C ${join(stage.work, "layout")}`;
    const target = await stage.startTarget();
    const { statuses, stderr } = await piped(
      ["tar", "-C", "layout", "-c", "."],
      await importing(target.host),
    );
    expect(statuses[1]).toBe(1);
    expect(stderr).toContain("cannot read the archive on stdin as it comes");
    expect(stderr).toContain("hint: save it as a plain tar in a file");
    expect(target.requests.filter(({ method }) => method !== "GET")).toEqual([]);
  });
});

describe("a compressed archive, whatever its name, is imported:", () => {
  const cases = [
    ["gzip", "gzip -c"],
    ["zstd", "zstd -qc"],
  ] as const;
  for (const [tool, command] of cases) {
    testWith(tool)(`${command}, from a file and from a pipe`, async () => {
      const packed = join(stage.work, "packed");
      await Bun.$`sh -c ${`${command} < '${stage.archive}' > '${packed}'`}`;
      for (const input of [packed, "-"]) {
        const target = await stage.startTarget();
        const { status, stderr } = await stage.importTo(target.host, input, { stdin: Bun.file(packed) });
        expect(status, stderr).toBe(0);
        await expectImages(target, [FIRST, SECOND]);
      }
    });
  }

  test("gzip in several members, from a file and from a pipe", async () => {
    const packed = join(stage.work, "packed");
    const bytes = await Bun.file(stage.archive).bytes();
    const members = [bytes.subarray(0, 100_000), bytes.subarray(100_000, 250_000), bytes.subarray(250_000)];
    await writeFile(packed, Buffer.concat(members.map((member) => Bun.gzipSync(member))));
    for (const input of [packed, "-"]) {
      const target = await stage.startTarget();
      const { status, stderr } = await stage.importTo(target.host, input, { stdin: Bun.file(packed) });
      expect(status, stderr).toBe(0);
      await expectImages(target, [FIRST, SECOND]);
    }
  });

  testWith("gzip")("gzip that is cut short is exit 4, and nothing incomplete gets a name", async () => {
    const packed = join(stage.work, "packed");
    await Bun.$`gzip -c ${stage.archive} | head -c 100000 > ${packed}`;
    const target = await stage.startTarget();
    expectFailure(await stage.importTo(target.host, packed), 4, "its gzip is damaged or cut short");
    expect(await target.store.manifest(partsOf(FIRST).repository, "v1")).toBeUndefined();
  });
});

describe("before anything is read", () => {
  testWith("script")("a terminal is refused", async () => {
    const program = await executable();
    const words = ["export", "artifacts", "-o", "-", "--bundles-override", stage.bundles].join(" ");
    const child = Bun.spawn(["script", "-qec", `${program} ${words}`, "/dev/null"], { stdout: "pipe" });
    expect(await new Response(child.stdout).text()).toContain("cannot write the archive to a terminal");
    expect(await child.exited).toBe(2);
  });

  test("`--force` is refused: there is nothing to replace", async () => {
    expectFailure(await stage.exportTo("-", "--force"), 2, "`--force`", "`--output -`");
  });

  test("`--dry-run` prints the plan of it", async () => {
    const { status, stdout } = await stage.exportTo("-", "--dry-run");
    expect(status).toBe(0);
    expect(stdout).toContain(`${FIRST}@sha256:`);
    expect(stdout).not.toContain("free in");
  });
});
