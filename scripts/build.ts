/**
 * Compiles the executable: `bun run build [--eksa-version v0.26.1] [--target bun-linux-arm64] [--outfile dist/NAME]`.
 * `--eksa-version`: the release of EKS Anywhere that it exports unless told otherwise. Default: the latest one.
 * `--no-bytecode`: a smaller file, which starts a little later.
 */
import { chmod, rename } from "node:fs/promises";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { $ } from "bun";
import { version } from "../package.json";
import { readVersion } from "../src/eksa/version.ts";
import { signAdHoc } from "./macho.ts";

const { values } = parseArgs({
  options: {
    target: { type: "string" },
    outfile: { type: "string", default: "dist/eksa-airgap" },
    "eksa-version": { type: "string" },
    bytecode: { type: "boolean", default: true },
  },
  allowNegative: true,
});
const eksaVersion = values["eksa-version"];
if (eksaVersion !== undefined && readVersion(eksaVersion) === undefined) {
  process.stderr.write(`cannot build for \`${eksaVersion}\`: a version looks like v0.26.1\n`);
  process.exit(2);
}

const root = join(import.meta.dir, "..");
const flags = [
  "--compile",
  "--minify",
  ...(values.bytecode ? ["--bytecode"] : []),
  // In chunks: a run loads what it needs, and `--version` starts in the time of an empty program.
  "--splitting",
  "--format=esm",
  // What lies in the directory where somebody starts the program is none of its business.
  "--no-compile-autoload-dotenv",
  "--no-compile-autoload-bunfig",
  "--no-compile-autoload-tsconfig",
  "--no-compile-autoload-package-json",
  `--define=BUILD_VERSION=${JSON.stringify(version)}`,
  ...(eksaVersion === undefined ? [] : [`--define=BUILD_EKSA_VERSION=${JSON.stringify(eksaVersion)}`]),
  ...(values.target === undefined ? [] : [`--target=${values.target}`]),
];
const { exitCode, stderr } =
  await $`${process.execPath} build ${flags} src/main.ts --outfile ${values.outfile}`
    .cwd(root)
    .quiet()
    .nothrow();
if (exitCode !== 0) {
  process.stderr.write(stderr);
  process.exit(exitCode);
}
const target = values.target ?? `bun-${process.platform}-${process.arch}`;
if (target === "bun-darwin-x64") await sign(resolve(root, values.outfile));
console.log(`built ${values.outfile}`);

/** By a new file that takes the place: macOS remembers of the one that is there what it has found of its signature. */
async function sign(path: string): Promise<void> {
  const signed = `${path}.signed`;
  await Bun.write(signed, signAdHoc(await Bun.file(path).bytes(), "eksa-airgap"));
  await chmod(signed, 0o755);
  await rename(signed, path);
}
