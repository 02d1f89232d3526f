import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  assertNoCollision,
  assertPlaces,
  mapReference,
  mapRoot,
  mirrorConfiguration,
} from "../../src/eksa/mirror.ts";
import { parseTarget, type Target } from "../../src/eksa/target.ts";
import { digestOf } from "../../src/oci/digest.ts";
import { formatReference, isRepository, parseReference } from "../../src/oci/reference.ts";
import { faultOf, textOf } from "../support/faults.ts";

const ONE = digestOf(Uint8Array.of(1));
const TWO = digestOf(Uint8Array.of(2));

describe("a target", () => {
  test.each([
    ["harbor.corp", { registry: "harbor.corp", namespace: "" }],
    ["harbor.corp/", { registry: "harbor.corp", namespace: "" }],
    ["harbor.corp:5000/eksa", { registry: "harbor.corp:5000", namespace: "eksa" }],
    ["registry/a/b-c", { registry: "registry", namespace: "a/b-c" }],
    ["http://127.0.0.1:5000", { scheme: "http", registry: "127.0.0.1:5000", namespace: "" }],
    ["HTTPS://[::1]:5000/x", { scheme: "https", registry: "[::1]:5000", namespace: "x" }],
  ])("%s is read", (text, expected) => {
    expect(parseTarget(text) as unknown).toEqual(expected);
  });

  test.each([
    ["", "is not a host"],
    ["https://", "is not a host"],
    ["/eksa", "is not a host"],
    ["oci://harbor.corp", "`oci` is not http or https"],
    ["harbor.corp:0", "is not a host and port"],
    ["harbor.corp:65536", "is not a host and port"],
    ["harbor.corp:https", "is not a host and port"],
    ["harbor corp", "is not a host"],
    ["harbor.corp/EKSA", "`EKSA` is not a namespace"],
    ["harbor.corp/a//b", "is not a namespace"],
    ["harbor.corp/../b", "is not a namespace"],
    ["harbor.corp/a:tag", "is not a namespace"],
    ["harbor.corp/a\n", "is not a namespace"],
  ])("%j is wrong usage", async (text, reason) => {
    const fault = await faultOf(() => parseTarget(text));
    expect(fault.kind).toBe("usage");
    expect(fault.message).toContain(reason);
    expect(fault.hint).toBeDefined();
  });

  test.each([
    "https://user:secret@harbor.corp",
    "user:secret@harbor.corp/x",
    "https://harbor.corp/x?token=secret",
  ])("with a secret is refused without showing it: %s", async (text) => {
    const fault = await faultOf(() => parseTarget(text));
    expect(fault.kind).toBe("usage");
    expect(textOf(fault)).not.toContain("secret");
  });
});

