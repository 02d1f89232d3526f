import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { TestRegistry } from "../support/registry.ts";
import { digestAt, NEW, OLD, PUBLISHED_AT, ReleaseStage } from "./release-stage.ts";

const RELEASES = "eks-anywhere/release-manifest";
const BUNDLES = "eks-anywhere/bundles";

let stage: ReleaseStage;

beforeAll(async () => {
  stage = await ReleaseStage.set();
});

afterEach(() => stage.end());

afterAll(() => stage.strike());

const latest = (target: TestRegistry) => digestAt(target, RELEASES, "latest");

/** Both versions are there, whole. */
async function expectBoth(target: TestRegistry): Promise<void> {
  for (const input of ["old.tar", "new.tar"]) {
    const result = await stage.run("verify", "artifacts", "-i", input, "-r", target.host);
    expect(result.status, result.stdout + result.stderr).toBe(0);
  }
  for (const version of [OLD, NEW]) {
    const address = `oci://${target.host}/${RELEASES}:${version}`;
    const { stdout } = await stage.run(
      "list",
      "artifacts",
      ...stage.online.mirrors,
      "--release-manifest",
      address,
    );
    expect(stdout).toContain(`${BUNDLES}:${version}`);
  }
}

describe("the tag `latest`", () => {
  test("goes with the highest version, and never back", async () => {
    const target = await stage.startTarget();
    const first = await stage.import("old.tar", target);
    expect(first.stderr).toContain(`${RELEASES}:latest stands for ${OLD}\n`);
    expect(await latest(target)).toBe((await digestAt(target, RELEASES, OLD)) ?? "");

    const second = await stage.import("new.tar", target);
    expect(second.stderr).toContain(`${RELEASES}:latest stands for ${NEW}, and no longer for ${OLD}\n`);
    expect(second.stderr).not.toContain("warning");
    expect(await latest(target)).toBe((await digestAt(target, RELEASES, NEW)) ?? "");

    const third = await stage.import("old.tar", target);
    expect(third.stderr).toContain(`${RELEASES}:latest stays at ${NEW}, which is later than ${OLD}\n`);
    expect(await latest(target)).toBe((await digestAt(target, RELEASES, NEW)) ?? "");
    await expectBoth(target);
  });

  test("is foretold by a dry run, where it will move", async () => {
    const target = await stage.startTarget();
    const rowsOf = async (input: string) => {
      const dry = await stage.run("import", "artifacts", "-i", input, "-r", target.host, "--dry-run");
      expect(dry.status, dry.stderr).toBe(0);
      return dry.stdout.split("\n").filter((row) => row.includes(`/${RELEASES}:latest  `));
    };
    const [row, ...others] = await rowsOf("new.tar");
    expect(row).toMatch(
      new RegExp(`${RELEASES}:${NEW}@\\S+ -> ${target.host}/${RELEASES}:latest .*  to be sent$`),
    );
    expect(others).toEqual([]);
    await stage.import("new.tar", target);
    expect(await rowsOf("new.tar")).toEqual([expect.stringMatching(/ {2}already there$/)]);
    expect(await rowsOf("old.tar")).toEqual([]);
  });

  test("goes with the highest version whichever of two imports at once comes last", async () => {
    for (let round = 0; round < 8; round++) {
      const target = await stage.startTarget();
      const results = await Promise.all(
        ["old.tar", "new.tar"].map((input) =>
          stage.run("import", "artifacts", "-i", input, "-r", target.host),
        ),
      );
      // One that finds its tag moved under its hands says so.
      const lost = results.filter(({ status }) => status !== 0);
      for (const { stderr } of lost) expect(stderr).toContain("whether another run set this tag, too");
      if (lost.length === 0) expect(await latest(target)).toBe((await digestAt(target, RELEASES, NEW)) ?? "");
    }
  });

  test("stays where it stands for something else", async () => {
    const target = await stage.startTarget();
    await stage.import("old.tar", target);
    const other = await fetch(`${target.url}/v2/${BUNDLES}/manifests/${OLD}`);
    const headers = { "content-type": other.headers.get("content-type") ?? "" };
    const body = await other.text();
    for (const { digest } of [JSON.parse(body).config, ...JSON.parse(body).layers]) {
      const mount = `${target.url}/v2/${RELEASES}/blobs/uploads/?mount=${digest}&from=${BUNDLES}`;
      expect((await fetch(mount, { method: "POST" })).status).toBe(201);
    }
    await fetch(`${target.url}/v2/${RELEASES}/manifests/latest`, { method: "PUT", headers, body });
    const before = await latest(target);
    const { stderr } = await stage.import("new.tar", target);
    expect(stderr).toMatch(
      /warning: the tag \S+release-manifest:latest stays as it is.*expected .*release\.v1alpha1/,
    );
    expect(await latest(target)).toBe(before ?? "");
  });

  test("is not made for a Bundles without a Release", async () => {
    const target = await stage.startTarget();
    const bundles = stage.documents.get(
      "https://anywhere-assets.eks.amazonaws.com/releases/bundles/60/manifest.yaml",
    );
    await writeFile(join(stage.folder, "bundles.yaml"), bundles ?? "");
    await stage.export("bare.tar", "--bundles-override", "bundles.yaml");
    await stage.import("bare.tar", target);
    expect(target.requests.filter(({ path }) => path.includes(RELEASES))).toEqual([]);
  });
});

