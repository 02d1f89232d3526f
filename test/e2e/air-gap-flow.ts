import { describe, expect } from "bun:test";
import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { NAME_FILE } from "../support/air-gap/content.ts";
import { INTERNET, PROXY } from "../support/air-gap/hosts.ts";
import { byDigest } from "../support/air-gap/inventory.ts";
import { PUBLIC } from "../support/air-gap/origin.ts";
import { PODMAN_TOOLS, Podman, settings, writeRegistries } from "../support/air-gap/podman.ts";
import { LOGIN } from "../support/air-gap/private-registry.ts";
import { partsOf } from "../support/release.ts";
import { type AirGapStage, done, FIRST, testInAirGap } from "./air-gap-stage.ts";

const test = testInAirGap();

/** The hosts are what they are said to be. */
export function apart(stage: AirGapStage): void {
  describe("three hosts", () => {
    test("what leaves the air gap is counted, a lookup of a name among it", async () => {
      const { hosts } = stage.gap;
      await hosts.leaks();
      for (const host of [PUBLIC, INTERNET]) {
        expect(await hosts.tool("air", ["curl", "--silent", `https://${host}/v2/`])).not.toMatchObject({
          status: 0,
        });
        expect(await hosts.leaks()).toBeGreaterThan(0);
      }
      expect(await hosts.leaks()).toBe(0);
    });

    test("the jump host gets out through its proxy, and no other way", async () => {
      const { hosts } = stage.gap;
      const ask = ["curl", "--silent", "--insecure", "--output", "/dev/null", "--write-out", "%{http_code}"];
      const straight = ["--resolve", `${PUBLIC}:443:${INTERNET}`];
      const url = `https://${PUBLIC}/v2/`;
      expect((await hosts.tool("jump", [...ask, url])).stdout).toBe("000");
      expect((await hosts.tool("jump", [...ask, ...straight, url])).stdout).toBe("000");
      const proxy = `http://${PROXY.host}:${PROXY.port}`;
      expect((await hosts.tool("jump", [...ask, "--proxy", proxy, url])).stdout).toBe("401");
    });

    test("nothing of them outlives the process that made them, however that ends", async () => {
      const module = JSON.stringify(join(import.meta.dir, "../support/air-gap/hosts.ts"));
      const script = `const { Hosts } = await import(${module});
        console.log((await Hosts.start({ names: [] })).folder);
        await Bun.sleep(60_000);`;
      const owner = Bun.spawn([process.execPath, "--eval", script], { stdout: "pipe" });
      const { value } = await owner.stdout.getReader().read();
      const folder = new TextDecoder().decode(value).trim();
      expect(await processesOf(folder)).not.toEqual([]);
      owner.kill("SIGKILL");
      while ((await processesOf(folder)).length > 0) await Bun.sleep(50);
      await rm(folder, { recursive: true });
    });
  });
}