describe("where things go", () => {
  test.each([
    ["public.ecr.aws/eks-anywhere/x:v1", "h:5000", "h:5000/eks-anywhere/x:v1"],
    ["public.ecr.aws/eks-anywhere/x:v1", "h:5000/ns/a", "h:5000/ns/a/eks-anywhere/x:v1"],
    ["Public.ECR.aws/x:v1", "h", "h/x:v1"],
    ["783794618700.dkr.ecr.us-west-2.amazonaws.com/p:1", "h", "h/eks-anywhere/p:1"],
    ["783794618700.dkr.ecr.eu-west-1.amazonaws.com/p:1", "h/ns", "h/ns/eks-anywhere/p:1"],
    ["067575901363.dkr.ecr.us-west-2.amazonaws.com/p:1", "h/ns", "h/ns/x3k6m8v0/p:1"],
    [
      "364992945014.dkr.ecr.eu-central-1.amazonaws.com/p:1",
      "h",
      "h/364992945014.dkr.ecr.eu-central-1.amazonaws.com/p:1",
    ],
    [
      "evil.783794618700.dkr.ecr.us-west-2.amazonaws.com.x/p:1",
      "h",
      "h/evil.783794618700.dkr.ecr.us-west-2.amazonaws.com.x/p:1",
    ],
    ["Quay.IO:8443/a/b:1", "h/ns", "h/ns/quay.io_8443/a/b:1"],
    [`public.ecr.aws/x@${ONE}`, "h", `h/x:${ONE.slice(7)}`],
  ])("%s to %s is %s", (source, target, expected) => {
    expect(formatReference(mapReference(parseReference(source), parseTarget(target)))).toBe(expected);
  });

  test("the digest stays beside the tag", () => {
    const mapped = mapReference(parseReference(`public.ecr.aws/x:v1@${ONE}`), parseTarget("h"));
    expect(mapped).toEqual({ registry: "h", repository: "x", tag: "v1", digest: ONE });
  });

  test("a root without a name goes where its name would, and gets none there either", () => {
    const reference = parseReference(`public.ecr.aws/x@${ONE}`);
    const descriptor = { mediaType: "x", digest: ONE, size: 1 };
    const target = parseTarget("h/ns");
    expect(mapRoot({ reference, descriptor, nameless: true }, target)).toEqual({
      registry: "h",
      repository: "ns/x",
      digest: ONE,
    });
    expect(mapRoot({ reference, descriptor }, target).tag).toBe(ONE.slice(7));
    const named = parseReference("public.ecr.aws/x:v1");
    expect(mapRoot({ reference: named, descriptor }, target)).toEqual(mapReference(named, target));
  });

  test("a host or namespace that makes no repository name is refused", async () => {
    const v6 = { registry: "[::1]:5000", repository: "x", tag: "v1" };
    expect((await faultOf(() => mapReference(v6, parseTarget("h")))).message).toContain(
      "not a repository name",
    );
    const target = { registry: "h", namespace: "n".repeat(250) };
    const long = await faultOf(() => mapReference(parseReference("public.ecr.aws/abcdef:v1"), target));
    expect(long.hint).toBe("choose a shorter namespace");
  });

  test("what is mapped is always a repository name that ends in the source's", () => {
    const part = fc.stringMatching(/^[a-z0-9]{1,8}$/);
    const registry = fc
      .tuple(part, fc.option(fc.nat(65535)))
      .map(([host, port]) => `${host}.io${port === null ? "" : `:${port}`}`);
    fc.assert(
      fc.property(registry, part, part, (host, repository, namespace) => {
        const mapped = mapReference({ registry: host, repository, tag: "t" }, { registry: "h", namespace });
        expect(isRepository(mapped.repository)).toBe(true);
        expect(mapped.repository.startsWith(`${namespace}/`)).toBe(true);
        expect(mapped.repository.endsWith(`/${repository}`)).toBe(true);
      }),
    );
  });
});

/** As a cluster names it: `host`, and what its `ociNamespaces` say; without any, public.ecr.aws at the root. */
function clusterTarget(host: string, entries: Record<string, string> = { "public.ecr.aws": "" }): Target {
  return { scheme: "https", registry: host, namespace: "", ociNamespaces: new Map(Object.entries(entries)) };
}

