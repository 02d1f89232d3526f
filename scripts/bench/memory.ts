import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startDockerRegistry } from "../../test/support/docker-registry.ts";
import { makeAuthority } from "../../test/support/tls.ts";
import { type Measure, measure } from "./measure.ts";

const SIZES = [40 * 1024 ** 2, 4 * 1024 ** 3];

/** Peak memory must not depend on the size of a blob: one image of one layer, small and huge, over both schemes. */
export async function benchMemory(executable: string): Promise<void> {
  console.log("memory, one image of one layer");
  const folder = await mkdtemp(join(tmpdir(), "eksa-airgap-memory-"));
  const authority = await makeAuthority(folder);
  try {
    for (const scheme of ["http", "https"] as const) {
      for (const size of SIZES) {
        const tls = scheme === "https" ? { tls: authority } : {};
        const [source, target] = [await startDockerRegistry(tls), await startDockerRegistry(tls)];
        try {
          const bundles = await seedOne(source.url, { folder, size, ca: authority.ca });
          const archive = join(folder, "one.tar");
          const mirror = ["--mirror", `public.ecr.aws=${source.url}`];
          const ca = ["--ca-file", authority.ca];
          const exported = await measure([
            executable,
            "export",
            "artifacts",
            "--bundles-override",
            bundles,
            ...mirror,
            ...ca,
            "--output",
            archive,
            "--force",
            "-q",
          ]);
          const imported = await measure([
            executable,
            "import",
            "artifacts",
            "--input",
            archive,
            "--registry",
            target.host,
            ...ca,
            "-q",
          ]);
          console.log(
            `  ${scheme.padEnd(5)} ${String(size / 1024 ** 2).padStart(5)} MiB  export ${figure(exported)}  import ${figure(imported)}`,
          );
        } finally {
          await Promise.all([source.stop(), target.stop()]);
        }
      }
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function figure({ memory, wall, cpu }: Measure): string {
  return `${memory.toFixed(0)} MiB (wall ${wall.toFixed(1)} s, cpu ${cpu.toFixed(1)} s)`;
}

/** Puts an image of one random layer in place with curl; returns a Bundles that names it. */
async function seedOne(
  registry: string,
  { folder, size, ca }: { folder: string; size: number; ca: string },
): Promise<string> {
  const layer = join(folder, "layer");
  await Bun.$`head -c ${size} /dev/urandom > ${layer}`;
  const config = join(folder, "config");
  await Bun.write(config, '{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}');
  const repository = `${registry}/v2/bench/one`;
  const put = async (file: string) => {
    const digest = `sha256:${(await Bun.$`sha256sum ${file}`.text()).slice(0, 64)}`;
    const headers =
      await Bun.$`curl -sS --fail --cacert ${ca} -X POST -D - -o /dev/null ${`${repository}/blobs/uploads/`}`.text();
    const location = new URL(/^location: (\S+)/im.exec(headers)?.[1] ?? "", registry);
    location.searchParams.set("digest", digest);
    await Bun.$`curl -sS --fail --cacert ${ca} -X PUT -H ${"content-type: application/octet-stream"} -T ${file} ${location.href}`;
    return { digest, size: Bun.file(file).size };
  };
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    config: { mediaType: "application/vnd.oci.image.config.v1+json", ...(await put(config)) },
    layers: [{ mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", ...(await put(layer)) }],
  });
  const type = "content-type: application/vnd.oci.image.manifest.v1+json";
  await Bun.$`curl -sS --fail --cacert ${ca} -X PUT -H ${type} -d ${manifest} ${`${repository}/manifests/v1`}`;
  const bundles = join(folder, "bundle-release.yaml");
  await Bun.write(
    bundles,
    'apiVersion: anywhere.eks.amazonaws.com/v1alpha1\nkind: Bundles\nspec:\n  number: 1\n  versionsBundles:\n  - kubeVersion: "1.31"\n    bench: { one: { uri: "public.ecr.aws/bench/one:v1" } }\n',
  );
  return bundles;
}
