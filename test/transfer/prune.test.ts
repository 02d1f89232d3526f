import { describe, expect, test } from "bun:test";
import type { Platform } from "../../src/oci/descriptor.ts";
import { digestOf } from "../../src/oci/digest.ts";
import type { Plan, Root } from "../../src/oci/plan.ts";
import { formatReference, parseReference } from "../../src/oci/reference.ts";
import { prunePlatforms } from "../../src/transfer/prune.ts";
import { resolve } from "../../src/transfer/resolve.ts";
import { chart, image, multiArchImage, referrer, type TestContent } from "../support/content.ts";
import { MemorySource, manifestContent, planOf, rawImage, rawIndex } from "../support/memory.ts";

const AMD64 = { os: "linux", architecture: "amd64" };
const ARM64 = { os: "linux", architecture: "arm64" };
const NAME = "a.b/x:v1";

const onlyArm = (plan: Plan) => prunePlatforms(plan, [ARM64]);

function rootOf(plan: Plan): Root {
  const [root] = plan.roots;
  if (root === undefined) throw new Error("the plan has no root");
  return root;
}

/** The index that the plan's first root stands for. */
function indexOf(plan: Plan): { manifests: { digest: string; platform?: Platform }[] } {
  const { bytes } = plan.nodes.get(rootOf(plan).descriptor.digest) ?? {};
  return JSON.parse(new TextDecoder().decode(bytes));
}

describe("a tagged index", () => {
  test("keeps the wanted children as they stood, and knows what it was", async () => {
    const content = await multiArchImage({ seed: "a", dialect: "docker" });
    const before = await planOf({ [NAME]: content });
    const { plan, whole, failures } = onlyArm(before);
    expect([whole, failures]).toEqual([[], []]);
    const { descriptor, original } = rootOf(plan);
    expect(original).toBe(content.root.digest);
    expect(descriptor.mediaType).toBe(content.root.mediaType);
    const bytes = plan.nodes.get(descriptor.digest)?.bytes ?? new Uint8Array();
    expect([digestOf(bytes), bytes.length]).toEqual([descriptor.digest, descriptor.size]);
    const old = indexOf(before);
    expect(new TextDecoder().decode(bytes)).toBe(
      JSON.stringify({ ...old, manifests: old.manifests.slice(1) }),
    );
    expect(old.manifests[1]?.platform).toEqual(ARM64);
  });

  test("loses whatever only the others needed, and keeps what is shared", async () => {
    const [amd, arm] = [
      rawImage(["shared", "amd"]),
      rawImage(["shared", "arm"], { platform: ARM64 }),
    ] as const;
    const { plan } = onlyArm(await planOf({ [NAME]: rawIndex([amd, arm]) }));
    const digests = new Set(plan.nodes.keys());
    expect(digests).toEqual(new Set([rootOf(plan).descriptor.digest, arm.root.digest, ...arm.blobs.keys()]));
  });

  test("that has nothing else stays what it is", async () => {
    const before = await planOf({ [NAME]: await multiArchImage({ seed: "a", platforms: [ARM64] }) });
    expect(onlyArm(before)).toEqual({ plan: before, whole: [], failures: [] });
  });

  test("loses the attestations of what it loses, and keeps the others", async () => {
    const content = await multiArchImage({ seed: "a", attested: true });
    const { manifests } = indexOf(await planOf({ [NAME]: content }));
    const { plan } = onlyArm(await planOf({ [NAME]: content }));
    expect(indexOf(plan).manifests).toEqual([manifests[1], manifests[3]] as typeof manifests);
    expect(manifests[3]).toMatchObject({
      annotations: { "vnd.docker.reference.digest": manifests[1]?.digest },
    });
  });

  test("keeps what has no platform, and an attestation of something elsewhere", async () => {
    const amd = rawImage(["amd"]);
    const arm = rawImage(["arm"], { platform: ARM64 });
    const { platform: _, ...bare } = rawImage(["bare"]).root;
    const annotations = { "vnd.docker.reference.digest": digestOf(new Uint8Array()) };
    const unknown = { os: "unknown", architecture: "unknown" };
    const strange = rawImage(["strange"], { platform: unknown });
    const children: TestContent[] = [
      amd,
      arm,
      { ...rawImage(["bare"]), root: bare },
      { ...strange, root: { ...strange.root, annotations } },
    ];
    const { plan } = onlyArm(await planOf({ [NAME]: rawIndex(children) }));
    expect(indexOf(plan).manifests.map(({ digest }) => digest as string)).toEqual(
      children.slice(1).map(({ root }) => root.digest),
    );
  });

  test("keeps an entry that is listed for two platforms under the wanted one, and what attests it", async () => {
    const both = rawImage(["both"]);
    const unknown = { os: "unknown", architecture: "unknown" };
    const attestation = rawImage(["attestation"], { platform: unknown });
    const annotations = { "vnd.docker.reference.digest": both.root.digest };
    const listed = rawIndex([
      both,
      { ...both, root: { ...both.root, platform: ARM64 } },
      { ...attestation, root: { ...attestation.root, annotations } },
    ]);
    const { plan } = onlyArm(await planOf({ [NAME]: listed }));
    expect(indexOf(plan).manifests.map(({ platform }) => platform)).toEqual([ARM64, unknown]);
  });

  test("keeps the fields that it has besides, in their order", async () => {
    const children = [rawImage(["amd"]), rawImage(["arm"], { platform: ARM64 })];
    const document = {
      annotations: { "2": "b", a: "1" },
      manifests: children.map(({ root }) => root),
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.index.v1+json",
      strange: [1.5, null, "ü"],
    };
    const content = manifestContent(document.mediaType, document);
    const index = { ...rawIndex(children), root: content.root };
    index.manifests.splice(-1, 1, ...content.manifests);
    const { plan } = onlyArm(await planOf({ [NAME]: index }));
    const { bytes } = plan.nodes.get(rootOf(plan).descriptor.digest) ?? {};
    expect(new TextDecoder().decode(bytes)).toBe(
      JSON.stringify({ ...document, manifests: document.manifests.slice(1) }),
    );
  });

  test("of which nothing is wanted fails, naming what it has", async () => {
    const { plan, failures } = onlyArm(
      await planOf({
        [NAME]: await multiArchImage({ seed: "a", platforms: [AMD64, { ...ARM64, os: "windows" }] }),
      }),
    );
    expect(plan.roots).toEqual([]);
    expect(failures.map(({ reference, error }) => [formatReference(reference), String(error)])).toEqual([
      [
        NAME,
        expect.stringContaining("cannot find linux/arm64 in the image: it is for linux/amd64, windows/arm64"),
      ],
    ]);
  });
});

