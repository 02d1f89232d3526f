import { tmpdir } from "node:os";
import type { TestContent } from "../support/content.ts";
import { fastFolder } from "../support/docker-registry.ts";
import { partsOf } from "../support/release.ts";

/** Literal requests: nothing of the program under test. */
export async function push({ url }: { url: string }, reference: string, content: TestContent): Promise<void> {
  const { repository, tag } = partsOf(reference);
  const base = `${url}/v2/${repository}`;
  const put = async (address: string | URL, body: Uint8Array, type: string) => {
    const response = await fetch(address, {
      method: "PUT",
      body: body.slice(),
      headers: { "content-type": type },
    });
    if (response.status !== 201)
      throw new Error(`PUT ${address}: ${response.status} ${await response.text()}`);
  };
  for (const [digest, bytes] of content.blobs) {
    const started = await fetch(`${base}/blobs/uploads/`, { method: "POST" });
    const location = new URL(started.headers.get("location") ?? "");
    location.searchParams.set("digest", digest);
    await put(location, bytes, "application/octet-stream");
  }
  for (const { digest, mediaType, bytes } of content.manifests) {
    const name = digest === content.root.digest ? (tag ?? digest) : digest;
    await put(`${base}/manifests/${name}`, bytes, mediaType);
  }
}

/** What skopeo needs to get in. */
export type Access = readonly string[];
export const PLAIN: Access = ["--tls-verify=false"];

/** skopeo's answer, as bytes: what it prints is the manifest to the last of them. */
export async function skopeo(...args: string[]): Promise<Buffer> {
  const child = Bun.spawn(["skopeo", "--insecure-policy", ...args], {
    env: { PATH: process.env.PATH ?? "", HOME: tmpdir(), TMPDIR: fastFolder() },
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr] = await Promise.all([
    new Response(child.stdout).bytes(),
    new Response(child.stderr).text(),
  ]);
  if ((await child.exited) !== 0) throw new Error(`skopeo ${args.join(" ")}: ${stderr}`);
  return Buffer.from(stdout);
}