describe("where a cluster's nodes look", () => {
  const PACKAGES = "783794618700.dkr.ecr.us-west-2.amazonaws.com";
  const SPREAD = {
    "public.ecr.aws": "mirror",
    [PACKAGES]: "pkgs",
    "quay.io:8443": "a/b",
    "067575901363.dkr.ecr.us-west-2.amazonaws.com": "",
  };
  test.each<[string, Record<string, string> | undefined, string]>([
    ["public.ecr.aws/eks-anywhere/x:v1", undefined, "h:8443/eks-anywhere/x:v1"],
    ["public.ecr.aws/eks-anywhere/x:v1", SPREAD, "h:8443/mirror/eks-anywhere/x:v1"],
    [`public.ecr.aws/eks-anywhere/x@${ONE}`, undefined, `h:8443/eks-anywhere/x:${ONE.slice(7)}`],
    [`public.ecr.aws/eks-anywhere/x@${ONE}`, SPREAD, `h:8443/mirror/eks-anywhere/x:${ONE.slice(7)}`],
    // A chart is placed as an image is.
    ["public.ecr.aws/eks/cilium/cilium:1.19.4-1", undefined, "h:8443/eks/cilium/cilium:1.19.4-1"],
    ["public.ecr.aws/eks/cilium/cilium:1.19.4-1", SPREAD, "h:8443/mirror/eks/cilium/cilium:1.19.4-1"],
    ["Public.ECR.aws/x:v1", SPREAD, "h:8443/mirror/x:v1"],
    // Nothing of our own is put before it.
    [`${PACKAGES}/p:1`, SPREAD, "h:8443/pkgs/p:1"],
    // Of curated packages a cluster has one mirror, whatever the region.
    ["783794618700.dkr.ecr.eu-west-1.amazonaws.com/p:1", SPREAD, "h:8443/pkgs/p:1"],
    ["067575901363.dkr.ecr.us-west-2.amazonaws.com/p:1", SPREAD, "h:8443/p:1"],
    ["quay.io:8443/x:1", SPREAD, "h:8443/a/b/x:1"],
  ])("%s with %j is %s", (source, entries, expected) => {
    const mapped = mapReference(parseReference(source), clusterTarget("h:8443", entries));
    expect(formatReference(mapped)).toBe(expected);
  });

  test.each<[string, Record<string, string> | undefined]>([
    [`${PACKAGES}/p:1`, undefined],
    ["067575901363.dkr.ecr.eu-west-1.amazonaws.com/p:1", SPREAD],
    ["123456789012.dkr.ecr.us-west-2.amazonaws.com/p:1", SPREAD],
    ["evil.783794618700.dkr.ecr.us-west-2.amazonaws.com/p:1", SPREAD],
    ["quay.io/x:1", SPREAD],
    ["public.ecr.aws/x:1", { "quay.io": "q" }],
  ])("there is no place for %s with %j", async (source, entries) => {
    const fault = await faultOf(() => mapReference(parseReference(source), clusterTarget("h", entries)));
    expect(textOf(fault)).toContain("ociNamespaces");
  });

  test("all registries without an entry are named at once", async () => {
    const descriptor = { mediaType: "x", digest: ONE, size: 1 };
    const roots = ["quay.io/a:1", "public.ecr.aws/a:1", "gcr.io/a:1", "quay.io/b:1"].map((text) => {
      return { reference: parseReference(text), descriptor };
    });
    const fault = await faultOf(() => assertPlaces(roots, clusterTarget("h:8443")));
    expect(textOf(fault)).toBe(
      [
        "cannot place what comes from gcr.io, quay.io at h:8443: no node would look for it there",
        "`registryMirrorConfiguration.ociNamespaces` of the cluster stands for public.ecr.aws alone",
        'add an entry for each of them to `ociNamespaces`, beside `{registry: public.ecr.aws, namespace: ""}`',
      ].join("\n"),
    );
    const other = await faultOf(() => assertPlaces(roots, clusterTarget("h", SPREAD)));
    expect(other.hint).toBe("add an entry for each of them to `ociNamespaces`");
    assertPlaces(roots, parseTarget("h"));
  });

  test("registries that share a namespace must not collide there", async () => {
    const roots = [ONE, TWO].map((digest, index) => {
      const reference = parseReference(`${["public.ecr.aws", "quay.io"][index]}/x:1`);
      return { reference, descriptor: { mediaType: "x", digest, size: 1 } };
    });
    const target = clusterTarget("h", { "public.ecr.aws": "", "quay.io": "" });
    expect((await faultOf(() => assertPlaces(roots, target))).message).toStartWith("cannot put two contents");
  });

  test("is what the configuration says, whatever was sent", () => {
    const target = clusterTarget("[fd00::1]:8443", { "public.ecr.aws": "", "quay.io": "q" });
    expect(mirrorConfiguration(target, ["public.ecr.aws"])).toBe(
      [
        "registryMirrorConfiguration:",
        "  endpoint: fd00::1",
        '  port: "8443"',
        "  ociNamespaces:",
        "    - registry: public.ecr.aws",
        '      namespace: ""',
        "    - registry: quay.io",
        "      namespace: q",
        "",
      ].join("\n"),
    );
    expect(mirrorConfiguration(clusterTarget("h"), [])).toBe(
      'registryMirrorConfiguration:\n  endpoint: h\n  port: "443"\n',
    );
  });
});