/** From the Internet to containers that run. */
export function flow(stage: AirGapStage): void {
  describe("a release that was carried across", () => {
    test("is in the mirror to the byte", async () => {
      await stage.expectAll(FIRST, await stage.mirror());
    });

    testInAirGap("skopeo")(
      "is what skopeo reads there, the largest image with all its platforms",
      async () => {
        const { hosts } = stage.gap;
        const [registry, to] = [await stage.mirror(), join(hosts.folder, "memory", "copied")];
        const node = stage.images(FIRST).find(({ reference }) => reference.includes("kind/node:"));
        const name = node?.reference.replace(PUBLIC, `${registry.host}/mirror`);
        await writeRegistries(settings(hosts), registry);
        const access = ["--src-creds", `${LOGIN.username}:${LOGIN.password}`];
        const copy = [
          "skopeo",
          "--insecure-policy",
          "copy",
          "--all",
          ...access,
          `docker://${name}`,
          `dir:${to}`,
        ];
        await hosts.output("air", copy);
        const files = (await hosts.output("air", ["sh", "-c", `cd ${to} && sha256sum *`])).split("\n");
        const sums = new Set(files.map((line) => `sha256:${line.slice(0, 64)}`));
        expect(
          [...(node?.manifests ?? []), ...(node?.blobs ?? [])].filter((digest) => !sums.has(digest)),
        ).toEqual([]);
      },
    );

    test("runs on a node that pulls every image by its public name, by tag and by digest", async () => {
      const { runtime } = await stage.node();
      await stage.gap.hosts.leaks();
      const images = stage.images(FIRST);
      for (const image of images) {
        await runtime.pullImage(image.reference);
        await runtime.pullImage(byDigest(image));
      }
      for (const { reference } of [images[0], images[9], images.at(-1)].flatMap((image) => image ?? [])) {
        const pod = await runtime.runPod("pod", reference);
        expect(await pod.execute("/bin/cat", NAME_FILE)).toBe(`${nameOf(reference)}\n`);
        await pod.remove();
      }
      expect(await stage.gap.hosts.leaks()).toBe(0);
    });

    testInAirGap(...PODMAN_TOOLS)("runs with podman, which plays a pod of two images", async () => {
      const { hosts } = stage.gap;
      const registry = await stage.mirror();
      await hosts.leaks();
      await writeRegistries(settings(hosts), registry);
      const podman = await Podman.logIn(hosts, registry, stage.pause);
      const images = stage
        .images(FIRST)
        .slice(10, 12)
        .map(({ reference }) => reference);
      expect(await podman.play(images, NAME_FILE)).toEqual(images.map((name) => `${name}\n`));
      expect(await hosts.leaks()).toBe(0);
    });

    testInAirGap("helm")("has every chart for helm", async () => {
      const { hosts } = stage.gap;
      const { host, ca } = await stage.mirror();
      const folder = join(hosts.folder, "air", "charts");
      await hosts.leaks();
      const login = ["--username", LOGIN.username, "--password", LOGIN.password, "--ca-file", ca];
      for (const { reference } of stage.charts(FIRST)) {
        const { repository, tag = "" } = partsOf(reference);
        const pull = [
          "helm",
          "pull",
          `oci://${host}/mirror/${repository}`,
          "--version",
          tag,
          "--destination",
          folder,
        ];
        await hosts.output("air", ["mkdir", "-p", folder]);
        await hosts.output("air", [...pull, ...login], { HOME: folder });
      }
      const charts = (await readdir(folder)).filter((name) => name.endsWith(".tgz"));
      expect(charts).toHaveLength(stage.charts(FIRST).length);
      expect(await hosts.leaks()).toBe(0);
    });

    test("is missed where one image is taken out of the mirror, until it is imported again", async () => {
      const { hosts } = stage.gap;
      const [registry, { runtime }] = [await stage.mirror(), await stage.node()];
      const [, , lost] = stage.images(FIRST);
      if (lost === undefined) throw new Error("there is no image");
      const manifest = `mirror/${partsOf(lost.reference).repository}/manifests/${lost.digest}`;
      expect(await registry.request("DELETE", manifest)).toContain(" 202");
      for (const name of [lost.reference, byDigest(lost)]) {
        await hosts.leaks();
        await expect(runtime.pullImage(name)).rejects.toThrow(`lookup ${PUBLIC}`);
        expect(await hosts.leaks()).toBeGreaterThan(0);
      }
      await done(stage.gap.import([await stage.archive()], await registry.clusterFile(FIRST)));
      for (const name of [lost.reference, byDigest(lost)]) await runtime.pullImage(name);
      expect(await hosts.leaks()).toBe(0);
    });
  });
}

/** What is in an image's file of that name. */
function nameOf(reference: string): string {
  return reference.replace(/@.*/, "");
}

/** Those that were started with this folder. */
async function processesOf(folder: string): Promise<string[]> {
  const lines = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  // One that has ended meanwhile has no command line any more.
  const read = (pid: string) => readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
  return (await Promise.all(lines.map(read))).filter((line) => line.includes(folder));
}
