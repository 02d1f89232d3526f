import { describe, expect, test } from "bun:test";
import { collectArtifacts } from "../../src/eksa/collect.ts";
import { Fault, faultKind } from "../../src/oci/fault.ts";
import { formatReference } from "../../src/oci/reference.ts";
import { type BundlesFixture, bundlesOfRealShape } from "../support/bundles.ts";
import { faultOf, textOf } from "../support/faults.ts";

const encode = (text: string) => new TextEncoder().encode(text);

/** Collects a fixture; `missing` decides which documents cannot be had, `undefined` URIs that mean nothing. */
function collect(fixture: BundlesFixture, answer?: (uri: string) => Uint8Array | undefined) {
  const asked: string[] = [];
  let running = 0;
  let most = 0;
  const read = async (uri: string) => {
    asked.push(uri);
    most = Math.max(most, ++running);
    await Bun.sleep(0);
    running--;
    return answer === undefined ? encode(fixture.documents.get(uri) ?? "") : answer(uri);
  };
  const result = collectArtifacts({ source: "bundles.yaml", bytes: encode(fixture.yaml) }, read);
  return { asked, most: () => most, result };
}

describe("an export's wants", () => {
  const fixture = bundlesOfRealShape();

  test("are the images of the Bundles and of EKS-D, charts, every file, and what is left out", async () => {
    const { images, files, skipped, number } = await collect(fixture).result;
    expect(number).toBe(1);
    expect(images.map(({ reference }) => formatReference(reference)).sort()).toEqual(
      [...fixture.images, ...fixture.charts].sort(),
    );
    expect(files[0]).toEqual({ title: "bundle-release.yaml", bytes: encode(fixture.yaml) });
    expect(files.map(({ title }) => title)).toContain("1.31/eks-distro/kubernetes-1-31-eks-58.yaml");
    // 27 component manifests and 2 of EKS-D for each of 2 versions, and the Bundles.
    expect(files).toHaveLength(2 * 29 + 1);
    expect(skipped.some(({ uri }) => uri.endsWith("etcd-linux-amd64-1-31.tar.gz"))).toBe(true);
  });

  test("need each URI once, a few at a time", async () => {
    const { asked, most, result } = collect(fixture);
    await result;
    expect(asked.toSorted()).toEqual([...fixture.documents.keys()].toSorted());
    expect(most()).toBeLessThanOrEqual(4);
  });

  test("list what the Bundles does not pin", async () => {
    const { unpinned } = await collect(bundlesOfRealShape({ imageDigest: () => undefined })).result;
    const names = (kind: string) => unpinned.filter((input) => input.kind === kind).map(({ name }) => name);
    expect(names("tag").sort()).toEqual([...fixture.images, ...fixture.charts].sort());
    expect(names("file").sort()).toEqual([...fixture.documents.keys()].sort());
  });

  test("hold no EKS-D image where its release cannot be resolved, and say so", async () => {
    const { images, skipped } = await collect(fixture, () => undefined).result;
    expect(images.some(({ reference }) => reference.repository.startsWith("eks-distro/"))).toBe(false);
    expect(skipped.map(({ reason }) => reason)).toContain(
      "cannot be resolved, and the images it names are left out with it",
    );
  });
});

describe("failures", () => {
  const fixture = bundlesOfRealShape();

  test("to read are all named at once", async () => {
    const { result } = collect(fixture, (uri) => {
      throw new Fault(`GET ${uri} answered 404`);
    });
    const text = textOf(await faultOf(() => result));
    for (const uri of fixture.documents.keys()) expect(text).toContain(`cannot read ${uri}: GET`);
  });

  test("keep their kind", async () => {
    const { result } = collect(fixture, () => {
      throw new Fault("cannot verify it", { kind: "mismatch" });
    });
    expect(faultKind(await faultOf(() => result))).toBe("mismatch");
  });

  test("to understand an EKS-D release name each of them", async () => {
    const { result } = collect(fixture, () => encode("<html>not found</html>"));
    const text = textOf(await faultOf(() => result));
    expect(text).toContain("cannot read 1.30/eks-distro/kubernetes-1-30-eks-58.yaml as Release");
    expect(text).toContain("cannot read 1.31/eks-distro/kubernetes-1-31-eks-58.yaml as Release");
  });
});