describe("two sources that land on one tag", () => {
  const target = parseTarget("h");
  const moves = (...sources: [string, typeof ONE][]) =>
    sources.map(([text, digest]) => {
      const reference = parseReference(text);
      const descriptor = { mediaType: "application/vnd.oci.image.manifest.v1+json", digest, size: 1 };
      return { root: { reference, descriptor }, place: mapReference(reference, target) };
    });

  test("with different content are refused, naming both", async () => {
    const collision = moves(["public.ecr.aws/quay.io/x:1", ONE], ["quay.io/x:1", TWO]);
    const { message } = await faultOf(() => assertNoCollision(collision));
    expect(message).toBe(
      `cannot put two contents at h/quay.io/x:1: public.ecr.aws/quay.io/x:1 (${ONE}) and quay.io/x:1 (${TWO})`,
    );
  });

  test("with the same content may", () => {
    assertNoCollision(moves(["public.ecr.aws/quay.io/x:1", ONE], ["quay.io/x:1", ONE]));
  });
});

describe("the registryMirrorConfiguration", () => {
  const PACKAGES = "783794618700.dkr.ecr.us-west-2.amazonaws.com";

  test("needs no ociNamespaces for public.ecr.aws at the root", () => {
    expect(mirrorConfiguration(parseTarget("harbor.corp"), ["public.ecr.aws"])).toBe(
      'registryMirrorConfiguration:\n  endpoint: harbor.corp\n  port: "443"\n',
    );
  });

  test("has one entry for the packages of all regions, since EKS Anywhere takes no second", () => {
    const registries = [PACKAGES, PACKAGES.replace("us-west-2", "eu-west-1"), "public.ecr.aws"];
    const text = mirrorConfiguration(parseTarget("harbor.corp"), registries);
    expect(text.match(/registry: .*/g)).toEqual([
      `registry: ${PACKAGES.replace("us-west-2", "eu-west-1")}`,
      "registry: public.ecr.aws",
    ]);
  });

  test("lists each registry where the mapping puts it", () => {
    const registries = ["quay.io", "public.ecr.aws", PACKAGES, "quay.io"];
    expect(mirrorConfiguration(parseTarget("harbor.corp:5000/eksa"), registries)).toBe(
      [
        "registryMirrorConfiguration:",
        "  endpoint: harbor.corp",
        '  port: "5000"',
        "  ociNamespaces:",
        `    - registry: ${PACKAGES}`,
        "      namespace: eksa/eks-anywhere",
        "    - registry: public.ecr.aws",
        "      namespace: eksa",
        "    - registry: quay.io",
        "      namespace: eksa/quay.io",
        "",
      ].join("\n"),
    );
  });

  test("keeps public.ecr.aws at the root beside others, and quotes what YAML 1.1 would misread", () => {
    expect(mirrorConfiguration(parseTarget("http://[::1]/"), ["public.ecr.aws", "quay.io"])).toBe(
      [
        "registryMirrorConfiguration:",
        "  endpoint: ::1",
        '  port: "80"',
        "  ociNamespaces:",
        "    - registry: public.ecr.aws",
        '      namespace: ""',
        "    - registry: quay.io",
        "      namespace: quay.io",
        "",
      ].join("\n"),
    );
    expect(mirrorConfiguration(parseTarget("h/on"), ["public.ecr.aws"])).toContain('namespace: "on"');
  });
});
