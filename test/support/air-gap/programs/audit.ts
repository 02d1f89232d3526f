/**
 * Compares a registry with what a release consists of, byte by byte, by plain requests.
 * usage: AUTHORIZATION=… audit.ts INVENTORY VERSION URL CA NAMESPACES; prints how much it has checked, and what is wrong.
 */
import { readFile } from "node:fs/promises";
import { partsOf } from "../../release.ts";
import type { Inventory, Listed } from "../inventory.ts";
import type { Namespaces } from "../private-registry.ts";

const [inventory = "", version = "", url = "", ca = "", pairs = ""] = process.argv.slice(2);
const namespaces: Namespaces = new Map(JSON.parse(pairs));
const authorization = process.env.AUTHORIZATION ?? "";
const tls = { ca: await readFile(ca, "utf8") };
const accept = [
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
  "application/vnd.docker.distribution.manifest.v2+json",
].join(", ");
const whole = new Set<string>();
const wrong: string[] = [];
let requests = 0;

async function ask(path: string, digest: string, method: "GET" | "HEAD"): Promise<void> {
  requests++;
  const response = await fetch(`${url}/v2/${path}`, { method, headers: { authorization, accept }, tls });
  const sum = new Bun.CryptoHasher("sha256").update(await response.bytes()).digest("hex");
  if (!response.ok) wrong.push(`${path}: ${response.status}`);
  else if (method === "GET" && `sha256:${sum}` !== digest)
    wrong.push(`${path}: sha256:${sum}, not ${digest}`);
}

async function check({ reference, digest, manifests, blobs }: Listed): Promise<void> {
  const { host, repository, tag } = partsOf(reference);
  const base = `${namespaces.get(host)}/${repository}`;
  // What has no name is kept from garbage collectors by a tag.
  await ask(`${base}/manifests/${tag ?? digest.replace("sha256:", "")}`, digest, "GET");
  for (const each of manifests) await ask(`${base}/manifests/${each}`, each, "GET");
  for (const each of blobs) {
    // Read once, and known to be in every repository that needs it.
    const method = whole.has(each) ? "HEAD" : "GET";
    whole.add(each);
    await ask(`${base}/blobs/${each}`, each, method);
  }
}

const { releases }: Inventory = JSON.parse(await readFile(inventory, "utf8"));
for (const listed of releases[version] ?? []) await check(listed);
console.log(JSON.stringify({ requests, blobs: whole.size, wrong }));