describe("imports one after the other", () => {
  test("of the same change nothing", async () => {
    const target = await stage.startTarget();
    await stage.import("new.tar", target);
    target.requests.length = 0;
    const { stderr } = await stage.import("new.tar", target);
    expect(stderr).not.toContain("warning");
    const writes = target.requests.filter(({ method }) => method !== "GET" && method !== "HEAD");
    expect(writes.map(({ method, path }) => `${method} ${path}`)).toEqual([]);
  });

  test("of two selections of one version leave both readable", async () => {
    const target = await stage.startTarget();
    await stage.export(
      "part.tar",
      "--eksa-version",
      NEW,
      "--exclude",
      "public.ecr.aws/eks-anywhere/controller:v61",
    );
    for (const input of ["part.tar", "new.tar", "part.tar"]) {
      const { stderr } = await stage.import(input, target);
      expect(stderr).not.toContain("warning");
    }
    await stage.import("old.tar", target);
    await expectBoth(target);
  });

  test("that move a tag say so", async () => {
    const target = await stage.startTarget();
    await stage.import("new.tar", target);
    const before = await digestAt(target, RELEASES, NEW);
    const text = stage.documents.get(PUBLISHED_AT) ?? "";
    await writeFile(join(stage.folder, "again.yaml"), text.replaceAll("aebd9a062", "bbbbbbbbb"));
    await stage.export("again.tar", "--release-manifest", "again.yaml");
    const { stderr } = await stage.import("again.tar", target);
    const after = await digestAt(target, RELEASES, NEW);
    expect(after).not.toBe(before ?? "");
    expect(stderr.match(/^warning: .*/gm)).toEqual([
      `warning: the tag ${target.host}/${RELEASES}:${NEW} stands for ${after} now, and stood for ${before} before`,
    ]);
    expect(await latest(target)).toBe(after ?? "");
  });
});

describe("a registry that takes no artifact with an empty config", () => {
  const refusing = {
    intercept: async (request: Request) => {
      if (request.method !== "PUT" || !request.url.includes("/manifests/")) return;
      const { config } = JSON.parse(await request.clone().text());
      if (config?.mediaType !== "application/vnd.oci.empty.v1+json") return;
      const errors = [{ code: "MANIFEST_INVALID", message: "unsupported config media type" }];
      return Response.json({ errors }, { status: 400 });
    },
  };

  test("gets it with one of its own type; it is said, verified and read", async () => {
    const target = await stage.startTarget(refusing);
    const { stderr } = await stage.import("new.tar", target);
    expect(stderr).toMatch(
      /warning: eks-anywhere\/bundles:v0\.26\.1 is sha256:\w{64} in this registry, not sha256:\w{64}/,
    );
    const manifest = await fetch(`${target.url}/v2/${BUNDLES}/manifests/${NEW}`);
    expect(JSON.parse(await manifest.text())).toMatchObject({
      artifactType: "application/vnd.amazonaws.eks-anywhere.bundles.v1alpha1",
      config: { mediaType: "application/vnd.amazonaws.eks-anywhere.bundles.v1alpha1", size: 2 },
    });

    target.requests.length = 0;
    expect((await stage.import("new.tar", target)).stderr).not.toContain("warning");
    expect(target.requests.filter(({ method }) => method === "PUT")).toEqual([]);
    await stage.import("old.tar", target);
    await expectBoth(target);
  });
});

test("tools that know files by their titles find them", async () => {
  const target = await stage.startTarget();
  await stage.import("new.tar", target);
  const titles: Record<string, string[]> = {};
  for (const repository of [BUNDLES, RELEASES]) {
    const manifest = await fetch(`${target.url}/v2/${repository}/manifests/${NEW}`);
    const { layers } = JSON.parse(await manifest.text());
    titles[repository] = layers.map((layer: { annotations: Record<string, string> }) => {
      return layer.annotations["org.opencontainers.image.title"];
    });
  }
  expect(titles).toEqual({
    [BUNDLES]: ["bundle-release.yaml", "1.31/eks-anywhere-cluster-controller/components.yaml"],
    [RELEASES]: ["manifest.yaml"],
  });
});
