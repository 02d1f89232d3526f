import { describe, expect, test } from "bun:test";
import { readChildLine, variableOf, withFlag } from "../../src/commands/child-line.ts";

describe("the cluster's file is found however it is written", () => {
  test.each<[string, string | undefined]>([
    ["create cluster -f c.yaml", "c.yaml"],
    ["create cluster -fc.yaml", "c.yaml"],
    ["create cluster -f=c.yaml", "c.yaml"],
    ["create cluster --filename c.yaml", "c.yaml"],
    ["create cluster --filename=c.yaml", "c.yaml"],
    ["create cluster --filename=a=b.yaml", "a=b.yaml"],
    ["-v 6 create cluster --force-cleanup -f c.yaml", "c.yaml"],
    ["create -f c.yaml cluster", "c.yaml"],
    ["--filename c.yaml create cluster", "c.yaml"],
    ["create cluster -f a.yaml -f b.yaml", "b.yaml"],
    ["create cluster mgmt", undefined],
    ["create cluster -f", undefined],
    ["create cluster -- -f c.yaml", undefined],
    ["create cluster --file c.yaml", undefined],
    ["create cluster --filenames=c.yaml", undefined],
  ])("%s", (line, filename) => {
    const { command, ...read } = readChildLine(line.split(" "));
    expect(command?.name).toBe("create cluster");
    expect(read.filename).toBe(filename);
  });
});

describe("each command takes a Bundles by its own flag, or by none", () => {
  test.each<[string, string | undefined, boolean]>([
    ["create cluster", "--bundles-override", false],
    ["upgrade cluster", "--bundles-override", false],
    ["delete cluster mgmt", "--bundles-override", false],
    ["upgrade plan cluster", "--bundles-override", false],
    ["upgrade management-components", "--bundles-override", true],
    ["upgrade plan management-components", "--bundles-override", true],
    ["list ovas", "--bundles-override", false],
    ["install packagecontroller", "--bundles-override", false],
    ["install pc", "--bundles-override", false],
    ["create packages", "--bundles-override", false],
    ["apply package", "--bundles-override", false],
    ["generate tinkerbelltemplateconfig", "--bundles-override", false],
    ["generate ttc", "--bundles-override", false],
    ["generate support-bundle", "--bundles-manifest", false],
    ["generate support-bundle-config", undefined, true],
    ["check-images", undefined, true],
    ["exp validate create cluster", undefined, true],
  ])("%s", (line, flag, goesOnline) => {
    const { command } = readChildLine(line.split(" "));
    expect(command).toMatchObject({ flag, goesOnline });
  });

  test.each(["renew certificates", "generate clusterconfig x", "upgrade packages", "upgrade", "version", ""])(
    "%j reads no manifests for a cluster's file",
    (line) => {
      expect(readChildLine(line.split(" ")).command).toBeUndefined();
    },
  );
});

test.each<[string, boolean]>([
  ["create cluster --bundles-override b.yaml", true],
  ["create cluster --bundles-override=b.yaml", true],
  ["create cluster --bundles-overrides b.yaml", false],
  ["create cluster --bundles-manifest b.yaml", false],
  ["create cluster -- --bundles-override b.yaml", false],
  ["generate support-bundle --bundles-manifest b.yaml", true],
  ["generate support-bundle --bundles-override b.yaml", false],
])("%s: that a Bundles is named is %p", (line, names) => {
  expect(readChildLine(line.split(" ")).namesBundles).toBe(names);
});

test("a flag is added where it still counts", () => {
  expect(withFlag(["create", "cluster", "-f", "c"], "--x", "/a b")).toEqual([
    ...["create", "cluster", "-f", "c"],
    ...["--x", "/a b"],
  ]);
  expect(withFlag(["a", "--", "b"], "--x", "y")).toEqual(["a", "--x", "y", "--", "b"]);
  expect(variableOf("--bundles-override")).toBe("BUNDLES_OVERRIDE");
});