describe("stays whole, and is told", () => {
  test("what is known only by its digest", async () => {
    const content = await multiArchImage({ seed: "a" });
    const name = `a.b/x@${content.root.digest}`;
    const before = await planOf({ [name]: content });
    const { plan, whole } = onlyArm(before);
    expect(plan).toEqual(before);
    expect(whole.map(({ reference, reason }) => [formatReference(reference), reason])).toEqual([
      [name, "known only by its digest"],
    ]);
  });

  test.each(["a referrer of it", "a referrer of a child", "cosign's tag"])(
    "what travels with %s",
    async (kind) => {
      const content = rawIndex([rawImage(["amd"]), rawImage(["arm"], { platform: ARM64 })]);
      const child = content.manifests[0]?.digest ?? content.root.digest;
      const subject = kind === "a referrer of a child" ? { ...content.root, digest: child } : content.root;
      const signature = referrer({ subject, artifactType: "application/vnd.sig", body: "signed" });
      const named = `a.b/x:${content.root.digest.replace(":", "-")}.sig`;
      const contents: Record<string, TestContent> = { [NAME]: content };
      if (kind === "cosign's tag")
        contents[named] = rawImage(["sig"], { platform: { os: "", architecture: "" } });
      else contents[`a.b/x@${signature.root.digest}`] = signature;
      const references = Object.keys(contents).map(parseReference);
      const isNameless = kind !== "cosign's tag";
      const { plan: before } = await resolve(
        new MemorySource(contents),
        isNameless ? references.slice(0, 1) : references,
        { jobs: 1, nameless: isNameless ? references.slice(1) : [] },
      );
      const { plan, whole, failures } = onlyArm(before);
      expect(failures).toEqual([]);
      expect(plan).toEqual(before);
      expect(whole.map(({ reason }) => reason)).toEqual(["its signatures travel along"]);
    },
  );
});

describe("a bare manifest", () => {
  test("is judged by its config", async () => {
    const [amd, arm] = [await image({ seed: "a" }), await image({ seed: "b", platform: ARM64 })];
    const before = await planOf({ "a.b/amd:v1": amd, "a.b/arm:v1": arm });
    const { plan, failures } = onlyArm(before);
    expect(plan.roots.map(({ reference }) => reference.repository)).toEqual(["arm"]);
    expect(failures.map(({ reference }) => reference.repository)).toEqual(["amd"]);
  });

  test("that runs nowhere always travels", async () => {
    const before = await planOf({ [NAME]: await chart("x", "0.1.0") });
    expect(onlyArm(before)).toEqual({ plan: before, whole: [], failures: [] });
  });
});

test("several platforms are taken together, and any of them will do", async () => {
  const before = await planOf({
    "a.b/both:v1": await multiArchImage({ seed: "a" }),
    "a.b/amd:v1": await image({ seed: "b" }),
  });
  expect(prunePlatforms(before, [ARM64, AMD64])).toEqual({ plan: before, whole: [], failures: [] });
});
