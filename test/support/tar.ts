import { test } from "bun:test";
import { createHash } from "node:crypto";
import { testWith } from "./needs.ts";

/** As `testWith`, for what other implementations than GNU's tar do not know. */
export function testWithGnuTar(...tools: readonly string[]): typeof test {
  const isGnu =
    Bun.which("tar") !== null && /GNU tar/.test(Bun.spawnSync(["tar", "--version"]).stdout.toString());
  return isGnu || process.env.CI !== undefined ? testWith("tar", ...tools) : (test.skip as typeof test);
}

/** Names in the order of the archive, as the system's tar reads them. */
export async function listTar(archive: string): Promise<string[]> {
  return lines(await Bun.$`tar -tf ${archive}`.text());
}

/** Like `ls -l`: mode, owner, size, time and name of each entry. */
export async function describeTar(archive: string): Promise<string[]> {
  return lines(await Bun.$`tar -tv --full-time --numeric-owner -f ${archive}`.env(inUtc()).text());
}

export async function unpackTar(archive: string, folder: string): Promise<void> {
  await Bun.$`tar -xf ${archive} -C ${folder}`.quiet();
}

/** One entry, as text. */
export async function readFromTar(archive: string, name: string): Promise<string> {
  return Bun.$`tar -xOf ${archive} ${name}`.text();
}

/** GNU tar's own archive of the same files in the same order, with the metadata that ours has. */
export async function packWithGnuTar(
  folder: string,
  names: readonly string[],
  archive: string,
): Promise<void> {
  const metadata = [
    "--format=ustar",
    "--mtime=@0",
    "--mode=0644",
    "--owner=0",
    "--group=0",
    "--numeric-owner",
  ];
  const list = new Response(names.join("\n"));
  await Bun.$`tar ${metadata} --blocking-factor=1 -C ${folder} -cf ${archive} -T - < ${list}`.quiet();
}

/** A file's checksum in hexadecimal. */
export async function checksum(path: string, algorithm: "sha256" | "sha512" = "sha256"): Promise<string> {
  const hash = createHash(algorithm);
  for await (const chunk of Bun.file(path).stream()) hash.update(chunk);
  return hash.digest("hex");
}

function inUtc(): Record<string, string> {
  return { PATH: process.env.PATH ?? "", TZ: "UTC", LC_ALL: "C" };
}

function lines(text: string): string[] {
  return text.split("\n").filter((line) => line !== "");
}
