/**
 * `bun run release [--eksa-version V] [PLATFORM …]`: the executable for every platform, or for those named, and
 * `SHA256SUMS`, in `dist/release`. The same commit gives the same bytes on whatever machine and in whatever
 * folder; a runtime that is not there yet is downloaded from the npm registry.
 */
import { mkdir, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { parseArgs } from "node:util";
import { version } from "../package.json";

/** What Bun calls a platform. On x64 without musl Bun has one runtime for all processors, `baseline` included. */
const TARGETS: Readonly<Record<string, string>> = {
  "linux-x64": "bun-linux-x64",
  "linux-x64-baseline": "bun-linux-x64-baseline",
  "linux-x64-musl": "bun-linux-x64-musl",
  "linux-arm64": "bun-linux-arm64",
  "linux-arm64-musl": "bun-linux-arm64-musl",
  "macos-x64": "bun-darwin-x64",
  "macos-arm64": "bun-darwin-arm64",
  "windows-x64": "bun-windows-x64",
};
/** Its runtime is so small that with bytecode the file would be more than a twentieth larger than that. */
const SMALLEST = "macos-arm64";
const FOLDER = join(import.meta.dir, "..", "dist", "release");

const { values, positionals } = parseArgs({
  options: { "eksa-version": { type: "string" } },
  allowPositionals: true,
});
const platforms = positionals.length > 0 ? positionals : Object.keys(TARGETS);
const unknown = platforms.filter((platform) => TARGETS[platform] === undefined);
if (unknown.length > 0) {
  console.error(
    `error: cannot build for ${unknown.join(", ")}: there are ${Object.keys(TARGETS).join(", ")}`,
  );
  process.exit(2);
}

await rm(FOLDER, { recursive: true, force: true });
await mkdir(FOLDER, { recursive: true });
const sums: string[] = [];
for (const platform of platforms) {
  const file = await build(platform);
  sums.push(`${await sha256(file)}  ${basename(file)}\n`);
}
await Bun.write(
  join(FOLDER, "SHA256SUMS"),
  sums.sort((a, b) => (a.slice(66) < b.slice(66) ? -1 : 1)).join(""),
);

/** The name is part of the bytes: it must not depend on anything but the version and the platform. */
async function build(platform: string): Promise<string> {
  const end = platform.startsWith("windows-") ? ".exe" : "";
  const file = join(FOLDER, `eksa-airgap-v${version}-${platform}${end}`);
  const eksaVersion = values["eksa-version"];
  const built = Bun.spawn(
    [
      process.execPath,
      join(import.meta.dir, "build.ts"),
      ...["--target", TARGETS[platform] ?? "", "--outfile", file],
      ...(eksaVersion === undefined ? [] : ["--eksa-version", eksaVersion]),
      ...(platform === SMALLEST ? ["--no-bytecode"] : []),
    ],
    { stdio: ["ignore", "inherit", "inherit"] },
  );
  if ((await built.exited) !== 0) process.exit(1);
  return file;
}

async function sha256(file: string): Promise<string> {
  const hasher = new Bun.CryptoHasher("sha256");
  for await (const chunk of Bun.file(file).stream()) hasher.update(chunk);
  return hasher.digest("hex");
}
