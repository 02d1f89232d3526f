import { describe, expect } from "bun:test";
import { chmod, mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { NAME_FILE } from "../support/air-gap/content.ts";
import { Node } from "../support/air-gap/node.ts";
import { PUBLIC } from "../support/air-gap/origin.ts";
import { PODMAN_TOOLS, Podman, settings } from "../support/air-gap/podman.ts";
import { REGISTRY_LOGIN } from "../support/air-gap/private-registry.ts";
import { type AirGapStage, done, FIRST, testInAirGap } from "./air-gap-stage.ts";

const test = testInAirGap();

/** What the program does for those who create a cluster from the mirror. */
export function created(stage: AirGapStage): void {
  describe("a cluster whose file names the mirror", () => {
    test("is created without a flag: manifests from there, images by the files that nodes are given", async () => {
      const { hosts } = stage.gap;
      const cluster = await (await stage.mirror()).clusterFile(FIRST);
      const folder = await generate(stage, cluster, "containerd", join(hosts.folder, "air", "generated"));
      const mirrors = join(folder, "certs.d");
      const node = await Node.start(hosts, { name: "created", mirrors, pause: stage.pause });
      const bin = await standIn(join(hosts.folder, "air", "bin"));
      await hosts.leaks();
      const { stdout } = await done(
        hosts.start("air", ["create", "cluster", "--filename", cluster], {
          env: { ...REGISTRY_LOGIN, PATH: `${bin}:${process.env.PATH}`, NODE_SOCKET: node.socket },
        }),
      );
      expect(await hosts.leaks()).toBe(0);
      const { manifests, images, runs } = JSON.parse(stdout);
      const named = stage.images(FIRST).map(({ reference }) => reference);
      expect(images).toEqual(named.filter((name) => name.startsWith(`${PUBLIC}/`)).sort());
      expect(runs).toContain("/eks-anywhere-cluster-controller:");
      const downloads = join(hosts.folder, "air", "eks-anywhere-downloads", FIRST);
      const files = await readdir(downloads, { recursive: true });
      expect(files.filter((name) => name.endsWith(".yaml"))).toHaveLength(manifests + 1);
      await node.stop();
    });

    testInAirGap(...PODMAN_TOOLS)("is a place for podman by generated files, too", async () => {
      const { hosts } = stage.gap;
      const registry = await stage.mirror();
      for (const name of ["registries.conf.d", "certs.d"]) {
        await rm(join(settings(hosts), name), { recursive: true, force: true });
      }
      await generate(stage, await registry.clusterFile(FIRST), "podman", settings(hosts));
      await hosts.leaks();
      const podman = await Podman.logIn(hosts, registry, stage.pause);
      const images = stage
        .images(FIRST)
        .slice(20, 22)
        .map(({ reference }) => reference);
      expect(await podman.play(images, NAME_FILE)).toEqual(images.map((name) => `${name}\n`));
      expect(await hosts.leaks()).toBe(0);
    });
  });
}

/** A runtime's files for a cluster's mirror. */
async function generate(
  { gap }: AirGapStage,
  cluster: string,
  format: string,
  folder: string,
): Promise<string> {
  const args = [
    "generate",
    "mirror-config",
    "--filename",
    cluster,
    "--format",
    format,
    "--directory",
    folder,
  ];
  await done(gap.hosts.start("air", args, { env: REGISTRY_LOGIN }));
  return folder;
}

/** A folder for PATH in which EKS Anywhere's program is. */
export async function standIn(folder: string): Promise<string> {
  const program = join(import.meta.dir, "../support/air-gap/programs/eksctl-anywhere.ts");
  const path = join(folder, "eksctl-anywhere");
  await mkdir(folder, { recursive: true });
  await writeFile(path, `#!/bin/sh\nexec '${process.execPath}' '${program}' "$@"\n`);
  await chmod(path, 0o755);
  return folder;
}
