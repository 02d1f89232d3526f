import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { toYaml } from "../support/bundles-author.ts";
import { runExecutable } from "../support/executable.ts";
import { HOME, NOVELTY, OF_1_30, Selecting, without } from "./selecting.ts";
import { expectFailure } from "./stage.ts";

const PROVIDERS = ["docker", "vsphere", "tinkerbell", "nutanix", "snow"];
const CHARTS = /-helm:|-chart:|-crds:|\/cilium:1|-packages:0/;
const OWN: Record<string, RegExp> = {
  docker: /capd-manager/,
  vsphere: /vsphere/,
  tinkerbell: /tinkerbell|envoy/,
  nutanix: /nutanix/,
  snow: /snow/,
};
const others = (provider: string) =>
  PROVIDERS.filter((each) => each !== provider).flatMap((each) => OWN[each] ?? []);

let selecting: Selecting;
beforeAll(async () => {
  selecting = await Selecting.begin();
}, 60_000);
afterAll(() => selecting.end());

describe("a selection", () => {
  test("by version leaves out what only the others need; the Bundles stays", async () => {
    const found = await selecting.listed(...selecting.flags("--kubernetes-version", "1.31"));
    expect(found).toEqual(without(selecting.names, OF_1_30));
    expect(found).toContain(HOME);
    expect(found.length).toBeLessThan(selecting.names.length - 20);
  });

  test.each(PROVIDERS)("by version and provider: %s", async (provider) => {
    const found = await selecting.listed(
      ...selecting.flags("--kubernetes-version=1.31", "--provider", provider),
    );
    // kube-vip is what several of them share.
    const own = found.filter((name) => !name.includes("/kube-vip:"));
    expect(own).toEqual(without(selecting.names, OF_1_30, ...others(provider), /\/kube-vip:/));
    expect(found.some((name) => name.includes("/kube-vip:"))).toBe(provider !== "docker");
    expect(own.some((name) => OWN[provider]?.test(name))).toBe(true);
  });

  test("of several versions and providers is all of them", async () => {
    const all = ["--kubernetes-version", "1.31,1.30", ...PROVIDERS.flatMap((each) => ["--provider", each])];
    expect(await selecting.listed(...selecting.flags(...all))).toEqual(selecting.names);
  });

  test.each([
    ["images", (name: string) => !CHARTS.test(name) && name !== HOME],
    ["manifests", (name: string) => name === HOME],
    ["charts,manifests", (name: string) => CHARTS.test(name) || name === HOME],
  ] as const)("of %s alone", async (kinds, isOne) => {
    expect((await selecting.listed(...selecting.flags("--only", kinds))).sort()).toEqual(
      selecting.names.filter(isOne).sort(),
    );
  });

  test("that was exported is said to leave out the rest, in the plan and in the report", async () => {
    const [output, report] = [join(selecting.folder, "part.tar"), join(selecting.folder, "report.json")];
    const flags = ["--kubernetes-version", "1.31", "--provider", "docker"];
    const plan = await selecting.exportTo(output, ...flags, "--dry-run");
    expect(plan.stdout).toMatch(
      /^left out: public\.ecr\.aws\/eks-anywhere\/aws\/upgrader:v1-30-\S+ \(of a Kubernetes version that is not selected\)$/m,
    );
    expect(plan.stdout).toMatch(
      /^left out: \S+\/tinkerbell\/tinkerbell-crds:\S+ \(of a provider that is not/m,
    );
    expect(await selecting.exportTo(output, ...flags, "--report", report)).toMatchObject({ status: 0 });
    const { artifacts, skipped, unknown } = JSON.parse(await Bun.file(report).text());
    const told = [...artifacts, ...skipped].map(({ reference, uri }) => reference ?? uri);
    for (const name of selecting.names) expect(told).toContain(name);
    expect(unknown).toEqual([
      { component: "novelty", where: ["versionsBundles[0].novelty", "versionsBundles[1].novelty"] },
    ]);
    expect(await runExecutable(["verify", "artifacts", "-i", output])).toMatchObject({ status: 0 });
  });

  test("is the same whichever way it is written, and another one is another archive", async () => {
    const [one, other] = [join(selecting.folder, "one.tar"), join(selecting.folder, "other.tar")];
    await selecting.exportTo(one, "--provider", "snow,docker", "--kubernetes-version", "1.30");
    await selecting.exportTo(
      other,
      "--provider=docker",
      "--kubernetes-version=1.30",
      "--provider",
      "snow",
      "--jobs",
      "1",
    );
    expect(await Bun.file(one).bytes()).toEqual(await Bun.file(other).bytes());
    expectFailure(
      await selecting.exportTo(one, "--provider", "docker"),
      1,
      "there is another file of that name",
    );
  });

  test("knows what it does not know: the component is carried, and named", async () => {
    const { stderr } = await runExecutable(["list", "artifacts", ...selecting.flags("--provider", "docker")]);
    expect(stderr).toContain("the component `novelty` is not one that this version knows");
    expect(await selecting.listed(...selecting.flags("--provider", "docker"))).toContain(NOVELTY);
  });
});

describe("of what is not there", () => {
  test.each<[string, string[], string, string]>([
    ["a version", ["--kubernetes-version", "1.3"], "`1.3`", "did you mean `1.30`? There are `1.30`, `1.31`"],
    ["a version with a v", ["--kubernetes-version", "v1.31"], "`v1.31`", "did you mean `1.31`?"],
    [
      "a provider",
      ["--provider", "vshpere"],
      "`vshpere`",
      "did you mean `vsphere`? There are `docker`, `vsphere`",
    ],
    [
      "a provider that the Bundles has nothing for",
      ["--provider", "cloudstack"],
      "cannot select the provider `cloudstack`",
      "`docker`, `vsphere`, `tinkerbell`, `nutanix`, `snow`",
    ],
    ["a kind", ["--only", "image"], "`image`", "did you mean `images`?"],
    ["a platform", ["--platform", "linux"], "`linux`", "OS/ARCH"],
  ])("%s is a mistake that selecting.names what there is", async (_, flags, asked, known) => {
    // What the Bundles points to is not asked for: it could not be had.
    const nowhere = [
      "--mirror",
      "public.ecr.aws=http://127.0.0.1:1",
      "--mirror",
      "distro.eks.amazonaws.com=http://127.0.0.1:1",
    ];
    const of = ["--bundles-override", selecting.bundles, ...nowhere, ...flags];
    const output = join(selecting.folder, "none.tar");
    expectFailure(await runExecutable(["export", "artifacts", "-o", output, ...of]), 2, asked, known);
    expectFailure(await runExecutable(["list", "images", ...of]), 2, asked, known);
  });

  test("nothing is a mistake", async () => {
    const other = join(selecting.folder, "no-charts.yaml");
    await writeFile(
      other,
      toYaml({
        apiVersion: "anywhere.eks.amazonaws.com/v1alpha1",
        kind: "Bundles",
        spec: { number: 1, versionsBundles: [{ kubeVersion: "1.31", eksa: { cliTools: { uri: NOVELTY } } }] },
      }),
    );
    const flags = ["--bundles-override", other, "--only", "charts"];
    const args = ["export", "artifacts", "-o", join(selecting.folder, "none.tar"), ...flags];
    expectFailure(await runExecutable(args), 2, "cannot select nothing", "--only");
  });
});
