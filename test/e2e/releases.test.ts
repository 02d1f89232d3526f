import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { toYaml } from "../support/bundles-author.ts";
import { releaseManifest } from "../support/release-manifest.ts";
import { bundlesUrl, digestAt, NEW, OLD, PUBLISHED_AT, ReleaseStage } from "./release-stage.ts";
import { expectFailure } from "./stage.ts";

const RELEASES = "eks-anywhere/release-manifest";
const BUNDLES = "eks-anywhere/bundles";

let stage: ReleaseStage;

beforeAll(async () => {
  stage = await ReleaseStage.set();
});

afterEach(() => stage.end());

afterAll(() => stage.strike());

describe("which release is exported", () => {
  test("the latest by default, said aloud, and its Release goes along", async () => {
    const { stderr } = await stage.export("default.tar");
    expect(stderr).toContain(`EKS Anywhere ${NEW}, the latest release`);
    expect(stderr).toContain(PUBLISHED_AT);
    expect(await stage.bytes("default.tar")).toEqual(await stage.bytes("new.tar"));
    const { stdout } = await stage.run("list", "artifacts", "-i", "default.tar");
    expect(stdout.split("\n").map((line) => line.replace(/ {2}sha256:\w+ {2}.* {2}/, " "))).toEqual([
      `public.ecr.aws/${BUNDLES}:bundles-61 manifest`,
      `public.ecr.aws/${BUNDLES}:${NEW} manifest`,
      `public.ecr.aws/${RELEASES}:${NEW} manifest`,
      "public.ecr.aws/eks-anywhere/controller:v61 image",
      "",
    ]);
  });

  test("the one of a version, from a file as from its address", async () => {
    const { stderr } = await stage.export(
      "file.tar",
      "--release-manifest",
      "manifest.yaml",
      "--eksa-version",
      OLD,
    );
    expect(stderr).toContain(`EKS Anywhere ${OLD}, from manifest.yaml`);
    expect(stderr).not.toContain("latest");
    expect(await stage.bytes("file.tar")).toEqual(await stage.bytes("old.tar"));
  });

  test("a release and its lists agree", async () => {
    const from = [...stage.online.mirrors, "--eksa-version", OLD];
    const { stdout } = await stage.run("list", "artifacts", ...from);
    expect(stdout).toBe((await stage.run("list", "artifacts", "-i", "old.tar")).stdout);
    const images = await stage.run("list", "images", ...from);
    expect(images.stdout).toMatch(/^public\.ecr\.aws\/eks-anywhere\/controller:v60@sha256:\w{64}\n$/);
  });

  test("an archive of everything in the Release changes nothing", async () => {
    const text = stage.documents.get(PUBLISHED_AT) ?? "";
    const offering = text.replace(
      `version: ${NEW}`,
      `version: ${NEW}\n      airgapArtifacts:\n        uri: https://a.example/a.tar\n        description: ""`,
    );
    expect(offering).not.toBe(text);
    await writeFile(join(stage.folder, "offering.yaml"), offering);
    await stage.export(
      "offered.tar",
      "--release-manifest",
      "offering.yaml",
      "--exclude",
      "public.ecr.aws/eks-anywhere/controller:v61",
    );
    await stage.export("plain.tar", "--exclude", "public.ecr.aws/eks-anywhere/controller:v61");
    expect(await stage.bytes("offered.tar")).toEqual(await stage.bytes("plain.tar"));
  });
});

