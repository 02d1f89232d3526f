/**
 * In place of EKS Anywhere's own program: reads the manifests that it is given as that does, and creates as much
 * of a cluster as has to do with them. Prints what it did.
 * usage: NODE_SOCKET=… eksctl-anywhere.ts create cluster --filename FILE --bundles-override FILE
 */
import { readFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { NAME_FILE } from "../content.ts";
import { ContainerRuntime } from "../cri.ts";

/** Parts of a versionsBundle that look like images. Source: EKS Anywhere, release/api/v1alpha1/artifacts.go. */
const CHARTS = new Set(["helmChart", "tinkerbellChart", "tinkerbellCrds", "stack"]);

interface Image {
  uri: string;
  imageDigest?: string;
}

interface EksDRelease {
  status: { components: { assets: { type: string; image?: Image }[] }[] };
}

interface Bundles {
  spec: { versionsBundles: { eksD: { manifestUrl: string }; eksa: { clusterController: Image } }[] };
}

const { values, positionals } = parseArgs({
  options: {
    filename: { type: "string", short: "f", default: "" },
    "bundles-override": { type: "string", default: "" },
  },
  allowPositionals: true,
});
if (positionals.join(" ") !== "create cluster") throw new Error(`cannot do ${positionals.join(" ")}`);
await readFile(values.filename);

/** What is not local would be asked for in the Internet. */
async function readLocal<T>(uri: string): Promise<T> {
  if (!uri.includes("eks-anywhere-downloads")) throw new Error(`cannot fetch ${uri} without the Internet`);
  return Bun.YAML.parse(await readFile(uri, "utf8")) as T;
}

const images: Image[] = [];
const manifests: string[] = [];

/** Everything that is named below `value`, which is called `key`. */
function collect(key: string, value: unknown): void {
  if (typeof value === "string" && value.endsWith(".yaml")) manifests.push(value);
  if (typeof value !== "object" || value === null) return;
  if ("uri" in value && "imageDigest" in value && !CHARTS.has(key)) images.push(value as Image);
  for (const [name, each] of Object.entries(value)) collect(name, each);
}

const { spec } = await readLocal<Bundles>(values["bundles-override"]);
collect("", spec.versionsBundles);
for (const uri of manifests) await readLocal(uri);
for (const { eksD } of spec.versionsBundles) {
  const { status } = await readLocal<EksDRelease>(eksD.manifestUrl);
  for (const { assets } of status.components) {
    for (const { type, image } of assets) if (type === "Image" && image !== undefined) images.push(image);
  }
}

const runtime = new ContainerRuntime(process.env.NODE_SOCKET ?? "");
for (const { uri, imageDigest } of images) {
  await runtime.pullImage(uri);
  if (imageDigest !== undefined) await runtime.pullImage(uri.replace(/:[^:/]+$/, `@${imageDigest}`));
}
const controller = spec.versionsBundles[0]?.eksa.clusterController.uri ?? "";
const pod = await runtime.runPod("controller", controller);
const runs = (await pod.execute("/bin/cat", NAME_FILE)).trim();
await pod.remove();
runtime.close();
const names = [...new Set(images.map(({ uri }) => uri))].sort();
console.log(JSON.stringify({ manifests: new Set(manifests).size, images: names, runs }));
