import { describe, expect, test } from "bun:test";
import { eksdArtifacts } from "../../src/eksa/eksd.ts";
import { digestOf } from "../../src/oci/digest.ts";
import { faultOf, textOf } from "../support/faults.ts";

const DIGEST = digestOf(Uint8Array.of(1));

function read(components: unknown) {
  const release = {
    apiVersion: "distro.eks.amazonaws.com/v1alpha1",
    kind: "Release",
    status: { components },
  };
  return eksdArtifacts({
    source: "1.31/eks-distro/x.yaml",
    bytes: new TextEncoder().encode(JSON.stringify(release)),
  });
}

describe("an EKS-D release", () => {
  test("gives each image once, with or without a digest, and leaves archives out", () => {
    const image = { uri: "public.ecr.aws/eks-distro/etcd:v3" };
    const pinned = { uri: "public.ecr.aws/eks-distro/pause:v3", imageDigest: DIGEST };
    const archive = { uri: "https://a.example/etcd.tar.gz", sha256: "aa" };
    const { images, skipped } = read([
      { assets: [{ image }, { archive }, { image: { uri: "" } }] },
      {},
      { assets: [{ image: pinned }, { image }, {}] },
    ]);
    expect(images).toEqual([
      {
        kind: "image",
        reference: { registry: "public.ecr.aws", repository: "eks-distro/etcd", tag: "v3" },
        where: [
          "1.31/eks-distro/x.yaml: status.components[0].assets[0]",
          "1.31/eks-distro/x.yaml: status.components[2].assets[1]",
        ],
      },
      {
        kind: "image",
        reference: { registry: "public.ecr.aws", repository: "eks-distro/pause", tag: "v3", digest: DIGEST },
        where: ["1.31/eks-distro/x.yaml: status.components[2].assets[0]"],
      },
    ]);
    expect(skipped.map(({ reason }) => reason)).toEqual([
      "archives are not carried",
      "the URI is empty",
      "neither an image nor an archive",
    ]);
  });

  test("without components is refused: its images would be missed", async () => {
    expect(textOf(await faultOf(() => read([])))).toContain(
      "status.components: expected at least one component",
    );
  });

  test("names every image that makes no sense", async () => {
    const bad = { image: { uri: "nonsense" } };
    const text = textOf(await faultOf(() => read([{ assets: [bad] }, { assets: [bad] }])));
    expect(text).toContain("status.components[0].assets[0]");
    expect(text).toContain("status.components[1].assets[0]");
  });
});