describe("a Release that is no help", () => {
  const fail = (code: number, flags: readonly string[], ...says: (string | RegExp)[]) =>
    stage
      .run("export", "artifacts", "-o", "x.tar", ...stage.online.mirrors, ...flags)
      .then((result) => expectFailure(result, code, ...says));

  test("for want of the version names what there is", () =>
    fail(2, ["--eksa-version", "v0.26.2"], "cannot find EKS Anywhere v0.26.2", `it holds ${NEW}, ${OLD}`));

  test("beside a Bundles is a mistake", () =>
    fail(
      2,
      ["--release-manifest", "a", "--bundles-override", "b"],
      "`--release-manifest` and `--bundles-override`",
    ));

  test.each([
    ["of no known scheme", "s3://bucket/manifest.yaml", "cannot read a Release from `s3://`"],
    ["with a password", "https://u:secret@a.example/m.yaml", "a Release URL that holds credentials"],
    [
      "with a password for a registry",
      "oci://u:secret@a.example/r/m:1",
      "a Release URL that holds credentials",
    ],
    ["without a tag", "oci://a.example/r/m", "neither a tag nor a digest"],
  ])("%s is a mistake, and told without it", async (_, address, says) => {
    const result = await stage.run("export", "artifacts", "-o", "x.tar", "--release-manifest", address);
    expectFailure(result, 2, says);
    expect(result.stderr).not.toContain("secret");
  });

  test.each<[string, Response, RegExp]>([
    ["a 403 page", new Response("<html>Forbidden</html>", { status: 403 }), /answered 403/],
    ["a missing one", new Response("kind: Release\n", { status: 404 }), /answered 404/],
    [
      "a page with 200",
      new Response("\n<!DOCTYPE html><p>log in"),
      /answered with a web page, where YAML is expected/,
    ],
    ["another kind", new Response("apiVersion: v1\nkind: List\n"), /it is `List` \(`v1`\)/],
    ["no YAML", new Response("a: [\n"), /as YAML\n +because: line/],
  ])("%s is never a manifest", async (_, answer, says) => {
    const body = await answer.text();
    const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response(body, answer) });
    try {
      const address = `http://127.0.0.1:${server.port}/manifest.yaml`;
      await fail(1, ["--release-manifest", address], `cannot read the Release manifest ${address}`, says);
      // Nor is it a Bundles.
      await fail(1, ["--bundles-override", address], address, says);
    } finally {
      await server.stop(true);
    }
  });

  test.each([
    ["an embedded one", "embed:///config/bundles.yaml", "file"],
    ["a file of this machine, from another", "/etc/hostname", "registry"],
  ])("leads to a Bundles that cannot be read: %s", async (_, bundleManifestUrl, from) => {
    const text = releaseManifest([{ version: NEW, bundleManifestUrl }]);
    await writeFile(join(stage.folder, "leading.yaml"), text);
    const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response(text) });
    try {
      const address = from === "file" ? "leading.yaml" : `http://127.0.0.1:${server.port}/m.yaml`;
      await fail(
        1,
        ["--release-manifest", address],
        `cannot use \`${bundleManifestUrl}\``,
        "`--bundles-override SRC`",
      );
    } finally {
      await server.stop(true);
    }
  });
});

