/**
 * `npm run bench [-- RUNS]`: this program against `skopeo copy --all` and against the floor, in the same
 * run and in turn, on Debian's docker-registry, whose storage is in memory: its disk is not what is measured.
 * Needs docker-registry, skopeo, curl and openssl.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fastFolder, startDockerRegistry } from "../test/support/docker-registry.ts";
import { benchResume, benchVerify } from "./bench/archive.ts";
import { type Corpus, seedCorpus } from "./bench/corpus.ts";
import { type Measure, measure, measureAll, ratios, table } from "./bench/measure.ts";
import { benchMemory } from "./bench/memory.ts";

const RUNS = Number(process.argv[2] ?? 5);
const EXECUTABLE = join(import.meta.dir, "..", "dist", "eksa-airgap");
const folder = await mkdtemp(join(tmpdir(), "eksa-airgap-bench-"));
const source = await startDockerRegistry({ parent: fastFolder() });

try {
  const corpus = await seedCorpus(source.url, folder);
  const megabytes = Math.round(corpus.bytes / 1e6);
  console.log(
    `${corpus.references.length} images, ${corpus.blobs.length} blobs, ${megabytes} MB; ${RUNS} runs each`,
  );
  await benchExport(corpus);
  await benchImport(corpus);
  const archive = join(folder, "artifacts.tar");
  const bench = {
    executable: EXECUTABLE,
    exportCommand: exportCommand(corpus, archive),
    archive,
    runs: RUNS,
  };
  await benchResume(bench);
  await benchVerify(bench);
} finally {
  await source.stop();
  await rm(folder, { recursive: true, force: true });
}
await benchMemory(EXECUTABLE);

async function benchExport(corpus: Corpus): Promise<void> {
  const ours: Measure[] = [];
  const skopeo: Measure[] = [];
  const curl: Measure[] = [];
  const sha256: Measure[] = [];
  const archive = join(folder, "artifacts.tar");
  const layouts = join(folder, "layouts");
  const files = join(folder, "files");
  const list = join(folder, "curl.config");
  await Bun.write(list, curlConfig(corpus, files));
  // The first round warms the page cache and does not count.
  for (let run = 0; run <= RUNS; run++) {
    const round = [
      [ours, await measure(exportCommand(corpus, archive))] as const,
      [skopeo, await measureAll(await skopeoCopies(corpus, layouts))] as const,
      [curl, await measure(["curl", "-sS", "--fail", "-Z", "--parallel-max", "8", "-K", list])] as const,
      [sha256, await measure(["sh", "-c", `exec sha256sum '${files}'/* >/dev/null`])] as const,
    ];
    if (run > 0) for (const [all, one] of round) all.push(one);
    if (run < RUNS) await rm(layouts, { recursive: true, force: true });
    await rm(files, { recursive: true, force: true });
  }
  console.log(
    table("export", {
      "eksa-airgap": ours,
      "skopeo copy --all": skopeo,
      "curl -Z (floor)": curl,
      sha256sum: sha256,
    }),
  );
  console.log(ratios(ours, { "skopeo copy --all": skopeo, "curl -Z (floor)": curl }));
}

function exportCommand({ bundles }: Corpus, archive: string): string[] {
  const from = ["--bundles-override", bundles, "--mirror", `public.ecr.aws=${source.url}`];
  return [EXECUTABLE, "export", "artifacts", ...from, "--output", archive, "--force", "--quiet"];
}

/** One command an image, as skopeo has it; each into a layout of its own. */
async function skopeoCopies({ references }: Corpus, layouts: string): Promise<string[][]> {
  await Bun.$`mkdir -p ${layouts}`;
  return references.map((reference, index) => {
    const from = `docker://${reference.replace("public.ecr.aws", source.host)}`;
    return ["skopeo", "copy", "--quiet", "--all", "--src-tls-verify=false", from, `oci:${layouts}/${index}`];
  });
}

function curlConfig({ blobs }: Corpus, files: string): string {
  return blobs
    .map(({ repository, digest }) => {
      const url = `${source.url}/v2/${repository}/blobs/${digest}`;
      return `url = "${url}"\noutput = "${files}/${digest.slice(7)}"\ncreate-dirs\n`;
    })
    .join("");
}

async function benchImport(corpus: Corpus): Promise<void> {
  const ours: Measure[] = [];
  const skopeo: Measure[] = [];
  const piped: Measure[] = [];
  const archive = join(folder, "artifacts.tar");
  const command = (input: string, host: string) => {
    return [EXECUTABLE, "import", "artifacts", "--input", input, "--registry", host, "--quiet"];
  };
  for (let run = 0; run <= RUNS; run++) {
    const one = await intoFresh((host) => measure(command(archive, host)));
    const other = await intoFresh((host) => measureAll(skopeoPushes(corpus, host)));
    const pipe = await intoFresh((host) => measure(command("-", host), archive));
    if (run === 0) continue;
    ours.push(one);
    skopeo.push(other);
    piped.push(pipe);
  }
  console.log(table("import", { "eksa-airgap": ours, "skopeo copy --all": skopeo, "from a pipe": piped }));
  console.log(ratios(ours, { "skopeo copy --all": skopeo }));
  console.log("  from a pipe against from the file:");
  console.log(ratios(piped, { "the file": ours }));
}

function skopeoPushes({ references }: Corpus, host: string): string[][] {
  return references.map((reference, index) => {
    const to = `docker://${reference.replace("public.ecr.aws", host)}`;
    return [
      "skopeo",
      "copy",
      "--quiet",
      "--all",
      "--dest-tls-verify=false",
      `oci:${folder}/layouts/${index}`,
      to,
    ];
  });
}

async function intoFresh(work: (host: string) => Promise<Measure>): Promise<Measure> {
  const target = await startDockerRegistry({ parent: fastFolder() });
  try {
    return await work(target.host);
  } finally {
    await target.stop();
  }
}
