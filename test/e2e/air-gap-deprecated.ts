import { describe, expect } from "bun:test";
import { join } from "node:path";
import { parse } from "yaml";
import { Node, writeMirrors } from "../support/air-gap/node.ts";
import { PUBLIC } from "../support/air-gap/origin.ts";
import { type PrivateRegistry, REGISTRY_LOGIN } from "../support/air-gap/private-registry.ts";
import { PRIVATE_PACKAGES } from "../support/packages.ts";
import { standIn } from "./air-gap-created.ts";
import { type AirGapStage, done, FIRST, testInAirGap } from "./air-gap-stage.ts";

const test = testInAirGap("tar");
const DOWNLOADS = "eks-anywhere-downloads";
const BUNDLES = `${DOWNLOADS}/bundle-release.yaml`;
/** All below one, those of the curated packages below one of their own in that. */
const NAMESPACES = new Map([
  [PRIVATE_PACKAGES, "eksa/eks-anywhere"],
  [PUBLIC, "eksa"],
]);

/** The whole way by the commands that were EKS Anywhere's own, in the words of its documentation. */
export function deprecated(stage: AirGapStage): void {
  describe("by the deprecated commands", () => {
    test("a release gets across, and a cluster is created from it", async () => {
      const { hosts } = stage.gap;
      await download(stage);
      await hosts.leaks();
      const registry = await importAll(stage);
      await stage.expectAll(FIRST, registry);
      const mirrors = join(hosts.folder, "air", "deprecated.d");
      await writeMirrors(mirrors, registry);
      const node = await Node.start(hosts, { name: "deprecated", mirrors, pause: stage.pause });
      const images = await createCluster(stage, registry, node);
      const named = stage.images(FIRST).map(({ reference }) => reference);
      expect(images).toEqual(named.filter((name) => name.startsWith(`${PUBLIC}/`)).sort());
      const ofPackages = named.filter((name) => name.startsWith(`${PRIVATE_PACKAGES}/`));
      expect(ofPackages).not.toEqual([]);
      for (const name of ofPackages) await node.runtime.pullImage(name);
      expect(await hosts.leaks()).toBe(0);
      await node.stop();
      await registry.kill();
    });
  });
}

/** On the jump host, and across the gap. */
async function download(stage: AirGapStage): Promise<void> {
  await done(stage.gap.online(["download", "artifacts", "--retain-dir", "--eksa-version", FIRST]));
  const flags = ["-o", "images.tar", "--bundles-override", BUNDLES, "--include-packages"];
  await done(stage.gap.online(["download", "images", ...flags]));
  for (const name of [`${DOWNLOADS}.tar.gz`, "images.tar"]) await stage.carry(stage.onJump(name));
}

/** Into a registry of its own. */
async function importAll({ gap }: AirGapStage): Promise<PrivateRegistry> {
  const registry = await gap.startRegistry(NAMESPACES);
  await gap.hosts.output("air", ["tar", "-xzf", `${DOWNLOADS}.tar.gz`]);
  const from = ["-i", "images.tar", "-b", BUNDLES, "--include-packages"];
  const { stdout } = await done(
    gap.hosts.start("air", ["import", "images", "-r", `${registry.host}/eksa`, ...from], {
      env: { ...REGISTRY_LOGIN, EKSA_REGISTRY_MIRROR_CA: registry.ca },
    }),
  );
  // What it prints for the cluster's file is where nodes are to look.
  const { ociNamespaces } = parse(stdout).registryMirrorConfiguration;
  expect(ociNamespaces).toEqual([...NAMESPACES].map(([host, namespace]) => ({ registry: host, namespace })));
  return registry;
}

/** The images that its nodes were made of. */
async function createCluster({ gap }: AirGapStage, registry: PrivateRegistry, node: Node): Promise<string[]> {
  const program = join(await standIn(join(gap.hosts.folder, "air", "bin")), "eksctl-anywhere");
  const flags = ["-f", await registry.clusterFile(FIRST), "--bundles-override", BUNDLES];
  const stdout = await gap.hosts.output("air", [program, "create", "cluster", ...flags], {
    NODE_SOCKET: node.socket,
  });
  return JSON.parse(stdout).images;
}