describe("manifests from a registry", () => {
  test("give the same archive as from their files, and no file host is asked", async () => {
    const mirror = await stage.startTarget();
    await stage.import("new.tar", mirror);
    stage.online.askedFiles.length = 0;
    await stage.export("oci.tar", "--release-manifest", `oci://${mirror.host}/${RELEASES}:latest`);
    expect(stage.online.askedFiles).toEqual([]);
    expect(await stage.bytes("oci.tar")).toEqual(await stage.bytes("new.tar"));

    // Handed on once more.
    const second = await stage.startTarget();
    await stage.import("oci.tar", second);
    for (const [repository, tag] of [
      [RELEASES, NEW],
      [RELEASES, "latest"],
      [BUNDLES, NEW],
      [BUNDLES, "bundles-61"],
    ] as const) {
      expect(await digestAt(second, repository, tag)).toBe((await digestAt(mirror, repository, tag)) ?? "");
    }
  });

  test("published by the two lines of the README are the connected default: no file host is asked", async () => {
    const from = [...stage.online.mirrors, "--eksa-version", NEW, "--only", "manifests"];
    const exported = await stage.run("export", "artifacts", "--output", "manifests.tar", ...from);
    expect(exported.status, exported.stderr).toBe(0);
    const { registry } = stage.online;
    const to = ["--input", "manifests.tar", "--registry", registry.host];
    const imported = await stage.run("import", "artifacts", ...to);
    expect(imported.status, imported.stderr).toBe(0);

    stage.online.askedFiles.length = 0;
    const address = `oci://public.ecr.aws/${RELEASES}:latest`;
    const { stderr } = await stage.export("published.tar", "--release-manifest", address);
    expect(stderr).toContain(`EKS Anywhere ${NEW}, the latest release`);
    expect(stage.online.askedFiles).toEqual([]);
    expect(await stage.bytes("published.tar")).toEqual(await stage.bytes("new.tar"));
    // Once more with the manifests alone, which is what a maintainer of another registry would publish.
    await stage.export("again.tar", "--release-manifest", address, "--only", "manifests");
    expect(await stage.bytes("again.tar")).toEqual(await stage.bytes("manifests.tar"));
  });

  test("below a namespace, of another version than the tag's: its own tag is asked", async () => {
    const mirror = await stage.startTarget();
    for (const input of ["old.tar", "new.tar"]) {
      const to = ["-i", input, "-r", `${mirror.host}/corp/a`];
      expect((await stage.run("import", "artifacts", ...to)).status).toBe(0);
    }
    stage.online.askedFiles.length = 0;
    const address = `oci://${mirror.host}/corp/a/${RELEASES}:latest`;
    await stage.export("oci-old.tar", "--release-manifest", address, "--eksa-version", OLD);
    expect(await stage.bytes("oci-old.tar")).toEqual(await stage.bytes("old.tar"));
    expect(stage.online.askedFiles).toEqual([]);
    const absent = ["--release-manifest", address, "--eksa-version", "v0.25.0"];
    const result = await stage.run("list", "images", ...absent);
    expectFailure(result, 2, "cannot find EKS Anywhere v0.25.0", `it holds ${NEW}`);
  });

  test("as a Bundles give the same archive as from its file", async () => {
    const mirror = await stage.startTarget();
    await stage.import("old.tar", mirror);
    const version = ["--eksa-version", OLD];
    await stage.export("by-url.tar", "--bundles-override", bundlesUrl(60), ...version);
    stage.online.askedFiles.length = 0;
    await stage.export(
      "by-oci.tar",
      "--bundles-override",
      `oci://${mirror.host}/${BUNDLES}:bundles-60`,
      ...version,
    );
    expect(await stage.bytes("by-oci.tar")).toEqual(await stage.bytes("by-url.tar"));
    expect(stage.online.askedFiles).toEqual([]);
    expect((await stage.run("list", "artifacts", "-i", "by-oci.tar")).stdout).not.toContain(RELEASES);
  });

  test("are not taken for one another", async () => {
    const mirror = await stage.startTarget();
    await stage.import("old.tar", mirror);
    const args = ["--bundles-override", `oci://${mirror.host}/${RELEASES}:${OLD}`];
    const result = await stage.run("list", "images", ...args);
    expectFailure(
      result,
      1,
      "it is another kind of artifact",
      "bundles.v1alpha1, found application/vnd.amazonaws",
    );
  });

  test("must hold what the Bundles names", async () => {
    const mirror = await stage.startTarget();
    await stage.import("old.tar", mirror);
    const found = await fetch(`${mirror.url}/v2/${BUNDLES}/manifests/${OLD}`);
    const manifest = JSON.parse(await found.text());
    const body = JSON.stringify({ ...manifest, layers: manifest.layers.slice(0, 1) });
    const headers = { "content-type": manifest.mediaType };
    await fetch(`${mirror.url}/v2/${BUNDLES}/manifests/${OLD}`, { method: "PUT", headers, body });
    const result = await stage.run(
      "list",
      "images",
      "--bundles-override",
      `oci://${mirror.host}/${BUNDLES}:${OLD}`,
    );
    expectFailure(result, 1, "holds no `1.31/eks-anywhere-cluster-controller/components.yaml`");
  });

  test("one by one, where a Bundles names them so", async () => {
    const mirror = await stage.startTarget();
    await stage.import("old.tar", mirror);
    const uri = `oci://${mirror.host}/${RELEASES}:${OLD}`;
    const eksa = {
      components: { uri },
      more: { components: { uri: `oci://${mirror.host}/${BUNDLES}:${OLD}` } },
    };
    const bundles = (own: object) =>
      toYaml({
        apiVersion: "anywhere.eks.amazonaws.com/v1alpha1",
        kind: "Bundles",
        spec: { number: 7, versionsBundles: [{ kubeVersion: "1.31", eksa: own }] },
      });
    await writeFile(join(stage.folder, "by-reference.yaml"), bundles({ components: eksa.components }));
    const { stderr } = await stage.export(
      "by-reference.tar",
      "--bundles-override",
      "by-reference.yaml",
      "-v",
      "1",
    );
    expect(stderr).toContain(`not pinned by a digest: file ${uri}\n`);
    const held = (await stage.bytes("by-reference.tar")).toString();
    expect(held).toContain(`eks-anywhere-cluster-controller/release-manifest:${OLD}`);
    expect(held).toContain("kind: Release\n");

    await writeFile(join(stage.folder, "by-reference.yaml"), bundles(eksa));
    const result = await stage.run("list", "artifacts", "--bundles-override", "by-reference.yaml");
    expectFailure(result, 1, `cannot read oci://${mirror.host}/${BUNDLES}:${OLD}`, "as one file: it holds 2");
  });
});
