import type { Descriptor } from "../oci/descriptor.ts";
import type { Digest } from "../oci/digest.ts";
import { Fault, faultKind } from "../oci/fault.ts";
import { parseManifest } from "../oci/manifest.ts";
import type { Source } from "../oci/plan.ts";
import { formatReference, type Reference, repositoryName } from "../oci/reference.ts";
import { verified } from "../oci/verified.ts";
import { forEachBounded } from "./bounded.ts";
import { MAX_FILE_BYTES } from "./reader.ts";
import { assertTitles } from "./titles.ts";
import { TITLE_ANNOTATION, type TitledFile } from "./wrap.ts";

/** What an artifact of YAML files holds. */
export interface Unwrapped {
  /** Of its manifest. */
  descriptor: Descriptor;
  artifactType: string;
  /** In the order of the artifact; equal bytes may be there twice. */
  files: readonly TitledFile[];
}

const CONCURRENCY = 4;
const AGAIN = "import or push it again: what is held there is not what was written";
/** All files of an artifact together; today's releases come to some 20 MiB. */
const MAX_TOTAL_BYTES = 256 * 1024 * 1024;

/**
 * Reads an artifact of files, wherever it is kept: a registry, an archive. Every digest is checked, and titles
 * that could not be paths below a folder are refused. Fails when it is of another type than `artifactType`;
 * undefined: any.
 */
export async function unwrap(
  source: Source,
  reference: Reference,
  artifactType: string | undefined,
): Promise<Unwrapped> {
  const { descriptor, bytes } = await source.manifest(reference);
  const name = formatReference(reference);
  const type = descriptor.artifactType ?? "";
  if (artifactType !== undefined && type !== artifactType) {
    throw new Fault(`cannot read ${name}: it is another kind of artifact`, {
      cause: new Error(`expected ${artifactType}, found ${type || descriptor.mediaType}`),
      hint: "check the repository and the tag",
    });
  }
  const layers = parseManifest(bytes).layers.map((layer) => ({ title: titleOf(layer), layer }));
  assertReadable(name, layers);
  const contents = new Map<Digest, Uint8Array>();
  const distinct = new Map(layers.map(({ layer }) => [layer.digest, layer]));
  await forEachBounded(distinct.values(), CONCURRENCY, async (layer) => {
    contents.set(layer.digest, await readLayer(source, reference, layer));
  });
  const files = layers.flatMap(({ title, layer }) => {
    const content = contents.get(layer.digest);
    return content === undefined ? [] : { title, bytes: content };
  });
  return { descriptor, artifactType: type, files };
}

function titleOf({ annotations }: Descriptor): string {
  return annotations?.[TITLE_ANNOTATION] ?? "";
}

function assertReadable(name: string, layers: readonly { title: string; layer: Descriptor }[]): void {
  try {
    const [first] = layers;
    if (first === undefined) throw new Fault("it holds no file");
    const untitled = layers.findIndex(({ title }) => title === "");
    if (untitled >= 0) throw new Fault(`\`layers[${untitled}]\` has no \`${TITLE_ANNOTATION}\``);
    assertTitles(layers.map(({ title }) => title));
    const large = layers.find(({ layer }) => layer.size > MAX_FILE_BYTES);
    if (large !== undefined) throw new Fault(`\`${large.title}\` is larger than ${MAX_FILE_BYTES} bytes`);
    // Equal files too: on disk each is one of its own.
    const total = layers.reduce((sum, { layer }) => sum + layer.size, 0);
    if (total > MAX_TOTAL_BYTES) throw new Fault(`its files exceed ${MAX_TOTAL_BYTES} bytes`);
  } catch (cause) {
    throw new Fault(`cannot read ${name} as YAML files`, { cause, hint: AGAIN });
  }
}

async function readLayer(source: Source, reference: Reference, layer: Descriptor): Promise<Uint8Array> {
  const repositories = new Set([repositoryName(reference)]);
  const node = { descriptor: layer, kind: "blob", children: [], repositories } as const;
  try {
    return Buffer.concat(await Array.fromAsync(verified(await source.open(node), layer)));
  } catch (cause) {
    throw new Fault(`cannot read \`${titleOf(layer)}\` of ${formatReference(reference)}`, {
      cause,
      ...(faultKind(cause) === "mismatch" && { hint: AGAIN }),
    });
  }
}
